//! Where the clusters of an attribute lie: mapping pairs.

/// Neighbouring clusters; `lcn` is `None` for a hole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// First cluster within the attribute.
    pub(crate) vcn: u64,
    pub(crate) len: u64,
    pub(crate) lcn: Option<u64>,
}

/// Runs of one attribute at most.
pub(crate) const MAX_RUNS: usize = 1 << 20;
/// No attribute has more clusters: the largest volume has 2^32, and a sparse file as many holes as 2^63 bytes need.
const MAX_VCN: u64 = 1 << 54;

/// A number of `bytes.len()` bytes, at most 8, with its sign.
fn signed(bytes: &[u8]) -> i64 {
    let fill = if bytes.last().is_some_and(|last| last & 0x80 != 0) { 0xff } else { 0 };
    let mut all = [fill; 8];
    all.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    i64::from_le_bytes(all)
}

/// Parses mapping pairs that start at cluster `first` of the attribute, on a volume of `clusters` clusters.
///
/// # Errors
/// What is wrong, for a sentence that names the attribute.
pub(crate) fn parse(pairs: &[u8], first: u64, clusters: u64) -> Result<Vec<Run>, String> {
    let (mut runs, mut rest) = (Vec::new(), pairs);
    let (mut vcn, mut lcn) = (first, 0_i64);
    loop {
        let Some((&head, more)) = rest.split_first() else {
            return Err("its mapping pairs have no end".into());
        };
        if head == 0 {
            return Ok(runs);
        }
        let (length_len, offset_len) = (usize::from(head & 15), usize::from(head >> 4));
        if length_len == 0 || length_len > 8 || offset_len > 8 || more.len() < length_len + offset_len {
            return Err(format!("its mapping pairs hold {head:#x}"));
        }
        let (length, more) = more.split_at(length_len);
        let (offset, more) = more.split_at(offset_len);
        rest = more;
        let len = u64::try_from(signed(length)).ok().filter(|len| *len > 0);
        let end = len.and_then(|len| vcn.checked_add(len)).filter(|end| *end <= MAX_VCN);
        let (Some(len), Some(end)) = (len, end) else {
            return Err(format!("its run at cluster {vcn:#x} has the length {:#x}", signed(length)));
        };
        let mut run = Run { vcn, len, lcn: None };
        if offset_len > 0 {
            lcn = lcn.wrapping_add(signed(offset));
            let place = u64::try_from(lcn).ok();
            if place.and_then(|place| place.checked_add(len)).is_none_or(|end| end > clusters) {
                return Err(format!(
                    "{len:#x} clusters at {lcn:#x} are outside the volume of {clusters:#x} clusters"
                ));
            }
            run.lcn = place;
        }
        if runs.len() >= MAX_RUNS {
            return Err(format!("it has more than {MAX_RUNS:#x} runs"));
        }
        runs.push(run);
        vcn = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs() {
        // 24 clusters at 0x5634, 16 before that, a hole of 8.
        let runs = parse(&[0x21, 0x18, 0x34, 0x56, 0x11, 2, 0xf0, 0x01, 8, 0], 5, 0x1_0000).unwrap();
        let expected = [
            Run { vcn: 5, len: 0x18, lcn: Some(0x5634) },
            Run { vcn: 29, len: 2, lcn: Some(0x5624) },
            Run { vcn: 31, len: 8, lcn: None },
        ];
        assert_eq!(runs, expected);
    }

    #[test]
    fn lies() {
        for pairs in [
            &[][..],
            &[0x11, 1],
            &[0x11, 1, 5],
            &[0x10, 0],
            &[0x01, 0, 0],
            &[0x01, 0xff, 0],
            &[0x11, 1, 0xff, 0],
            &[0x11, 2, 9, 0],
            &[0x19, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0],
            &[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0],
            &[0x88, 1, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0],
        ] {
            assert!(parse(pairs, 0, 10).is_err(), "{pairs:?}");
        }
        assert!(parse(&[0x11, 1, 9, 0], 0, 10).is_ok());
    }
}
