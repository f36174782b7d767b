//! Images built by hand, and ways to read them.

use flate2::{Compress, Compression, FlushCompress};
use format_core::{CheckReport, DenyAll, Disk, Key, Layer, LayerContext, MemStorage, Result, Storage};
use format_qcow1::FORMAT;
use std::sync::Arc;

pub const CLUSTER: usize = 512;
/// Entries of an L2 table, which has the size of a cluster.
pub const ENTRIES: usize = 64;
pub const L1: usize = 512;
pub const COMPRESSED: u64 = 1 << 63;

/// An image with clusters of 512 bytes, at most 64 L2 tables, and its L1 table in the second sector.
#[derive(Clone)]
pub struct Maker {
    pub bytes: Vec<u8>,
}

impl Maker {
    pub fn new(size: u64) -> Self {
        let mut maker = Self { bytes: vec![0; 1024] };
        maker.put(0, b"QFI\xfb\0\0\0\x01").u64(24, size).put(32, &[9, 6]).u64(40, L1 as u64);
        maker
    }

    pub fn put(&mut self, at: usize, bytes: &[u8]) -> &mut Self {
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }

    pub fn u32(&mut self, at: usize, value: u32) -> &mut Self {
        self.put(at, &value.to_be_bytes())
    }

    pub fn u64(&mut self, at: usize, value: u64) -> &mut Self {
        self.put(at, &value.to_be_bytes())
    }

    pub fn number(&self, at: usize) -> u64 {
        u64::from_be_bytes(self.bytes[at..at + 8].try_into().unwrap())
    }

    pub fn backing(&mut self, name: &[u8]) -> &mut Self {
        self.u64(8, 0x80).u32(16, name.len() as u32).put(0x80, name)
    }

    /// A new cluster at the end of the file.
    pub fn append(&mut self, bytes: &[u8]) -> u64 {
        let at = self.bytes.len().next_multiple_of(CLUSTER);
        self.bytes.resize(at, 0);
        self.bytes.extend_from_slice(bytes);
        self.bytes.resize(at + CLUSTER, 0);
        at as u64
    }

    /// Sets the L2 entry of a guest cluster, with a new table where there is none yet; gives the entry's place.
    pub fn entry(&mut self, cluster: usize, value: u64) -> usize {
        let (l1, l2) = (L1 + cluster / ENTRIES * 8, cluster % ENTRIES * 8);
        if self.number(l1) == 0 {
            let table = self.append(&[]);
            self.u64(l1, table);
        }
        let place = self.number(l1) as usize + l2;
        self.u64(place, value);
        place
    }

    pub fn data(&mut self, cluster: usize, bytes: &[u8]) -> usize {
        let host = self.append(bytes);
        self.entry(cluster, host)
    }

    /// Packs a cluster at the very end of the file, wherever that is.
    pub fn compressed(&mut self, cluster: usize, bytes: &[u8]) -> usize {
        let mut packed = Vec::with_capacity(CLUSTER);
        let mut deflate = Compress::new_with_window_bits(Compression::new(6), false, 12);
        deflate.compress_vec(bytes, &mut packed, FlushCompress::Finish).unwrap();
        assert!(packed.len() < CLUSTER, "the cluster does not shrink");
        // A table for the entry has to be there before.
        self.entry(cluster, 0);
        let host = self.bytes.len() as u64;
        self.bytes.extend_from_slice(&packed);
        self.entry(cluster, COMPRESSED | (packed.len() as u64) << (63 - 9) | host)
    }

    pub fn read(&self) -> Result<Vec<u8>> {
        read_all(&disk(Arc::new(MemStorage(self.bytes.clone())))?)
    }

    pub fn check(&self) -> Result<CheckReport> {
        check(Arc::new(MemStorage(self.bytes.clone())))
    }
}

pub fn open(storage: Arc<dyn Storage>) -> Result<Arc<dyn Layer>> {
    Ok(FORMAT.open_layer.unwrap()(storage, &LayerContext::new(Arc::new(DenyAll)))?.into())
}

pub fn open_with(storage: Arc<dyn Storage>, key: &[u8]) -> Result<Arc<dyn Layer>> {
    let mut context = LayerContext::new(Arc::new(DenyAll));
    context.access.key = Some(Key::new(key.to_vec()));
    Ok(FORMAT.open_layer.unwrap()(storage, &context)?.into())
}

pub fn disk(storage: Arc<dyn Storage>) -> Result<Disk> {
    Disk::new(vec![open(storage)?])
}

pub fn check(storage: Arc<dyn Storage>) -> Result<CheckReport> {
    FORMAT.check.unwrap()(storage, &LayerContext::new(Arc::new(DenyAll)))
}

pub fn read_all(disk: &Disk) -> Result<Vec<u8>> {
    // Not zeros: a reader that leaves a part alone must be noticed.
    let mut bytes = vec![0xee; disk.virtual_size() as usize];
    disk.read_exact_at(0, &mut bytes)?;
    Ok(bytes)
}
