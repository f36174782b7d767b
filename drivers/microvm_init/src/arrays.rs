//! md arrays, by the kernel's files in sysfs (`Documentation/admin-guide/md.rst`).
//!
//! An array is started for reading, what would be synchronised is held, and only then it may be written: nothing but what is edited
//! changes on its members.

use crate::devices::{made, number};
use crate::failing::{Result, While};
use microvm_init::{Failure, FailureKind, Made};
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, symlink};
use std::path::{Path, PathBuf};

const MAGIC: [u8; 4] = 0xa92b_4efc_u32.to_le_bytes();
/// Where the levels are in a superblock of version 1 and of version 0 (`linux/raid/md_p.h`).
const LEVEL_1: usize = 72;
const LEVEL_0: usize = 28;
const NEW_ARRAY: &str = "/sys/module/md_mod/parameters/new_array";
/// The first number that is tried; those below are often in the guest's own names.
const FIRST: u32 = 127;

/// What the superblock of a member says.
struct Found {
    version: &'static str,
    level: i32,
}

fn examine(member: &str) -> Result<Found> {
    let file = File::open(member).during(member)?;
    let size = number(sysfs(member)?.join("size")).unwrap_or_default();
    let end = |sectors: u64| size.checked_sub(sectors).map(|at| (at & !7) * 512);
    let places = [
        (Some(4096), "1.2", LEVEL_1),
        (Some(0), "1.1", LEVEL_1),
        (end(16), "1.0", LEVEL_1),
        // 64 KiB before the last multiple of 64 KiB.
        ((size & !127).checked_sub(128).map(|at| at * 512), "0.90", LEVEL_0),
    ];
    for (at, version, level_at) in places {
        let Some(at) = at else { continue };
        let mut block = [0; 256];
        if file.read_exact_at(&mut block, at).is_err() || !block.starts_with(&MAGIC) {
            continue;
        }
        let is_zero = block.get(4..8) == Some(&[0; 4]);
        if is_zero != (version == "0.90") {
            continue;
        }
        let level = block.get(level_at..level_at + 4).and_then(|bytes| bytes.try_into().ok());
        return Ok(Found { version, level: i32::from_le_bytes(level.unwrap_or_default()) });
    }
    Err(Failure::new(FailureKind::Unsupported, format!("{member} is no member of an md array")))
}

/// The module that an array needs, by the superblock of a member.
pub(crate) fn personality(member: &str) -> Result<&'static str> {
    match examine(member)?.level {
        -1 => Ok("linear"),
        0 => Ok("raid0"),
        1 => Ok("raid1"),
        4..=6 => Ok("raid456"),
        10 => Ok("raid10"),
        level => Err(Failure::new(FailureKind::Unsupported, format!("an md array of level {level}"))),
    }
}

/// The folder of a device in sysfs.
fn sysfs(device: &str) -> Result<PathBuf> {
    let name = device.strip_prefix("/dev/").filter(|name| !name.contains('/'));
    let name = name.ok_or_else(|| Failure::usage(format!("{device:?} is no device")))?;
    Ok(Path::new("/sys/class/block").join(name))
}

/// Starts an array; its name in the kernel, and its device.
pub(crate) fn assemble(name: &str, members: &[String], read_only: bool) -> Result<(String, Made)> {
    let first = members.first().ok_or_else(|| Failure::usage("an array without members"))?;
    let version = examine(first)?.version;
    let free = (FIRST..FIRST + 512).find(|number| !Path::new(&format!("/sys/block/md{number}")).exists());
    let array = format!("md{}", free.ok_or_else(|| Failure::usage("too many arrays"))?);
    fs::write(NEW_ARRAY, &array).during(format_args!("make the array {array}"))?;
    let folder = PathBuf::from(format!("/sys/block/{array}/md"));
    start(&folder, name, version, members, read_only).inspect_err(|_| {
        let _ = stop(&array);
    })?;
    let device = made(&Path::new("/sys/block").join(&array));
    let device = device.ok_or_else(|| Failure::usage(format!("the array {name} has no device")))?;
    if !name.is_empty() && !name.contains(['/', '\0']) {
        let _ = fs::create_dir_all("/dev/md");
        symlink(format!("../{array}"), format!("/dev/md/{name}")).during(format_args!("/dev/md/{name}"))?;
    }
    Ok((array, device))
}

fn start(folder: &Path, name: &str, version: &str, members: &[String], read_only: bool) -> Result<()> {
    let set = |file: &str, value: &str| {
        fs::write(folder.join(file), value).during(format_args!("the array {name}: {file} = {value}"))
    };
    set("metadata_version", version)?;
    for member in members {
        let numbers = fs::read_to_string(sysfs(member)?.join("dev")).during(member)?;
        set("new_dev", numbers.trim())?;
    }
    set("array_state", "readonly")?;
    // Arrays without redundancy have no such file.
    if folder.join("sync_action").exists() {
        set("sync_action", "frozen")?;
    }
    if !read_only {
        set("array_state", "active")?;
    }
    Ok(())
}

/// Takes an array apart.
pub(crate) fn stop(array: &str) -> Result<()> {
    let state = format!("/sys/block/{array}/md/array_state");
    if !Path::new(&state).exists() {
        return Ok(());
    }
    fs::write(&state, "clear").during(format_args!("stop the array {array}"))
}
