//! Builds small images from the specification, without the reader's code.
#![allow(dead_code, missing_docs, clippy::unwrap_used)]

use format_core::{DenyAll, Layer, LayerContext, MemStorage, Result};
use format_vmdk::FORMAT;
use libdeflater::{CompressionLvl, Compressor};
use std::sync::Arc;

pub const SECTOR: usize = 512;
pub const STREAM: u32 = 0x3_0000;
const DESCRIPTOR_SECTORS: usize = 4;

#[derive(Clone, Debug)]
pub enum Grain {
    Absent,
    Zero,
    Data(Vec<u8>),
}

#[derive(Clone, Debug)]
pub struct Plan {
    pub flags: u32,
    pub grain_sectors: usize,
    pub table_entries: usize,
    /// The descriptor's size in sectors.
    pub sectors: usize,
    /// The header's, if another.
    pub capacity: Option<usize>,
    pub grains: Vec<Grain>,
    pub at_end: bool,
    /// More lines, or a whole other text when it starts with `#`.
    pub text: String,
}

/// An image and where its parts are.
#[derive(Clone, Debug)]
pub struct Image {
    pub bytes: Vec<u8>,
    pub content: Vec<u8>,
    pub directory_at: usize,
    pub redundant_at: usize,
    pub tables_at: Vec<usize>,
    pub grains_at: Vec<usize>,
    pub footer_at: usize,
}

impl Plan {
    /// Six grains of 4 KiB, two tables: data, zeros, nothing, data, data, and a last one of half a grain.
    pub fn sample(flags: u32) -> Self {
        let data = |seed| Grain::Data(noise(seed, 4096));
        let grains = vec![data(1), Grain::Zero, Grain::Absent, data(2), data(3), data(4)];
        let (grain_sectors, table_entries, sectors) = (8, 4, 44);
        let (capacity, at_end, text) = (None, false, String::new());
        Self { flags: flags | 7, grain_sectors, table_entries, sectors, capacity, grains, at_end, text }
    }

    pub fn stream() -> Self {
        Self { at_end: true, ..Self::sample(STREAM) }
    }

    fn header(&self, directory: u64, redundant: u64) -> Vec<u8> {
        let mut header = b"KDMV".to_vec();
        header.extend(3u32.to_le_bytes());
        header.extend(self.flags.to_le_bytes());
        header.extend((self.capacity.unwrap_or(self.sectors) as u64).to_le_bytes());
        header.extend((self.grain_sectors as u64).to_le_bytes());
        header.extend(1u64.to_le_bytes());
        header.extend((DESCRIPTOR_SECTORS as u64).to_le_bytes());
        header.extend((self.table_entries as u32).to_le_bytes());
        header.extend(redundant.to_le_bytes());
        header.extend(directory.to_le_bytes());
        header.extend(128u64.to_le_bytes());
        header.extend(b"\0\n \r\n");
        header.extend(u16::from(self.flags & STREAM != 0).to_le_bytes());
        header.resize(SECTOR, 0);
        header
    }

    fn descriptor(&self) -> Vec<u8> {
        let kind = if self.flags & STREAM != 0 { "streamOptimized" } else { "monolithicSparse" };
        let (text, sectors) = (&self.text, self.sectors);
        let mut whole = if text.starts_with('#') { text.clone() } else {
            format!("# Disk DescriptorFile\nversion=1\nCID=1234abcd\nparentCID=ffffffff\ncreateType=\"{kind}\"\nRW {sectors} SPARSE \"a b.vmdk\"\n{text}")
        }
        .into_bytes();
        assert!(whole.len() <= DESCRIPTOR_SECTORS * SECTOR);
        whole.resize(DESCRIPTOR_SECTORS * SECTOR, 0);
        whole
    }

    pub fn build(&self) -> Image {
        let mut bytes = vec![0; SECTOR];
        bytes.extend(self.descriptor());
        let mut image = Image {
            bytes,
            content: Vec::new(),
            directory_at: 0,
            redundant_at: 0,
            tables_at: Vec::new(),
            grains_at: Vec::new(),
            footer_at: 0,
        };
        let mut entries = Vec::new();
        for (number, grain) in self.grains.iter().enumerate() {
            entries.push(self.add_grain(&mut image, number, grain));
        }
        image.content.truncate(self.sectors * SECTOR);
        if !self.at_end {
            image.redundant_at = self.add_tables(&mut image, &entries);
        }
        image.tables_at.clear();
        image.directory_at = self.add_tables(&mut image, &entries);
        let sector = |at: usize| (at / SECTOR) as u64;
        let header = self.header(sector(image.directory_at), sector(image.redundant_at));
        if self.at_end {
            self.marker(&mut image.bytes, 3);
            image.footer_at = image.bytes.len();
            image.bytes.extend(&header);
            image.bytes.extend([0; SECTOR]);
            image.bytes[..SECTOR].copy_from_slice(&self.header(u64::MAX, 0));
        } else {
            image.bytes[..SECTOR].copy_from_slice(&header);
        }
        image
    }

    fn add_grain(&self, image: &mut Image, number: usize, grain: &Grain) -> u32 {
        let grain_bytes = self.grain_sectors * SECTOR;
        let at = image.bytes.len();
        let entry = match grain {
            Grain::Absent => 0,
            Grain::Zero => 1,
            Grain::Data(data) if self.flags & STREAM != 0 => {
                let packed = deflate(data);
                image.bytes.extend(((number * self.grain_sectors) as u64).to_le_bytes());
                image.bytes.extend((packed.len() as u32).to_le_bytes());
                image.bytes.extend(packed);
                (at / SECTOR) as u32
            }
            Grain::Data(data) => {
                image.bytes.extend(data);
                (at / SECTOR) as u32
            }
        };
        pad(&mut image.bytes);
        image.grains_at.push(if entry > 1 { at } else { 0 });
        match grain {
            Grain::Data(data) => image.content.extend(data),
            _ => image.content.extend(vec![0; grain_bytes]),
        }
        entry
    }

    fn add_tables(&self, image: &mut Image, entries: &[u32]) -> usize {
        let mut directory = Vec::new();
        for table in entries.chunks(self.table_entries) {
            if self.at_end {
                self.marker(&mut image.bytes, 1);
            }
            let at = image.bytes.len();
            image.tables_at.push(at);
            directory.extend(((at / SECTOR) as u32).to_le_bytes());
            image.bytes.extend(table.iter().flat_map(|entry| entry.to_le_bytes()));
            image.bytes.resize(at + self.table_entries * 4, 0);
            pad(&mut image.bytes);
        }
        if self.at_end {
            self.marker(&mut image.bytes, 2);
        }
        let at = image.bytes.len();
        image.bytes.extend(directory);
        pad(&mut image.bytes);
        at
    }

    fn marker(&self, bytes: &mut Vec<u8>, marker_type: u32) {
        bytes.extend(1u64.to_le_bytes());
        bytes.extend(0u32.to_le_bytes());
        bytes.extend(marker_type.to_le_bytes());
        pad(bytes);
    }
}

impl Image {
    pub fn put(&mut self, at: usize, value: &[u8]) {
        self.bytes[at..at + value.len()].copy_from_slice(value);
    }

    /// Replaces the stream of the grain that starts the first data grain, keeping its marker honest.
    pub fn replace_stream(&mut self, grain: usize, packed: &[u8]) {
        let at = self.grains_at[grain];
        self.put(at + 8, &(packed.len() as u32).to_le_bytes());
        self.put(at + 12, packed);
    }
}

pub fn deflate(data: &[u8]) -> Vec<u8> {
    let mut compressor = Compressor::new(CompressionLvl::default());
    let mut packed = vec![0; compressor.zlib_compress_bound(data.len())];
    let len = compressor.zlib_compress(data, &mut packed).unwrap();
    packed.truncate(len);
    packed
}

/// Random bytes that are never zero.
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = vec![0; len];
    for part in bytes.chunks_mut(8) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        part.copy_from_slice(&(state | 0x0101_0101_0101_0101).to_le_bytes()[..part.len()]);
    }
    bytes
}

fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(SECTOR), 0);
}

pub fn open(bytes: &[u8]) -> Result<Box<dyn Layer>> {
    let context = LayerContext::new(Arc::new(DenyAll));
    (FORMAT.open_layer.unwrap())(Arc::new(MemStorage(bytes.to_vec())), &context)
}

/// Opens and reads the whole disk.
pub fn read(bytes: &[u8]) -> Result<Vec<u8>> {
    let layer = open(bytes)?;
    let mut content = vec![0xaa; layer.virtual_size() as usize];
    layer.read_exact_at(0, &mut content)?;
    Ok(content)
}
