//! Which controller and location each disk gets.

use std::collections::BTreeSet;

use super::literal::file_fault;
use super::{Generation, HypervDisk, HypervOptions, unsupported};
use crate::error::shown;
use crate::{Disk, Machine, MachineError};

/// Locations on one SCSI controller.
const SCSI_LOCATIONS: usize = 64;
/// SCSI controllers of one virtual machine.
const SCSI_CONTROLLERS: usize = 4;
/// 64 TiB: largest VHDX.
const MAX_VHDX: u64 = 64 << 40;

/// A disk file and where it is attached.
pub(super) struct Placed<'a> {
    pub file: &'a str,
    pub manifest: &'a str,
    pub controller: &'static str,
    pub number: usize,
    pub location: usize,
    pub size_bytes: Option<u64>,
}

/// Pairs the disks of the machine with their files and gives each its place, boot disk first.
pub(super) fn place<'a>(
    machine: &Machine,
    options: &'a HypervOptions,
) -> Result<Vec<Placed<'a>>, MachineError> {
    check_files(machine, &options.disks)?;
    let on_ide = if options.generation == Generation::One { 2 } else { 0 };
    machine
        .disks_in_boot_order()
        .into_iter()
        .enumerate()
        .map(|(index, disk)| {
            let file = file_of(disk, &options.disks)?;
            let size_bytes = file.size_bytes.or(disk.size_bytes);
            if size_bytes.is_some_and(|size| size > MAX_VHDX) {
                return Err(unsupported(format!(
                    "disk {} is larger than 64 TiB, the limit of vhdx",
                    shown(&disk.id)
                )));
            }
            let (controller, number, location) = match index.checked_sub(on_ide) {
                None => ("IDE", 0, index),
                Some(scsi) => ("SCSI", scsi / SCSI_LOCATIONS, scsi % SCSI_LOCATIONS),
            };
            if number >= SCSI_CONTROLLERS {
                let most = on_ide + SCSI_CONTROLLERS * SCSI_LOCATIONS;
                return Err(unsupported(format!(
                    "{} disks, at most {most} are possible",
                    machine.disks.len()
                )));
            }
            Ok(Placed {
                file: &file.file,
                manifest: &file.manifest,
                controller,
                number,
                location,
                size_bytes,
            })
        })
        .collect()
}

fn file_of<'a>(disk: &Disk, files: &'a [HypervDisk]) -> Result<&'a HypervDisk, MachineError> {
    files.iter().find(|file| file.id == disk.id).ok_or_else(|| MachineError::Files {
        reason: format!("there is no file for disk {} of the machine", shown(&disk.id)),
    })
}

fn check_files(machine: &Machine, files: &[HypervDisk]) -> Result<(), MachineError> {
    let mut ids = BTreeSet::new();
    let mut names = BTreeSet::new();
    for file in files {
        let error = |reason: String| Err(MachineError::Files { reason });
        if !machine.disks.iter().any(|disk| disk.id == file.id) {
            return error(format!(
                "file {} is for disk {}, which the machine has not",
                shown(&file.file),
                shown(&file.id)
            ));
        }
        if !ids.insert(&file.id) {
            return error(format!("there are two files for disk {}", shown(&file.id)));
        }
        for name in [&file.file, &file.manifest] {
            if let Some(fault) = file_fault(name) {
                return error(format!("file name {} {fault}", shown(name)));
            }
        }
        // Windows compares file names without regard to case.
        if !names.insert(file.file.to_lowercase()) {
            return error(format!("file {} is given for two disks", shown(&file.file)));
        }
        if !file.file.to_lowercase().ends_with(".vhdx") {
            return error(format!(
                "file {} does not end in .vhdx, Hyper-V tells the format by that",
                shown(&file.file)
            ));
        }
    }
    Ok(())
}
