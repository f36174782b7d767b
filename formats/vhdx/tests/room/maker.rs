//! Builds VHDX images byte by byte, without the room's own code, so that a reader and a writer that share a mistake do
//! not pass.

use format_core::{DenyAll, Disk, Error, Layer, LayerContext, MemStorage, Result, Storage};
use format_vhdx::FORMAT;
use std::sync::Arc;
use uuid::{Uuid, uuid};

pub const MIB: usize = 1 << 20;
pub const HEADERS: [usize; 2] = [0x10000, 0x20000];
pub const REGION_TABLES: [usize; 2] = [0x30000, 0x40000];
pub const LOG: usize = MIB;
pub const METADATA: usize = 2 * MIB;
pub const BAT: usize = 3 * MIB;
pub const FIRST_BLOCK: usize = 4 * MIB;
pub const LOG_GUID: Uuid = uuid!("11111111-2222-3333-4444-555555555555");
pub const DATA_WRITE: Uuid = uuid!("aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee");
const BAT_REGION: Uuid = uuid!("2DC27766-F623-4200-9D64-115E9BFD4A08");
const METADATA_REGION: Uuid = uuid!("8B7CA206-4790-4B9A-B8FE-575F050F886E");
const LOCATOR_TYPE: Uuid = uuid!("B04AEFB7-D19E-4A81-B789-25B8E9445913");
const ITEMS: [Uuid; 6] = [
    uuid!("CAA16737-FA36-4D43-B3B6-33F0AA44E76B"),
    uuid!("2FA54224-CD1B-4876-B211-5DBED83BF4B8"),
    uuid!("BECA12AB-B2E6-4523-93EF-C309E000C746"),
    uuid!("8141BF1D-A96F-4709-BA47-F233A8FAAB5F"),
    uuid!("CDA348C7-445D-4471-9CC9-E9885251C556"),
    uuid!("A8D35F2D-B30B-454D-ABF7-D3D84834AB0C"),
];

/// Where metadata item `index` of `ITEMS` lies.
pub const fn item_at(index: usize) -> usize {
    METADATA + 0x10000 + index * 0x1000
}

/// Where its table entry lies.
pub const fn item_entry_at(index: usize) -> usize {
    METADATA + 32 + index * 32
}

#[derive(Clone)]
pub struct Maker {
    pub bytes: Vec<u8>,
}

impl Maker {
    /// An image without blocks; the BAT has room for 131072 entries.
    pub fn new(virtual_size: u64, block_size: u32, sector: u32) -> Self {
        let mut maker = Self { bytes: vec![0; FIRST_BLOCK] };
        maker.put(0, b"vhdxfile");
        for (sequence, at) in (1u64..).zip(HEADERS) {
            maker.put(at, b"head");
            maker.put(at + 8, &sequence.to_le_bytes());
            maker.put(at + 32, &DATA_WRITE.to_bytes_le());
            maker.put(at + 66, &[1, 0]);
            maker.put(at + 68, &(MIB as u32).to_le_bytes());
            maker.put(at + 72, &(LOG as u64).to_le_bytes());
        }
        for at in REGION_TABLES {
            maker.put(at, b"regi");
            maker.put(at + 8, &[2]);
            for (index, (guid, offset)) in [(BAT_REGION, BAT), (METADATA_REGION, METADATA)].iter().enumerate()
            {
                let entry = at + 16 + index * 32;
                maker.put(entry, &guid.to_bytes_le());
                maker.put(entry + 16, &(*offset as u64).to_le_bytes());
                maker.put(entry + 24, &(MIB as u32).to_le_bytes());
                maker.put(entry + 28, &[1]);
            }
        }
        maker.put(METADATA, b"metadata");
        maker.put(METADATA + 10, &[5]);
        let mut parameters = block_size.to_le_bytes().to_vec();
        parameters.extend([0; 4]);
        let values: [&[u8]; 5] = [
            &parameters,
            &virtual_size.to_le_bytes(),
            &[7; 16],
            &sector.to_le_bytes(),
            &4096u32.to_le_bytes(),
        ];
        for (index, value) in values.iter().enumerate() {
            maker.item(index, value);
        }
        maker.seal();
        maker
    }

    fn item(&mut self, index: usize, value: &[u8]) {
        let entry = item_entry_at(index);
        self.put(entry, &ITEMS[index].to_bytes_le());
        self.put(entry + 16, &((item_at(index) - METADATA) as u32).to_le_bytes());
        self.put(entry + 20, &(value.len() as u32).to_le_bytes());
        self.put(entry + 24, &[4]);
        self.put(item_at(index), value);
    }

    /// Makes it a differencing image.
    pub fn with_parent(mut self, pairs: &[(&str, &str)]) -> Self {
        let mut locator = LOCATOR_TYPE.to_bytes_le().to_vec();
        locator.extend([0, 0, pairs.len() as u8, 0]);
        let mut texts: Vec<u8> = Vec::new();
        for (key, value) in pairs {
            let start = 20 + pairs.len() * 12 + texts.len();
            let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
            let (key, value) = (utf16(key), utf16(value));
            locator.extend((start as u32).to_le_bytes());
            locator.extend(((start + key.len()) as u32).to_le_bytes());
            locator.extend((key.len() as u16).to_le_bytes());
            locator.extend((value.len() as u16).to_le_bytes());
            texts.extend(key);
            texts.extend(value);
        }
        locator.extend(texts);
        self.item(5, &locator);
        self.put(METADATA + 10, &[6]);
        self.put(item_at(0) + 4, &[2]);
        self
    }

    pub fn put(&mut self, at: usize, bytes: &[u8]) {
        if self.bytes.len() < at + bytes.len() {
            self.bytes.resize(at + bytes.len(), 0);
        }
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// Sets BAT entry `index`.
    pub fn entry(&mut self, index: usize, state: u64, offset: usize) {
        self.put(BAT + index * 8, &(state | offset as u64).to_le_bytes());
    }

    /// Appends whole MiB at the end of the file and says where.
    pub fn append(&mut self, bytes: &[u8]) -> usize {
        let at = self.bytes.len().next_multiple_of(MIB);
        self.bytes.resize(at + bytes.len().next_multiple_of(MIB), 0);
        self.put(at, bytes);
        at
    }

    /// Says that the log is in use.
    pub fn open_log(&mut self) {
        for at in HEADERS {
            self.put(at + 48, &LOG_GUID.to_bytes_le());
        }
        self.seal();
    }

    /// Puts a log entry at a byte of the log, around its end if need be.
    pub fn put_log(&mut self, at: usize, entry: &[u8]) {
        for (index, sector) in entry.chunks(4096).enumerate() {
            self.put(LOG + (at + index * 4096) % MIB, sector);
        }
    }

    /// Makes all checksums right again.
    pub fn seal(&mut self) {
        for (at, len) in HEADERS.map(|at| (at, 4096)).into_iter().chain(REGION_TABLES.map(|at| (at, 0x10000)))
        {
            self.put(at + 4, &[0; 4]);
            let sum = crc32c::crc32c(&self.bytes[at..at + len]);
            self.put(at + 4, &sum.to_le_bytes());
        }
    }

    pub fn open(&self) -> Result<Box<dyn Layer>> {
        open(Arc::new(MemStorage(self.bytes.clone())))
    }

    pub fn open_error(&self) -> Error {
        self.open().err().expect("it should be refused")
    }
}

pub fn open(storage: Arc<dyn Storage>) -> Result<Box<dyn Layer>> {
    FORMAT.open_layer.unwrap()(storage, &LayerContext::new(Arc::new(DenyAll)))
}

/// All bytes of a layer without its parent.
pub fn content(layer: Box<dyn Layer>) -> Vec<u8> {
    let disk = Disk::new(vec![layer.into()]).unwrap();
    let mut bytes = vec![0xee; disk.virtual_size() as usize];
    disk.read_exact_at(0, &mut bytes).unwrap();
    bytes
}

/// One log descriptor.
pub enum Change<'a> {
    Data(u64, &'a [u8; 4096]),
    Zero(u64, u64),
}

/// The bytes of a log entry; offsets of the tail and of the file are bytes.
pub fn log_entry(sequence: u64, tail: u32, flushed: u64, last: u64, changes: &[Change<'_>]) -> Vec<u8> {
    let mut head = b"loge\0\0\0\0\0\0\0\0".to_vec();
    head.extend(tail.to_le_bytes());
    head.extend(sequence.to_le_bytes());
    head.extend((changes.len() as u32).to_le_bytes());
    head.extend([0; 4]);
    head.extend(LOG_GUID.to_bytes_le());
    head.extend(flushed.to_le_bytes());
    head.extend(last.to_le_bytes());
    let mut sectors = Vec::new();
    for change in changes {
        match change {
            Change::Data(offset, bytes) => {
                head.extend(b"desc");
                head.extend(&bytes[4092..]);
                head.extend(&bytes[..8]);
                head.extend(offset.to_le_bytes());
                sectors.extend(b"data");
                sectors.extend(((sequence >> 32) as u32).to_le_bytes());
                sectors.extend(&bytes[8..4092]);
                sectors.extend((sequence as u32).to_le_bytes());
            }
            Change::Zero(offset, length) => {
                head.extend(b"zero\0\0\0\0");
                head.extend(length.to_le_bytes());
                head.extend(offset.to_le_bytes());
            }
        }
        head.extend(sequence.to_le_bytes());
    }
    head.resize(head.len().next_multiple_of(4096), 0);
    head.extend(sectors);
    let length = head.len() as u32;
    head[8..12].copy_from_slice(&length.to_le_bytes());
    sealed_entry(head)
}

/// The same entry with its checksum made right.
pub fn sealed_entry(mut entry: Vec<u8>) -> Vec<u8> {
    entry[4..8].fill(0);
    let sum = crc32c::crc32c(&entry).to_le_bytes();
    entry[4..8].copy_from_slice(&sum);
    entry
}
