//! A backup as a container: a disk for each volume.

use crate::error::WsbError;
use crate::layout::SPECS;
use crate::name;
use crate::tree::{self, Backup, Tree};
use format_core::{
    CheckReport, Container, Details, DiskEntry, Error, Finding, FolderGate, InnerImage, LayerContext, Opener,
    Origin, Point, Result, Severity, SourceFolder, Tick, Warning,
};
use serde_json::{Value, json};
use std::sync::Arc;

struct WsbContainer {
    folder: Arc<SourceFolder>,
    opener: Arc<dyn Opener>,
    host: Option<String>,
    backup: Backup,
    is_finished: bool,
    disks: Vec<DiskEntry>,
    points: Vec<Point>,
    warnings: Vec<Warning>,
}

pub(crate) fn open(origin: Origin, context: &LayerContext) -> Result<Box<dyn Container>> {
    let Origin::Folder(folder) = origin else {
        return Err(WsbError::File(context.name.clone().unwrap_or_default()).into());
    };
    let Tree { host, backups } = tree::find(&folder)?;
    let mut points: Vec<_> = backups
        .iter()
        .map(|backup| Point {
            id: backup.name.clone(),
            time: backup.time,
            virtual_size: None,
            is_chosen: false,
        })
        .collect();
    let chosen = Point::choose(&points, context.access.at.as_deref())?;
    if let Some(point) = points.get_mut(chosen) {
        point.is_chosen = true;
    }
    let backup =
        backups.into_iter().nth(chosen).ok_or_else(|| Error::contract("a chosen point that is not there"))?;
    let volumes = tree::volumes(&folder, &backup)?;
    let is_finished = tree::is_finished(&folder, &backup)?;
    let disks = volumes.into_iter().map(|name| DiskEntry { name, virtual_size: None }).collect();
    // One point is none to choose from.
    if points.len() < 2 {
        points.clear();
    }
    let mut container = WsbContainer {
        folder,
        opener: Arc::clone(&context.opener),
        host,
        backup,
        is_finished,
        disks,
        points,
        warnings: Vec::new(),
    };
    container.warn();
    Ok(Box::new(container))
}

impl WsbContainer {
    fn warn(&mut self) {
        let text = "Windows backs up volumes, not disks: each of them is a disk of its own here, with one partition. The \
                    partition table and the boot sector of the machine's own disks are not in the backup; for a disk that \
                    starts, restore the backup into an empty virtual machine with Windows' recovery disc";
        self.warnings.push(Warning::new("wsb-volumes", text));
        if let Some(text) = self.unfinished() {
            self.warnings.push(Warning::new("wsb-unfinished", text));
        }
    }

    fn unfinished(&self) -> Option<String> {
        (!self.is_finished).then(|| {
            format!(
                "{SPECS} is missing in {:?}: the backup was not finished, or is not whole",
                self.backup.name
            )
        })
    }

    fn name(&self, index: usize) -> Result<&str> {
        let disk = self.disks.get(index).map(|disk| disk.name.as_str());
        disk.ok_or_else(|| Error::usage(format!("there is no disk {index}, there are {}", self.disks.len())))
    }
}

impl Container for WsbContainer {
    fn format(&self) -> &'static str {
        crate::FORMAT.name
    }

    fn disks(&self) -> &[DiskEntry] {
        &self.disks
    }

    fn open_disk(&self, index: usize) -> Result<InnerImage> {
        let name = self.name(index)?;
        let path = tree::image_path(&self.backup, name);
        let storage = Arc::new(self.folder.file(&path)?);
        let beside = self.folder.path().join(&self.backup.path);
        let gate = Arc::new(FolderGate::new(beside, Arc::new([])));
        self.opener.open(storage, name, gate).map_err(|e| e.context(format!("volume {name}")))
    }

    fn points(&self) -> &[Point] {
        &self.points
    }

    fn details(&self) -> Details {
        let mut details = Details::new();
        if let Some(host) = &self.host {
            details.insert("host".into(), host.as_str().into());
        }
        details.insert("backup".into(), self.backup.name.as_str().into());
        let volume = |disk: &DiskEntry| match name::origin(&disk.name) {
            Some(name::Origin { signature, offset }) => json!({
                "name": disk.name,
                "disk-signature": format!("{signature:#010x}"),
                "partition-offset": offset,
            }),
            None => json!({ "name": disk.name }),
        };
        details.insert("volumes".into(), Value::Array(self.disks.iter().map(volume).collect()));
        details
    }

    fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    fn completeness(&self) -> Result<Vec<Finding>> {
        let finding = |message| Finding { severity: Severity::Error, message, at: None };
        Ok(self.unfinished().map(finding).into_iter().collect())
    }

    fn check(&self, _: Tick<'_>) -> Result<CheckReport> {
        let mut report = CheckReport::default();
        report
            .note("the images of volumes have no checksum of their data: they were read, and no more", None);
        Ok(report)
    }
}
