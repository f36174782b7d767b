//! Builds VHD images byte by byte, without the room's own code, so that a reader and a writer that share a mistake do
//! not pass.

use format_core::{DenyAll, Disk, Error, Layer, LayerContext, MemStorage, Result, Storage};
use format_vhd::FORMAT;
use std::ops::Range;
use std::sync::Arc;

pub const MIB: usize = 1 << 20;
pub const HEADER: usize = 512;
pub const BAT: usize = 0x600;
/// Behind a BAT of 1024 entries.
pub const BLOCKS: usize = 0x1600;
pub const ID: [u8; 16] = [0xaa; 16];
pub const PARENT_ID: [u8; 16] = [0xbb; 16];

// Places in the footer.
pub const VERSION: usize = 12;
pub const DATA_OFFSET: usize = 16;
pub const CREATOR: usize = 28;
pub const CURRENT_SIZE: usize = 48;
pub const GEOMETRY: usize = 56;
pub const TYPE: usize = 60;
pub const SAVED: usize = 84;

// Places in the dynamic header.
pub const TABLE_OFFSET: usize = 16;
pub const HEADER_VERSION: usize = 24;
pub const ENTRIES: usize = 28;
pub const BLOCK_SIZE: usize = 32;
pub const PARENT: usize = 40;
pub const NAME: usize = 64;
pub const LOCATORS: usize = 576;

#[derive(Clone)]
pub struct Maker {
    /// The file without the footer at its end.
    pub bytes: Vec<u8>,
    pub footer: Vec<u8>,
    block_size: usize,
}

impl Maker {
    fn with_type(size: u64, disk_type: u8) -> Self {
        let mut footer = vec![0; 512];
        footer[..8].copy_from_slice(b"conectix");
        footer[11] = 2;
        footer[VERSION + 1] = 1;
        footer[DATA_OFFSET..DATA_OFFSET + 8].fill(0xff);
        footer[CREATOR..CREATOR + 4].copy_from_slice(b"win ");
        footer[40..48].copy_from_slice(&size.to_be_bytes());
        footer[CURRENT_SIZE..CURRENT_SIZE + 8].copy_from_slice(&size.to_be_bytes());
        footer[GEOMETRY..GEOMETRY + 4].copy_from_slice(&[0, 10, 4, 17]);
        footer[TYPE + 3] = disk_type;
        footer[68..84].copy_from_slice(&ID);
        Self { bytes: vec![], footer, block_size: 0 }
    }

    pub fn fixed(disk: &[u8]) -> Self {
        let mut maker = Self::with_type(disk.len() as u64, 2);
        maker.bytes = disk.to_vec();
        maker
    }

    /// An image without blocks, with a BAT of 1024 entries.
    pub fn dynamic(size: u64, block_size: u32) -> Self {
        let mut maker = Self::with_type(size, 3);
        maker.block_size = block_size as usize;
        maker.footer[DATA_OFFSET..DATA_OFFSET + 8].copy_from_slice(&(HEADER as u64).to_be_bytes());
        maker.bytes = vec![0; BLOCKS];
        maker.bytes[BAT..].fill(0xff);
        maker.put(HEADER, b"cxsparse");
        maker.put(HEADER + 8, &[0xff; 8]);
        maker.put(HEADER + TABLE_OFFSET, &(BAT as u64).to_be_bytes());
        maker.put(HEADER + HEADER_VERSION, &0x10000u32.to_be_bytes());
        maker.put(HEADER + ENTRIES, &1024u32.to_be_bytes());
        maker.put(HEADER + BLOCK_SIZE, &block_size.to_be_bytes());
        maker
    }

    /// A differencing image with locators of these codes and bytes.
    pub fn differencing(size: u64, block_size: u32, locators: &[(&[u8; 4], Vec<u8>)]) -> Self {
        let mut maker = Self::dynamic(size, block_size);
        maker.footer[TYPE + 3] = 4;
        maker.put(HEADER + PARENT, &PARENT_ID);
        for (index, (code, bytes)) in locators.iter().enumerate() {
            let at = maker.append(bytes);
            let entry = HEADER + LOCATORS + index * 24;
            maker.put(entry, *code);
            maker.put(entry + 4, &512u32.to_be_bytes());
            maker.put(entry + 8, &(bytes.len() as u32).to_be_bytes());
            maker.put(entry + 16, &(at as u64).to_be_bytes());
        }
        maker
    }

    pub fn put(&mut self, at: usize, bytes: &[u8]) {
        if self.bytes.len() < at + bytes.len() {
            self.bytes.resize(at + bytes.len(), 0);
        }
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// Appends whole sectors and says where.
    pub fn append(&mut self, bytes: &[u8]) -> usize {
        let at = self.bytes.len().next_multiple_of(512);
        self.bytes.resize(at + bytes.len().next_multiple_of(512), 0);
        self.put(at, bytes);
        at
    }

    /// Sets BAT entry `index`.
    pub fn entry(&mut self, index: usize, sector: u32) {
        self.put(BAT + index * 4, &sector.to_be_bytes());
    }

    /// Adds block `index`: `here` says for each sector whether the bitmap names it, `data` is the whole block's.
    pub fn block(&mut self, index: usize, here: impl Fn(usize) -> bool, data: &[u8]) {
        let sectors = self.block_size / 512;
        let mut bitmap = vec![0u8; sectors.div_ceil(8).next_multiple_of(512)];
        for sector in (0..sectors).filter(|sector| here(*sector)) {
            bitmap[sector / 8] |= 0x80 >> (sector % 8);
        }
        let at = self.append(&bitmap);
        self.append(data);
        self.entry(index, (at / 512) as u32);
    }

    /// The file with all checksums right.
    pub fn file(&self) -> Vec<u8> {
        let (mut file, footer) = (self.bytes.clone(), sealed(&self.footer, 64..68));
        if self.block_size > 0 {
            let header = sealed(&file[HEADER..HEADER + 1024], 36..40);
            file[HEADER..HEADER + 1024].copy_from_slice(&header);
            file[..512].copy_from_slice(&footer);
        }
        file.extend(footer);
        file
    }

    pub fn open(&self) -> Result<Box<dyn Layer>> {
        open_file(self.file())
    }

    pub fn open_error(&self) -> Error {
        self.open().err().expect("it should be refused")
    }
}

/// The structure with the checksum that the specification asks for.
pub fn sealed(structure: &[u8], field: Range<usize>) -> Vec<u8> {
    let mut bytes = structure.to_vec();
    bytes[field.clone()].fill(0);
    let sum: u32 = bytes.iter().map(|byte| u32::from(*byte)).sum();
    bytes[field].copy_from_slice(&(!sum).to_be_bytes());
    bytes
}

pub fn open(storage: Arc<dyn Storage>) -> Result<Box<dyn Layer>> {
    FORMAT.open_layer.unwrap()(storage, &LayerContext::new(Arc::new(DenyAll)))
}

pub fn open_file(file: Vec<u8>) -> Result<Box<dyn Layer>> {
    open(Arc::new(MemStorage(file)))
}

/// All bytes of a layer without its parent.
pub fn content(layer: Box<dyn Layer>) -> Vec<u8> {
    let disk = Disk::new(vec![layer.into()]).unwrap();
    let mut bytes = vec![0xee; disk.virtual_size() as usize];
    disk.read_exact_at(0, &mut bytes).unwrap();
    bytes
}

pub fn utf16_le(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}
