//! Builds backups by the specification, and reads them.

use format_core::{
    Access, ChunkStream, Container, DenyAll, ErrorKind, LayerContext, MemStorage, Origin, Result,
};
use format_vma::FORMAT;
use md5::{Digest, Md5};
use std::io::Cursor;
use std::sync::Arc;

pub const CLUSTER: usize = 65536;
pub const BLOCK: usize = 4096;
pub const HEADER: usize = 12288;
pub const UUID: [u8; 16] = *b"a uuid of a test";

/// A backup with devices 1, 2 … and one configuration file.
#[derive(Clone, Debug)]
pub struct Plan {
    pub devices: Vec<(&'static str, Vec<u8>)>,
    pub config: &'static str,
    /// Device (from 1) and cluster in the order of the file; all in order when empty.
    pub order: Vec<(u8, u32)>,
    /// Clusters of an extent.
    pub slots: usize,
}

/// Bytes that differ from block to block; every third block is zeros, clusters 3, 4 and 5 are all zeros.
pub fn content(size: usize, seed: u8) -> Vec<u8> {
    let mut bytes = vec![0; size];
    for (number, block) in bytes.chunks_mut(BLOCK).enumerate() {
        if number % 3 != 1 && !(3..6).contains(&(number / 16)) {
            block.fill((number as u8).wrapping_mul(31).wrapping_add(seed) | 1);
        }
    }
    bytes
}

impl Plan {
    /// Two disks, one of them with an end inside of a block.
    pub fn sample() -> Self {
        Self {
            devices: vec![
                ("drive-scsi0", content(9 * CLUSTER, 3)),
                ("drive-scsi1", content(7 * CLUSTER + 5 * BLOCK + 1536, 99)),
            ],
            config: "boot: order=scsi1;net0\nname: guest\n",
            order: Vec::new(),
            slots: 5,
        }
    }

    /// All clusters, one device after the other.
    pub fn in_order(&self) -> Vec<(u8, u32)> {
        let clusters = |size: usize| 0..size.div_ceil(CLUSTER) as u32;
        let devices = self.devices.iter().zip(1..);
        devices.flat_map(|((_, bytes), device)| clusters(bytes.len()).map(move |c| (device, c))).collect()
    }

    pub fn build(&self) -> Vec<u8> {
        let mut file = self.header();
        let order = if self.order.is_empty() { self.in_order() } else { self.order.clone() };
        for slots in order.chunks(self.slots) {
            file.extend(self.extent(slots));
        }
        file
    }

    fn header(&self) -> Vec<u8> {
        let mut header = vec![0; HEADER];
        let mut blobs = vec![0];
        let mut blob = |bytes: &[u8]| {
            let at = blobs.len() as u32;
            blobs.extend((bytes.len() as u16).to_le_bytes());
            blobs.extend(bytes);
            at.to_be_bytes()
        };
        header[..4].copy_from_slice(b"VMA\0");
        header[4..8].copy_from_slice(&1_u32.to_be_bytes());
        header[8..24].copy_from_slice(&UUID);
        header[24..32].copy_from_slice(&1_700_000_000_u64.to_be_bytes());
        header[2044..2048].copy_from_slice(&blob(b"qemu-server.conf\0"));
        header[3068..3072].copy_from_slice(&blob(self.config.as_bytes()));
        for ((name, bytes), device) in self.devices.iter().zip(1..) {
            let at = 4096 + device * 32;
            header[at..at + 4].copy_from_slice(&blob(format!("{name}\0").as_bytes()));
            header[at + 8..at + 16].copy_from_slice(&(bytes.len() as u64).to_be_bytes());
        }
        header[48..52].copy_from_slice(&(HEADER as u32).to_be_bytes());
        header[52..56].copy_from_slice(&(blobs.len() as u32).to_be_bytes());
        header.extend(blobs);
        header.resize(header.len().next_multiple_of(512), 0);
        let len = header.len() as u32;
        header[56..60].copy_from_slice(&len.to_be_bytes());
        seal(&mut header, 32);
        header
    }

    fn extent(&self, slots: &[(u8, u32)]) -> Vec<u8> {
        let mut head = vec![0; 512];
        let mut blocks = Vec::new();
        for (slot, (device, cluster)) in slots.iter().enumerate() {
            let bytes = &self.devices[usize::from(*device) - 1].1;
            let mut mask = 0_u64;
            let from = (*cluster as usize * CLUSTER).min(bytes.len());
            for (number, block) in bytes[from..].chunks(BLOCK).take(16).enumerate() {
                if block.iter().any(|byte| *byte != 0) {
                    mask |= 1 << number;
                    blocks.extend(block);
                    blocks.resize(blocks.len().next_multiple_of(BLOCK), 0xee);
                }
            }
            let word = mask << 48 | u64::from(*device) << 32 | u64::from(*cluster);
            head[40 + slot * 8..48 + slot * 8].copy_from_slice(&word.to_be_bytes());
        }
        head[..4].copy_from_slice(b"VMAE");
        head[6..8].copy_from_slice(&((blocks.len() / BLOCK) as u16).to_be_bytes());
        head[8..24].copy_from_slice(&UUID);
        seal(&mut head, 24);
        head.extend(blocks);
        head
    }
}

/// Puts the MD5 of `bytes` at `at`.
pub fn seal(bytes: &mut [u8], at: usize) {
    bytes[at..at + 16].fill(0);
    let digest = Md5::digest(&*bytes);
    bytes[at..at + 16].copy_from_slice(&digest);
}

/// Where the header of `file` ends.
pub fn header_end(file: &[u8]) -> usize {
    u32::from_be_bytes(file[56..60].try_into().unwrap()) as usize
}

/// Seals the header and the first extent again.
pub fn reseal(file: &mut [u8]) {
    let end = header_end(file).min(file.len());
    seal(&mut file[..end], 32);
    if let Some(head) = file.get_mut(end..end + 512) {
        seal(head, 24);
    }
}

pub fn context(pick: Option<&str>) -> LayerContext {
    let mut context = LayerContext::new(Arc::new(DenyAll));
    context.access = Access { pick: pick.map(str::to_owned), ..Access::default() };
    context
}

pub fn open(file: &[u8]) -> Result<Box<dyn Container>> {
    (FORMAT.open_container.unwrap())(Origin::File(Arc::new(MemStorage(file.to_vec()))), &context(None))
}

pub fn read(container: &dyn Container, index: usize) -> Result<Vec<u8>> {
    let disk = container.open_disk(index)?.disk;
    let mut bytes = vec![0xa5; disk.virtual_size() as usize];
    disk.read_exact_at(0, &mut bytes)?;
    // Extents say the same.
    for extent in disk.extents(0, disk.virtual_size()) {
        let extent = extent?;
        let part = &bytes[extent.offset as usize..extent.end() as usize];
        assert!(
            extent.kind == format_core::ExtentKind::Data || part.iter().all(|byte| *byte == 0),
            "{extent:?}"
        );
    }
    Ok(bytes)
}

pub fn flow(file: &[u8], pick: Option<&str>) -> Result<Vec<u8>> {
    drain((FORMAT.open_stream.unwrap())(Box::new(Cursor::new(file.to_vec())), &context(pick))?)
}

pub fn drain(mut stream: Box<dyn ChunkStream>) -> Result<Vec<u8>> {
    let (mut bytes, mut end) = (Vec::new(), 0);
    while let Some(chunk) = stream.next_chunk()? {
        assert!(
            chunk.offset >= end
                && !chunk.data.is_empty()
                && chunk.data.len() as u64 <= format_core::MAX_CHUNK
        );
        end = chunk.offset + chunk.data.len() as u64;
        bytes.resize(chunk.offset as usize, 0);
        bytes.extend(chunk.data);
    }
    assert!(stream.next_chunk()?.is_none());
    bytes.resize(stream.virtual_size() as usize, 0);
    Ok(bytes)
}

/// Both readers refuse `file` with `kind` and a message that has `part`.
pub fn refused(file: &[u8], kind: ErrorKind, part: &str) {
    let one = open(file).err().map(|e| (e.kind(), e.to_string())).expect("it opens");
    let other = flow(file, Some("drive-scsi0")).err().map(|e| (e.kind(), e.to_string())).expect("it flows");
    assert!(one.0 == kind && one.1.contains(part), "{one:?}, not {part}");
    assert!(other.0 == kind && other.1.contains(part), "stream: {other:?}, not {part}");
}
