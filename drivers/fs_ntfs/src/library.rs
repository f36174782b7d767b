//! The library that writes: opened on the same cache, with a bound on its reads, and its errors with their reason.

use crate::error::NtfsError;
use driver_core::CachedVolume;
use format_core::{Error, Result};
use ntfs3g_sys::{BlockIo, Filesystem, IoFailed, State};
use std::sync::Arc;

/// Reads and writes of one call at most, on top of those for content.
const MAX_CALLS: u64 = 1 << 18;

/// The library's view of a volume.
struct LibraryIo(Arc<CachedVolume>);

impl BlockIo for LibraryIo {
    fn size(&self) -> u64 {
        self.0.size()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), IoFailed> {
        let done = self.0.spend().and_then(|()| self.0.read(offset, buf));
        self.0.keep_failure(done).then_some(()).ok_or(IoFailed)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), IoFailed> {
        let done = self.0.spend().and_then(|()| self.0.write(offset, bytes));
        self.0.keep_failure(done).then_some(()).ok_or(IoFailed)
    }
}

/// libntfs-3g on a volume.
pub(crate) struct Library {
    fs: Filesystem,
    io: Arc<CachedVolume>,
}

impl Library {
    /// Opens the library on a volume whose own files were looked at, whatever state it is in.
    ///
    /// # Errors
    /// `Corrupt` when it finds the volume damaged.
    pub(crate) fn open(io: &Arc<CachedVolume>) -> Result<Self> {
        io.grant(MAX_CALLS);
        let fs = Filesystem::open(Box::new(LibraryIo(Arc::clone(io)))).map_err(|error| convert(io, error))?;
        Ok(Self { fs, io: Arc::clone(io) })
    }

    /// Asks the library for its own opinion of the volume.
    ///
    /// # Errors
    /// `NeedsPerson` when it finds it in no state to be edited.
    pub(crate) fn check_state(&self) -> Result<()> {
        self.io.grant(MAX_CALLS);
        match self.fs.state().map_err(|error| convert(&self.io, error))? {
            State::Clean => Ok(()),
            State::Hibernated => Err(NtfsError::Hibernated { what: "libntfs-3g says so", also: None }.into()),
            State::Unclean => Err(NtfsError::Unclean("libntfs-3g says so of its log".into()).into()),
            State::ReadOnly => Err(NtfsError::Trial("libntfs-3g opened it for reading only".into()).into()),
        }
    }

    /// Calls the library; `bytes` of content may be read or written by that. What it changes is on the volume afterwards.
    pub(crate) fn call<T>(
        &mut self,
        bytes: u64,
        call: impl FnOnce(&mut Filesystem) -> ntfs3g_sys::Result<T>,
    ) -> Result<T> {
        self.io.grant(MAX_CALLS + bytes / 256);
        let done = call(&mut self.fs).and_then(|done| self.fs.sync().map(|()| done));
        done.map_err(|error| convert(&self.io, error))
    }

    /// Free clusters. The whole bitmap is read for it, once.
    pub(crate) fn free_clusters(&mut self, clusters: u64) -> Result<u64> {
        self.call(clusters, Filesystem::free_clusters)
    }
}

/// The library's error as ours, with the reason where a read or write failed.
fn convert(io: &CachedVolume, error: ntfs3g_sys::Error) -> Error {
    match (error, io.take_failure()) {
        (_, Some(reason)) => reason,
        (ntfs3g_sys::Error::NoSpace, None) => {
            Error::needs_person("no space left in the guest's file system").in_format("ntfs")
        }
        (error, None) => Error::corrupt(error.to_string()).in_format("ntfs"),
    }
}
