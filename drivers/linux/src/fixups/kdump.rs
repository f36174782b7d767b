//! kdump.conf: where a crashed kernel's memory is saved.
//!
//! Facts: kdump.conf(5): `ext4 DEVICE` (or another file system) and `raw DEVICE`; a device may be a path, `UUID=` or `LABEL=`, for `raw`
//! it is a path. What is not there is found out only after a crash: a lost device is a remark, no obstacle.

use crate::config_file::{Line, edit_lines, exists, read};
use crate::fstab::{fields, with_field};
use crate::stable_name::{Name, stable_name};
use driver_core::{Applies, Context, Draft, Fixup, Guest};
use format_core::Result;

const PATH: &str = "/etc/kdump.conf";
const KINDS: [&str; 8] = ["ext2", "ext3", "ext4", "xfs", "btrfs", "minix", "f2fs", "raw"];

pub(super) struct Kdump;

impl Fixup for Kdump {
    fn id(&self) -> &'static str {
        "linux-kdump"
    }

    fn title(&self) -> &'static str {
        "device names in /etc/kdump.conf become UUIDs"
    }

    fn applies(&self, _: &Context<'_>, draft: &Draft<'_>) -> Result<Applies> {
        Ok(if exists(draft, PATH)? { Applies::Yes } else { Applies::no("there is no /etc/kdump.conf") })
    }

    fn plan(&self, context: &Context<'_>, draft: &mut Draft<'_>) -> Result<()> {
        let Some(content) = read(draft, PATH)? else { return Ok(()) };
        let mut lost = Vec::new();
        let edited = edit_lines(&content, |line| {
            edit(context.guest, line, &mut lost).map_or(Line::Keep, Line::Replace)
        });
        for why in lost {
            draft.note(format!("{PATH}: memory of a crashed kernel will not be saved: {why}"));
        }
        let reason = format!("{} does not have the source's device names", context.target.name);
        draft.write(PATH, edited, &reason)
    }
}

fn edit(guest: &Guest, line: &str, lost: &mut Vec<String>) -> Option<String> {
    let kind = line.get(fields(line).next()?)?;
    let device = line.get(fields(line).nth(1)?)?;
    if !KINDS.contains(&kind) {
        return None;
    }
    let raw = kind == "raw";
    match stable_name(guest, device, Some(kind).filter(|_| !raw)) {
        Name::Stable => None,
        Name::New(name) if raw => with_field(line, 1, &as_path(&name)?),
        Name::New(name) => with_field(line, 1, &name),
        Name::Lost(why) => {
            lost.push(why);
            None
        }
    }
}

/// `UUID=…` and `PARTUUID=…` as udev's links.
pub(super) fn as_path(name: &str) -> Option<String> {
    let (tag, value) = name.split_once('=')?;
    Some(format!("/dev/disk/by-{}/{value}", tag.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use driver_core::{DiskFacts, FsFacts, PartitionFacts};

    #[test]
    fn devices_get_names_that_last() {
        let fs = FsFacts { kind: "ext4".into(), uuid: Some("r".into()), ..FsFacts::default() };
        let plain = PartitionFacts { number: 2, part_uuid: Some("p".into()), ..PartitionFacts::default() };
        let first = PartitionFacts { number: 1, file_system: Some(fs), ..PartitionFacts::default() };
        let disk = DiskFacts { partitions: vec![first, plain], ..DiskFacts::default() };
        let guest = Guest { disks: vec![disk], ..Guest::default() };
        for (line, expected, losses) in [
            ("ext4 /dev/xvda1", Some("ext4 UUID=r"), 0),
            ("raw /dev/sda2 # x", Some("raw /dev/disk/by-partuuid/p # x"), 0),
            ("ext4 UUID=r", None, 0),
            ("xfs /dev/sda1", None, 1),
            ("ext4 /dev/sdf1", None, 1),
            ("path /var/crash", None, 0),
            ("#raw /dev/sda2", None, 0),
            ("raw", None, 0),
        ] {
            let mut lost = Vec::new();
            assert_eq!(edit(&guest, line, &mut lost).as_deref(), expected, "{line}");
            assert_eq!(lost.len(), losses, "{line}");
        }
    }
}
