//! Marvin32, the checksum of log entries.
//!
//! Source: specification, "Log entries", notes 1 to 3, for what is hashed and the seed, which is the number
//! 0x82EF4D887A4E55C5 (the notes give its bytes from the highest down); the function is described in US patent
//! 8,555,069 and its published test vectors.

const SEED: u64 = 0x82ef_4d88_7a4e_55c5;

/// The hash of `data` with the seed of the registry.
pub(crate) fn hash(data: &[u8]) -> u64 {
    let (mut low, mut high) = (SEED as u32, (SEED >> 32) as u32);
    let mut mix = |word: u32| {
        low = low.wrapping_add(word);
        high ^= low;
        low = low.rotate_left(20).wrapping_add(high);
        high = high.rotate_left(9) ^ low;
        low = low.rotate_left(27).wrapping_add(high);
        high = high.rotate_left(19);
    };
    let (words, rest) = data.as_chunks::<4>();
    words.iter().for_each(|word| mix(u32::from_le_bytes(*word)));
    let last = rest.iter().rev().fold(0x80, |last, byte| last << 8 | u32::from(*byte));
    mix(last);
    mix(0);
    u64::from(high) << 32 | u64::from(low)
}

#[cfg(test)]
mod tests {
    use super::hash;

    /// Published vectors for this seed give both halves of the state folded by XOR.
    #[test]
    fn published_vectors() {
        let folded = |data: &[u8]| (hash(data) >> 32) as u32 ^ hash(data) as u32;
        for (data, expected) in [
            (&b""[..], 0xb008_92ac),
            (b"h", 0xf41a_608e),
            (b"he", 0x1110_7c6b),
            (b"hel", 0x2405_6a46),
            (b"hell", 0x7f91_e021),
            (b"hello, world!", 0x00c1_8515),
        ] {
            assert_eq!(folded(data), expected, "{data:?}");
        }
    }
}
