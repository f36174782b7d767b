//! Disks, and devices for ranges of them.

use crate::failing::{Result, While};
use crate::ioctl::add_partition;
use crate::serve::{Channel, Outcome};
use microvm_init::{Failure, Made, Reply, SERIAL};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Sectors of sysfs, whatever the disk's are.
const SECTOR: u64 = 512;
/// What is read at once.
const PIECE: u64 = 256 << 10;

/// Numbers of partitions that no table has.
const FIRST_ADDED: i32 = 129;
const LAST_ADDED: i32 = 256;

/// The disk with this place in the list, as the kernel calls it.
fn find(place: u32) -> Option<String> {
    let wanted = format!("{SERIAL}{place}");
    fs::read_dir("/sys/block").ok()?.flatten().find_map(|entry| {
        let serial = fs::read_to_string(entry.path().join("serial")).ok()?;
        (serial.trim() == wanted).then(|| entry.file_name().into_string().ok()).flatten()
    })
}

/// How many of the host's disks are there.
pub(crate) fn disks() -> u32 {
    let entries = fs::read_dir("/sys/block").into_iter().flatten().flatten();
    let ours = entries.filter(|entry| {
        fs::read_to_string(entry.path().join("serial")).is_ok_and(|serial| serial.starts_with(SERIAL))
    });
    u32::try_from(ours.count()).unwrap_or(u32::MAX)
}

pub(crate) fn number(file: impl AsRef<Path>) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// A block device of sysfs with its size.
pub(crate) fn made(folder: &Path) -> Option<Made> {
    let name = folder.file_name()?.to_str()?;
    Some(Made { path: format!("/dev/{name}"), size: number(folder.join("size"))?.checked_mul(SECTOR)? })
}

/// The device that has this range of a disk, and the whole disk.
pub(crate) fn part(place: u32, start: u64, size: u64) -> Result<Reply> {
    let missing = || Failure::usage(format!("there is no disk {place}"));
    let folder = Path::new("/sys/block").join(find(place).ok_or_else(missing)?);
    let disk = made(&folder).ok_or_else(missing)?;
    if start == 0 && size == disk.size {
        return Ok(Reply::Part { exact: Some(disk.clone()), disk });
    }
    let fits = start.checked_add(size).is_some_and(|end| size > 0 && end <= disk.size);
    if !fits || !start.is_multiple_of(SECTOR) || !size.is_multiple_of(SECTOR) {
        return Err(Failure::usage(format!("{size:#x} bytes at {start:#x} are no range of disk {place}")));
    }
    let mut exact = partition(&folder, start, size)?;
    if exact.is_none() {
        // Whoever uses a whole disk keeps all others from its partitions, so this is a partition, too, unless it overlaps one.
        let device = File::open(&disk.path).during(&disk.path)?;
        let added =
            (FIRST_ADDED..LAST_ADDED).any(|number| add_partition(&device, start, size, number).is_ok());
        if added {
            exact = partition(&folder, start, size)?;
        }
    }
    Ok(Reply::Part { exact, disk })
}

/// The partition that has this range.
fn partition(disk: &Path, start: u64, size: u64) -> Result<Option<Made>> {
    let entries = fs::read_dir(disk).during("list partitions")?.flatten();
    Ok(entries.filter(|entry| entry.path().join("partition").exists()).find_map(|entry| {
        let begins = number(entry.path().join("start"))?.checked_mul(SECTOR)?;
        made(&entry.path()).filter(|made| begins == start && made.size == size)
    }))
}

/// Sends bytes of a device.
pub(crate) fn read(channel: &mut Channel, device: &str, offset: u64, length: u64) -> Outcome<()> {
    if !device.starts_with("/dev/") {
        return Err(Failure::usage(format!("{device:?} is no device")).into());
    }
    let file = File::open(device).during(device)?;
    let (mut at, mut left) = (offset, length);
    while left > 0 {
        let now = left.min(PIECE);
        let mut piece = vec![0; now as usize];
        file.read_exact_at(&mut piece, at).during(format_args!("read {device} at {at:#x}"))?;
        channel.data(&piece)?;
        left -= now;
        at = at.checked_add(now).ok_or_else(|| Failure::usage("a range that wraps"))?;
    }
    Ok(())
}
