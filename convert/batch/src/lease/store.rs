//! Where leases lie.

use super::LeaseBody;
use crate::state::files::{Durability, destination, read_json, sweep, write_json};
use format_core::{Error, ErrorKind, Result};
use rustix::fs::CWD;
use std::collections::{BTreeMap, HashSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// A place for leases, which are named by job and epoch. An object store can be one: creating is its put-if-absent.
pub trait LeaseStore: Send + Sync {
    /// Makes a lease that is not there yet; `false` when it is there.
    ///
    /// # Errors
    /// What the place reports; then nobody knows whether it was made.
    fn create_exclusive(&self, job: &str, epoch: u64, body: &LeaseBody) -> Result<bool>;

    /// The highest epoch of a job, and what its lease says; `None` in place of that when it cannot be read.
    ///
    /// # Errors
    /// What the place reports.
    fn read_highest(&self, job: &str) -> Result<Option<(u64, Option<LeaseBody>)>>;

    /// Replaces what a lease says.
    ///
    /// # Errors
    /// What the place reports.
    fn renew(&self, job: &str, epoch: u64, body: &LeaseBody) -> Result<()>;

    /// What a lease says; `None` when it is not there or cannot be read.
    ///
    /// # Errors
    /// What the place reports.
    fn read(&self, job: &str, epoch: u64) -> Result<Option<LeaseBody>>;

    /// Removes a lease, if it is there.
    ///
    /// # Errors
    /// What the place reports.
    fn remove(&self, job: &str, epoch: u64) -> Result<()>;

    /// Removes all leases of a job up to this epoch: of some, an owner that was killed may not have removed what it
    /// succeeded.
    ///
    /// # Errors
    /// What the place reports.
    fn remove_up_to(&self, job: &str, epoch: u64) -> Result<()>;
}

/// Leases as files of a folder, `JOB.EPOCH`, on any file system, NFS included.
#[derive(Clone, Debug)]
pub struct LocalLeases {
    folder: PathBuf,
}

impl LocalLeases {
    /// The name that the folder has below that of the outputs.
    pub const NAME: &'static str = ".rehome-lease";

    /// The leases in `folder`, which is made where there is none.
    ///
    /// # Errors
    /// `Destination`, `Io`.
    pub fn create(folder: &Path) -> Result<Self> {
        match std::fs::create_dir(folder) {
            Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => {
                Err(destination(format!("cannot create the folder {}", folder.display()), e)
                    .hint("create the folder above it first, or mount its volume"))
            }
            _ if folder.symlink_metadata().is_ok_and(|found| !found.is_dir()) => {
                let text =
                    format!("{} is a link, or no folder: leases are not kept elsewhere", folder.display());
                Err(Error::new(ErrorKind::Destination, text).hint("look who put it there, and move it away"))
            }
            _ => {
                sweep(folder);
                Ok(Self { folder: folder.to_owned() })
            }
        }
    }

    /// The file of a lease.
    #[must_use]
    pub fn path(&self, job: &str, epoch: u64) -> PathBuf {
        self.folder.join(format!("{job}.{epoch}"))
    }

    /// The jobs that have leases or notes here.
    ///
    /// # Errors
    /// `Destination`, `Io`.
    pub fn jobs(&self) -> Result<HashSet<String>> {
        let mut jobs = HashSet::new();
        self.each_name(|name| {
            if let Some((job, _)) = name.rsplit_once('.').filter(|(job, _)| !job.is_empty()) {
                jobs.insert(job.to_owned());
            }
        })?;
        Ok(jobs)
    }

    fn each_name(&self, mut act: impl FnMut(&str)) -> Result<()> {
        let failed = |e| destination(format!("cannot list {}", self.folder.display()), e);
        for entry in std::fs::read_dir(&self.folder).map_err(failed)? {
            entry.map_err(failed)?.file_name().to_str().map(&mut act);
        }
        Ok(())
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

impl LeaseStore for LocalLeases {
    fn create_exclusive(&self, job: &str, epoch: u64, body: &LeaseBody) -> Result<bool> {
        let path = self.path(job, epoch);
        // A link is made or not, and its count tells which when the reply of a network file system is lost.
        let own = self.folder.join(format!(".new.{}", body.token));
        write_json(&own, body, Durability::Fleeting)?;
        let linked = rustix::fs::linkat(CWD, &own, CWD, &path, rustix::fs::AtFlags::empty());
        let is_ours = linked.is_ok() || own.metadata().is_ok_and(|found| found.nlink() == 2);
        let removed = std::fs::remove_file(&own);
        if is_ours {
            return Ok(true);
        }
        removed.map_err(|e| destination(format!("cannot remove {}", own.display()), e))?;
        match linked {
            Err(rustix::io::Errno::EXIST) => Ok(false),
            // No hard links here: the file is empty for a moment, which nobody takes for a lease of a dead owner.
            Err(rustix::io::Errno::PERM | rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {
                create_new(&path, body)
            }
            Err(e) => Err(destination(format!("cannot create {}", path.display()), e.into())),
            Ok(()) => Ok(true),
        }
    }

    fn read_highest(&self, job: &str) -> Result<Option<(u64, Option<LeaseBody>)>> {
        let mut highest = None;
        self.each_name(|name| highest = highest.max(epoch_of(job, name)))?;
        let Some(epoch) = highest else { return Ok(None) };
        Ok(Some((epoch, self.read(job, epoch)?)))
    }

    fn renew(&self, job: &str, epoch: u64, body: &LeaseBody) -> Result<()> {
        write_json(&self.path(job, epoch), body, Durability::Fleeting)
    }

    fn read(&self, job: &str, epoch: u64) -> Result<Option<LeaseBody>> {
        Ok(read_json(&self.path(job, epoch)).unwrap_or_default())
    }

    fn remove(&self, job: &str, epoch: u64) -> Result<()> {
        let path = self.path(job, epoch);
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(destination(format!("cannot remove {}", path.display()), e))
            }
            _ => Ok(()),
        }
    }

    fn remove_up_to(&self, job: &str, epoch: u64) -> Result<()> {
        let mut found = Vec::new();
        self.each_name(|name| found.extend(epoch_of(job, name).filter(|&old| old <= epoch)))?;
        found.into_iter().try_for_each(|old| self.remove(job, old))
    }
}

/// The epoch of a file that is a lease of this job.
fn epoch_of(job: &str, name: &str) -> Option<u64> {
    name.strip_prefix(job)?.strip_prefix('.')?.parse().ok()
}

fn create_new(path: &Path, body: &LeaseBody) -> Result<bool> {
    match std::fs::File::create_new(path) {
        Ok(_) => write_json(path, body, Durability::Fleeting).map(|()| true),
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
        Err(e) => Err(destination(format!("cannot create {}", path.display()), e)),
    }
}

/// Leases in memory, made as object stores do it: a put that fails where the key is there.
#[derive(Debug, Default)]
pub struct MemoryLeases {
    objects: Mutex<BTreeMap<(String, u64), Vec<u8>>>,
}

impl MemoryLeases {
    fn with<T>(&self, act: impl FnOnce(&mut BTreeMap<(String, u64), Vec<u8>>) -> T) -> T {
        act(&mut self.objects.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn bytes(body: &LeaseBody) -> Result<Vec<u8>> {
    serde_json::to_vec(body).map_err(|e| Error::contract("a lease as JSON").with_source(e))
}

impl LeaseStore for MemoryLeases {
    fn create_exclusive(&self, job: &str, epoch: u64, body: &LeaseBody) -> Result<bool> {
        let bytes = bytes(body)?;
        Ok(self.with(|objects| match objects.entry((job.to_owned(), epoch)) {
            std::collections::btree_map::Entry::Occupied(_) => false,
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert(bytes);
                true
            }
        }))
    }

    fn read_highest(&self, job: &str) -> Result<Option<(u64, Option<LeaseBody>)>> {
        let range = (job.to_owned(), 0)..=(job.to_owned(), u64::MAX);
        Ok(self.with(|objects| {
            let ((_, epoch), bytes) = objects.range(range).next_back()?;
            Some((*epoch, serde_json::from_slice(bytes).ok()))
        }))
    }

    fn renew(&self, job: &str, epoch: u64, body: &LeaseBody) -> Result<()> {
        let bytes = bytes(body)?;
        self.with(|objects| objects.insert((job.to_owned(), epoch), bytes));
        Ok(())
    }

    fn read(&self, job: &str, epoch: u64) -> Result<Option<LeaseBody>> {
        Ok(self.with(|objects| serde_json::from_slice(objects.get(&(job.to_owned(), epoch))?).ok()))
    }

    fn remove(&self, job: &str, epoch: u64) -> Result<()> {
        self.with(|objects| objects.remove(&(job.to_owned(), epoch)));
        Ok(())
    }

    fn remove_up_to(&self, job: &str, epoch: u64) -> Result<()> {
        let range = (job.to_owned(), 0)..=(job.to_owned(), epoch);
        self.with(|objects| {
            let found: Vec<_> = objects.range(range).map(|(key, _)| key.clone()).collect();
            found.iter().for_each(|key| {
                objects.remove(key);
            });
        });
        Ok(())
    }
}
