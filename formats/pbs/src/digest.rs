//! Digests: how they are made, written and read.

use crate::layout::DIGEST;
use sha2::{Digest as _, Sha256};

/// SHA-256, of a chunk, a file or a key.
pub(crate) type Digest = [u8; DIGEST];

/// The digest of `parts`, one after the other.
pub(crate) fn digest_of(parts: &[&[u8]]) -> Digest {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}

/// The digest of `len` zeros and `suffix`.
pub(crate) fn digest_of_zeros(len: u64, suffix: &[u8]) -> Digest {
    static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
    let mut hasher = Sha256::new();
    let mut left = len;
    while left > 0 {
        let part = left.min(ZEROS.len() as u64);
        hasher.update(&ZEROS[..part as usize]);
        left -= part;
    }
    hasher.update(suffix);
    hasher.finalize().into()
}

/// Lower case, two digits a byte.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('?');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// A digest as text, with or without colons between its bytes; `None` for anything else.
pub(crate) fn parse_hex(text: &str) -> Option<Digest> {
    let digits: Option<Vec<u8>> = text
        .chars()
        .filter(|letter| *letter != ':')
        .map(|letter| letter.to_digit(16).map(|digit| digit as u8))
        .collect();
    let digits = digits.filter(|digits| digits.len() == 2 * DIGEST)?;
    let mut digest = [0; DIGEST];
    for (byte, pair) in digest.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = pair.iter().fold(0, |value, digit| value << 4 | digit);
    }
    Some(digest)
}

/// As people know a key: the first eight bytes, with colons.
pub(crate) fn fingerprint_text(fingerprint: &Digest) -> String {
    let bytes: Vec<_> = fingerprint.iter().take(8).map(|byte| hex(&[*byte])).collect();
    bytes.join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_written_and_read() {
        let digest = digest_of(&[b"ab", b"c"]);
        assert_eq!(hex(&digest), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(parse_hex(&hex(&digest)), Some(digest));
        let colons: Vec<_> = digest.iter().map(|byte| hex(&[*byte])).collect();
        assert_eq!(parse_hex(&colons.join(":")), Some(digest));
        assert_eq!(fingerprint_text(&digest), "ba:78:16:bf:8f:01:cf:ea");
        for text in ["", "00", &"g".repeat(64), &"0".repeat(65), "ää"] {
            assert_eq!(parse_hex(text), None);
        }
        assert_eq!(digest_of_zeros(200_000, b"x"), digest_of(&[&vec![0; 200_000], b"x"]));
    }
}
