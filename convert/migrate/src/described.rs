//! Which description the machine has, and which of its disks each image is.

use crate::machine::{compare_names, convert_error, described};
use crate::run::MigrateRequest;
use driver_machine::{Disk, DiskSource, Machine, Warning};
use format_core::{Container, OpenedImage, Result};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The machine and what a person should know about its description.
pub(crate) type Described = Option<(Machine, Vec<Warning>)>;

/// The description that the operator gave, else the one that came with the disks. These are put into its order where it
/// names them.
///
/// # Errors
/// As [`described`] for the operator's files, and what the container reports.
pub(crate) fn described_for(request: &MigrateRequest, sources: &mut Vec<OpenedImage>) -> Result<Described> {
    let mut found = described(&request.machine, request.instance.as_deref(), sources.len())?;
    if let Some((machine, warnings)) = &mut found {
        match request.sources.len() {
            // The disks of one container come in its order, not in the operator's.
            1 if sources.len() > 1 => _ = put_in_order(machine, sources),
            _ => {}
        }
        warnings.extend(compare_names(machine, &names(sources)));
        return Ok(found);
    }
    let Some(container) = container_of(sources) else { return Ok(None) };
    let mut unread = Vec::new();
    for file in container.machine_files()? {
        match driver_machine::read_documents(&[&file.bytes], request.instance.as_deref()) {
            Ok((machine, warnings)) => return Ok(fitting(machine, warnings, sources)),
            Err(error) => unread.push((file.name, convert_error(error))),
        }
    }
    for (name, error) in unread {
        let text = format!("the description of the machine in {name:?} is not used: {error}");
        remark(sources, "machine-unread", text);
    }
    Ok(None)
}

/// What each image is called: as its file, or as the container calls it.
pub(crate) fn names(sources: &[OpenedImage]) -> Vec<PathBuf> {
    let alone = sources.len() == 1;
    let name = |source: &OpenedImage| {
        let path = source.chain.first().map(|link| link.path.clone()).unwrap_or_default();
        match source.name_inside() {
            Some(inside) if !alone => PathBuf::from(inside),
            _ => path,
        }
    };
    sources.iter().map(name).collect()
}

/// The container that all the disks lie in.
fn container_of(sources: &[OpenedImage]) -> Option<Arc<dyn Container>> {
    let mut containers = sources.iter().map(|source| source.inside.as_ref().map(|inside| &inside.container));
    let first = containers.next()??;
    let same = |other: Option<&Arc<dyn Container>>| other.is_some_and(|other| Arc::ptr_eq(other, first));
    containers.all(same).then(|| Arc::clone(first))
}

/// The machine with those of its disks that are there; none when nobody can tell which they are.
fn fitting(mut machine: Machine, mut warnings: Vec<Warning>, sources: &mut Vec<OpenedImage>) -> Described {
    if put_in_order(&machine, sources) {
        let names = inner_names(sources);
        let is_there = |disk: &Disk| names.iter().any(|name| is_called(disk, name));
        let missing: Vec<String> =
            machine.disks.iter().filter(|disk| !is_there(disk)).map(|disk| disk.id.clone()).collect();
        if !missing.is_empty() {
            machine.disks.retain(is_there);
            let message = format!(
                "the machine's disks {} are left out: they are not among the images",
                missing.join(", ")
            );
            warnings.push(Warning { code: "machine-disks-left-out", message });
        }
        return Some((machine, warnings));
    }
    if machine.disks.len() == sources.len() && sources.len() == 1 {
        return Some((machine, warnings));
    }
    let ids: Vec<_> = machine.disks.iter().map(|disk| disk.id.as_str()).collect();
    let text = format!(
        "the description of the machine is not used: its disks are {}, those in the backup {}; give one with --machine",
        ids.join(", "),
        inner_names(sources).join(", ")
    );
    remark(sources, "machine-disks", text);
    None
}

fn inner_names(sources: &[OpenedImage]) -> Vec<String> {
    sources.iter().map(|source| source.name_inside().unwrap_or_default().to_owned()).collect()
}

/// Puts the images into the machine's order of disks, where each is one of them and no other.
fn put_in_order(machine: &Machine, sources: &mut Vec<OpenedImage>) -> bool {
    let names = inner_names(sources);
    let mut order = Vec::new();
    for disk in machine.disks_in_boot_order() {
        let mut fitting =
            (0..names.len()).filter(|&at| names.get(at).is_some_and(|name| is_called(disk, name)));
        match (fitting.next(), fitting.next()) {
            (Some(at), None) if !order.contains(&at) => order.push(at),
            (None, _) => {}
            _ => return false,
        }
    }
    if order.len() != sources.len() {
        return false;
    }
    let mut left: Vec<Option<OpenedImage>> = std::mem::take(sources).into_iter().map(Some).collect();
    sources.extend(order.into_iter().filter_map(|at| left.get_mut(at)?.take()));
    true
}

/// Whether a container's `name` is that of the machine's disk: its file, with or without the extension, or its place on the
/// bus at the end (`drive-scsi0`).
fn is_called(disk: &Disk, name: &str) -> bool {
    let base = |name: &str| Path::new(name).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let stem = |name: &str| Path::new(name).file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let (DiskSource::File(said) | DiskSource::Volume(said)) = &disk.source;
    let place = stem(name).strip_suffix(&disk.id).is_some_and(|rest| rest.is_empty() || rest.ends_with('-'));
    said == name || base(said) == base(name) || stem(said) == stem(name) || place
}

fn remark(sources: &mut [OpenedImage], code: &'static str, text: String) {
    if let Some(first) = sources.first_mut() {
        first.warnings.push(format_core::Warning::new(code, text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use driver_machine::Bus;

    fn disk(id: &str, file: &str) -> Disk {
        let source = DiskSource::File(file.into());
        Disk {
            id: id.into(),
            source,
            bus: Bus::Other,
            order: 0,
            boot: false,
            size_bytes: None,
            device_name: None,
        }
    }

    #[test]
    fn disks_are_known_by_file_stem_or_place() {
        let scsi = disk("scsi0", "local:vm-100-disk-0");
        assert!(is_called(&scsi, "drive-scsi0") && is_called(&scsi, "drive-scsi0.img"));
        assert!(!is_called(&scsi, "drive-virtscsi0") && !is_called(&scsi, "drive-scsi01"));
        let file = disk("disk0", "two-disk1.vmdk");
        assert!(is_called(&file, "two-disk1.vmdk"));
        assert!(!is_called(&file, "two-disk1.vmdk.gz"));
        assert!(is_called(&file, "two-disk1.raw") && !is_called(&file, "two-disk2.vmdk"));
    }
}
