//! Images built by hand, and ways to read them.

use format_core::{CheckReport, DenyAll, Disk, Layer, LayerContext, MemStorage, Result, Storage};
use format_qed::FORMAT;
use std::sync::Arc;

pub const CLUSTER: usize = 4096;
pub const L1: usize = CLUSTER;
/// Entries of a table.
pub const ENTRIES: usize = 1024;

/// An image with clusters of 4 KiB and tables of two: QEMU opens none with tables of one.
#[derive(Clone)]
pub struct Maker {
    pub bytes: Vec<u8>,
}

impl Maker {
    pub fn new(size: u64) -> Self {
        let mut maker = Self { bytes: vec![0; 3 * CLUSTER] };
        maker.put(0, b"QED\0");
        maker.u32(4, CLUSTER as u32).u32(8, 2).u32(12, 1).u64(40, L1 as u64).u64(48, size);
        maker
    }

    pub fn put(&mut self, at: usize, bytes: &[u8]) -> &mut Self {
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }

    pub fn u32(&mut self, at: usize, value: u32) -> &mut Self {
        self.put(at, &value.to_le_bytes())
    }

    pub fn u64(&mut self, at: usize, value: u64) -> &mut Self {
        self.put(at, &value.to_le_bytes())
    }

    pub fn number(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.bytes[at..at + 8].try_into().unwrap())
    }

    pub fn backing(&mut self, name: &[u8]) -> &mut Self {
        let features = self.number(16);
        self.u64(16, features | 1).u32(56, 0x100).u32(60, name.len() as u32).put(0x100, name)
    }

    /// A new cluster at the end of the file.
    pub fn append(&mut self, bytes: &[u8]) -> u64 {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        self.bytes.resize(at + CLUSTER, 0);
        at as u64
    }

    /// Sets the L2 entry of a guest cluster, with a new table where there is none yet; gives the entry's place.
    pub fn entry(&mut self, cluster: usize, value: u64) -> usize {
        let (l1, l2) = (L1 + cluster / ENTRIES * 8, cluster % ENTRIES * 8);
        if self.number(l1) == 0 {
            let table = self.append(&[]);
            self.append(&[]);
            self.u64(l1, table);
        }
        let place = self.number(l1) as usize + l2;
        self.u64(place, value);
        place
    }

    /// Where the entry of a guest cluster lies whose table is there.
    pub fn entry_place(&self, cluster: usize) -> usize {
        self.number(L1 + cluster / ENTRIES * 8) as usize + cluster % ENTRIES * 8
    }

    pub fn data(&mut self, cluster: usize, bytes: &[u8]) -> usize {
        let host = self.append(bytes);
        self.entry(cluster, host)
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
