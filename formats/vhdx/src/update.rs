//! Changing the disk of an image in place.
//!
//! A block that is in the file is written there; any other gets a new place behind everything that is used, and its BAT entry
//! once its bytes are durable. The log is not used: whoever changes an image like this keeps it from being opened until it
//! is finished, and a crash leaves room that nothing uses, at worst, which the next update takes again.

use crate::check::check;
use crate::layout::{
    BAT_ENTRY_LEN, BAT_OFFSET_SHIFT, HEADER_OFFSETS, HEADER_SECTION, PAYLOAD_BLOCK_FULLY_PRESENT,
};
use crate::load::{Loaded, load};
use crate::table::{Bat, Block, PAGE, entry_at};
use crate::write::next_headers;
use format_core::units::{KIB, MIB, align_up};
use format_core::{
    DenyAll, Error, ErrorKind, LayerContext, Result, Severity, Storage, Update, UpdateStorage,
    check_guest_range,
};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Eight of the smallest sectors; blocks have any number of these.
const CHUNK: u64 = 4 * KIB;

struct VhdxUpdate {
    storage: Arc<dyn UpdateStorage>,
    loaded: Loaded,
    state: Mutex<State>,
}

struct State {
    begun: bool,
    /// Where the next new block goes.
    next: u64,
    /// Pages of the BAT with entries that are not in the file, by their offsets.
    pages: BTreeMap<u64, Vec<u8>>,
}

/// Opens an image that has no parent and was closed properly.
pub(crate) fn open(storage: Arc<dyn UpdateStorage>) -> Result<Box<dyn Update>> {
    open_update(storage).map_err(|e| e.in_format(crate::FORMAT.name))
}

fn open_update(storage: Arc<dyn UpdateStorage>) -> Result<Box<dyn Update>> {
    let loaded = load(Arc::clone(&storage) as Arc<dyn Storage>, false)?;
    let anew = "convert it anew, with --force and without --sync";
    let obstacle = if loaded.facts.parameters.has_parent {
        Some("is a difference to a parent")
    } else if !loaded.headers.log_guid.is_nil() {
        Some("was not closed properly: it has a log")
    } else {
        None
    };
    if let Some(what) = obstacle {
        return Err(Error::unsupported(format!("the image {what}, so it is not changed in place")).hint(anew));
    }
    let context = LayerContext::new(Arc::new(DenyAll));
    let report = check(Arc::clone(&storage) as Arc<dyn Storage>, &context)?;
    if let Some(first) = report.findings.iter().find(|finding| finding.severity == Severity::Error) {
        let text = format!("the image has errors in its structure, the first: {}", first.message);
        return Err(Error::new(ErrorKind::Corrupt, text).hint(anew));
    }
    let next = end_of_blocks(storage.as_ref(), &loaded)?;
    let state = Mutex::new(State { begun: false, next, pages: BTreeMap::new() });
    Ok(Box::new(VhdxUpdate { storage, loaded, state }))
}

/// The first whole MiB behind everything that is used.
fn end_of_blocks(storage: &dyn UpdateStorage, loaded: &Loaded) -> Result<u64> {
    let Loaded { bat, unknown_regions, headers, .. } = loaded;
    let log = (headers.current.log_offset, u64::from(headers.current.log_length));
    let areas = bat.used.iter().chain(unknown_regions).map(|region| (region.offset, region.length));
    let areas = areas.chain([log, (0, HEADER_SECTION)]);
    let mut end = areas.map(|(offset, len)| offset.saturating_add(len)).max().unwrap_or(HEADER_SECTION);
    let ratio = bat.parameters.chunk_ratio();
    let mut page = vec![0; PAGE as usize];
    for index in 0..bat.parameters.bat_len() / BAT_ENTRY_LEN {
        let (page_at, place) = bat.page_of(index);
        if place == 0 {
            storage.read_exact_at(page_at, &mut page)?;
        }
        let block = index - index / (ratio + 1);
        if index % (ratio + 1) == ratio || block >= bat.parameters.blocks() {
            continue;
        }
        if let Block::Full(host) = bat.payload(block, entry_at(&page, place).unwrap_or(0))? {
            end = end.max(host.saturating_add(bat.parameters.block_size));
        }
    }
    align_up(end, MIB).ok_or_else(|| Error::corrupt("the image ends behind all offsets"))
}

impl VhdxUpdate {
    fn bat(&self) -> &Bat {
        &self.loaded.bat
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Before the first change: new GUIDs tell children and other programs that this is another content (MS-VHDX 2.2.2).
    /// Each header is durable before the other one is replaced.
    fn begin(&self, state: &mut State) -> Result<()> {
        if state.begun {
            return Ok(());
        }
        let [first, second] = next_headers(&self.loaded.headers.current)?;
        let current = self.loaded.headers.place;
        for (place, bytes) in [(1 - current, first), (current, second)] {
            let at = HEADER_OFFSETS.get(place).copied().ok_or_else(|| Error::contract("a third header"))?;
            self.storage.write_all_at(at, &bytes)?;
            self.storage.sync()?;
        }
        // What an interrupted update left behind the blocks would show in the new ones.
        if self.storage.size() > state.next {
            self.storage.set_len(state.next)?;
        }
        state.begun = true;
        Ok(())
    }

    /// The BAT entry of a block as it is now.
    fn entry(&self, state: &State, block: u64) -> Result<Block> {
        let (page_at, place) = self.bat().page_of(self.bat().index(block));
        let entry = match state.pages.get(&page_at) {
            Some(page) => entry_at(page, place),
            None => {
                let mut bytes = [0; BAT_ENTRY_LEN as usize];
                self.storage.read_exact_at(page_at + place as u64, &mut bytes)?;
                entry_at(&bytes, 0)
            }
        };
        let entry = entry.ok_or_else(|| Error::contract("a BAT page without its entry"))?;
        let bat = Bat { file_size: self.storage.size(), ..self.bat().clone() };
        Ok(bat.payload(block, entry)?)
    }

    /// Gives the block a place in the file, all zeros.
    fn allocate(&self, state: &mut State, block: u64) -> Result<u64> {
        let bat = self.bat();
        let host = state.next;
        let end = host.saturating_add(bat.parameters.block_size);
        self.storage.set_len(end)?;
        state.next = end;
        let (page_at, place) = bat.page_of(bat.index(block));
        let page = match state.pages.entry(page_at) {
            std::collections::btree_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::btree_map::Entry::Vacant(vacant) => {
                let mut page = vec![0; PAGE as usize];
                self.storage.read_exact_at(page_at, &mut page)?;
                vacant.insert(page)
            }
        };
        let entry = host >> BAT_OFFSET_SHIFT << BAT_OFFSET_SHIFT | PAYLOAD_BLOCK_FULLY_PRESENT;
        page.get_mut(place..place + BAT_ENTRY_LEN as usize)
            .ok_or_else(|| Error::contract("a BAT page without its entry"))?
            .copy_from_slice(&entry.to_le_bytes());
        Ok(host)
    }

    /// The parts of a range by blocks: block, offset in it, length.
    fn parts(&self, offset: u64, len: u64) -> Result<Vec<(u64, u64, u64)>> {
        check_guest_range(self.virtual_size(), offset, len)?;
        let block_size = self.bat().parameters.block_size;
        let (mut at, end, mut parts) = (offset, offset + len, Vec::new());
        while at < end {
            let part = (block_size - at % block_size).min(end - at);
            parts.push((at / block_size, at % block_size, part));
            at += part;
        }
        Ok(parts)
    }
}

impl Update for VhdxUpdate {
    fn virtual_size(&self) -> u64 {
        self.bat().parameters.virtual_size
    }

    fn chunk_size(&self) -> u64 {
        CHUNK
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let parts = self.parts(offset, bytes.len() as u64)?;
        let (mut state, mut rest) = (self.state(), bytes);
        self.begin(&mut state)?;
        for (block, inside, len) in parts {
            let host = match self.entry(&state, block)? {
                Block::Full(host) => host,
                Block::NotPresent | Block::Zero => self.allocate(&mut state, block)?,
                Block::Partial(_) => return Err(Error::contract("a partial block without a parent")),
            };
            let (now, later) = rest.split_at_checked(len as usize).unwrap_or((rest, &[]));
            self.storage.write_all_at(host + inside, now)?;
            rest = later;
        }
        Ok(())
    }

    fn zero_at(&self, offset: u64, len: u64) -> Result<()> {
        let parts = self.parts(offset, len)?;
        let mut state = self.state();
        self.begin(&mut state)?;
        for (block, inside, len) in parts {
            if let Block::Full(host) = self.entry(&state, block)? {
                self.storage.zero_range(host + inside, len)?;
            }
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<()> {
        let state = self.state();
        // An interrupted run may have left room behind the blocks that nothing uses.
        if self.storage.size() > state.next {
            self.storage.set_len(state.next)?;
        }
        self.storage.sync()?;
        for (&at, page) in &state.pages {
            self.storage.write_all_at(at, page)?;
        }
        self.storage.sync()
    }
}
