//! USB disks: which one it is, what is mounted from it, and detaching it from the kernel.
//!
//! The disk is detached by the kernel's own file `/sys/block/NAME/device/delete`, and its USB device, when nothing else hangs on it,
//! is then switched off by `remove`, as udisks does. This was tried with a simulated sysfs, not with hardware.

use crate::host::Host;
use crate::isolation::Isolator;
use crate::mounts::{DeviceNumber, Mount, mounts};
use format_core::{Error, ErrorKind, Result};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// A whole USB disk.
#[derive(Debug)]
pub(crate) struct Disk {
    /// Such as `sdb`.
    pub(crate) name: String,
    /// Its folder in sysfs, without links.
    folder: PathBuf,
}

/// The USB disk that `mount` lies on.
///
/// # Errors
/// There is none, or something between the file system and the disk keeps it.
pub(crate) fn disk_of(host: &Host, mount: &Mount) -> Result<Disk> {
    let point = mount.point.display();
    let no_usb = |what: String| {
        Error::unsupported(what)
            .hint("only USB disks are ejected; for others: rehome destination isolate --how unmount")
    };
    let link = host.sys.join("dev/block").join(number(host, mount).to_string());
    let Ok(folder) = std::fs::canonicalize(link) else {
        return Err(no_usb(format!("{point} is not on a disk")));
    };
    let folder = match folder.join("partition").exists() {
        true => folder.parent().map(Path::to_path_buf).unwrap_or_default(),
        false => folder,
    };
    let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if let Some(below) = first_entry(&folder.join("slaves")) {
        let text = format!(
            "{point} is on {name}, a mapping of {below} (LUKS, LVM or md), which has to be closed by a person"
        );
        return Err(Error::unsupported(text)
            .hint("rehome destination isolate --how unmount; then close the mapping, for example with cryptsetup close"));
    }
    if !is_usb(&folder) {
        return Err(no_usb(format!("{point} is on {name}, which is no USB disk")));
    }
    Ok(Disk { name, folder })
}

/// btrfs makes numbers up: its source has one.
fn number(host: &Host, mount: &Mount) -> DeviceNumber {
    let node = crate::volume::node_of(host, mount);
    node.as_deref().and_then(crate::volume::number_of).unwrap_or(mount.device)
}

/// `/sys/devices/pci0000:00/0000:00:14.0/usb2/2-1/2-1:1.0/host6/target6:0:0/6:0:0:0/block/sdb`
fn is_usb(folder: &Path) -> bool {
    folder
        .iter()
        .filter_map(|part| part.to_str()?.strip_prefix("usb"))
        .any(|rest| rest.parse::<u16>().is_ok())
}

fn first_entry(folder: &Path) -> Option<String> {
    let entry = std::fs::read_dir(folder).ok()?.flatten().next()?;
    Some(entry.file_name().to_string_lossy().into_owned())
}

/// The folders in sysfs of the disk and its partitions.
fn parts(disk: &Disk) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(&disk.folder).into_iter().flatten().flatten().map(|entry| entry.path());
    std::iter::once(disk.folder.clone())
        .chain(entries.filter(|path| path.join("partition").exists()))
        .collect()
}

/// All mounts from the disk, those on top first.
///
/// # Errors
/// A partition is used by something else than a mount.
pub(crate) fn mounts_on(host: &Host, disk: &Disk) -> Result<Vec<Mount>> {
    let parts = parts(disk);
    let swaps = std::fs::read_to_string(host.proc.join("swaps")).unwrap_or_default();
    for part in &parts {
        let name = part.file_name().unwrap_or_default().to_string_lossy();
        if let Some(holder) = first_entry(&part.join("holders")) {
            return Err(Error::needs_person(format!("{name} of the disk {} is used by {holder}", disk.name))
                .hint(
                    "close the mapping, for example with cryptsetup close or vgchange -an, and try again",
                ));
        }
        let node = host.dev.join(name.as_ref());
        if swaps.lines().any(|line| line.split_whitespace().next() == node.to_str()) {
            return Err(Error::needs_person(format!("{name} of the disk {} is swap in use", disk.name))
                .hint(format!("swapoff {}", node.display())));
        }
    }
    let number = |part: &PathBuf| std::fs::read_to_string(part.join("dev")).ok()?.parse().ok();
    let numbers: Vec<DeviceNumber> = parts.iter().filter_map(number).collect();
    let mut found: Vec<_> =
        mounts(host)?.into_iter().filter(|mount| numbers.contains(&self::number(host, mount))).collect();
    found.reverse();
    Ok(found)
}

/// Detaches the disk that nothing is mounted from any more, and says what was verified.
///
/// # Errors
/// It is still there when patience ends.
pub(crate) fn detach(isolator: &Isolator<'_>, name: &str) -> Result<Vec<String>> {
    let host = isolator.host;
    let link = host.sys.join("block").join(name);
    // Nothing by that name: it was detached, and the run died before it said so.
    let Ok(folder) = std::fs::canonicalize(&link) else { return Ok(vec![gone(name)]) };
    if !is_usb(&folder) {
        // The name is another disk's now.
        return Err(Error::new(ErrorKind::Temporary, format!("{name} is no USB disk any more")));
    }
    let disk = Disk { name: name.to_owned(), folder };
    if let Some(mount) = mounts_on(host, &disk)?.first() {
        let text = format!("{name} is mounted again, at {}", mount.point.display());
        return Err(Error::new(ErrorKind::Temporary, text).hint("switch automounting off, and try again"));
    }
    let port = port_of(&disk.folder);
    flush(&host.dev.join(name))?;
    write_one(&disk.folder.join("device/delete"), name)?;
    let end = Instant::now() + isolator.patience;
    while link.exists() || disk.folder.exists() {
        if Instant::now() >= end {
            return Err(Error::new(
                ErrorKind::Temporary,
                format!("{name} is still there after it was detached"),
            ));
        }
        isolator.pause()?;
    }
    let mut verified = vec![gone(name)];
    if let Some(port) = port.filter(|port| !has_block_device(port, 0)) {
        // Without it, rescanning the bus can bring the disk back; where the kernel does not have it, the disk is detached all the same.
        if write_one(&port.join("remove"), name).is_ok() {
            verified.push("its USB device is switched off".into());
        }
    }
    Ok(verified)
}

fn gone(name: &str) -> String {
    format!("the kernel does not know the disk {name} any more")
}

/// The USB device that the disk is in: the deepest folder above it that has `remove`.
fn port_of(folder: &Path) -> Option<PathBuf> {
    let ports =
        folder.ancestors().filter(|above| above.join("remove").is_file() && above.join("idVendor").is_file());
    ports.map(Path::to_path_buf).next()
}

/// Card readers and enclosures have several disks.
fn has_block_device(folder: &Path, depth: usize) -> bool {
    // Depth of sysfs between a USB device and its disks: interface, host, target, unit, block.
    if depth > 6 {
        return false;
    }
    let mut below = std::fs::read_dir(folder).into_iter().flatten().flatten();
    below.any(|entry| {
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        is_folder
            && match entry.file_name() == "block" {
                true => first_entry(&entry.path()).is_some(),
                false => has_block_device(&entry.path(), depth + 1),
            }
    })
}

/// What the kernel has for the disk is on the disk.
fn flush(node: &Path) -> Result<()> {
    let failed = |e| Error::io(format!("cannot write out {}", node.display()), e);
    std::fs::File::open(node).and_then(|file| file.sync_all()).map_err(failed)
}

fn write_one(path: &Path, name: &str) -> Result<()> {
    let opened = std::fs::OpenOptions::new().write(true).open(path);
    opened.and_then(|mut file| file.write_all(b"1")).map_err(|e| {
        let kind =
            if e.kind() == std::io::ErrorKind::PermissionDenied { ErrorKind::Denied } else { ErrorKind::Io };
        Error::io(format!("cannot detach {name} by {}", path.display()), e).with_kind(kind)
    })
}
