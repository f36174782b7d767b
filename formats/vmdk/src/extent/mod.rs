//! The extents that a disk is put together from.

mod cowd;
mod flat;
mod grains;
mod hosted;
mod sesparse;

pub(crate) use cowd::{COWD, parse_cowd};
pub(crate) use flat::{FlatExtent, ZeroExtent};
pub(crate) use grains::GrainExtent;
pub(crate) use hosted::{HOSTED, REDUNDANT_USED, open_hosted_header, read_directory};
pub(crate) use sesparse::{SESPARSE, parse_sesparse};

use crate::cache::Cache;
use crate::error::VmdkError;
use crate::layout::MAX_DIRECTORY_ENTRIES;
use format_core::{ExtentKind, HostRange, Result, Storage, Warning};
use std::sync::Arc;

/// Bytes of grain tables that are kept: with the usual grains enough for 16 GiB of disk.
const CACHED_TABLES: usize = 2 << 20;
/// Bytes of inflated grains that are kept for reads smaller than a grain.
const CACHED_GRAINS: usize = 16 << 20;

/// Guest bytes from 0 to the extent's size. Offsets are inside; lengths may lead beyond its end.
pub(crate) trait ExtentFile: Send + Sync {
    /// The run of one kind from `offset`.
    fn kind_at(&self, offset: u64) -> Result<(ExtentKind, u64)>;

    /// Fills `buf`, which ends inside the extent; zeros where there is no data.
    fn read(&self, offset: u64, buf: &mut [u8]) -> Result<()>;

    /// Where the bytes from `offset` lie plain.
    fn host_range(&self, offset: u64) -> Option<HostRange>;

    /// Bytes of a grain, 1 where there are none.
    fn grain_bytes(&self) -> u64 {
        1
    }

    fn is_compressed(&self) -> bool {
        false
    }
}

/// What the extents of one disk share, so that a disk of thousands needs no more memory than a disk of one.
pub(crate) struct Shared {
    tables: Arc<Cache>,
    grains: Arc<Cache>,
    entries_left: u64,
    extents: u64,
    pub(crate) warnings: Vec<Warning>,
}

impl Shared {
    pub(crate) fn new() -> Self {
        Self {
            tables: Arc::new(Cache::new(CACHED_TABLES)),
            grains: Arc::new(Cache::new(CACHED_GRAINS)),
            entries_left: MAX_DIRECTORY_ENTRIES,
            extents: 0,
            warnings: Vec::new(),
        }
    }

    /// Takes `entries` directory entries from what a disk may have.
    pub(crate) fn take_entries(&mut self, entries: u64) -> Result<(), VmdkError> {
        let left = self.entries_left.checked_sub(entries);
        self.entries_left = left.ok_or(VmdkError::DirectorySize { entries })?;
        Ok(())
    }

    /// Of thousands of extents, one speaks for all.
    fn warn(&mut self, code: &'static str, message: impl Into<String>) {
        if self.warnings.iter().all(|warning| warning.code != code) {
            self.warnings.push(Warning::new(code, message));
        }
    }

    fn warn_unclean(&mut self) {
        let Warning { code, message } = unclean_warning();
        self.warn(code, message);
    }
}

/// What is said of a disk that its last writer did not close.
pub(crate) fn unclean_warning() -> Warning {
    let message =
        "the disk was not closed by the last program that wrote it: the newest writes may be missing";
    Warning::new("vmdk-unclean-shutdown", message)
}

/// The `len` bytes of the file at `at`, where a structure called `what` is said to lie.
pub(crate) fn load(storage: &dyn Storage, what: &'static str, at: u64, len: u64) -> Result<Vec<u8>> {
    let size = storage.size();
    if at.checked_add(len).is_none_or(|end| end > size) {
        return Err(VmdkError::Outside { what, start: at, len, size }.into());
    }
    let mut bytes = vec![0; len as usize];
    storage.read_exact_at(at, &mut bytes)?;
    Ok(bytes)
}
