//! The checksums over blocks.

use std::hash::Hasher as _;
use twox_hash::{XxHash3_128, XxHash64};

/// A way to compute checksums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SumKind {
    /// CRC-32 without the inversion at its end.
    Crc32,
    Xxh64,
    Xxh128,
    /// The same CRC, by a mistake of version 0001 over the first byte of each block, as often as the block has bytes.
    FirstByte,
}

impl SumKind {
    /// How many bytes it has in the file.
    pub(crate) const fn len(self) -> usize {
        match self {
            Self::Crc32 | Self::FirstByte => 4,
            Self::Xxh64 => 8,
            Self::Xxh128 => 16,
        }
    }

    /// What a person knows it by.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Crc32 => "crc32",
            Self::Xxh64 => "xxh64",
            Self::Xxh128 => "xxh128",
            Self::FirstByte => "crc32 of the first byte of each block",
        }
    }
}

/// A checksum that is being computed.
#[derive(Clone)]
pub(crate) struct Running {
    state: State,
    block_size: usize,
    /// As many bytes as a block has, all the same.
    repeated: Vec<u8>,
}

#[derive(Clone)]
enum State {
    Crc(u32),
    FirstByte(u32),
    Xxh64(XxHash64),
    Xxh128(Box<XxHash3_128>),
}

/// The CRC of `bytes` as the format has it, going on from `state`.
pub(crate) fn crc(state: u32, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(!state);
    hasher.update(bytes);
    !hasher.finalize()
}

/// Where a CRC begins.
pub(crate) const CRC_SEED: u32 = u32::MAX;

impl Running {
    pub(crate) fn new(kind: SumKind, block_size: usize) -> Self {
        let state = match kind {
            SumKind::Crc32 => State::Crc(CRC_SEED),
            SumKind::FirstByte => State::FirstByte(CRC_SEED),
            SumKind::Xxh64 => State::Xxh64(XxHash64::with_seed(0)),
            SumKind::Xxh128 => State::Xxh128(Box::new(XxHash3_128::with_seed(0))),
        };
        let repeated = if kind == SumKind::FirstByte { vec![0; block_size] } else { Vec::new() };
        Self { state, block_size, repeated }
    }

    /// Goes on from a checksum of the file, where that is possible.
    pub(crate) fn continue_from(&mut self, stored: &[u8]) -> bool {
        let Some(word) = stored.first_chunk().map(|word| u32::from_le_bytes(*word)) else { return false };
        match &mut self.state {
            State::Crc(state) | State::FirstByte(state) => *state = word,
            State::Xxh64(_) | State::Xxh128(_) => return false,
        }
        true
    }

    /// Takes the next blocks, which must be whole.
    pub(crate) fn update(&mut self, blocks: &[u8]) {
        match &mut self.state {
            State::Crc(state) => *state = crc(*state, blocks),
            State::FirstByte(state) => {
                for block in blocks.chunks(self.block_size) {
                    self.repeated.fill(block.first().copied().unwrap_or(0));
                    *state = crc(*state, &self.repeated);
                }
            }
            State::Xxh64(state) => state.write(blocks),
            State::Xxh128(state) => state.write(blocks),
        }
    }

    /// Whether `stored` is the checksum of what was taken, else both as text.
    pub(crate) fn compare(&self, stored: &[u8]) -> Result<(), (String, String)> {
        let mut found = [0; 16];
        let len = match &self.state {
            State::Crc(state) | State::FirstByte(state) => put(&mut found, &state.to_le_bytes()),
            State::Xxh64(state) => put(&mut found, &state.finish().to_le_bytes()),
            State::Xxh128(state) => put(&mut found, &state.finish_128().to_le_bytes()),
        };
        let found = &mut found[..len];
        if stored.get(..len) == Some(found) {
            return Ok(());
        }
        if len == 16 {
            // XXH128 also has a canonical form in the other order; no two bytes of it would fit by chance.
            found.reverse();
            if stored.get(..len) == Some(found) {
                return Ok(());
            }
            found.reverse();
        }
        Err((hex(stored), hex(found)))
    }
}

fn put(into: &mut [u8; 16], bytes: &[u8]) -> usize {
    for (to, from) in into.iter_mut().zip(bytes) {
        *to = *from;
    }
    bytes.len()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_the_published_ones() {
        let compare = |kind: SumKind, stored: &[u8]| {
            let mut running = Running::new(kind, 9);
            running.update(b"123456789");
            running.compare(stored)
        };
        // CRC-32 of this text is cbf43926; here its last inversion is missing.
        assert_eq!(compare(SumKind::Crc32, &(!0xcbf4_3926u32).to_le_bytes()), Ok(()));
        assert_eq!(compare(SumKind::Xxh64, &0x8cb8_41db_40e6_ae83u64.to_le_bytes()), Ok(()));
        let mut ones = Running::new(SumKind::Crc32, 9);
        ones.update(b"111111111");
        assert!(compare(SumKind::FirstByte, &crc(CRC_SEED, b"111111111").to_le_bytes()).is_ok());
        assert!(ones.compare(&crc(CRC_SEED, b"111111111").to_le_bytes()).is_ok());
        assert!(compare(SumKind::Crc32, &[0; 4]).is_err());
    }

    #[test]
    fn an_empty_xxh128_is_the_published_one_in_both_orders() {
        let empty = 0x99aa_06d3_0147_98d8_6001_c324_468d_497fu128;
        let running = Running::new(SumKind::Xxh128, 512);
        assert_eq!(running.compare(&empty.to_le_bytes()), Ok(()));
        assert_eq!(running.compare(&empty.to_be_bytes()), Ok(()));
    }
}
