//! The grain directory and the grain tables: from a guest offset to a place in the file.

use crate::cache::Cache;
use crate::error::VmdkError;
use crate::layout::{GRAIN_MARKER_LEN, SECTOR};
use crate::parse::{Directory, Header, Reserved, parse_directory};
use format_core::{Result, Storage, Warning};
use std::sync::Arc;

/// Bytes of grain tables that are kept: enough for 16 GiB of disk with the usual grains.
const CACHED_TABLES: u64 = 1 << 20;
/// How many absent tables one look-up counts, so that a look-up stays cheap in a huge empty disk.
const ABSENT_AT_ONCE: usize = 1024;

/// What a grain table says of a grain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// Not in this file.
    Absent,
    /// Zeros, whatever the parent holds.
    Zero,
    /// Stored at this host offset.
    At(u64),
}

/// Neighbouring grains that belong together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    /// What the first grain is.
    pub(crate) entry: Entry,
    /// How many grains.
    pub(crate) grains: u64,
}

/// The tables of one extent.
pub(crate) struct Tables {
    storage: Arc<dyn Storage>,
    directory: Vec<u32>,
    cache: Cache<Vec<u32>>,
    reserved: Reserved,
    header: Header,
    virtual_size: u64,
}

impl Tables {
    /// Reads the grain directory, or the redundant one when the first is broken.
    pub(crate) fn load(
        storage: Arc<dyn Storage>,
        header: Header,
        virtual_size: u64,
        warnings: &mut Vec<Warning>,
    ) -> Result<Self> {
        let first = match header.directory {
            Directory::At(at) => load_directory(storage.as_ref(), &header, at),
            Directory::Nowhere | Directory::InFooter => Err(VmdkError::NoDirectory.into()),
        };
        let (directory, reserved) = match (first, header.redundant_directory) {
            (Err(first), Some(at)) if first.kind() == format_core::ErrorKind::Corrupt => {
                // The redundant directory may be broken as well; the first one's error says more.
                let Ok(loaded) = load_directory(storage.as_ref(), &header, at) else { return Err(first) };
                let message = format!("the grain directory is broken, the redundant one is used: {first}");
                warnings.push(Warning::new("vmdk-redundant-directory", message));
                loaded
            }
            (first, _) => first?,
        };
        let cache = Cache::new(usize::try_from(CACHED_TABLES / header.table_bytes()).unwrap_or(1));
        Ok(Self { storage, directory, cache, reserved, header, virtual_size })
    }

    /// Bytes of a grain.
    pub(crate) fn grain_bytes(&self) -> u64 {
        self.header.grain_bytes()
    }

    /// Bytes of `grain` that belong to the disk: less than a whole grain at the disk's end.
    pub(crate) fn used_bytes(&self, grain: u64) -> u64 {
        self.virtual_size.saturating_sub(grain.saturating_mul(self.grain_bytes())).min(self.grain_bytes())
    }

    /// The run from `grain` to the end of its table of grains that `joins` says belong to the first.
    ///
    /// `joins` gets the first entry, the distance in grains, and the entry there.
    pub(crate) fn run(&self, grain: u64, joins: impl Fn(Entry, u64, Entry) -> bool) -> Result<Run> {
        let per_table = u64::from(self.header.table_entries);
        let (index, within) = ((grain / per_table) as usize, (grain % per_table) as usize);
        let tables = self.directory.get(index..).unwrap_or_default();
        let absent = tables.iter().take(ABSENT_AT_ONCE).take_while(|&&table| table == 0).count();
        if absent > 0 {
            return Ok(Run { entry: Entry::Absent, grains: absent as u64 * per_table - within as u64 });
        }
        let table = match tables.first() {
            Some(&sector) => self.cache.get(sector.into(), || self.load_table(sector))?,
            None => return Err(VmdkError::NoDirectory.into()),
        };
        let mut entries = (grain..).zip(table.get(within..).unwrap_or_default());
        let Some((_, &first)) = entries.next() else { return Err(VmdkError::NoDirectory.into()) };
        let first = self.entry(grain, first)?;
        let belongs = |&(number, raw): &(u64, &u32)| {
            // A broken entry ends the run; it is reported when it is asked for itself.
            self.used_bytes(number) > 0
                && self.entry(number, *raw).is_ok_and(|entry| joins(first, number - grain, entry))
        };
        Ok(Run { entry: first, grains: 1 + entries.take_while(belongs).count() as u64 })
    }

    fn entry(&self, grain: u64, raw: u32) -> Result<Entry, VmdkError> {
        match raw {
            0 => return Ok(Entry::Absent),
            1 if self.header.has_zeroed_grains() => return Ok(Entry::Zero),
            _ => {}
        }
        let (at, size) = (u64::from(raw) * SECTOR, self.storage.size());
        let len = match self.header.is_compressed() {
            true => GRAIN_MARKER_LEN,
            false => self.used_bytes(grain),
        };
        if at.saturating_add(len) > size {
            return Err(VmdkError::GrainOutside { grain, at, len, size });
        }
        if self.reserved.overlap(at, len) {
            return Err(VmdkError::GrainOverlaps { grain, at });
        }
        Ok(Entry::At(at))
    }

    fn load_table(&self, sector: u32) -> Result<Vec<u32>> {
        let mut bytes = vec![0; self.header.table_bytes() as usize];
        self.storage.read_exact_at(u64::from(sector) * SECTOR, &mut bytes)?;
        let (entries, _) = bytes.as_chunks::<4>();
        Ok(entries.iter().map(|entry| u32::from_le_bytes(*entry)).collect())
    }
}

fn load_directory(storage: &dyn Storage, header: &Header, at: u64) -> Result<(Vec<u32>, Reserved)> {
    let (entries, size) = (header.directory_entries()?, storage.size());
    let len = entries * 4;
    let end = at.saturating_add(len);
    if end > size {
        return Err(VmdkError::Outside { what: "grain directory", start: at, len, size }.into());
    }
    let reserved = Reserved([0..SECTOR, header.descriptor.clone(), at..end]);
    let mut bytes = vec![0; len as usize];
    storage.read_exact_at(at, &mut bytes)?;
    let directory = parse_directory(&bytes, header.table_bytes(), &reserved, size)?;
    Ok((directory, reserved))
}
