//! Who keeps a volume busy: open files, working folders, roots, programs and mapped files of processes; swap files and loop
//! devices of the kernel.

use crate::host::Host;
use crate::mounts::{DeviceNumber, Mount, mounts_of};
use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// So many are named.
const NAMED: usize = 5;

/// Everyone who uses what `mount` shows, a phrase each.
pub(crate) fn holders(host: &Host, mount: &Mount) -> Vec<String> {
    let mut found = Vec::new();
    for (process, folder) in processes(host) {
        if let Some(how) = use_of(&folder, mount) {
            found.push(format!("{} (process {process}: {how})", name_of(&folder)));
        }
    }
    found.extend(kernel_users(host, mount));
    found
}

/// As one phrase for a message.
pub(crate) fn told(holders: &[String]) -> String {
    if holders.is_empty() {
        return "nobody that can be seen from here".into();
    }
    let shown = holders.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    match holders.len().saturating_sub(NAMED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// Processes in other mount namespaces in which the file system is still mounted, one for each namespace, a phrase each.
pub(crate) fn other_namespaces(host: &Host, device: DeviceNumber) -> Vec<String> {
    let namespace = |folder: &Path| std::fs::read_link(folder.join("ns/mnt")).ok();
    let mut seen: BTreeSet<PathBuf> = namespace(&host.proc.join("self")).into_iter().collect();
    let mut found = Vec::new();
    for (process, folder) in processes(host) {
        // A namespace that may not be looked into is passed over: root sees all.
        if !namespace(&folder).is_some_and(|it| seen.insert(it)) {
            continue;
        }
        let mounts = mounts_of(host, &process).unwrap_or_default();
        if let Some(mount) = mounts.iter().find(|mount| mount.device == device) {
            found.push(format!("{} (process {process}: at {})", name_of(&folder), mount.point.display()));
        }
    }
    found
}

fn processes(host: &Host) -> impl Iterator<Item = (String, PathBuf)> {
    std::fs::read_dir(&host.proc).into_iter().flatten().flatten().filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        name.bytes().all(|byte| byte.is_ascii_digit()).then(|| (name, entry.path()))
    })
}

fn name_of(folder: &Path) -> String {
    let name = std::fs::read(folder.join("comm")).unwrap_or_default();
    String::from_utf8_lossy(&name).trim_end().to_owned()
}

/// How a process uses the volume.
fn use_of(folder: &Path, mount: &Mount) -> Option<String> {
    for (link, how) in [("cwd", "its working folder"), ("root", "its root folder"), ("exe", "its program")] {
        if leads_there(&folder.join(link), mount) {
            return Some(how.into());
        }
    }
    for file in std::fs::read_dir(folder.join("fd")).into_iter().flatten().flatten() {
        let number = file.file_name();
        if has_mount_id(&folder.join("fdinfo").join(&number), mount.id) || leads_there(&file.path(), mount) {
            let target = std::fs::read_link(file.path()).unwrap_or_default();
            return Some(format!("open file {}", target.display()));
        }
    }
    let maps = std::fs::read(folder.join("maps")).unwrap_or_default();
    let mapped = maps.split(|byte| *byte == b'\n').any(|line| maps_there(line, mount));
    mapped.then(|| "a mapped file".into())
}

fn has_mount_id(info: &Path, id: u64) -> bool {
    let text = std::fs::read_to_string(info).unwrap_or_default();
    text.lines().any(|line| line.strip_prefix("mnt_id:").is_some_and(|value| value.trim().parse() == Ok(id)))
}

/// By name; and by number where asking cannot hang on a server that is gone.
fn leads_there(link: &Path, mount: &Mount) -> bool {
    let Ok(target) = std::fs::read_link(link) else { return false };
    let local = mount.device.major != 0;
    target.starts_with(&mount.point)
        || (local && link.metadata().is_ok_and(|facts| DeviceNumber::new(facts.dev()) == mount.device))
}

/// `7f..-7f.. r--p 00000000 08:01 1234      /mnt/x/file`, with numbers in base 16.
fn maps_there(line: &[u8], mount: &Mount) -> bool {
    let mut words = line.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
    let device = words.nth(3).and_then(|word| std::str::from_utf8(word).ok()?.split_once(':'));
    let Some((major, minor)) = device else { return false };
    let number = |text| u32::from_str_radix(text, 16).ok();
    let same = number(major) == Some(mount.device.major) && number(minor) == Some(mount.device.minor);
    let name = words.nth(1).unwrap_or_default();
    let below = Path::new(std::ffi::OsStr::from_bytes(name)).starts_with(&mount.point);
    (same && mount.device.major != 0) || below
}

/// Swap files and loop devices, which no process has open.
fn kernel_users(host: &Host, mount: &Mount) -> Vec<String> {
    let mut found = Vec::new();
    let swaps = std::fs::read(host.proc.join("swaps")).unwrap_or_default();
    for line in swaps.split(|byte| *byte == b'\n').skip(1) {
        let name = line.split(|byte| *byte == b' ').next().unwrap_or_default();
        let path = PathBuf::from(crate::escapes::decoded(name));
        if !name.is_empty() && path.starts_with(&mount.point) {
            found.push(format!("the kernel (swap file {})", path.display()));
        }
    }
    for device in std::fs::read_dir(host.sys.join("block")).into_iter().flatten().flatten() {
        let file = std::fs::read(device.path().join("loop/backing_file")).unwrap_or_default();
        let file = Path::new(std::ffi::OsStr::from_bytes(file.trim_ascii_end()));
        if file.starts_with(&mount.point) {
            let name = device.file_name();
            found.push(format!("the kernel ({} on {})", name.to_string_lossy(), file.display()));
        }
    }
    found
}
