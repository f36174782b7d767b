//! Sources that are no files of this host: exports of servers, objects, snapshots, disks of other machines.

use crate::{Result, Storage, Warning};
use std::path::Path;
use std::sync::Arc;

/// Opens addresses (`nbd://…`, `https://…`) that are given in the place of a path. Only the operator gives any: what stands in an
/// image is a file's name, whatever it looks like.
pub trait Remotes: Send + Sync + std::fmt::Debug {
    /// Whether `address` begins like one of these.
    fn knows(&self, address: &str) -> bool;

    /// Opens what is there.
    ///
    /// # Errors
    /// `Usage` for an address that cannot be read, `SourceMissing`, `Denied`, `Unsupported`, `Temporary` as the other side says.
    fn open(&self, address: &str) -> Result<RemoteSource>;
}

/// What lies at an address.
#[derive(Clone)]
pub struct RemoteSource {
    /// Its bytes.
    pub storage: Arc<dyn Storage>,
    /// The file's name where it is a file, in which an image is looked for; `None` where it is a disk.
    pub name: Option<String>,
    /// What the other side can do besides giving bytes.
    pub remote: Arc<dyn Remote>,
    /// What a person should know.
    pub warnings: Vec<Warning>,
}

/// What the other side of an address can do besides giving bytes.
pub trait Remote: Send + Sync + std::fmt::Debug {
    /// What is the same whenever the same bytes are there: a snapshot's name, a version. `None` where nothing tells.
    fn identity(&self) -> Option<String> {
        None
    }

    /// Whether [`Remote::hashes`] can be asked.
    fn can_hash(&self) -> bool {
        false
    }

    /// Hashes of the disk taken where it is, as the disk digest has them: of the blocks or leaves with these numbers. `each` gets them in
    /// that order, with their numbers.
    ///
    /// # Errors
    /// `Unsupported` where that cannot be done; what the other side and `each` report.
    fn hashes(
        &self,
        _level: HashLevel,
        _pieces: &[std::ops::Range<u64>],
        _each: &mut dyn FnMut(u64, [u8; 32]) -> Result<()>,
    ) -> Result<()> {
        Err(crate::Error::unsupported("hashes cannot be taken where the source is"))
    }
}

/// Stands for a piece that the other side could not read: no content is known to have this hash.
pub const UNREADABLE: [u8; 32] = [0; 32];

/// The pieces of a disk that are hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashLevel {
    /// Blocks of 4 MiB: the hash of their leaves' hashes.
    Block,
    /// Leaves of 64 KiB.
    Leaf,
}

/// A side that gives bytes and nothing else.
#[derive(Clone, Debug, Default)]
pub struct PlainRemote {
    /// See [`Remote::identity`].
    pub identity: Option<String>,
}

impl Remote for PlainRemote {
    fn identity(&self) -> Option<String> {
        self.identity.clone()
    }
}

/// `path` as an address, where `remotes` knows it as one.
pub(crate) fn address<'a>(
    path: &'a Path,
    remotes: Option<&'a dyn Remotes>,
) -> Option<(&'a str, &'a dyn Remotes)> {
    path.to_str().zip(remotes).filter(|(text, remotes)| remotes.knows(text))
}
