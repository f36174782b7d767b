//! VDI images put together by hand, from the offsets of the specification.

use format_core::{CheckReport, DenyAll, Layer, LayerContext, MemStorage, Result};
use format_vdi::FORMAT;
use std::sync::Arc;

pub const FREE: u32 = 0xffff_ffff;
pub const ZERO: u32 = 0xffff_fffe;

/// Offsets of header fields.
pub mod at {
    pub const SIGNATURE: usize = 0x40;
    pub const VERSION: usize = 0x44;
    pub const HEADER_SIZE: usize = 0x48;
    pub const TYPE: usize = 0x4c;
    pub const OFF_BLOCKS: usize = 0x154;
    pub const OFF_DATA: usize = 0x158;
    pub const SECTOR_SIZE: usize = 0x168;
    pub const DISK_SIZE: usize = 0x170;
    pub const BLOCK_SIZE: usize = 0x178;
    pub const BLOCK_EXTRA: usize = 0x17c;
    pub const BLOCKS: usize = 0x180;
    pub const ALLOCATED: usize = 0x184;
    pub const UUID_CREATE: usize = 0x188;
    pub const UUID_MODIFY: usize = 0x198;
    pub const UUID_LINKAGE: usize = 0x1a8;
    pub const UUID_PARENT_MODIFY: usize = 0x1b8;
}

/// An image to be.
#[derive(Clone, Debug)]
pub struct Plan {
    pub kind: u32,
    pub disk_size: u64,
    pub block_size: u32,
    pub extra: u32,
    /// One for each block of the disk.
    pub map: Vec<u32>,
    pub off_blocks: u32,
    pub off_data: u32,
    /// Identity and modification, of the image and of its parent.
    pub uuids: [u8; 4],
}

impl Plan {
    /// Ten blocks of 1 KiB, the last of 300 bytes, some of each kind, out of order.
    pub fn sample() -> Self {
        Self {
            kind: 1,
            disk_size: 9 * 1024 + 300,
            block_size: 1024,
            extra: 0,
            map: vec![2, 3, FREE, 0, ZERO, ZERO, FREE, FREE, 1, 4],
            off_blocks: 0x200,
            off_data: 0x400,
            uuids: [1, 2, 0, 0],
        }
    }

    /// Blocks with extra bytes before their data.
    pub fn extra() -> Self {
        Self { extra: 96, off_data: 0x600, ..Self::sample() }
    }

    pub fn build(&self) -> Image {
        let stride = (self.extra + self.block_size) as usize;
        let used = self.map.iter().filter(|entry| **entry < ZERO).max().map_or(0, |last| last + 1);
        let mut bytes = vec![0xee; self.off_data as usize + used as usize * stride];
        bytes[..0x200].fill(0);
        let mut content = vec![0; self.disk_size as usize];
        for (block, entry) in self.map.iter().enumerate() {
            put(&mut bytes, self.off_blocks as usize + block * 4, &entry.to_le_bytes());
            if *entry >= ZERO {
                continue;
            }
            let start = content.len().min(block * self.block_size as usize);
            let end = content.len().min(start + self.block_size as usize);
            let data: Vec<u8> = (start..end).map(|at| (at * 7 + at / 256) as u8 | 1).collect();
            content[start..end].copy_from_slice(&data);
            let place = self.off_data as usize + *entry as usize * stride + self.extra as usize;
            put(&mut bytes, place, &data);
        }
        let mut image = Image { bytes, content };
        self.header(&mut image);
        image
    }

    fn header(&self, image: &mut Image) {
        let allocated = self.map.iter().filter(|entry| **entry < ZERO).count() as u32;
        for (at, value) in [
            (at::SIGNATURE, 0xbeda_107f),
            (at::VERSION, 0x0001_0001),
            (at::HEADER_SIZE, 0x190),
            (at::TYPE, self.kind),
            (at::OFF_BLOCKS, self.off_blocks),
            (at::OFF_DATA, self.off_data),
            (at::SECTOR_SIZE, 512),
            (at::BLOCK_SIZE, self.block_size),
            (at::BLOCK_EXTRA, self.extra),
            (at::BLOCKS, self.map.len() as u32),
            (at::ALLOCATED, allocated),
        ] {
            image.put(at, value);
        }
        put(&mut image.bytes, at::DISK_SIZE, &self.disk_size.to_le_bytes());
        let places = [at::UUID_CREATE, at::UUID_MODIFY, at::UUID_LINKAGE, at::UUID_PARENT_MODIFY];
        for (place, value) in places.into_iter().zip(self.uuids) {
            put(&mut image.bytes, place, &[value; 16]);
        }
    }
}

/// An image and what its disk holds, where no parent shows.
#[derive(Clone, Debug)]
pub struct Image {
    pub bytes: Vec<u8>,
    pub content: Vec<u8>,
}

impl Image {
    pub fn put(&mut self, at: usize, value: u32) {
        put(&mut self.bytes, at, &value.to_le_bytes());
    }
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

pub fn open(bytes: &[u8]) -> Result<Box<dyn Layer>> {
    let storage = Arc::new(MemStorage(bytes.to_vec()));
    FORMAT.open_layer.unwrap()(storage, &LayerContext::new(Arc::new(DenyAll)))
}

pub fn read(bytes: &[u8]) -> Result<Vec<u8>> {
    let layer = open(bytes)?;
    let mut content = vec![0xaa; layer.virtual_size() as usize];
    layer.read_exact_at(0, &mut content)?;
    Ok(content)
}

pub fn check(bytes: &[u8]) -> Result<CheckReport> {
    let storage = Arc::new(MemStorage(bytes.to_vec()));
    FORMAT.check.unwrap()(storage, &LayerContext::new(Arc::new(DenyAll)))
}
