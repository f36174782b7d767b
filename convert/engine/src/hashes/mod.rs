//! Whole-disk hashes as other tools compute them (`b3sum`, `sha256sum`, `md5sum` of the raw disk), in the pass of a copy.
//!
//! Unlike the digest they cannot pass holes for nothing: SHA-256 and MD5 are one long chain, and BLAKE3 numbers its
//! chunks, so that no two stretches of zeros hash alike. What is not read still has to be hashed.
//!
//! BLAKE3 is a tree: workers hash their blocks in any order (`tree.rs`). The others are fed by turns, each by its own,
//! so that one worker is at SHA-256 while another is at MD5. Nothing is kept but the block that a worker holds anyway.

mod pieces;
mod tree;

use crate::turns::{Turns, locked};
use format_core::{Error, Result};
use sha2::digest::DynDigest;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Mutex;

pub(crate) use pieces::ShortRuns;
use tree::HashTree;

/// A hash of all bytes of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HashKind {
    /// As `b3sum` prints it.
    Blake3,
    /// As `sha256sum` prints it.
    Sha256,
    /// As `md5sum` prints it.
    Md5,
}

/// Whole-disk hashes in hexadecimal digits, by the names of their kinds.
pub type Hashes = BTreeMap<String, String>;

impl HashKind {
    /// Every kind there is.
    pub const ALL: [Self; 3] = [Self::Blake3, Self::Sha256, Self::Md5];

    /// Its name: lower case, without dashes.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Blake3 => "blake3",
            Self::Sha256 => "sha256",
            Self::Md5 => "md5",
        }
    }
}

impl fmt::Display for HashKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for HashKind {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == text).ok_or_else(|| {
            Error::usage(format!("unknown hash {text:?}: known are {}", Self::ALL.map(Self::name).join(", ")))
        })
    }
}

/// Zeros for holes, hashed again and again: few enough to stay in the processor's cache.
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// `len` zeros, in slices.
fn zeros(len: u64) -> impl Iterator<Item = &'static [u8]> {
    let whole = ZEROS.len() as u64;
    (0..len.div_ceil(whole)).map(move |index| &ZEROS[..(len - index * whole).min(whole) as usize])
}

/// The hashes of one disk in the making. Every block and every run of zeros is told once, by any worker.
pub(crate) struct Hashing {
    tree: Option<HashTree>,
    chains: Vec<Chain>,
}

/// A hash that needs the bytes in order.
struct Chain {
    kind: HashKind,
    turns: Turns,
    state: Mutex<Box<dyn DynDigest + Send>>,
}

impl Hashing {
    /// Hashes of these kinds for a disk of `size` bytes.
    pub(crate) fn new(kinds: &[HashKind], size: u64) -> Self {
        let tree = kinds.contains(&HashKind::Blake3).then(|| HashTree::new(size));
        let chain = |kind, state| Chain { kind, turns: Turns::default(), state: Mutex::new(state) };
        let mut chains = Vec::new();
        if kinds.contains(&HashKind::Sha256) {
            chains.push(chain(HashKind::Sha256, Box::new(sha2::Sha256::default()) as _));
        }
        if kinds.contains(&HashKind::Md5) {
            chains.push(chain(HashKind::Md5, Box::new(md5::Md5::default()) as _));
        }
        Self { tree, chains }
    }

    /// Takes the bytes of block `index`, in turn `turn`.
    pub(crate) fn block(&self, turn: u64, index: u64, bytes: &[u8]) {
        if let Some(tree) = &self.tree {
            tree.block(index, std::iter::once(bytes));
        }
        self.feed(turn, || std::iter::once(bytes));
    }

    /// Takes a run of zeros that begins with a block, in turn `turn`.
    pub(crate) fn zeros(&self, turn: u64, offset: u64, len: u64) {
        if let Some(tree) = &self.tree {
            tree.zeros(offset, len);
        }
        self.feed(turn, || zeros(len));
    }

    fn feed<'a, I: Iterator<Item = &'a [u8]>>(&self, turn: u64, bytes: impl Fn() -> I) {
        for chain in &self.chains {
            // Stopped while waiting: another worker failed, and nobody will ask for the hash.
            let Some(_turn) = chain.turns.wait_for(turn) else { return };
            let mut state = locked(&chain.state);
            bytes().for_each(|part| state.update(part));
        }
    }

    /// Lets all workers that wait for a turn go: the run failed.
    pub(crate) fn stop(&self) {
        self.chains.iter().for_each(|chain| chain.turns.stop());
    }

    /// The hashes, when everything was told.
    ///
    /// # Errors
    /// `Contract` when blocks are missing.
    pub(crate) fn finish(self) -> Result<Hashes> {
        let mut hashes = Hashes::new();
        if let Some(tree) = self.tree {
            hashes.insert(HashKind::Blake3.to_string(), tree.finish()?.to_hex().to_string());
        }
        for Chain { kind, state, .. } in self.chains {
            let state = state.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
            let hex: String = state.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
            hashes.insert(kind.to_string(), hex);
        }
        Ok(hashes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::BLOCK_SIZE;

    #[test]
    fn names_are_read_back_and_others_are_refused() {
        for kind in HashKind::ALL {
            assert_eq!(kind.name().parse::<HashKind>().unwrap(), kind);
        }
        let error = "sha1".parse::<HashKind>().unwrap_err().to_string();
        assert!(error.contains("blake3, sha256, md5"), "{error}");
    }

    /// The empty disk's hashes, from the specifications.
    #[test]
    fn a_disk_without_bytes_has_the_hashes_of_nothing() {
        let hashes = Hashing::new(&HashKind::ALL, 0).finish().unwrap();
        assert_eq!(hashes["md5"], "d41d8cd98f00b204e9800998ecf8427e");
        assert!(hashes["sha256"].starts_with("e3b0c44298fc1c149afbf4c8996fb924"));
        assert!(hashes["blake3"].starts_with("af1349b9f5f9a1a6a0404dea36dcc949"));
    }

    #[test]
    fn a_block_that_was_never_told_is_noticed() {
        let hashing = Hashing::new(&[HashKind::Blake3], 2 * BLOCK_SIZE);
        hashing.block(0, 0, &vec![1; BLOCK_SIZE as usize]);
        assert!(hashing.finish().is_err());
    }
}
