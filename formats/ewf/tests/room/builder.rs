//! EWF images put together by hand, from the description of the format.

use format_core::{
    CheckReport, Container, DenyAll, Layer, LayerContext, MemStorage, Origin, Result, SourceFolder,
};
use format_ewf::FORMAT;
use std::sync::Arc;

pub fn adler(bytes: &[u8]) -> [u8; 4] {
    libdeflater_adler(bytes).to_le_bytes()
}

/// As RFC 1950 has it, and not as the program does it.
fn libdeflater_adler(bytes: &[u8]) -> u32 {
    let (mut a, mut b) = (1u32, 0u32);
    for byte in bytes {
        a = (a + u32::from(*byte)) % 65_521;
        b = (b + a) % 65_521;
    }
    b << 16 | a
}

/// A zlib stream of stored blocks.
fn stored(bytes: &[u8]) -> Vec<u8> {
    let mut packed = vec![0x78, 0x01];
    let mut pieces = bytes.chunks(0xffff).peekable();
    while let Some(piece) = pieces.next() {
        packed.push(u8::from(pieces.peek().is_none()));
        packed.extend((piece.len() as u16).to_le_bytes());
        packed.extend((!(piece.len() as u16)).to_le_bytes());
        packed.extend(piece);
    }
    packed.extend(libdeflater_adler(bytes).to_be_bytes());
    packed
}

/// An image to be.
#[derive(Clone, Debug)]
pub struct Plan {
    pub data: Vec<u8>,
    pub sectors_per_chunk: u32,
    /// Chunks of a segment.
    pub split: usize,
    /// The form of ASR Data: chunks in the table's section, no checksum of entries.
    pub is_short: bool,
    /// What entries count from.
    pub base: u64,
    pub with_second_table: bool,
    pub set: [u8; 16],
    /// Sections before the last one.
    pub extra: Vec<(&'static str, Vec<u8>)>,
}

impl Plan {
    /// Eleven chunks of 1 KiB, the last of 512 bytes, every third one compressed, in one segment.
    pub fn sample() -> Self {
        Self {
            data: (0..10 * 1024 + 512u32).map(|at| (at * 7 + at / 256) as u8).collect(),
            sectors_per_chunk: 2,
            split: usize::MAX,
            is_short: false,
            base: 0,
            with_second_table: true,
            set: [7; 16],
            extra: Vec::new(),
        }
    }

    pub fn short() -> Self {
        Self { is_short: true, with_second_table: false, ..Self::sample() }
    }

    fn chunk_size(&self) -> usize {
        self.sectors_per_chunk as usize * 512
    }

    pub fn volume(&self) -> Vec<u8> {
        let mut bytes = vec![0; if self.is_short { 94 } else { 1052 }];
        bytes[0] = 1;
        bytes[4..8].copy_from_slice(&(self.data.len().div_ceil(self.chunk_size()) as u32).to_le_bytes());
        bytes[8..12].copy_from_slice(&self.sectors_per_chunk.to_le_bytes());
        bytes[12..16].copy_from_slice(&512u32.to_le_bytes());
        bytes[16..20].copy_from_slice(&(self.data.len() as u32 / 512).to_le_bytes());
        if !self.is_short {
            bytes[64..80].copy_from_slice(&self.set);
        }
        seal(&mut bytes);
        bytes
    }

    /// The bytes of each segment.
    pub fn build(&self) -> Vec<Vec<u8>> {
        let chunks: Vec<_> = self.data.chunks(self.chunk_size()).enumerate().collect();
        let groups: Vec<_> = chunks.chunks(self.split.min(chunks.len().max(1))).collect();
        let mut segments = Vec::new();
        for (number, group) in groups.iter().enumerate() {
            let mut bytes = b"EVF\t\r\n\xff\0\x01".to_vec();
            bytes.extend((number as u16 + 1).to_le_bytes());
            bytes.extend([0, 0]);
            if number == 0 {
                section(&mut bytes, "volume", &self.volume());
            } else if !self.is_short {
                section(&mut bytes, "data", &self.volume());
            }
            self.chunks(&mut bytes, group);
            let is_last = number + 1 == groups.len();
            if is_last {
                for (kind, data) in &self.extra {
                    section(&mut bytes, kind, data);
                }
            }
            let end = bytes.len() as u64;
            bytes.extend(descriptor(if is_last { "done" } else { "next" }, end, 0));
            segments.push(bytes);
        }
        segments
    }

    fn chunks(&self, bytes: &mut Vec<u8>, group: &[(usize, &[u8])]) {
        let header = if self.is_short { 76 + 24 + 4 * group.len() } else { 76 };
        let (mut body, mut entries) = (Vec::new(), Vec::new());
        for (number, chunk) in group {
            let at = (bytes.len() + header + body.len()) as u64 - self.base;
            let is_packed = self.is_short || number % 3 == 0;
            entries.extend((at as u32 | u32::from(is_packed) << 31).to_le_bytes());
            if is_packed {
                body.extend(stored(chunk));
            } else {
                body.extend(*chunk);
                body.extend(adler(chunk));
            }
        }
        let mut table = vec![0; 24];
        table[..4].copy_from_slice(&(group.len() as u32).to_le_bytes());
        table[8..16].copy_from_slice(&self.base.to_le_bytes());
        seal(&mut table);
        table.extend(&entries);
        if self.is_short {
            table.extend(body);
            section(bytes, "table", &table);
            return;
        }
        table.extend(adler(&entries));
        section(bytes, "sectors", &body);
        section(bytes, "table", &table);
        if self.with_second_table {
            section(bytes, "table2", &table);
        }
    }

    pub fn one(&self) -> Vec<u8> {
        let [bytes] = <[Vec<u8>; 1]>::try_from(self.build()).unwrap();
        bytes
    }
}

/// Puts the checksum of all other bytes at the end.
pub fn seal(bytes: &mut [u8]) {
    let end = bytes.len() - 4;
    let sum = adler(&bytes[..end]);
    bytes[end..].copy_from_slice(&sum);
}

pub fn descriptor(kind: &str, next: u64, size: u64) -> Vec<u8> {
    let mut bytes = vec![0; 76];
    bytes[..kind.len()].copy_from_slice(kind.as_bytes());
    bytes[16..24].copy_from_slice(&next.to_le_bytes());
    bytes[24..32].copy_from_slice(&size.to_le_bytes());
    seal(&mut bytes);
    bytes
}

pub fn section(bytes: &mut Vec<u8>, kind: &str, data: &[u8]) {
    let size = 76 + data.len() as u64;
    bytes.extend(descriptor(kind, bytes.len() as u64 + size, size));
    bytes.extend(data);
}

/// Where the section `kind` begins in a segment.
pub fn find(bytes: &[u8], kind: &str) -> usize {
    let mut at = 13;
    loop {
        let name = &bytes[at..at + 16];
        if name.starts_with(kind.as_bytes()) && name[kind.len()] == 0 {
            return at;
        }
        let next = u64::from_le_bytes(bytes[at + 16..at + 24].try_into().unwrap()) as usize;
        assert!(next > at, "no section {kind:?}");
        at = next;
    }
}

/// What segment `number` of an image `a.E01` is called.
pub fn name(number: u32) -> String {
    match number.checked_sub(100) {
        None => format!("a.E{number:02}"),
        Some(rest) => {
            let letter = |by: u32| char::from(b'A' + by as u8);
            format!("a.E{}{}", letter(rest / 26), letter(rest % 26))
        }
    }
}

pub fn context() -> LayerContext {
    LayerContext::new(Arc::new(DenyAll))
}

pub fn open(bytes: &[u8]) -> Result<Arc<dyn Layer>> {
    open_with(bytes, &context())
}

pub fn open_with(bytes: &[u8], context: &LayerContext) -> Result<Arc<dyn Layer>> {
    let container =
        FORMAT.open_container.unwrap()(Origin::File(Arc::new(MemStorage(bytes.to_vec()))), context)?;
    Ok(Arc::clone(&container.open_disk(0)?.disk.layers()[0]))
}

pub fn read(bytes: &[u8]) -> Result<Vec<u8>> {
    read_layer(open(bytes)?.as_ref())
}

pub fn read_layer(layer: &dyn Layer) -> Result<Vec<u8>> {
    let mut content = vec![0xaa; layer.virtual_size() as usize];
    layer.read_exact_at(0, &mut content)?;
    Ok(content)
}

pub fn container(bytes: &[u8]) -> Result<Box<dyn Container>> {
    FORMAT.open_container.unwrap()(Origin::File(Arc::new(MemStorage(bytes.to_vec()))), &context())
}

pub fn check(bytes: &[u8]) -> Result<CheckReport> {
    container(bytes)?.check(&|_| Ok(()))
}

/// The first segment with the folder that has the others.
pub fn in_folder(segments: &[Vec<u8>], folder: &std::path::Path) -> Result<Arc<dyn Layer>> {
    for (number, bytes) in (1..).zip(segments) {
        std::fs::write(folder.join(name(number)), bytes).unwrap();
    }
    let folder = Some(Arc::new(SourceFolder::open(folder).unwrap()));
    open_with(&segments[0], &LayerContext { name: Some(name(1)), folder, ..context() })
}
