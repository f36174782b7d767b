//! Sources that are no files of this host: exports of servers, objects, snapshots, disks of other machines.

use crate::{OpenOptions, Result, Storage, TimedOpen, Warning};
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

/// What was opened at one address already, and others as ever: finding out what lies somewhere and reading it are two openings, of which
/// the second would log in again.
pub struct Held {
    others: Arc<dyn Remotes>,
    address: String,
    source: RemoteSource,
}

impl Held {
    /// `options` with what lies at `path` opened; as they are where it is no address.
    ///
    /// # Errors
    /// As [`Remotes::open`].
    pub fn at(path: &Path, options: &OpenOptions) -> Result<OpenOptions> {
        let mut with = options.clone();
        if let (Some(others), Some((address, remotes))) =
            (&options.remotes, address(path, options.remotes.as_deref()))
        {
            let _opening = TimedOpen::begin(format!("open {address}"));
            let source = remotes.open(address)?;
            with.remotes =
                Some(Arc::new(Self { others: Arc::clone(others), address: address.into(), source }));
        }
        Ok(with)
    }
}

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Held")
            .field("others", &self.others)
            .field("remote", &self.source.remote)
            .finish_non_exhaustive()
    }
}

impl Remotes for Held {
    fn knows(&self, address: &str) -> bool {
        self.others.knows(address)
    }

    fn open(&self, address: &str) -> Result<RemoteSource> {
        if address == self.address { Ok(self.source.clone()) } else { self.others.open(address) }
    }
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

#[cfg(test)]
mod tests {
    use super::{Held, PlainRemote, RemoteSource, Remotes};
    use crate::{MemStorage, OpenOptions, Result};
    use std::path::Path;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[derive(Debug, Default)]
    struct Counting(AtomicU32);

    impl Remotes for Counting {
        fn knows(&self, address: &str) -> bool {
            address.starts_with("far://")
        }

        fn open(&self, address: &str) -> Result<RemoteSource> {
            self.0.fetch_add(1, Ordering::Relaxed);
            let (storage, remote) = (Arc::new(MemStorage(address.into())), Arc::new(PlainRemote::default()));
            Ok(RemoteSource { storage, name: None, remote, warnings: Vec::new() })
        }
    }

    #[test]
    fn what_is_held_is_opened_once_and_others_each_time() {
        let far = Arc::new(Counting::default());
        let options = OpenOptions {
            remotes: Some(Arc::clone(&far) as Arc<dyn Remotes>),
            ..OpenOptions::new(&[], None)
        };
        let held = Held::at(Path::new("far://a"), &options).unwrap().remotes.unwrap();
        assert!(held.knows("far://b") && !held.knows("file"));
        for (address, opened) in [("far://a", 1), ("far://a", 1), ("far://b", 2), ("far://b", 3)] {
            assert_eq!(held.open(address).unwrap().storage.size(), 7);
            assert_eq!(far.0.load(Ordering::Relaxed), opened, "{address}");
        }
        Held::at(Path::new("file"), &options).unwrap();
        assert_eq!(far.0.load(Ordering::Relaxed), 3, "a path is opened by nobody here");
    }
}
