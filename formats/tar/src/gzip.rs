//! Writing for Google Cloud: one gzip member with an archive of one member.
//!
//! The deflate blocks of each chunk are made by the pipeline's workers, and end at a byte by an empty block (a sync flush), so
//! that they are simply put behind each other. Zeros are such blocks, too, made once.

use crate::gcp::NAME;
use crc32fast::Hasher;
use flate2::{Compress, Compression, FlushCompress, Status};
use format_core::units::{GIB, MIB};
use format_core::{CreateRequest, Error, ErrorKind, Needs, Order, Packed, Result, Sink, TargetStorage};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tar_members::{BLOCK, Dialect, NewMember, end_len};

const CHUNK: u64 = MIB;
/// Zero chunks that are written at once.
const BATCH: u64 = 256;
/// Magic, deflate, no flags, no time, no extra flags, Unix.
const GZIP_HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
const DEFAULT_LEVEL: u32 = 6;

struct GzipSink {
    target: Box<dyn TargetStorage>,
    size: u64,
    level: u32,
    /// A chunk of zeros: its blocks and its checksum.
    zeros: (Vec<u8>, Hasher),
    state: Mutex<State>,
}

struct State {
    /// Where the next blocks go.
    at: u64,
    /// The guest's bytes so far.
    next: u64,
    /// Of everything that was compressed so far.
    crc: Hasher,
}

pub(crate) fn create(target: Box<dyn TargetStorage>, request: &CreateRequest) -> Result<Box<dyn Sink>> {
    let failed = |e: Error| e.in_format(crate::GCP.name);
    let level = level(request).map_err(failed)?;
    let size = request.virtual_size;
    if size == 0 || !size.is_multiple_of(GIB) {
        let text = format!("Google Cloud takes disks of whole GiB, not of {size:#x} bytes");
        return Err(failed(Error::usage(text)));
    }
    let header = NewMember { name: NAME, stored: size, modified: 0, dialect: Dialect::OldGnu }.header()?;
    let zero = vec![0; CHUNK as usize];
    // Zeros compress best at the highest level, and only once.
    let zeros = (deflate(&zero, 9, FlushCompress::Sync)?, crc_of(&zero));
    let state = State { at: 0, next: 0, crc: Hasher::new() };
    let sink = GzipSink { target, size, level, zeros, state: Mutex::new(state) };
    {
        let mut state = sink.locked();
        sink.put(&mut state, &GZIP_HEADER)?;
        sink.put(&mut state, &deflate(&header, level, FlushCompress::Sync)?)?;
        state.crc.update(&header);
    }
    Ok(Box::new(sink))
}

fn level(request: &CreateRequest) -> Result<u32> {
    let Some(text) = request.options.get("level") else { return Ok(DEFAULT_LEVEL) };
    let level = text.parse().ok().filter(|level| (1..=9).contains(level));
    level.ok_or_else(|| Error::usage(format!("level is a number from 1 to 9, not '{text}'")))
}

fn crc_of(bytes: &[u8]) -> Hasher {
    let mut crc = Hasher::new();
    crc.update(bytes);
    crc
}

/// `bytes` as deflate blocks.
fn deflate(bytes: &[u8], level: u32, end: FlushCompress) -> Result<Vec<u8>> {
    let mut encoder = Compress::new(Compression::new(level), false);
    // Stored blocks, should nothing compress, and the empty block.
    let mut packed = Vec::with_capacity(bytes.len() + bytes.len() / 1000 + 64);
    loop {
        let done = usize::try_from(encoder.total_in()).unwrap_or(usize::MAX).min(bytes.len());
        let status = encoder.compress_vec(&bytes[done..], &mut packed, end);
        let status = status.map_err(|e| Error::contract("deflate failed").with_source(e))?;
        let is_taken = encoder.total_in() == bytes.len() as u64;
        // With room left, everything was flushed.
        if status == Status::StreamEnd || is_taken && packed.len() < packed.capacity() {
            return Ok(packed);
        }
        packed.reserve(packed.capacity().max(64));
    }
}

impl GzipSink {
    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, state: &mut State, bytes: &[u8]) -> Result<()> {
        self.target.write_all_at(state.at, bytes)?;
        state.at += bytes.len() as u64;
        Ok(())
    }

    /// Adds zeros up to the guest offset `end`.
    fn zeros_to(&self, state: &mut State, end: u64) -> Result<()> {
        let mut left = end.saturating_sub(state.next) / CHUNK;
        let (blocks, crc) = &self.zeros;
        while left > 0 {
            let now = left.min(BATCH);
            self.put(state, &blocks.repeat(now as usize))?;
            (0..now).for_each(|_| state.crc.combine(crc));
            state.next += now * CHUNK;
            left -= now;
        }
        Ok(())
    }

    fn check(&self, state: &State, offset: u64, len: u64) -> Result<()> {
        let end = offset.checked_add(len).filter(|end| *end <= self.size && offset >= state.next);
        if end.is_some_and(|end| end.is_multiple_of(CHUNK)) && offset.is_multiple_of(CHUNK) {
            return Ok(());
        }
        let (next, size) = (state.next, self.size);
        let text = format!("{len:#x} bytes at {offset:#x} after {next:#x}, of a disk of {size:#x} bytes");
        Err(Error::contract(text).in_format(crate::GCP.name))
    }
}

impl Sink for GzipSink {
    fn needs(&self) -> Needs {
        Needs { order: Order::Ascending, chunk_size: CHUNK, packed: true }
    }

    /// The blocks of one chunk, and its checksum behind them.
    fn pack<'a>(&self, data: &'a [u8]) -> Result<Packed<'a>> {
        let mut bytes = deflate(data, self.level, FlushCompress::Sync)?;
        bytes.extend_from_slice(&crc_of(data).finalize().to_le_bytes());
        Ok(Packed::Encoded { bytes, guest_len: data.len() as u64 })
    }

    fn write_at(&self, offset: u64, data: Packed<'_>) -> Result<()> {
        let encoded = match data {
            Packed::Plain(bytes) => self.pack(bytes)?,
            encoded @ Packed::Encoded { .. } => encoded,
        };
        let Packed::Encoded { bytes, guest_len } = encoded else {
            return Err(Error::contract("a chunk that was not packed"));
        };
        let mut state = self.locked();
        self.check(&state, offset, guest_len)?;
        self.zeros_to(&mut state, offset)?;
        let (blocks, crc) =
            bytes.split_last_chunk::<4>().ok_or_else(|| Error::contract("a chunk without checksum"))?;
        self.put(&mut state, blocks)?;
        state.crc.combine(&Hasher::new_with_initial_len(u32::from_le_bytes(*crc), guest_len));
        state.next += guest_len;
        Ok(())
    }

    fn zero_at(&self, offset: u64, len: u64) -> Result<()> {
        let mut state = self.locked();
        self.check(&state, offset, len)?;
        self.zeros_to(&mut state, offset + len)
    }

    fn flush(&self) -> Result<()> {
        self.target.sync()
    }

    fn finish(self: Box<Self>) -> Result<()> {
        {
            let mut state = self.locked();
            self.zeros_to(&mut state, self.size)?;
            let archive = BLOCK + self.size;
            let end = vec![0; end_len(archive) as usize];
            self.put(&mut state, &deflate(&end, self.level, FlushCompress::Finish)?)?;
            state.crc.update(&end);
            let length = (archive + end.len() as u64) & u64::from(u32::MAX);
            let crc = state.crc.clone().finalize();
            let trailer = [crc.to_le_bytes(), (length as u32).to_le_bytes()].concat();
            self.put(&mut state, &trailer)?;
            if state.next != self.size {
                return Err(
                    Error::new(ErrorKind::Contract, "the disk is not whole").in_format(crate::GCP.name)
                );
            }
            self.target.set_len(state.at)?;
        }
        self.target.commit()
    }
}
