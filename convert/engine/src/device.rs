//! Is a block device, in whatever disguise, the source that is being read?

use crate::sources::SourceFile;
use format_core::{Error, Result};
use rustix::fs::{FileType, major, minor};
use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Refuses to overwrite a device that holds a source, is a part of it, or is a loop device over one of its files.
///
/// # Errors
/// `Usage` with the names of both.
pub fn refuse_device_of_sources(device: &Path, sources: &[SourceFile]) -> Result<()> {
    let Some(number) = device_number(device) else { return Ok(()) };
    let target = family(number);
    for SourceFile { path, .. } in sources {
        let own = device_number(path).map(family).unwrap_or_default();
        let on_loop = target.iter().any(|&number| {
            is_loop_over(number, sources.iter().map(|s| s.file_id).chain(backing_files(&own)))
        });
        if on_loop || !own.is_disjoint(&target) || lies_on(path, &target) {
            let (device, file) = (device.display(), path.display());
            return Err(Error::usage(format!(
                "{device} would be overwritten, and the source {file} lies on it or is it"
            )));
        }
    }
    Ok(())
}

fn device_number(path: &Path) -> Option<u64> {
    let found = path.metadata().ok()?;
    (FileType::from_raw_mode(found.mode()) == FileType::BlockDevice).then(|| found.rdev())
}

fn sysfs(number: u64) -> PathBuf {
    PathBuf::from(format!("/sys/dev/block/{}:{}", major(number), minor(number)))
}

/// The device, the disk it is a part of, its parts, and what it is built on.
fn family(number: u64) -> BTreeSet<u64> {
    let (mut found, mut left) = (BTreeSet::new(), vec![number]);
    while let Some(number) = left.pop() {
        if !found.insert(number) {
            continue;
        }
        let folder = sysfs(number);
        if folder.join("partition").exists()
            && let Some(disk) = folder.canonicalize().ok().and_then(|path| number_in(path.parent()?))
        {
            // Not its other parts: they share nothing with this one.
            found.insert(disk);
        }
        let inside = entries(&folder).into_iter().filter(|path| path.join("partition").exists());
        left.extend(inside.chain(entries(&folder.join("slaves"))).filter_map(|path| number_in(&path)));
    }
    found
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    entries.filter_map(|entry| Some(entry.ok()?.path())).collect()
}

fn number_in(folder: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(folder.join("dev")).ok()?;
    let (major, minor) = text.trim().split_once(':')?;
    Some(rustix::fs::makedev(major.parse().ok()?, minor.parse().ok()?))
}

fn is_loop_over(number: u64, mut files: impl Iterator<Item = (u64, u64)>) -> bool {
    backing_file(number).is_some_and(|backing| files.any(|id| id == backing))
}

/// The files behind loop devices: two of them can lie over one.
fn backing_files(devices: &BTreeSet<u64>) -> impl Iterator<Item = (u64, u64)> {
    devices.iter().filter_map(|&number| backing_file(number))
}

fn backing_file(number: u64) -> Option<(u64, u64)> {
    let name = std::fs::read_to_string(sysfs(number).join("loop/backing_file")).ok()?;
    let found = std::fs::metadata(name.trim_end_matches('\n')).ok()?;
    Some((found.dev(), found.ino()))
}

/// Whether the file is stored in a file system on one of the devices. A mounted one is refused by the kernel anyway.
fn lies_on(file: &Path, devices: &BTreeSet<u64>) -> bool {
    file.metadata().is_ok_and(|found| devices.contains(&found.dev()))
}
