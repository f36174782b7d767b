//! Images made in code, after SPEC.md, so that one thing can be wrong in them.

use format_core::{
    CheckReport, DenyAll, Disk, Layer, LayerContext, MemStorage, Result, StorageReader, StreamChunk,
};
use format_partclone::FORMAT;
use std::io::Read;
use std::sync::Arc;

/// What an image is to be like.
#[derive(Clone, Debug)]
pub struct Plan {
    pub block_size: usize,
    /// Which blocks are in use.
    pub map: Vec<bool>,
    pub mode: u16,
    pub per_sum: u32,
    pub reseed: bool,
    pub bitmap: u8,
    /// Bytes of the device behind the last block.
    pub behind: u64,
}

/// The image and the partition in it.
#[derive(Clone, Debug)]
pub struct Built {
    pub bytes: Vec<u8>,
    pub content: Vec<u8>,
    /// Where the data begin in the file.
    pub data: usize,
}

impl Plan {
    pub fn sample() -> Self {
        let map = [1, 1, 0, 1, 0, 0, 0, 1, 1, 1, 1, 0, 1].map(|bit| bit == 1).to_vec();
        Self { block_size: 512, map, mode: 0x20, per_sum: 3, reseed: true, bitmap: 1, behind: 700 }
    }

    pub fn build(&self) -> Built {
        let content = self.content();
        let used = self.map.iter().filter(|used| **used).count() as u64;
        let mut bytes = self.header(used);
        match self.bitmap {
            1 => {
                // Bits behind the last block are set on purpose.
                let mut map = vec![0u8; self.map.len().div_ceil(8)];
                for at in 0..map.len() * 8 {
                    map[at / 8] |= u8::from(self.map.get(at).copied().unwrap_or(true)) << (at % 8);
                }
                bytes.extend(&map);
                bytes.extend(crc(u32::MAX, &map).to_le_bytes());
            }
            8 => {
                bytes.extend(self.map.iter().map(|used| u8::from(*used)));
                bytes.extend(b"BiTmAgIc");
            }
            _ => {}
        }
        let data = bytes.len();
        self.put_blocks(&mut bytes, &content);
        Built { bytes, content, data }
    }

    fn put_blocks(&self, bytes: &mut Vec<u8>, content: &[u8]) {
        let (mut state, mut seen, mut all) = (u32::MAX, Vec::new(), 0);
        for (number, block) in content.chunks(self.block_size).take(self.map.len()).enumerate() {
            if !self.map[number] && self.bitmap != 0 {
                continue;
            }
            bytes.extend(block);
            state = crc(state, block);
            seen.extend(block);
            all += 1;
            if self.mode != 0 && all == self.per_sum {
                self.put_sum(bytes, &mut state, &mut seen);
                all = 0;
            }
        }
        if all > 0 && self.mode != 0 {
            self.put_sum(bytes, &mut state, &mut seen);
        }
    }

    fn put_sum(&self, bytes: &mut Vec<u8>, state: &mut u32, seen: &mut Vec<u8>) {
        match self.mode {
            0x20 => bytes.extend(state.to_le_bytes()),
            0x30 => bytes.extend(twox_hash::XxHash64::oneshot(0, seen).to_le_bytes()),
            _ => bytes.extend(twox_hash::XxHash3_128::oneshot(seen).to_le_bytes()),
        }
        if self.reseed {
            *state = u32::MAX;
            seen.clear();
        }
    }

    fn content(&self) -> Vec<u8> {
        let mut content = vec![0; self.map.len() * self.block_size + self.behind as usize];
        for (number, used) in self.map.iter().enumerate() {
            let block = &mut content[number * self.block_size..(number + 1) * self.block_size];
            if *used || self.bitmap == 0 {
                block
                    .iter_mut()
                    .enumerate()
                    .for_each(|(at, byte)| *byte = (number * 31 + at * 7 + at / 256 + 1) as u8);
            }
        }
        content
    }

    fn header(&self, used: u64) -> Vec<u8> {
        let mut bytes = b"partclone-image\0".to_vec();
        bytes.extend(b"9.9.9\0\0\0\0\0\0\0\0\0");
        bytes.extend(b"0002");
        bytes.extend(0xc0deu16.to_le_bytes());
        bytes.extend(b"EXTFS\0\0\0\0\0\0\0\0\0\0\0");
        let total = self.map.len() as u64;
        for number in [total * self.block_size as u64 + self.behind, total, used, used] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend((self.block_size as u32).to_le_bytes());
        bytes.extend(18u32.to_le_bytes());
        bytes.extend([2, 0, 64, 0]);
        bytes.extend(self.mode.to_le_bytes());
        let size: u16 = match self.mode {
            0 => 0,
            0x20 => 4,
            0x30 => 8,
            _ => 16,
        };
        bytes.extend(size.to_le_bytes());
        bytes.extend(if self.mode == 0 { 0 } else { self.per_sum }.to_le_bytes());
        bytes.extend([u8::from(self.reseed), self.bitmap]);
        bytes.extend(crc(u32::MAX, &bytes).to_le_bytes());
        bytes
    }
}

impl Built {
    /// Puts `value` at `at` of the header and makes its checksum right.
    pub fn put(&mut self, at: usize, value: &[u8]) {
        self.bytes[at..at + value.len()].copy_from_slice(value);
        let sum = crc(u32::MAX, &self.bytes[..106]);
        self.bytes[106..110].copy_from_slice(&sum.to_le_bytes());
    }
}

/// CRC-32 without its last inversion, bit by bit.
pub fn crc(mut state: u32, bytes: &[u8]) -> u32 {
    for byte in bytes {
        state ^= u32::from(*byte);
        for _ in 0..8 {
            state = if state & 1 == 1 { state >> 1 ^ 0xedb8_8320 } else { state >> 1 };
        }
    }
    state
}

pub fn context() -> LayerContext {
    LayerContext::new(Arc::new(DenyAll))
}

pub fn open(bytes: &[u8]) -> Result<Box<dyn Layer>> {
    FORMAT.open_layer.unwrap()(Arc::new(MemStorage(bytes.to_vec())), &context())
}

pub fn check(bytes: &[u8]) -> Result<CheckReport> {
    FORMAT.check.unwrap()(Arc::new(MemStorage(bytes.to_vec())), &context())
}

/// The whole partition, as a disk in pieces of an odd size.
pub fn read(bytes: &[u8]) -> Result<Vec<u8>> {
    read_layer(open(bytes)?)
}

pub fn read_layer(layer: Box<dyn Layer>) -> Result<Vec<u8>> {
    let disk = Disk::new(vec![layer.into()])?;
    let mut content = vec![0xee; disk.virtual_size() as usize];
    for (number, piece) in content.chunks_mut(70_001).enumerate() {
        disk.read_exact_at(number as u64 * 70_001, piece)?;
    }
    // Extents are contiguous, and what is none of data is zeros.
    for extent in disk.extents(0, u64::MAX) {
        let extent = extent?;
        let range = extent.offset as usize..extent.end() as usize;
        assert!(extent.kind == format_core::ExtentKind::Data || format_core::is_zero(&content[range]));
    }
    Ok(content)
}

/// A reader that gives few bytes at a time.
struct Trickle(StorageReader);

impl Read for Trickle {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let len = buf.len().min(4001);
        self.0.read(&mut buf[..len])
    }
}

/// The whole partition through a pipe, and how many warnings there were.
pub fn stream(bytes: &[u8]) -> Result<(Vec<u8>, usize)> {
    let reader = Trickle(StorageReader::new(Arc::new(MemStorage(bytes.to_vec()))));
    let mut stream = FORMAT.open_stream.unwrap()(Box::new(reader), &context())?;
    let mut content = vec![0; stream.virtual_size() as usize];
    let mut last = 0;
    while let Some(StreamChunk { offset, data }) = stream.next_chunk()? {
        assert!(offset >= last && !data.is_empty() && data.len() as u64 <= format_core::MAX_CHUNK);
        last = offset + data.len() as u64;
        content[offset as usize..last as usize].copy_from_slice(&data);
    }
    assert!(stream.next_chunk()?.is_none());
    Ok((content, stream.warnings().len()))
}
