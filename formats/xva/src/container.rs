//! An XVA file as a container: the disks of a machine, and its description.

use crate::index::{Index, build};
use crate::ova::Ova;
use crate::read::VdiLayer;
use crate::tape::FileTape;
use crate::tar::OVA;
use crate::verify;
use crate::walk::{SumKind, Walk};
use format_core::{
    CheckReport, Container, Details, Disk, DiskEntry, Error, InnerImage, LayerContext, MachineFile, Origin,
    Result, SourceProof, Storage, Tick, Warning,
};
use std::sync::Arc;

struct XvaContainer {
    storage: Arc<dyn Storage>,
    index: Arc<Index>,
    /// Disks of the export, the boot disk first.
    chosen: Vec<usize>,
    disks: Vec<DiskEntry>,
    warnings: Vec<Warning>,
}

pub(crate) fn open(origin: Origin, context: &LayerContext) -> Result<Box<dyn Container>> {
    let Origin::File(storage) = origin else {
        return Err(Error::usage("an XVA export is a file, not a folder").in_format(crate::FORMAT.name));
    };
    let named = |e: Error| e.in_format(crate::FORMAT.name).context("index the export");
    let index = build(Arc::clone(&storage)).map_err(named)?;
    let has_data = |disk: usize| index.has_data.get(disk) == Some(&true);
    let wanted = context.access.pick.as_deref();
    let chosen = index.ova.chosen(wanted, has_data);
    index.ova.judge(&chosen, wanted)?;
    let mut warnings = index.warnings.clone();
    warnings.extend(index.ova.warning(&chosen, has_data));
    let disks = entries(&index.ova, &chosen, wanted);
    Ok(Box::new(XvaContainer { storage, index: Arc::new(index), chosen, disks, warnings }))
}

/// The disks as the operator picks them.
pub(crate) fn entries(ova: &Ova, chosen: &[usize], wanted: Option<&str>) -> Vec<DiskEntry> {
    let entry = |disk: &usize| DiskEntry {
        name: ova.name(*disk, wanted),
        virtual_size: ova.disks.get(*disk).map(|vdi| vdi.size),
    };
    chosen.iter().map(entry).collect()
}

impl XvaContainer {
    fn disk(&self, index: usize) -> Result<usize> {
        let missing = || Error::usage(format!("disk {index} of {}", self.chosen.len()));
        self.chosen.get(index).copied().ok_or_else(missing)
    }
}

impl Container for XvaContainer {
    fn format(&self) -> &'static str {
        crate::FORMAT.name
    }

    fn disks(&self) -> &[DiskEntry] {
        &self.disks
    }

    fn open_disk(&self, index: usize) -> Result<InnerImage> {
        let disk = self.disk(index)?;
        let layer = VdiLayer::new(Arc::clone(&self.storage), Arc::clone(&self.index), disk)?;
        Ok(InnerImage::plain(Disk::new(vec![Arc::new(layer)])?))
    }

    fn machine_files(&self) -> Result<Vec<MachineFile>> {
        Ok(vec![MachineFile { name: OVA.to_owned(), bytes: self.index.text.clone() }])
    }

    fn details(&self) -> Details {
        let mut details = Details::new();
        let sums = match self.index.sums {
            Some(SumKind::Sha1) => "SHA-1 of each block",
            Some(SumKind::Xxh64) => "XXH64 of each block",
            None if self.index.ova.has_inline_sums => "none",
            None => "SHA-1 of each block, in a table",
        };
        details.insert("checksums".into(), sums.into());
        let labels = self.chosen.iter().filter_map(|disk| self.index.ova.disks.get(*disk));
        let labels: Vec<_> = labels.map(|vdi| format!("{}: {}", vdi.reference, vdi.label)).collect();
        details.insert("disk-labels".into(), labels.into());
        details
    }

    fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    fn check(&self, tick: Tick<'_>) -> Result<CheckReport> {
        let mut report = CheckReport {
            total_chunks: self.index.ova.disks.iter().map(|vdi| vdi.size.div_ceil(1 << 20)).sum(),
            allocated_chunks: self.index.blocks,
            image_end: self.storage.size(),
            ..CheckReport::default()
        };
        let mut walk = Walk::new(FileTape::new(Arc::clone(&self.storage)))?;
        verify::run(&mut walk, None, tick, &mut |error, at| {
            report.error(error.to_string(), Some(at));
            Ok(())
        })?;
        Ok(report)
    }

    fn proof(&self, index: usize) -> Option<SourceProof> {
        let disk = self.disk(index).ok()?;
        let storage = Arc::clone(&self.storage);
        Some(Box::new(move |tick| verify::prove(FileTape::new(storage), disk, tick)))
    }
}
