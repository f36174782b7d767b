//! Writing dynamic and fixed VDI images, in any order and from many threads.
//!
//! A block of a dynamic image gets the next free place of the file when it is written, and its entry of the map goes
//! straight to the file: the sink asks for whole blocks, so nothing has to be remembered of them, however large the
//! disk. The header is written last, so nothing opens what a crash left half written.

use crate::layout::{
    BLOCK, BLOCK_FREE, ENTRY_LEN, FULL_HEADER_SIZE, Geometry, HEADER_AT, HEADER_LEN, Header, SECTOR,
    SIGNATURE, TYPE_FIXED, TYPE_NORMAL, VERSION,
};
use binrw::BinWrite;
use format_core::units::{KIB, TIB, format_size};
use format_core::{
    CreateRequest, Error, ErrorKind, Needs, Order, Packed, Result, Sink, StateReader, StateWriter,
    TargetStorage, is_zero,
};
use std::io::Cursor;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use uuid::Uuid;

/// The largest disk that is written: its map has 256 MiB.
const MAX_VIRTUAL_SIZE: u64 = 64 * TIB;
/// Where the map goes, as QEMU has it.
const MAP: u64 = 512;
/// The blocks begin at a multiple of this, so that a guest's pages are pages of the host.
const ALIGNMENT: u64 = 4 * KIB;
/// Zeros within a block are left out at this granularity.
const PIECE: usize = 4 << 10;
/// Entries of the map that are written at once.
const ENTRIES: u64 = 256 << 10;

struct VdiSink {
    target: Box<dyn TargetStorage>,
    plan: Plan,
    /// How many blocks have their place.
    allocated: AtomicU64,
    /// Whether the map may hold entries of an interrupted run.
    resumed: bool,
}

/// Everything about the new file that is known before the first byte.
#[derive(Clone, Copy, Debug)]
struct Plan {
    virtual_size: u64,
    fixed: bool,
    sequential: bool,
    blocks: u64,
    data: u64,
}

impl Plan {
    fn new(request: &CreateRequest, sequential: bool) -> Result<Self> {
        let virtual_size = request.virtual_size;
        let fixed = match request.options.get("static").map(String::as_str) {
            None | Some("off") => false,
            Some("on") => true,
            Some(other) => return Err(Error::usage(format!("static is on or off, not '{other}'"))),
        };
        if virtual_size > MAX_VIRTUAL_SIZE {
            let asked = format_size(virtual_size);
            return Err(Error::new(ErrorKind::Limit, format!("the disk has at most 64 TiB, not {asked}"))
                .hint("qcow2 and raw hold larger disks"));
        }
        if !virtual_size.is_multiple_of(SECTOR) {
            return Err(Error::usage(format!("the disk is whole sectors, not {virtual_size:#x} bytes")));
        }
        if sequential && !fixed {
            return Err(Error::unsupported("the map of a dynamic image is only known at its end")
                .hint("write a fixed image with -o static=on, or write it to a file"));
        }
        let blocks = virtual_size.div_ceil(BLOCK);
        let data = (MAP + blocks * ENTRY_LEN).next_multiple_of(ALIGNMENT);
        Ok(Self { virtual_size, fixed, sequential, blocks, data })
    }

    fn header(&self, allocated: u64) -> Result<Vec<u8>> {
        let mut file_info = [0; 64];
        let line = b"<<< Oracle VM VirtualBox Disk Image >>>\n";
        file_info[..line.len()].copy_from_slice(line);
        // 64 TiB are 2^26 blocks, the map has 2^28 bytes.
        let header = Header {
            file_info,
            signature: SIGNATURE,
            version: VERSION,
            header_size: FULL_HEADER_SIZE,
            image_type: if self.fixed { TYPE_FIXED } else { TYPE_NORMAL },
            flags: 0,
            comment: [0; 256],
            off_blocks: MAP as u32,
            off_data: self.data as u32,
            legacy_geometry: Geometry::UNKNOWN,
            dummy: 0,
            disk_size: self.virtual_size,
            block_size: BLOCK as u32,
            block_extra: 0,
            blocks: self.blocks as u32,
            blocks_allocated: allocated as u32,
            uuid_create: Uuid::new_v4().to_bytes_le(),
            uuid_modify: Uuid::new_v4().to_bytes_le(),
            uuid_linkage: [0; 16],
            uuid_parent_modify: [0; 16],
        };
        let mut bytes = Cursor::new(Vec::with_capacity(MAP as usize));
        let encoded = header.write(&mut bytes).and_then(|()| Geometry::UNKNOWN.write(&mut bytes));
        encoded.map_err(|e| Error::contract("the header does not encode").with_source(e))?;
        let bytes = bytes.into_inner();
        debug_assert_eq!(bytes.len(), HEADER_LEN + size_of::<Geometry>());
        debug_assert_eq!(bytes.len() as u64, HEADER_AT + u64::from(FULL_HEADER_SIZE));
        Ok(bytes)
    }
}

pub(crate) fn create(target: Box<dyn TargetStorage>, request: &CreateRequest) -> Result<Box<dyn Sink>> {
    let plan = Plan::new(request, target.is_sequential()).map_err(|e| e.in_format(crate::FORMAT.name))?;
    let allocated = AtomicU64::new(if plan.fixed { plan.blocks } else { 0 });
    let sink = VdiSink { target, plan, allocated, resumed: false };
    sink.target.set_len(plan.data)?;
    if plan.sequential {
        sink.target.write_all_at(0, &plan.header(plan.blocks)?)?;
    }
    sink.write_map(0..plan.blocks)?;
    Ok(Box::new(sink))
}

/// The map is in the file; what is known besides is how many blocks there are.
pub(crate) fn resume(
    target: Box<dyn TargetStorage>,
    request: &CreateRequest,
    state: &[u8],
) -> Result<Box<dyn Sink>> {
    let plan = Plan::new(request, target.is_sequential()).map_err(|e| e.in_format(crate::FORMAT.name))?;
    let mut reader = StateReader::new(state);
    let allocated = reader.number_to(plan.blocks)?;
    reader.end()?;
    target.resume_at(plan.data + allocated * BLOCK)?;
    // It may have been interrupted after the header was written.
    target.write_all_at(0, &[0; MAP as usize])?;
    Ok(Box::new(VdiSink { target, plan, allocated: AtomicU64::new(allocated), resumed: true }))
}

impl VdiSink {
    fn check_range(&self, offset: u64, len: u64) -> Result<()> {
        let size = self.plan.virtual_size;
        let end = offset.checked_add(len).filter(|end| *end <= size);
        let whole = |at: u64| at.is_multiple_of(BLOCK);
        if end.is_some_and(|end| whole(offset) && (whole(end) || end == size)) {
            return Ok(());
        }
        Err(Error::contract(format!("{len:#x} bytes written at {offset:#x} of a disk of {size:#x} bytes"))
            .in_format(crate::FORMAT.name))
    }

    /// The map of these blocks: of a fixed image as it stays, of a dynamic one all free.
    fn write_map(&self, blocks: Range<u64>) -> Result<()> {
        for start in blocks.clone().step_by(ENTRIES as usize) {
            let entries = start..blocks.end.min(start + ENTRIES);
            let entry = |block| if self.plan.fixed { block as u32 } else { BLOCK_FREE };
            let bytes: Vec<u8> = entries.flat_map(|block| entry(block).to_le_bytes()).collect();
            self.target.write_all_at(MAP + start * ENTRY_LEN, &bytes)?;
        }
        Ok(())
    }

    /// Stores bytes of blocks; zeros among them are left out.
    fn put(&self, host: u64, bytes: &[u8]) -> Result<()> {
        let mut at = host;
        for run in bytes.chunks(PIECE).collect::<Vec<_>>().chunk_by(|a, b| is_zero(a) == is_zero(b)) {
            let len: usize = run.iter().map(|piece| piece.len()).sum();
            let start = (at - host) as usize;
            match bytes.get(start..start + len) {
                Some(data) if !is_zero(data) => self.target.write_all_at(at, data)?,
                _ => self.target.zero_range(at, len as u64)?,
            }
            at += len as u64;
        }
        Ok(())
    }
}

impl Sink for VdiSink {
    fn needs(&self) -> Needs {
        let order = if self.plan.sequential { Order::Ascending } else { Order::Any };
        Needs { order, chunk_size: BLOCK, packed: false }
    }

    fn write_at(&self, offset: u64, data: Packed<'_>) -> Result<()> {
        let Packed::Plain(bytes) = data else {
            return Err(Error::contract("vdi images hold no encoded chunks"));
        };
        let len = bytes.len() as u64;
        self.check_range(offset, len)?;
        let (first, blocks) = (offset / BLOCK, len.div_ceil(BLOCK));
        if self.plan.fixed {
            return self.put(self.plan.data + offset, bytes);
        }
        // No range is mentioned twice, so there are never more blocks than the disk has.
        let place = self.allocated.fetch_add(blocks, Ordering::Relaxed);
        let host = self.plan.data + place * BLOCK;
        self.put(host, bytes)?;
        // A block is whole in the file, also where the disk ends within it.
        let rest = blocks * BLOCK - len;
        if rest > 0 {
            self.target.zero_range(host + len, rest)?;
        }
        let entries: Vec<u8> =
            (place..place + blocks).flat_map(|entry| (entry as u32).to_le_bytes()).collect();
        self.target.write_all_at(MAP + first * ENTRY_LEN, &entries)
    }

    fn zero_at(&self, offset: u64, len: u64) -> Result<()> {
        self.check_range(offset, len)?;
        if self.plan.fixed {
            return self.target.zero_range(self.plan.data + offset, len);
        }
        // A block of a dynamic image that was never written is free, which reads as zeros.
        let blocks = offset / BLOCK..(offset + len).div_ceil(BLOCK);
        if self.resumed { self.write_map(blocks) } else { Ok(()) }
    }

    fn flush(&self) -> Result<()> {
        self.target.sync()
    }

    fn checkpoint(&self) -> Result<Option<Vec<u8>>> {
        if self.plan.sequential {
            return Ok(None);
        }
        let allocated = self.allocated.load(Ordering::Relaxed);
        self.target.set_len(self.plan.data + allocated * BLOCK)?;
        Ok(Some(StateWriter::default().number(allocated).bytes()))
    }

    fn finish(self: Box<Self>) -> Result<()> {
        let allocated = self.allocated.load(Ordering::Relaxed);
        self.target.set_len(self.plan.data + allocated * BLOCK)?;
        if !self.plan.sequential {
            // The header makes it an image: everything else has to be there first.
            self.target.sync()?;
            self.target.write_all_at(0, &self.plan.header(allocated)?)?;
        }
        self.target.commit()
    }
}
