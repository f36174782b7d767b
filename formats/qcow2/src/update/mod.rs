//! Changing the disk of an image in place.
//!
//! Only images whose every cluster has one owner (`open` refuses the others). A cluster that has a place is written there; any
//! other gets a new one at the end of the file. What the tables will say is collected and then written in an order in which a
//! crash leaves clusters that nobody uses, at worst; the next update gives those back:
//!
//! ```text
//!  data, new L2 tables, new refcount blocks, counts ─sync─▶ refcount table ─sync─▶ L1, L2 entries ─sync─▶ counts of what was freed
//! ```

mod refcounts;
mod tables;

use crate::check::{Leak, check_for_update};
use crate::error::Qcow2Error;
use crate::layout::*;
use crate::parse::Header;
use crate::table::Unit;
use format_core::{Error, Result, Storage, Update, UpdateStorage};
use refcounts::Refcounts;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tables::Tables;

/// Where `autoclear_features` is in the header of version 3.
const AUTOCLEAR_OFFSET: u64 = 88;
/// So many freed clusters are remembered at most.
const MAX_FREED: usize = 1 << 16;

struct Qcow2Update {
    storage: Arc<dyn UpdateStorage>,
    header: Header,
    state: Mutex<State>,
}

/// What changed and is not in the file yet.
struct State {
    begun: bool,
    tables: Tables,
    refcounts: Refcounts,
    /// Clusters that nobody used when the image was opened, with how often they are used in truth.
    leaks: Vec<Leak>,
    /// Clusters with one reference less once the tables are written.
    freed: Vec<u64>,
}

/// Opens an image that is simple enough.
pub(crate) fn open(storage: Arc<dyn UpdateStorage>) -> Result<Box<dyn Update>> {
    open_update(storage).map_err(|e| e.in_format(crate::FORMAT.name))
}

fn open_update(storage: Arc<dyn UpdateStorage>) -> Result<Box<dyn Update>> {
    let header = crate::open::load_header(storage.as_ref())?;
    if let Some(what) = obstacle(&header) {
        return Err(Error::unsupported(format!("the image {what}: it is not changed in place"))
            .hint("convert it anew, with --force and without --sync"));
    }
    let leaks = check_for_update(&(Arc::clone(&storage) as Arc<dyn Storage>))?;
    let state = State {
        begun: false,
        tables: Tables::load(storage.as_ref(), &header)?,
        refcounts: Refcounts::load(storage.as_ref(), &header)?,
        leaks,
        freed: Vec::new(),
    };
    Ok(Box::new(Qcow2Update { storage, header, state: Mutex::new(state) }))
}

/// What an image has that a writer of single clusters would harm.
fn obstacle(header: &Header) -> Option<&'static str> {
    let incompatible = header.v3.incompatible_features;
    let has_bitmaps =
        header.extensions.bitmaps.is_some() || header.v3.autoclear_features & AUTOCLEAR_BITMAPS != 0;
    [
        (header.backing_name.is_some(), "is a difference to a backing file"),
        (header.v2.crypt_method != 0, "is encrypted"),
        (header.v2.nb_snapshots != 0, "has internal snapshots"),
        (header.has_data_file(), "has an external data file"),
        (header.geometry.extended_l2, "has extended L2 entries"),
        (has_bitmaps, "has persistent bitmaps, which would become stale"),
        (incompatible & INCOMPAT_DIRTY != 0, "was not closed properly (dirty bit)"),
        (incompatible & INCOMPAT_CORRUPT != 0, "was marked as corrupt by QEMU"),
    ]
    .into_iter()
    .find_map(|(found, what)| found.then_some(what))
}

/// What is to be done for some guest bytes: host offsets, and which of the bytes.
#[derive(Default)]
struct Places(Vec<(u64, Range<usize>)>);

impl Places {
    fn add(&mut self, host: u64, bytes: Range<usize>) {
        match self.0.last_mut() {
            Some((start, before)) if *start + before.len() as u64 == host && before.end == bytes.start => {
                before.end = bytes.end;
            }
            _ => self.0.push((host, bytes)),
        }
    }
}

impl Qcow2Update {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The guest clusters of a range, with the part of the range that each has.
    fn clusters(&self, offset: u64, len: u64) -> Result<impl Iterator<Item = (u64, Range<usize>)> + use<>> {
        let (size, cluster) = (self.virtual_size(), self.header.geometry.cluster_size());
        let end = offset.checked_add(len).filter(|&end| end <= size);
        let whole = |end: u64| offset.is_multiple_of(cluster) && (end.is_multiple_of(cluster) || end == size);
        let end = end.filter(|&end| whole(end)).ok_or_else(|| {
            Error::contract(format!(
                "{len:#x} bytes at {offset:#x} are no clusters of a disk of {size:#x} bytes"
            ))
        })?;
        let part = move |at: u64| (at, (at - offset) as usize..((at + cluster).min(end) - offset) as usize);
        Ok((offset..end).step_by(cluster as usize).map(part))
    }

    /// Before the first change: other programs must not believe what they once noted about the content.
    fn begin(&self, state: &mut State) -> Result<()> {
        if !state.begun && self.header.v3.autoclear_features != 0 {
            self.storage.write_all_at(AUTOCLEAR_OFFSET, &[0; 8])?;
            self.storage.sync()?;
        }
        state.begun = true;
        Ok(())
    }

    /// Gives the guest cluster a place for plain bytes, and tells it.
    fn place(&self, state: &mut State, at: u64) -> Result<u64> {
        let storage = self.storage.as_ref();
        let entry = state.tables.entry(storage, &mut state.refcounts, at)?;
        if entry & L2_COMPRESSED == 0 && entry & OFFSET_MASK != 0 {
            let host = entry & OFFSET_MASK;
            state.tables.set(storage, at, host | COPIED)?;
            return Ok(host);
        }
        self.free_compressed(state, entry)?;
        let host = state.refcounts.allocate(1)?;
        state.tables.set(storage, at, host | COPIED)?;
        Ok(host)
    }

    fn free_compressed(&self, state: &mut State, entry: u64) -> Result<()> {
        let geometry = &self.header.geometry;
        if entry & L2_COMPRESSED == 0 {
            return Ok(());
        }
        let words = [entry];
        let unit = geometry.unit(&words, 0);
        let unit = unit.map_err(|fault| Qcow2Error::L2Entry { index: 0, table: 0, entry, fault })?;
        if let Unit::Compressed(place) = unit {
            let bits = geometry.cluster_bits;
            state.freed.extend(place.offset >> bits..(place.offset + place.len).div_ceil(1 << bits));
        }
        Ok(())
    }

    fn flush_when_full(&self, state: &mut State) -> Result<()> {
        if state.tables.is_full() || state.freed.len() > MAX_FREED { self.flush(state) } else { Ok(()) }
    }

    /// Writes what was collected.
    fn flush(&self, state: &mut State) -> Result<()> {
        let storage = self.storage.as_ref();
        let State { tables, refcounts, leaks, freed, .. } = state;
        for Leak { cluster, used } in leaks.drain(..) {
            refcounts.set(storage, cluster, used)?;
        }
        tables.write_new(storage)?;
        let table = refcounts.write_new(storage)?;
        storage.sync()?;
        if refcounts.write_table(storage, table, freed)? {
            storage.sync()?;
        }
        if tables.write_entries(storage)? {
            storage.sync()?;
        }
        for cluster in freed.drain(..) {
            let count = refcounts.get(storage, cluster)?;
            let count = count.checked_sub(1).ok_or_else(|| {
                Error::corrupt(format!("cluster {cluster:#x} is freed and has no reference"))
            })?;
            refcounts.set(storage, cluster, count)?;
        }
        Ok(())
    }
}

impl Update for Qcow2Update {
    fn virtual_size(&self) -> u64 {
        self.header.geometry.virtual_size
    }

    fn chunk_size(&self) -> u64 {
        self.header.geometry.cluster_size()
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let clusters = self.clusters(offset, bytes.len() as u64)?;
        let mut state = self.state();
        self.begin(&mut state)?;
        let mut places = Places::default();
        for (at, part) in clusters {
            places.add(self.place(&mut state, at)?, part);
        }
        for (host, part) in places.0 {
            self.storage.write_all_at(host, bytes.get(part).unwrap_or_default())?;
        }
        self.flush_when_full(&mut state)
    }

    fn zero_at(&self, offset: u64, len: u64) -> Result<()> {
        let clusters = self.clusters(offset, len)?;
        let (mut state, storage) = (self.state(), self.storage.as_ref());
        self.begin(&mut state)?;
        let mut places = Places::default();
        for (at, part) in clusters {
            let Some(entry) = state.tables.known_entry(storage, at)? else { continue };
            if entry & L2_COMPRESSED != 0 {
                self.free_compressed(&mut state, entry)?;
                state.tables.set(storage, at, 0)?;
            } else if entry & L2_ZERO == 0 && entry & OFFSET_MASK != 0 {
                places.add(entry & OFFSET_MASK, part);
            }
        }
        for (host, part) in places.0 {
            storage.zero_range(host, part.len() as u64)?;
        }
        self.flush_when_full(&mut state)
    }

    fn finish(self: Box<Self>) -> Result<()> {
        let mut state = self.state();
        self.flush(&mut state)?;
        self.storage.sync()
    }
}
