//! One disk of an indexed file as a layer.

use crate::index::Index;
use format_core::{
    Details, Extent, ExtentKind, HostRange, Layer, Result, Run, Storage, check_guest_range, read_runs,
};
use std::sync::Arc;

/// Blocks of an export.
const BLOCK: u64 = 1 << 20;
/// What a disk begins with, as far as file systems have their marks there.
const HEAD: u64 = 68 << 10;
/// Marks of file systems that Linux guests have, by their places.
const MARKS: [(usize, &[u8]); 6] = [
    (0x438, &[0x53, 0xef]),
    (0, b"XFSB"),
    (0x1_0040, b"_BHRfS_M"),
    (0x1_0034, b"ReIsEr2Fs"),
    (0x1_0034, b"ReIsErFs"),
    (0x8000, b"JFS1"),
];

pub(crate) struct VdiLayer {
    storage: Arc<dyn Storage>,
    index: Arc<Index>,
    /// Index in the export.
    disk: usize,
    size: u64,
    is_bare: bool,
}

impl VdiLayer {
    pub(crate) fn new(storage: Arc<dyn Storage>, index: Arc<Index>, disk: usize) -> Result<Self> {
        let size = index.ova.disks.get(disk).map_or(0, |vdi| vdi.size);
        let mut layer = Self { storage, index, disk, size, is_bare: false };
        let mut head = vec![0; size.min(HEAD) as usize];
        layer.read_exact_at(0, &mut head)?;
        layer.is_bare =
            MARKS.iter().any(|(at, mark)| head.get(*at..).is_some_and(|rest| rest.starts_with(mark)));
        Ok(layer)
    }

    fn run_at(&self, offset: u64, whole: bool) -> Run {
        let none = Run { kind: ExtentKind::Zero, len: self.size - offset, host: 0 };
        self.index.places.get(self.disk).map_or(none, |places| places.run_at(offset, self.size, whole))
    }

    fn check_range(&self, offset: u64, len: u64) -> Result<()> {
        check_guest_range(self.size, offset, len).map_err(|e| e.in_format(crate::FORMAT.name))
    }
}

impl Layer for VdiLayer {
    fn format(&self) -> &'static str {
        crate::FORMAT.name
    }

    fn virtual_size(&self) -> u64 {
        self.size
    }

    fn chunk_size(&self) -> u64 {
        BLOCK
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        self.check_range(offset, 1)?;
        let run = self.run_at(offset, true);
        Ok(Extent { offset, len: run.len, kind: run.kind })
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.check_range(offset, buf.len() as u64)?;
        read_runs(self.storage.as_ref(), offset, buf, |at| Ok(self.run_at(at, false)))
    }

    fn host_range(&self, offset: u64) -> Option<HostRange> {
        self.check_range(offset, 1).ok()?;
        let run = self.run_at(offset, false);
        let storage = Arc::clone(&self.storage);
        (run.kind == ExtentKind::Data).then_some(HostRange { storage, offset: run.host, len: run.len })
    }

    fn details(&self) -> Details {
        let mut details = Details::new();
        if let Some(vdi) = self.index.ova.disks.get(self.disk) {
            details.insert("reference".into(), vdi.reference.clone().into());
            details.insert("label".into(), vdi.label.clone().into());
        }
        if self.is_bare {
            details.insert("partitionless".into(), true.into());
        }
        details
    }
}
