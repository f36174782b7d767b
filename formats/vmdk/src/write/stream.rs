//! Writing a streamOptimized image, as VMware's own tools lay it out.
//!
//! ```text
//!  header · descriptor · (grains of a table, that table)… · directory · footer · end of stream
//! ```
//!
//! Grains come in ascending order and are compressed by the workers. Memory is the directory and one table. In a file,
//! header and descriptor are written last: before that it is no VMDK. Through a pipe they come first, and nothing is
//! ever gone back to; a stream that was cut off has no footer, by which every reader notices.

use super::descriptor::{self, ContentId, ExtentLine};
use super::options::{Plan, quotable};
use super::{
    DESCRIPTOR_SECTORS, GRAIN, GRAIN_SECTORS, TABLE_ENTRIES, contract, embedded, encode, entry_of, pad,
};
use crate::layout::{
    COMPRESSION_DEFLATE, FLAG_COMPRESSED, FLAG_MARKERS, FLAG_NEWLINES, GD_AT_END, GRAIN_MARKER_LEN,
    GrainMarker, MARKER_FOOTER, MARKER_GRAIN_DIRECTORY, MARKER_GRAIN_TABLE, MetadataMarker, NEWLINES, SECTOR,
    SparseExtentHeader,
};
use crc32fast::Hasher;
use format_core::{Error, Needs, Order, Packed, Result, Sink, StateReader, StateWriter, TargetStorage};
use libdeflater::{CompressionLvl, Compressor};
use std::cell::RefCell;
use std::sync::{Mutex, PoisonError};

/// Where the first grain lies; VMware's tools start a grain in.
const OVERHEAD_SECTORS: u64 = 128;

thread_local! {
    /// One compressor per worker, with its level: making one costs as much as compressing a small grain.
    static COMPRESSOR: RefCell<Option<(u8, Compressor)>> = const { RefCell::new(None) };
}

struct StreamSink {
    target: Box<dyn TargetStorage>,
    plan: Plan,
    state: Mutex<State>,
}

struct State {
    /// The next free sector of the file.
    next_sector: u64,
    /// The first guest byte that may still be written.
    next_offset: u64,
    directory: Vec<u32>,
    /// The table that grains are entered into, and its number.
    table: Vec<u32>,
    table_index: usize,
    /// Over all that was stored: disks of different content get different content IDs.
    checksum: Hasher,
}

pub(crate) fn create(target: Box<dyn TargetStorage>, plan: Plan) -> Result<Box<dyn Sink>> {
    let entries = plan.capacity_sectors.div_ceil(GRAIN_SECTORS * TABLE_ENTRIES);
    let state = State {
        next_sector: OVERHEAD_SECTORS,
        next_offset: 0,
        directory: vec![0; entries as usize],
        table: vec![0; TABLE_ENTRIES as usize],
        table_index: 0,
        checksum: Hasher::new(),
    };
    let sink = StreamSink { target, plan, state: Mutex::new(state) };
    if sink.target.is_sequential() {
        sink.write_head(&ContentId::new(&sink.plan))?;
    }
    Ok(Box::new(sink))
}

/// Goes on behind the last grain. The state is all that is in memory.
pub(crate) fn resume(target: Box<dyn TargetStorage>, plan: Plan, state: &[u8]) -> Result<Box<dyn Sink>> {
    let mut reader = StateReader::new(state);
    let entries = plan.capacity_sectors.div_ceil(GRAIN_SECTORS * TABLE_ENTRIES) as usize;
    let state = State {
        // Entries have 32 bits.
        next_sector: reader.number_to(1 << 32)?,
        next_offset: reader.number_to(plan.virtual_size.next_multiple_of(GRAIN))?,
        table_index: reader.number_to(entries as u64)? as usize,
        checksum: Hasher::new_with_initial(reader.number_to(u32::MAX.into())? as u32),
        directory: reader.list_of(entries)?,
        table: reader.list_of(TABLE_ENTRIES as usize)?,
    };
    reader.end()?;
    let sectors = state.directory.iter().chain(&state.table);
    if state.next_sector < OVERHEAD_SECTORS || sectors.copied().any(|at| u64::from(at) >= state.next_sector) {
        return Err(
            Error::corrupt("the tables of the interrupted run leave the file").in_format(crate::FORMAT.name)
        );
    }
    target.resume_at(state.next_sector * SECTOR)?;
    // It may have been interrupted after header and descriptor were written.
    target.write_all_at(0, &[0; SECTOR as usize])?;
    Ok(Box::new(StreamSink { target, plan, state: Mutex::new(state) }))
}

impl Sink for StreamSink {
    fn needs(&self) -> Needs {
        Needs { order: Order::Ascending, chunk_size: GRAIN, packed: true }
    }

    fn pack<'a>(&self, data: &'a [u8]) -> Result<Packed<'a>> {
        Ok(Packed::Encoded {
            bytes: pack_grain(self.plan.compression_level, data)?,
            guest_len: data.len() as u64,
        })
    }

    fn write_at(&self, offset: u64, data: Packed<'_>) -> Result<()> {
        let (bytes, len) = match data {
            Packed::Encoded { bytes, guest_len } => (bytes, guest_len),
            Packed::Plain(data) => (pack_grain(self.plan.compression_level, data)?, data.len() as u64),
        };
        let expected = self.plan.virtual_size.saturating_sub(offset).min(GRAIN);
        if !offset.is_multiple_of(GRAIN) || len != expected || len == 0 {
            return Err(contract(format!("{len:#x} bytes at {offset:#x} are not a grain")));
        }
        self.add_grain(offset, bytes)
    }

    fn zero_at(&self, _offset: u64, _len: u64) -> Result<()> {
        // What has no entry reads as zeros.
        Ok(())
    }

    fn flush(&self) -> Result<()> {
        self.target.sync()
    }

    fn checkpoint(&self) -> Result<Option<Vec<u8>>> {
        if self.target.is_sequential() {
            return Ok(None);
        }
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.target.set_len(state.next_sector * SECTOR)?;
        let numbers = StateWriter::default().number(state.next_sector).number(state.next_offset);
        let numbers = numbers.number(state.table_index as u64);
        let numbers = numbers.number(state.checksum.clone().finalize().into());
        Ok(Some(numbers.list(&state.directory).list(&state.table).bytes()))
    }

    fn finish(self: Box<Self>) -> Result<()> {
        {
            let state = &mut *self.state.lock().unwrap_or_else(PoisonError::into_inner);
            self.write_table(state)?;
            let directory: Vec<u8> = state.directory.iter().flat_map(|entry| entry.to_le_bytes()).collect();
            let directory_at = self.append_marked(state, MARKER_GRAIN_DIRECTORY, directory)?;
            self.append_marked(state, MARKER_FOOTER, self.header(directory_at)?)?;
            self.append(state, &[0; SECTOR as usize])?;
            if !self.target.is_sequential() {
                self.write_head(&ContentId { cid: content_id(&state.checksum), long: None })?;
            }
        }
        self.target.commit()
    }
}

impl StreamSink {
    fn add_grain(&self, offset: u64, mut bytes: Vec<u8>) -> Result<()> {
        let state = &mut *self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if offset < state.next_offset {
            let next = state.next_offset;
            return Err(contract(format!("grain at {offset:#x} after all up to {next:#x} were written")));
        }
        state.next_offset = offset.saturating_add(GRAIN);
        let grain = offset / GRAIN;
        let (table, entry) = ((grain / TABLE_ENTRIES) as usize, (grain % TABLE_ENTRIES) as usize);
        if table != state.table_index {
            self.write_table(state)?;
            state.table_index = table;
        }
        match bytes.first_chunk_mut::<8>() {
            Some(lba) => *lba = (grain * GRAIN_SECTORS).to_le_bytes(),
            None => return Err(contract(format!("a packed grain of {:#x} bytes", bytes.len()))),
        }
        state.checksum.update(&bytes);
        let sector = self.append(state, &bytes)?;
        match state.table.get_mut(entry) {
            Some(entry) => *entry = sector,
            None => return Err(contract(format!("no entry {entry} in a grain table"))),
        }
        Ok(())
    }

    /// Appends the current table if it has an entry, and starts the next one.
    fn write_table(&self, state: &mut State) -> Result<()> {
        if state.table.iter().all(|&entry| entry == 0) {
            return Ok(());
        }
        let table: Vec<u8> = state.table.iter().flat_map(|entry| entry.to_le_bytes()).collect();
        let at = self.append_marked(state, MARKER_GRAIN_TABLE, table)?;
        let index = state.table_index;
        match state.directory.get_mut(index) {
            Some(entry) => *entry = entry_of(at)?,
            None => return Err(contract(format!("no entry {index} in the grain directory"))),
        }
        state.table.fill(0);
        Ok(())
    }

    /// Appends a marker and what it announces, and says in which sector the latter starts.
    fn append_marked(&self, state: &mut State, marker_type: u32, mut bytes: Vec<u8>) -> Result<u64> {
        pad(&mut bytes);
        let num_sectors = bytes.len() as u64 / SECTOR;
        let mut whole = encode(&MetadataMarker { num_sectors, size: 0, marker_type })?;
        pad(&mut whole);
        whole.append(&mut bytes);
        Ok(u64::from(self.append(state, &whole)?) + 1)
    }

    /// Appends whole sectors and says where they start.
    fn append(&self, state: &mut State, bytes: &[u8]) -> Result<u32> {
        let sector = entry_of(state.next_sector)?;
        self.target.write_all_at(state.next_sector * SECTOR, bytes)?;
        state.next_sector += bytes.len() as u64 / SECTOR;
        Ok(sector)
    }

    fn header(&self, gd_offset: u64) -> Result<Vec<u8>> {
        let mut bytes = encode(&SparseExtentHeader {
            version: 3,
            flags: FLAG_NEWLINES | FLAG_COMPRESSED | FLAG_MARKERS,
            capacity: self.plan.capacity_sectors,
            grain_size: GRAIN_SECTORS,
            descriptor_offset: 1,
            descriptor_size: DESCRIPTOR_SECTORS,
            num_gtes_per_gt: TABLE_ENTRIES as u32,
            rgd_offset: 0,
            gd_offset,
            over_head: OVERHEAD_SECTORS,
            unclean_shutdown: 0,
            newlines: NEWLINES,
            compress_algorithm: COMPRESSION_DEFLATE,
        })?;
        pad(&mut bytes);
        Ok(bytes)
    }

    /// Writes header and descriptor.
    fn write_head(&self, id: &ContentId) -> Result<()> {
        let mut head = self.header(GD_AT_END)?;
        let file = self.target.name().and_then(|name| quotable(name).ok()).unwrap_or("disk.vmdk");
        let line = ExtentLine { sectors: self.plan.capacity_sectors, file };
        head.append(&mut embedded(descriptor::text(&self.plan, id, std::iter::once(line)))?);
        self.target.write_all_at(0, &head)
    }
}

/// A content ID that is neither "no parent" nor VMware's "not yet written", nor zero.
fn content_id(checksum: &Hasher) -> u32 {
    (checksum.clone().finalize() & 0x7fff_ffff).max(1)
}

/// Marker and zlib stream in whole sectors; the marker's LBA is entered when the place is known.
fn pack_grain(level: u8, data: &[u8]) -> Result<Vec<u8>> {
    let start = GRAIN_MARKER_LEN as usize;
    let mut short = Vec::new();
    let data = match data.len() as u64 {
        GRAIN => data,
        0..GRAIN => {
            // The last grain of the disk: other readers expect a whole one.
            short.extend_from_slice(data);
            short.resize(GRAIN as usize, 0);
            &short
        }
        len => return Err(contract(format!("a grain of {len:#x} bytes"))),
    };
    COMPRESSOR.with_borrow_mut(|slot| {
        let (_, compressor) = match slot {
            Some(made) if made.0 == level => made,
            _ => {
                let valid = CompressionLvl::new(i32::from(level));
                let valid = valid.map_err(|_| contract(format!("zlib has no level {level}")))?;
                slot.insert((level, Compressor::new(valid)))
            }
        };
        let mut bytes = vec![0; start + compressor.zlib_compress_bound(data.len())];
        let room = bytes.get_mut(start..).unwrap_or_default();
        let size = compressor.zlib_compress(data, room).map_err(|e| contract(format!("zlib: {e}")))?;
        bytes.truncate(start + size);
        let marker = encode(&GrainMarker { lba: 0, size: size as u32 })?;
        bytes.iter_mut().zip(marker).for_each(|(byte, marker)| *byte = marker);
        pad(&mut bytes);
        // A block's worth of them waits for its turn.
        bytes.shrink_to_fit();
        Ok(bytes)
    })
}
