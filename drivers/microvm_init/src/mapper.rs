//! Devices of the device mapper.
//!
//! Source: `linux/dm-ioctl.h` and the kernel's `Documentation/admin-guide/device-mapper`.

use crate::devices::made;
use crate::failing::{Result, While};
use crate::ioctl::{DmCommand, device_mapper};
use microvm_init::{Failure, Line, Made};
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::Path;

/// `DM_NAME_LEN` and `DM_UUID_LEN`, with a NUL each.
const NAME_SIZE: usize = 128;
const UUID_SIZE: usize = 129;
/// Offsets in `struct dm_ioctl`, and its length.
const TARGET_COUNT: usize = 20;
const FLAGS: usize = 28;
const DEVICE: usize = 40;
const NAME: usize = 48;
const UUID: usize = 176;
const HEADER: usize = 312;
/// `DM_MAX_TYPE_NAME`, with a NUL.
const TARGET_SIZE: usize = 16;
/// `struct dm_target_spec`.
const SPEC: usize = 40;

const READONLY: u32 = 1;
/// The kernel wipes its copies of the table.
const SECURE_DATA: u32 = 1 << 15;

struct Call(Vec<u8>);

impl Call {
    fn new(name: &str, flags: u32) -> Result<Self> {
        if name.is_empty() || name.len() >= NAME_SIZE || name.contains(['/', '\0']) {
            return Err(Failure::usage(format!("{name:?} cannot be the name of a mapping")));
        }
        let mut call = Self(vec![0; HEADER]);
        call.put(FLAGS, &flags.to_ne_bytes());
        call.put(NAME, name.as_bytes());
        Ok(call)
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        if let Some(field) = self.0.get_mut(at..at + bytes.len()) {
            field.copy_from_slice(bytes);
        }
    }

    fn send(&mut self, command: DmCommand, what: &str) -> Result<()> {
        let control = File::options().read(true).write(true).open("/dev/mapper/control");
        let control = control.during("open /dev/mapper/control")?;
        device_mapper(&control, command, &mut self.0).during(what)
    }

    /// The minor number that the kernel gave (`huge_encode_dev`).
    fn minor(&self) -> u64 {
        let bytes = self.0.get(DEVICE..DEVICE + 8).and_then(|bytes| bytes.try_into().ok());
        let device = u64::from_ne_bytes(bytes.unwrap_or_default());
        (device & 0xff) | ((device >> 12) & 0xf_ff00)
    }
}

/// Makes a device with this table.
pub(crate) fn create(name: &str, uuid: &str, read_only: bool, lines: &[Line]) -> Result<Made> {
    let flags = if read_only { READONLY | SECURE_DATA } else { SECURE_DATA };
    let mut call = Call::new(name, flags)?;
    if uuid.len() >= UUID_SIZE || uuid.contains('\0') {
        return Err(Failure::usage(format!("{uuid:?} cannot be the uuid of a mapping")));
    }
    call.put(UUID, uuid.as_bytes());
    call.send(DmCommand::Create, &format!("create the mapping {name}"))?;
    let minor = call.minor();
    fill(name, flags, lines).inspect_err(|_| {
        let _ = remove(name);
    })?;
    let device = format!("dm-{minor}");
    link(&format!("/dev/mapper/{name}"), &format!("../{device}"))?;
    if let Some((group, volume)) = lvm_names(name, uuid) {
        link(&format!("/dev/{group}/{volume}"), &format!("../{device}"))?;
    }
    made(&Path::new("/sys/block").join(device))
        .ok_or_else(|| Failure::usage(format!("the mapping {name} has no device")))
}

fn fill(name: &str, flags: u32, lines: &[Line]) -> Result<()> {
    let mut call = Call::new(name, flags)?;
    let count = u32::try_from(lines.len()).map_err(|_| Failure::usage("a table that is too long"))?;
    call.put(TARGET_COUNT, &count.to_ne_bytes());
    for line in lines {
        put_line(&mut call.0, line)?;
    }
    let done = call.send(DmCommand::Load, &format!("load the table of {name}"));
    // A key is not left in memory that programs of the guest may get.
    call.0.fill(0);
    done?;
    Call::new(name, 0)?.send(DmCommand::Resume, &format!("start the mapping {name}"))
}

fn put_line(out: &mut Vec<u8>, line: &Line) -> Result<()> {
    let arguments = line.arguments.0.as_bytes();
    if line.target.len() >= TARGET_SIZE || arguments.contains(&0) {
        return Err(Failure::usage(format!("{:?} cannot be a target", line.target)));
    }
    let length = (SPEC + arguments.len() + 1).next_multiple_of(8);
    let next = u32::try_from(length).map_err(|_| Failure::usage("a line that is too long"))?;
    let start = out.len();
    out.extend_from_slice(&line.start.to_ne_bytes());
    out.extend_from_slice(&line.sectors.to_ne_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&next.to_ne_bytes());
    out.extend_from_slice(line.target.as_bytes());
    out.resize(start + SPEC, 0);
    out.extend_from_slice(arguments);
    out.resize(start + length, 0);
    Ok(())
}

fn link(path: &str, target: &str) -> Result<()> {
    if let Some((folder, _)) = path.rsplit_once('/') {
        fs::create_dir_all(folder).during(folder)?;
    }
    symlink(target, path).during(path)
}

/// `VG` and `LV` of `vg-lv`, where the uuid says that it is a logical volume that has such names.
fn lvm_names(name: &str, uuid: &str) -> Option<(String, String)> {
    // "LVM-" and two ids of 32; what follows names an inner layer, which has no link.
    if !uuid.starts_with("LVM-") || uuid.len() != 4 + 64 {
        return None;
    }
    let marked = name.replace("--", "\0");
    let (group, volume) = marked.split_once('-')?;
    if volume.contains('-') {
        return None;
    }
    Some((group.replace('\0', "-"), volume.replace('\0', "-")))
}

/// Takes a mapping apart.
pub(crate) fn remove(name: &str) -> Result<()> {
    Call::new(name, 0)?.send(DmCommand::Remove, &format!("remove the mapping {name}"))?;
    let _ = fs::remove_file(format!("/dev/mapper/{name}"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_volumes_are_told_from_inner_layers() {
        let uuid = format!("LVM-{}", "x".repeat(64));
        let names = |name: &str| lvm_names(name, &uuid);
        assert_eq!(names("vg-root"), Some(("vg".into(), "root".into())));
        assert_eq!(names("my--vg-a--b"), Some(("my-vg".into(), "a-b".into())));
        assert_eq!(names("vg-pool-tpool"), None);
        assert_eq!(lvm_names("vg-root", ""), None);
    }

    #[test]
    fn a_line_is_padded_and_says_where_the_next_one_is() {
        let mut out = Vec::new();
        let line = Line {
            start: 1,
            sectors: 2,
            target: "linear".into(),
            arguments: microvm_init::Secret("8:0 5".into()),
        };
        put_line(&mut out, &line).unwrap();
        assert_eq!(out.len(), 48);
        assert_eq!(out[20..24], 48_u32.to_ne_bytes());
        assert_eq!(&out[24..30], b"linear");
        assert_eq!(&out[40..46], b"8:0 5\0");
    }
}
