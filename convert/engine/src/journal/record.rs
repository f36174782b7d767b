//! The bytes of a journal: a row of records, each sealed by a hash that covers all before it.
//!
//! ```text
//!  MAGIC · record (the job, JSON) · record (checkpoint) · record (checkpoint) …
//!  record: length (64-bit little-endian) · payload · BLAKE3 of (the seal before · length · payload)
//! ```
//!
//! So a record is whole or it is not there, and none of another journal fits. What follows the last whole record is a
//! torn write, and ignored.

use blake3::Hash;
use format_core::{Error, Result, StateReader, StateWriter};

/// What a journal begins with.
pub(crate) const MAGIC: &[u8] = b"rehome journal 1\n";
/// Bytes of the length in front of a payload.
pub(crate) const LENGTH: usize = 8;
/// Bytes of the seal behind it.
pub(crate) const SEAL: usize = 32;
/// States are stored as what changed in them, in pieces of this many bytes.
const PIECE: usize = 256;

/// The seal that stands before the first record.
pub(crate) fn first_seal() -> Hash {
    blake3::hash(MAGIC)
}

/// The seal of a record.
pub(crate) fn seal(before: &Hash, payload: &[u8]) -> Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(before.as_bytes()).update(&(payload.len() as u64).to_le_bytes()).update(payload);
    hasher.finalize()
}

/// The record with this payload, and its seal.
pub(crate) fn framed(before: &Hash, payload: &[u8]) -> (Vec<u8>, Hash) {
    let seal = seal(before, payload);
    let mut bytes = Vec::with_capacity(LENGTH + payload.len() + SEAL);
    bytes.extend((payload.len() as u64).to_le_bytes());
    bytes.extend(payload);
    bytes.extend(seal.as_bytes());
    (bytes, seal)
}

/// What was durable at one moment, as far as it was not before.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    /// Bytes of data read from the start on.
    pub(crate) read: u64,
    /// Bytes of data given to the sink from the start on.
    pub(crate) written: u64,
    /// Bytes of the sink's state.
    state_len: u64,
    /// Which pieces of the state are new, and they themselves in a row.
    pieces: Vec<u64>,
    changed: Vec<u8>,
    /// Blocks that are done, and their hashes in a row.
    pub(crate) blocks: Vec<u64>,
    hashes: Vec<u8>,
}

impl Checkpoint {
    /// A checkpoint with the totals (read, written), at which the state is `new`, after one at which it was `old`.
    pub(crate) fn new((read, written): (u64, u64), old: &[u8], new: &[u8]) -> Self {
        let mut checkpoint = Self { read, written, state_len: new.len() as u64, ..Self::default() };
        let mut before = old.chunks(PIECE);
        for (index, piece) in (0..).zip(new.chunks(PIECE)) {
            if before.next() != Some(piece) {
                checkpoint.pieces.push(index);
                checkpoint.changed.extend(piece);
            }
        }
        checkpoint
    }

    /// Adds a block that is done.
    pub(crate) fn add(&mut self, block: u64, hash: &Hash) {
        self.blocks.push(block);
        self.hashes.extend(hash.as_bytes());
    }

    /// The blocks with their hashes.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = (u64, Hash)> + '_ {
        let hashes = self.hashes.as_chunks::<32>().0.iter().copied().map(Hash::from_bytes);
        self.blocks.iter().copied().zip(hashes)
    }

    /// Makes the new state of the old one.
    ///
    /// # Errors
    /// `Corrupt` when the pieces do not fit together.
    pub(crate) fn apply(&self, state: &mut Vec<u8>) -> Result<()> {
        let unfit = || Error::corrupt("the pieces of a state do not fit together");
        // What is new of a longer state is all among the pieces, so no number alone makes it long.
        let most = state.len().saturating_add(self.changed.len());
        let len = usize::try_from(self.state_len).ok().filter(|&len| len <= most).ok_or_else(unfit)?;
        state.resize(len, 0);
        let mut left = self.changed.as_slice();
        for &piece in &self.pieces {
            let start = usize::try_from(piece).ok().and_then(|piece| piece.checked_mul(PIECE));
            let place = start.and_then(|start| state.get_mut(start..)).ok_or_else(unfit)?;
            let place_len = place.len().min(PIECE);
            let (now, rest) = left.split_at_checked(place_len).ok_or_else(unfit)?;
            place[..place_len].copy_from_slice(now);
            left = rest;
        }
        if left.is_empty() { Ok(()) } else { Err(unfit()) }
    }

    /// The payload of its record.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let numbers = StateWriter::default().number(self.read).number(self.written).number(self.state_len);
        numbers.list(&self.pieces).list(&self.changed).list(&self.blocks).list(&self.hashes).bytes()
    }

    /// The checkpoint of a payload.
    ///
    /// # Errors
    /// `Corrupt` when it is none.
    pub(crate) fn parse(payload: &[u8]) -> Result<Self> {
        let mut reader = StateReader::new(payload);
        let found = Self {
            read: reader.number()?,
            written: reader.number()?,
            state_len: reader.number()?,
            pieces: reader.list()?,
            changed: reader.list()?,
            blocks: reader.list()?,
            hashes: reader.list()?,
        };
        reader.end()?;
        if found.hashes.len() != found.blocks.len().saturating_mul(SEAL) {
            return Err(Error::corrupt("a checkpoint has not one hash for each block"));
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_state_is_rebuilt_from_what_changed(
            old in prop::collection::vec(0u8..3, 0..2000),
            new in prop::collection::vec(0u8..3, 0..2000),
            shared in 0usize..2000,
        ) {
            let mut new = new;
            let shared = shared.min(old.len()).min(new.len());
            new[..shared].copy_from_slice(&old[..shared]);
            let mut checkpoint = Checkpoint::new((1, 2), &old, &new);
            checkpoint.add(7, &blake3::hash(b"7"));
            let read = Checkpoint::parse(&checkpoint.bytes()).unwrap();
            prop_assert_eq!(&read, &checkpoint);
            let mut state = old.clone();
            read.apply(&mut state).unwrap();
            prop_assert!(state == new);
            prop_assert!(checkpoint.changed.len() <= new.len().saturating_sub(shared / PIECE * PIECE));
        }

        #[test]
        fn any_payload_is_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(found) = Checkpoint::parse(&bytes) {
                let _ = found.apply(&mut vec![1; 300]);
            }
        }
    }

    #[test]
    fn a_length_without_bytes_is_no_state() {
        let huge = Checkpoint { state_len: u64::MAX / 2, ..Checkpoint::default() };
        assert!(huge.apply(&mut vec![0; 10]).is_err());
        let outside = Checkpoint { state_len: 10, pieces: vec![u64::MAX], ..Checkpoint::default() };
        assert!(outside.apply(&mut vec![0; 10]).is_err());
    }
}
