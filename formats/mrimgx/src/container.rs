//! A backup as a container of disks.

use crate::assemble::{Assembled, Chain};
use crate::crypt::Cipher;
use crate::error::MrimgxError;
use crate::read::{MrimgxDisk, Reader};
use crate::set::{DiskPlaces, Set};
use format_core::{
    CheckReport, Container, Details, Disk, DiskEntry, Finding, InnerImage, Layer, LayerContext, Origin,
    Result, Tick, Warning,
};
use std::sync::Arc;

/// A backup with the files that it needs.
pub(crate) struct Backup {
    pub(crate) set: Arc<Set>,
    pub(crate) places: Vec<Vec<DiskPlaces>>,
    cipher: Option<Arc<Cipher>>,
    is_encrypted: bool,
    is_packed: bool,
    disks: Vec<DiskEntry>,
    warnings: Vec<Warning>,
    details: Details,
    context: LayerContext,
}

pub(crate) fn open(origin: Origin, context: &LayerContext) -> Result<Box<dyn Container>> {
    let Origin::File(storage) = origin else {
        let text = "a folder is no backup of Macrium Reflect: name the file of the point in time in it";
        return Err(format_core::Error::usage(text).in_format(crate::FORMAT.name));
    };
    let set = Arc::new(Set::open(storage, context)?);
    let places = Chain::load(&set)?;
    let description = &set.top()?.description;
    let access = &context.access;
    let passwords: Vec<_> = access.key.iter().chain(&access.more_keys).map(|key| key.bytes()).collect();
    let aes = description.aes()?;
    let cipher = match aes {
        Some(aes) if !passwords.is_empty() => Some(Arc::new(Cipher::new(description, aes, &passwords)?)),
        _ => None,
    };
    let mut warnings = Vec::new();
    if description.header.backup_format == "file_and_folder" {
        let text = "the backup holds chosen files and folders in a volume of its own, not a machine's disk";
        warnings.push(Warning::new("mrimgx-files", text));
    }
    let disks = description.disks.iter().map(|disk| DiskEntry {
        name: format!("disk{}", disk.header.disk_number),
        virtual_size: Some(disk.geometry.disk_size),
    });
    Ok(Box::new(Backup {
        disks: disks.collect(),
        is_encrypted: aes.is_some(),
        is_packed: description.is_packed()?,
        details: details(&set)?,
        cipher,
        warnings,
        places,
        context: context.clone(),
        set,
    }))
}

fn details(set: &Set) -> Result<Details> {
    let description = &set.top()?.description;
    let header = &description.header;
    let mut details = Details::new();
    let mut put = |key: &str, value: serde_json::Value| details.insert(key.into(), value);
    put("backup-type", header.backup_type.as_str().into());
    put("backup-time", header.backup_time.into());
    put("image-id", header.imageid.as_str().into());
    put("file-number", header.file_number.into());
    put("increment", header.increment_number.into());
    put("computer", header.netbios_name.as_str().into());
    put("compression", description.compression.compression_level.as_str().into());
    put("encrypted", description.aes()?.is_some().into());
    let chain: Vec<_> = set.chain_files().map(|file| file.description.header.file_number).collect();
    put("index-from-files", chain.into());
    Ok(details)
}

impl Backup {
    /// The disk with this index, put together.
    pub(crate) fn disk(&self, index: usize) -> Result<(MrimgxDisk, Vec<Warning>)> {
        self.demand_key()?;
        let chain = Chain::new(&self.set, &self.places, &self.context);
        let Assembled { map, warnings } = chain.assemble(index, self.cipher.as_deref())?;
        let mut details = Details::new();
        if let Some(disk) = self.set.top()?.description.disks.get(index) {
            let partitions = disk.partitions.iter().map(|partition| {
                serde_json::json!({
                    "number": partition.header.partition_number,
                    "start": partition.geometry.start,
                    "file-system": partition.file_system.kind,
                    "block-size": partition.header.block_size,
                })
            });
            details.insert("partitions".into(), partitions.collect());
            details.insert("partition-table".into(), disk.header.disk_format.as_str().into());
        }
        let cipher = self.cipher.clone();
        let reader = Reader { set: Arc::clone(&self.set), cipher, is_packed: self.is_packed };
        Ok((MrimgxDisk::new(map, reader, details), warnings))
    }

    pub(crate) fn demand_key(&self) -> Result<()> {
        if self.is_encrypted && self.cipher.is_none() {
            return Err(MrimgxError::NoKey.into());
        }
        Ok(())
    }
}

impl Container for Backup {
    fn format(&self) -> &'static str {
        crate::FORMAT.name
    }

    fn disks(&self) -> &[DiskEntry] {
        &self.disks
    }

    fn open_disk(&self, index: usize) -> Result<InnerImage> {
        let (disk, warnings) = self.disk(index)?;
        let layer: Box<dyn Layer> = Box::new(disk);
        Ok(InnerImage { disk: Disk::new(vec![layer.into()])?, format: None, warnings })
    }

    fn details(&self) -> Details {
        self.details.clone()
    }

    fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    fn completeness(&self) -> Result<Vec<Finding>> {
        crate::check::completeness(self)
    }

    fn check(&self, tick: Tick<'_>) -> Result<CheckReport> {
        crate::check::check(self, tick)
    }
}
