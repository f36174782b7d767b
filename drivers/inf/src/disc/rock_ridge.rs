//! System use entries: SUSP (IEEE P1281) and, of Rock Ridge (IEEE P1282), the names.

use super::corrupt;
use format_core::Result;

/// Most continuation areas of one record, and most bytes of a name.
const MAX_AREAS: usize = 4;
const MAX_NAME: usize = 1024;

const NAME_GOES_ON: u8 = 0x01;

/// What the entries of a record say.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) name: Option<String>,
    /// A symbolic link, or the place that a folder was moved away from.
    pub(super) is_link: bool,
}

/// The bytes to skip in front of all other records' entries, when the root's own record begins with `SP`.
pub(super) fn announced(root: &[u8]) -> Option<usize> {
    match root {
        [b'S', b'P', 7, 1, 0xbe, 0xef, skip, ..] => Some(usize::from(*skip)),
        _ => None,
    }
}

/// Reads the entries in `area`; `more` gives continuation areas by block, offset and length.
pub(super) fn read(area: &[u8], more: impl Fn(u32, u32, u32) -> Result<Vec<u8>>) -> Result<Found> {
    let mut name = Vec::new();
    let mut has_name = false;
    let mut found = Found::default();
    let mut next = Some(area.to_vec());
    let mut areas = 0;
    while let Some(area) = next.take() {
        areas += 1;
        if areas > MAX_AREAS {
            return Err(corrupt(format!("more than {MAX_AREAS} continuation areas of one record")));
        }
        let mut rest = area.as_slice();
        // The last bytes of an area may be padding.
        while let [a, b, len, _, ..] = *rest {
            let len = usize::from(len);
            let Some((entry, behind)) = rest.split_at_checked(len).filter(|_| len >= 4) else { break };
            rest = behind;
            match (&[a, b], entry) {
                (b"NM", [_, _, _, _, flags, part @ ..]) => {
                    name.extend_from_slice(part);
                    has_name |= flags & !NAME_GOES_ON == 0;
                    if name.len() > MAX_NAME {
                        return Err(corrupt(format!("a name of more than {MAX_NAME} bytes")));
                    }
                }
                (b"SL" | b"CL", _) => found.is_link = true,
                (b"CE", _) => next = Some(continuation(entry, &more)?),
                (b"ST", _) => break,
                _ => {}
            }
        }
    }
    found.name = has_name.then(|| String::from_utf8_lossy(&name).into_owned());
    Ok(found)
}

/// Block, offset and length, each in both byte orders.
fn continuation(entry: &[u8], more: impl Fn(u32, u32, u32) -> Result<Vec<u8>>) -> Result<Vec<u8>> {
    let number = |at: usize| {
        let bytes = entry.get(at..).and_then(|rest| rest.first_chunk());
        bytes
            .map(|bytes| u32::from_le_bytes(*bytes))
            .ok_or_else(|| corrupt("a CE entry that is too short".into()))
    };
    let (block, offset, len) = (number(4)?, number(12)?, number(20)?);
    if len > 2048 {
        return Err(corrupt(format!("a continuation area of {len} bytes, at most 2048 are possible")));
    }
    more(block, offset, len)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(kind: &[u8; 2], body: &[u8]) -> Vec<u8> {
        let len = u8::try_from(body.len() + 4).unwrap();
        [kind.as_slice(), &[len, 1], body].concat()
    }

    fn jump(block: u32, len: u32) -> Vec<u8> {
        let both = |n: u32| [n.to_le_bytes(), n.to_be_bytes()].concat();
        entry(b"CE", &[both(block), both(0), both(len)].concat())
    }

    #[test]
    fn a_name_goes_on_in_other_areas() {
        let first = [entry(b"RR", &[1]), entry(b"NM", b"\x01long "), jump(5, 9)].concat();
        let found = read(&first, |block, _, len| {
            assert_eq!((block, len), (5, 9));
            Ok(entry(b"NM", b"\0name"))
        })
        .unwrap();
        assert_eq!(found.name.as_deref(), Some("long name"));
        assert!(!found.is_link);
        assert!(read(&entry(b"SL", b"\0\0\0"), |_, _, _| Ok(Vec::new())).unwrap().is_link);
        // Padding, and an entry that is longer than the area.
        assert_eq!(read(&[0, 0, 0, 0, 0], |_, _, _| Ok(Vec::new())).unwrap().name, None);
        assert_eq!(read(b"NM\x40\x01\0a", |_, _, _| Ok(Vec::new())).unwrap().name, None);
    }

    #[test]
    fn areas_in_a_circle_and_endless_names_end() {
        assert!(read(&jump(1, 28), |_, _, _| Ok(jump(1, 28))).is_err());
        let long = entry(b"NM", &[1; 200]).repeat(8);
        assert!(read(&long, |_, _, _| Ok(Vec::new())).is_err());
        assert!(read(&jump(1, 4096), |_, _, _| Ok(Vec::new())).is_err());
        assert!(read(b"CE\x08\x01\0\0\0\0", |_, _, _| Ok(Vec::new())).is_err());
    }
}
