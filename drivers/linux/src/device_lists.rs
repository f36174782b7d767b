//! Kernel arguments whose values are lists with devices in them.
//!
//! Facts: `cryptdevice` and `cryptkey` of Arch's encrypt hook are a container or what holds its key, a name, and options;
//! `rd.luks.key` is a file, the device that holds it and the container (systemd-cryptsetup-generator(8),
//! dracut.cmdline(7)); `rootflags` can name a journal on a device of its own (xfs(5), ext4(5)).

use crate::kernel_cmdline::Rules;
use crate::stable_name::{Name, depends_on_hardware, stable_name};
use driver_core::VolumeId;

/// The arguments.
pub(crate) const KEYS: [&str; 4] = ["cryptdevice", "cryptkey", "rd.luks.key", "rootflags"];

/// The list with names that survive.
///
/// # Errors
/// Which device has none.
pub(crate) fn renamed(key: &str, list: &str, rules: &Rules<'_>) -> Result<String, String> {
    each_part(list, |rest| match key {
        "rootflags" => journal(key, rest, rules),
        _ => first_device(key, rest, rules),
    })
}

/// The list with what `replace` makes of the start of each part: how many bytes of it go, and what comes instead.
fn each_part(
    list: &str,
    replace: impl Fn(&str) -> Result<Option<(usize, String)>, String>,
) -> Result<String, String> {
    let mut new = String::with_capacity(list.len() + 64);
    let mut rest = list;
    while !rest.is_empty() {
        if let Some((len, name)) = replace(rest)? {
            new += &name;
            rest = rest.get(len..).unwrap_or_default();
        }
        let next = rest.find([':', '=', ',']).map_or(rest.len(), |at| at + 1);
        let (part, after) = rest.split_at(next);
        new += part;
        rest = after;
    }
    Ok(new)
}

/// No link by path holds more colons.
const MAX_COLONS: usize = 16;

/// The device that `rest` starts with. Links by path hold colons themselves: the longest that is a device counts.
fn first_device(key: &str, rest: &str, rules: &Rules<'_>) -> Result<Option<(usize, String)>, String> {
    let colons = if rest.starts_with("/dev/disk/") { MAX_COLONS } else { 1 };
    let mut ends: Vec<usize> = rest.match_indices(':').map(|(at, _)| at).take(colons).collect();
    if ends.len() < colons {
        ends.push(rest.len());
    }
    let mut lost = None;
    for part in ends.into_iter().rev().filter_map(|end| rest.get(..end)).filter(|p| depends_on_hardware(p)) {
        match stable_name(rules.guest, part, None) {
            Name::New(name) => return Ok(Some((part.len(), name))),
            Name::Stable => return Ok(None),
            Name::Lost(why) => {
                lost.get_or_insert(why);
            }
        }
    }
    match lost {
        // The early boot would wait for it, or ask a person who is not there.
        Some(why) if rules.own_kernel => Err(format!("{key}: {why}")),
        _ => Ok(None),
    }
}

/// The journal's device that `rest` starts with. The kernel takes a path, and a journal may have the UUID of its file system:
/// the partition's own link is written.
fn journal(key: &str, rest: &str, rules: &Rules<'_>) -> Result<Option<(usize, String)>, String> {
    let option = ["logdev=", "rtdev=", "journal_path="].iter().find(|option| rest.starts_with(**option));
    let Some((option, list)) = option.and_then(|option| Some((*option, rest.strip_prefix(*option)?))) else {
        return Ok(None);
    };
    let device = list.split(',').next().unwrap_or(list);
    if !depends_on_hardware(device) {
        return Ok(None);
    }
    let name = match rules.guest.resolve_device(device) {
        None => Err(format!("{device} is on none of the disks")),
        Some(id) => {
            let partition = match id {
                VolumeId::Partition { disk, partition } => rules.guest.partition((disk, partition)),
                VolumeId::Mapped { .. } => None,
            };
            let uuid = partition.and_then(|partition| partition.part_uuid.as_ref());
            let link = uuid.map(|uuid| format!("/dev/disk/by-partuuid/{uuid}"));
            link.filter(|link| rules.guest.resolve_device(link) == Some(id))
                .ok_or_else(|| format!("{device} has no PARTUUID of its own"))
        }
    };
    match name {
        Ok(name) => Ok(Some((option.len() + device.len(), format!("{option}{name}")))),
        Err(why) if rules.own_kernel => Err(format!("{key}: {option}{why}")),
        Err(_) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel_cmdline::{rewrite, tests::guest};

    #[test]
    fn a_container_or_journal_that_is_nowhere_is_an_error() {
        let mut guest = guest();
        guest.disks[0].partitions[1].part_uuid = Some("8a3c51d7-02".into());
        guest.disks[0].links = vec!["/dev/disk/by-path/pci-0000:00:10.0-scsi-0:0:0:0".into()];
        let mut rules =
            Rules { guest: &guest, consoles: &[], own_kernel: true, has_initramfs: true, add_screen: false };
        for (args, expected) in [
            ("cryptkey=/dev/xvda1:ext4:/key", "cryptkey=UUID=r:ext4:/key"),
            ("rd.luks.key=/key:/dev/sda1:/dev/sda2", "rd.luks.key=/key:UUID=r:UUID=s"),
            (
                "cryptdevice=/dev/disk/by-path/pci-0000:00:10.0-scsi-0:0:0:0-part1:root:discard",
                "cryptdevice=UUID=r:root:discard",
            ),
            ("cryptdevice=\"/dev/sda1:root\" x", "cryptdevice=\"UUID=r:root\" x"),
            (
                "cryptkey=rootfs:/key cryptdevice=/dev/vg/a:root",
                "cryptkey=rootfs:/key cryptdevice=/dev/vg/a:root",
            ),
            (
                "rootflags=noatime,logdev=/dev/sda2,ro x",
                "rootflags=noatime,logdev=/dev/disk/by-partuuid/8a3c51d7-02,ro x",
            ),
            ("rootflags=subvol=@,logdev=/dev/vg/log", "rootflags=subvol=@,logdev=/dev/vg/log"),
        ] {
            let once = rewrite(args, &rules).unwrap();
            assert_eq!(once, expected, "{args}");
            assert_eq!(rewrite(&once, &rules).unwrap(), once);
        }
        let by_path = "/dev/disk/by-path/pci-0000:00:1f.2-ata-1-part2:root";
        for args in [
            "cryptdevice=/dev/sdf1:root".to_owned(),
            "rd.luks.key=/key:/dev/sdf1".to_owned(),
            "rd.luks.key=/key:/dev/sda1:/dev/sdf2".to_owned(),
            "cryptkey=/dev/sdf1:ext4:/key".to_owned(),
            "rootflags=logdev=/dev/sdf1".to_owned(),
            "rootflags=logdev=/dev/sda1".to_owned(),
            format!("cryptdevice={by_path}"),
        ] {
            rules.own_kernel = true;
            assert!(rewrite(&args, &rules).is_err(), "{args}");
            rules.own_kernel = false;
            rewrite(&args, &rules).unwrap();
        }
    }

    #[test]
    fn lists_of_devices_take_no_time() {
        let guest = guest();
        let rules =
            Rules { guest: &guest, consoles: &[], own_kernel: false, has_initramfs: true, add_screen: false };
        let list = format!("cryptdevice={}", "/dev/disk/by-path/a:".repeat(1 << 14));
        assert_eq!(rewrite(&list, &rules).unwrap(), list);
    }
}
