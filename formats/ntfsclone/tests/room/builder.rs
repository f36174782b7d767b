//! Images made in code, after SPEC.md, so that one thing can be wrong in them.

use format_core::{
    CheckReport, DenyAll, Disk, Layer, LayerContext, MemStorage, Result, StorageReader, StreamChunk,
};
use format_ntfsclone::FORMAT;
use std::sync::Arc;

/// What an image is to be like.
#[derive(Clone, Debug)]
pub struct Plan {
    pub minor: u8,
    pub cluster_size: usize,
    pub map: Vec<bool>,
    /// Bytes of the device behind the last cluster.
    pub behind: usize,
    pub has_tail: bool,
}

/// The image, the partition in it, and where the first command is.
pub struct Built {
    pub bytes: Vec<u8>,
    pub content: Vec<u8>,
}

pub const DATA: usize = 56;

impl Plan {
    pub fn sample() -> Self {
        let map = [1, 1, 0, 1, 0, 0, 0, 1, 1, 1, 1, 0].map(|bit| bit == 1).to_vec();
        Self { minor: 1, cluster_size: 1024, map, behind: 700, has_tail: true }
    }

    pub fn build(&self) -> Built {
        let size = self.cluster_size;
        let mut content = vec![0; self.map.len() * size + self.behind];
        let mut bytes = b"\0ntfsclone-image".to_vec();
        bytes.extend([10, self.minor]);
        bytes.extend((size as u32).to_le_bytes());
        let used = self.map.iter().filter(|used| **used).count();
        for number in [content.len(), self.map.len(), used] {
            bytes.extend((number as u64).to_le_bytes());
        }
        bytes.extend((DATA as u32).to_le_bytes());
        bytes.resize(DATA, 0);
        let places = self.map.iter().copied().chain(self.has_tail.then_some(true));
        let mut gap = 0u64;
        for (number, used) in places.enumerate() {
            if !used {
                gap += 1;
                continue;
            }
            if gap > 0 {
                bytes.push(0);
                bytes.extend(gap.to_le_bytes());
                gap = 0;
            }
            let end = content.len().min((number + 1) * size);
            let cluster = &mut content[number * size..end];
            cluster
                .iter_mut()
                .enumerate()
                .for_each(|(at, byte)| *byte = (number * 29 + at * 3 + at / 200 + 1) as u8);
            bytes.push(1);
            bytes.extend(&*cluster);
        }
        if gap > 0 {
            bytes.push(0);
            bytes.extend(gap.to_le_bytes());
        }
        Built { bytes, content }
    }
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

/// The whole partition in pieces of `piece` bytes.
pub fn read_in(bytes: &[u8], piece: usize) -> Result<Vec<u8>> {
    let disk = Disk::new(vec![open(bytes)?.into()])?;
    let mut content = vec![0xee; disk.virtual_size() as usize];
    for (number, part) in content.chunks_mut(piece).enumerate() {
        disk.read_exact_at((number * piece) as u64, part)?;
    }
    for extent in disk.extents(0, u64::MAX) {
        let extent = extent?;
        let range = extent.offset as usize..extent.end() as usize;
        assert!(extent.kind == format_core::ExtentKind::Data || format_core::is_zero(&content[range]));
    }
    Ok(content)
}

pub fn read(bytes: &[u8]) -> Result<Vec<u8>> {
    read_in(bytes, 3 << 20)
}

/// The whole partition through a pipe, and how many warnings there were.
pub fn stream(bytes: &[u8]) -> Result<(Vec<u8>, usize)> {
    let reader = StorageReader::new(Arc::new(MemStorage(bytes.to_vec())));
    let mut stream = FORMAT.open_stream.unwrap()(Box::new(reader), &context())?;
    let mut content = vec![0; stream.virtual_size().min(1 << 30) as usize];
    let mut last = 0;
    while let Some(StreamChunk { offset, data }) = stream.next_chunk()? {
        assert!(offset >= last && !data.is_empty() && data.len() as u64 <= format_core::MAX_CHUNK);
        last = offset + data.len() as u64;
        content[offset as usize..last as usize].copy_from_slice(&data);
    }
    assert!(stream.next_chunk()?.is_none());
    Ok((content, stream.warnings().len()))
}
