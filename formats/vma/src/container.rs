//! A VMA file as a container: its disks, and the configuration of the machine.

use crate::boot::{Choice, choose};
use crate::index::{Index, build, load, walk};
use crate::layout::{CLUSTER, VM_STATE};
use crate::parse::Header;
use crate::read::DriveLayer;
use format_core::{
    CheckReport, Container, Details, Disk, DiskEntry, Error, InnerImage, LayerContext, MachineFile, Origin,
    Result, Storage, Tick, Warning,
};
use std::sync::Arc;

/// What a check reads at once.
const PIECE: usize = 1 << 20;

struct VmaContainer {
    storage: Arc<dyn Storage>,
    header: Header,
    choice: Choice,
    disks: Vec<DiskEntry>,
    index: Arc<Index>,
    warnings: Vec<Warning>,
    ignore_checksums: bool,
}

pub(crate) fn open(origin: Origin, context: &LayerContext) -> Result<Box<dyn Container>> {
    let Origin::File(storage) = origin else {
        return Err(Error::usage("a VMA backup is a file, not a folder").in_format(crate::FORMAT.name));
    };
    let ignore_checksums = context.access.ignore_checksums;
    let header = load(storage.as_ref(), ignore_checksums)?;
    let named = |e: Error| e.in_format(crate::FORMAT.name).context("index the backup");
    let index = build(storage.as_ref(), &header, ignore_checksums, context.opener.as_ref()).map_err(named)?;
    let choice = choose(&header, &context.access);
    let warnings = warnings(&header, &choice, index.ignored);
    Ok(Box::new(VmaContainer {
        storage,
        disks: entries(&header, &choice),
        index: Arc::new(index),
        choice,
        header,
        warnings,
        ignore_checksums,
    }))
}

/// The disks as the operator picks them.
pub(crate) fn entries(header: &Header, choice: &Choice) -> Vec<DiskEntry> {
    let devices = choice.disks.iter().filter_map(|index| header.devices.get(*index));
    devices.map(|device| DiskEntry { name: device.name.clone(), virtual_size: Some(device.size) }).collect()
}

/// What a person should know about the backup.
pub(crate) fn warnings(header: &Header, choice: &Choice, ignored: u64) -> Vec<Warning> {
    let mut warnings = Vec::new();
    if let Some(wrong) = &header.ignored {
        warnings.push(Warning::new("vma-checksum", format!("{wrong}: ignored")));
    }
    if ignored > 0 {
        let text = format!("the heads of {ignored} extents have wrong MD5 checksums: ignored");
        warnings.push(Warning::new("vma-checksum", text));
    }
    if choice.memory.is_some() {
        let text = format!(
            "the backup also holds the memory of the running machine ({VM_STATE}), which is not taken over: the disks are \
             as after a power failure"
        );
        warnings.push(Warning::new("vma-memory", text));
    }
    for device in choice.stores.iter().filter_map(|index| header.devices.get(*index)) {
        let text = format!(
            "{} ({} bytes) belongs to the firmware and is left out: --pick {} takes it",
            device.name, device.size, device.name
        );
        warnings.push(Warning::new("vma-firmware-store", text));
    }
    if !header.empty.is_empty() {
        let text = format!("devices without a byte are left out: {}", header.empty.join(", "));
        warnings.push(Warning::new("vma-empty-device", text));
    }
    warnings
}

impl Container for VmaContainer {
    fn format(&self) -> &'static str {
        crate::FORMAT.name
    }

    fn disks(&self) -> &[DiskEntry] {
        &self.disks
    }

    fn open_disk(&self, index: usize) -> Result<InnerImage> {
        let missing = || Error::usage(format!("disk {index} of {}", self.disks.len()));
        let device = *self.choice.disks.get(index).ok_or_else(missing)?;
        let (first, found) =
            self.index.first.get(device).zip(self.header.devices.get(device)).ok_or_else(missing)?;
        let layer = DriveLayer {
            storage: Arc::clone(&self.storage),
            index: Arc::clone(&self.index),
            first: *first,
            size: found.size,
        };
        Ok(InnerImage::plain(Disk::new(vec![Arc::new(layer)])?))
    }

    fn machine_files(&self) -> Result<Vec<MachineFile>> {
        Ok(self.header.configs.clone())
    }

    fn details(&self) -> Details {
        let mut details = Details::new();
        let mut put = |key: &str, value: serde_json::Value| details.insert(key.into(), value);
        put("uuid", self.header.uuid.to_string().into());
        put("created", self.header.created.into());
        put("checksums", "MD5 of the headers only, none of the data".into());
        let names: Vec<_> = self.header.configs.iter().map(|config| config.name.clone()).collect();
        put("configuration-files", names.into());
        if let Some(device) = self.choice.memory.and_then(|index| self.header.devices.get(index)) {
            put("memory-bytes", device.size.into());
        }
        details
    }

    fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// Heads are compared with their checksums. The data have none: that they can be read is all that can be said.
    fn check(&self, tick: Tick<'_>) -> Result<CheckReport> {
        let mut report = CheckReport { image_end: self.storage.size(), ..CheckReport::default() };
        for (device, filled) in self.header.devices.iter().zip(&self.index.filled) {
            report.total_chunks += if device.is_memory() { 0 } else { device.size.div_ceil(CLUSTER) };
            report.allocated_chunks += filled;
        }
        for warning in self.warnings.iter().filter(|warning| warning.code == "vma-checksum") {
            report.error(warning.message.clone(), None);
        }
        if let Err(error) = walk(self.storage.as_ref(), &self.header, self.ignore_checksums, |_, _| Ok(())) {
            report.error(error.to_string(), error.offset());
        }
        let (mut at, mut piece) = (0, vec![0; PIECE]);
        while at < self.storage.size() {
            let len = (self.storage.size() - at).min(PIECE as u64);
            self.storage.read_exact_at(at, piece.get_mut(..len as usize).unwrap_or_default())?;
            tick(len)?;
            at += len;
        }
        report.note("VMA has checksums of its headers only: damaged data would not be noticed", None);
        Ok(report)
    }
}
