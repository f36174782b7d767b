//! LZNT1, the compression of NTFS itself ([MS-XCA] section 2.5).

use crate::bytes::u16_at;

/// Bytes that one chunk unpacks to.
const CHUNK: usize = 4096;

/// Unpacks `packed` into `out`; what the chunks do not reach stays as it is.
///
/// # Errors
/// What is wrong with the packed bytes.
pub(crate) fn unpack(mut packed: &[u8], out: &mut [u8]) -> Result<(), String> {
    for chunk in out.chunks_mut(CHUNK) {
        // A header of zeros, or the end, ends the data early.
        let Some(header) = u16_at(packed, 0).filter(|header| *header != 0) else { return Ok(()) };
        let len = usize::from(header & 0xfff) + 1;
        let body = packed.get(2..2 + len).ok_or("a chunk of LZNT1 leaves its unit")?;
        packed = packed.get(2 + len..).unwrap_or_default();
        if header & 0x8000 != 0 {
            unpack_chunk(body, chunk)?;
        } else {
            let len = len.min(chunk.len());
            chunk.iter_mut().zip(body.get(..len).unwrap_or_default()).for_each(|(to, from)| *to = *from);
        }
    }
    Ok(())
}

/// Bits of a token that give the length of a copy: the more bytes there are to copy from, the fewer.
fn length_bits(done: usize) -> u32 {
    let mut distance_bits = 4;
    while 1 << distance_bits < done {
        distance_bits += 1;
    }
    16 - distance_bits
}

fn unpack_chunk(mut body: &[u8], out: &mut [u8]) -> Result<(), String> {
    let mut done = 0;
    while let Some((&flags, rest)) = body.split_first() {
        body = rest;
        for bit in 0..8 {
            if body.is_empty() {
                break;
            }
            if flags >> bit & 1 == 0 {
                let (Some((&byte, rest)), Some(place)) = (body.split_first(), out.get_mut(done)) else {
                    return Err("a chunk of LZNT1 is longer than its content".into());
                };
                *place = byte;
                (body, done) = (rest, done + 1);
                continue;
            }
            let token = u16_at(body, 0).ok_or("a chunk of LZNT1 ends in a token")?;
            body = body.get(2..).unwrap_or_default();
            let bits = length_bits(done);
            let distance = usize::from(token >> bits) + 1;
            let len = usize::from(token & ((1 << bits) - 1)) + 3;
            done = copy(out, done, distance, len).ok_or("a token of LZNT1 leaves its chunk")?;
        }
    }
    Ok(())
}

/// Copies `len` bytes from `distance` before `done`; they may overlap. Returns the new end.
pub(crate) fn copy(out: &mut [u8], done: usize, distance: usize, len: usize) -> Option<usize> {
    let (start, end) = (done.checked_sub(distance)?, done.checked_add(len)?);
    if distance == 0 || end > out.len() {
        return None;
    }
    for at in 0..len {
        let byte = *out.get(start + at)?;
        *out.get_mut(done + at)? = byte;
    }
    Some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of [MS-XCA] section 3.3.
    #[test]
    fn example_of_the_specification() {
        let packed = [
            0x38, 0xb0, 0x88, 0x46, 0x23, 0x20, 0x00, 0x20, 0x47, 0x20, 0x41, 0x00, 0x10, 0xa2, 0x47, 0x01,
            0xa0, 0x45, 0x20, 0x44, 0x00, 0x08, 0x45, 0x01, 0x50, 0x79, 0x00, 0xc0, 0x45, 0x20, 0x05, 0x24,
            0x13, 0x88, 0x05, 0xb4, 0x02, 0x4a, 0x44, 0xef, 0x03, 0x58, 0x02, 0x8c, 0x09, 0x16, 0x01, 0x48,
            0x45, 0x00, 0xbe, 0x00, 0x9e, 0x00, 0x04, 0x01, 0x18, 0x90, 0x00,
        ];
        let text = "F# F# G A A G F# E D D E F# F# E E F# F# G A A G F# E D D E F# E D D E E F# D E F# G F# D E F# G F# E D E A F# F# G A A G F# E D D E F# E D D\0";
        let mut out = vec![0; text.len()];
        unpack(&packed, &mut out).unwrap();
        assert_eq!(String::from_utf8_lossy(&out), text);
    }

    #[test]
    fn lies_end_in_errors() {
        for packed in
            [&[0x01, 0xb0, 1][..], &[0x02, 0xb0, 1, 0, 0], &[0x05, 0xb0, 0], &[0x02, 0xb0, 1, 0, 0xf0]]
        {
            assert!(unpack(packed, &mut [0; 100]).is_err(), "{packed:x?}");
        }
        // Longer than what it is for.
        assert!(unpack(&[0x06, 0xb0, 0, 1, 2, 3, 4, 5, 6], &mut [0; 3]).is_err());
        unpack(&[0, 0, 9, 9], &mut [0; 100]).unwrap();
    }
}
