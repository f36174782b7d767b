//! Device names as guests spell them.

use crate::group::{VolumeFacts, VolumeId};
use crate::guest::{DiskFacts, FsFacts, Guest, PartitionFacts, TableKind};

/// A kernel's name of a disk or partition, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelName {
    /// `sd`, `hd`, `vd`, `xvd`, `nvme`, `mmcblk`, `cciss`, `ida`.
    pub prefix: String,
    /// The disk's number, counted from 0: `sda` is 0, `nvme1n1` is 1.
    pub disk: usize,
    /// The partition's number; 0 is the whole disk.
    pub partition: u32,
}

/// Takes `/dev/xvda1`, `/dev/nvme0n1p2`, `/dev/sdb` apart (with or without `/dev/`). `None` for what is no disk.
#[must_use]
pub fn parse_kernel_name(name: &str) -> Option<KernelName> {
    let name = name.strip_prefix("/dev/").unwrap_or(name);
    for prefix in ["nvme", "mmcblk"] {
        if let Some(rest) = name.strip_prefix(prefix) {
            let (disk, rest) = leading_number(rest)?;
            // Only namespace 1: the others have no fixed place in the machine.
            let rest = if prefix == "nvme" { rest.strip_prefix("n1")? } else { rest };
            let partition = match rest.strip_prefix('p') {
                Some(number) => nonzero(whole_number(number)?)?,
                None if rest.is_empty() => 0,
                None => return None,
            };
            return Some(KernelName { prefix: prefix.into(), disk: disk as usize, partition });
        }
    }
    // HP's controllers; what they are called on the first one is the disk's number.
    for prefix in ["cciss", "ida"] {
        if let Some(rest) = name.strip_prefix(prefix).and_then(|rest| rest.strip_prefix("/c0d")) {
            let (disk, rest) = leading_number(rest)?;
            let partition = match rest.strip_prefix('p') {
                Some(number) => nonzero(whole_number(number)?)?,
                None if rest.is_empty() => 0,
                None => return None,
            };
            return Some(KernelName { prefix: prefix.into(), disk: disk as usize, partition });
        }
    }
    for prefix in ["xvd", "sd", "hd", "vd"] {
        if let Some(rest) = name.strip_prefix(prefix) {
            let digits = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
            let (letters, number) = rest.split_at(digits);
            let partition = if number.is_empty() { 0 } else { nonzero(whole_number(number)?)? };
            return Some(KernelName { prefix: prefix.into(), disk: letters_to_number(letters)?, partition });
        }
    }
    None
}

/// Folders of links that udev makes by hardware.
const HARDWARE_LINKS: [&str; 3] = ["/dev/disk/by-id/", "/dev/disk/by-path/", "/dev/disk/azure/"];

/// Takes `/dev/disk/by-id/ata-X-part2` apart: the link of the disk, and the partition's number, 0 for the disk. `None` for other
/// names.
#[must_use]
pub fn parse_hardware_link(path: &str) -> Option<(&str, u32)> {
    HARDWARE_LINKS.iter().find(|folder| path.starts_with(**folder))?;
    match path.rsplit_once("-part").map(|(disk, number)| (disk, whole_number(number))) {
        Some((disk, Some(number))) => Some((disk, nonzero(number)?)),
        _ => Some((path, 0)),
    }
}

fn leading_number(text: &str) -> Option<(u32, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    Some((whole_number(&text[..end])?, &text[end..]))
}

fn whole_number(text: &str) -> Option<u32> {
    (!text.is_empty() && text.len() <= 5 && text.bytes().all(|b| b.is_ascii_digit()))
        .then(|| text.parse().ok())
        .flatten()
}

fn nonzero(number: u32) -> Option<u32> {
    (number > 0).then_some(number)
}

/// `a` is 0, `z` is 25, `aa` is 26.
fn letters_to_number(letters: &str) -> Option<usize> {
    if letters.is_empty() || letters.len() > 3 {
        return None;
    }
    let value = letters.bytes().try_fold(0usize, |sum, letter| {
        letter.is_ascii_lowercase().then(|| sum * 26 + usize::from(letter - b'a') + 1)
    })?;
    Some(value - 1)
}

pub(crate) fn resolve(guest: &Guest, spec: &str) -> Option<VolumeId> {
    let spec = spec.trim().trim_matches('"');
    if let Some((key, value)) = spec.split_once('=') {
        return by_tag(guest, key, value.trim_matches('"'));
    }
    for (folder, key) in [
        ("/dev/disk/by-uuid/", "UUID"),
        ("/dev/disk/by-label/", "LABEL"),
        ("/dev/disk/by-partuuid/", "PARTUUID"),
        ("/dev/disk/by-partlabel/", "PARTLABEL"),
    ] {
        if let Some(value) = spec.strip_prefix(folder) {
            return by_tag(guest, key, value);
        }
    }
    let named = |volume: &VolumeFacts| volume.devices.iter().any(|device| device == spec);
    if spec.starts_with("/dev/") && guest.volumes.iter().any(named) {
        let found = (0..).zip(&guest.volumes).filter(|(_, volume)| named(volume));
        return only(found.map(|(volume, _)| VolumeId::Mapped { volume }));
    }
    if let Some((link, partition)) = parse_hardware_link(spec) {
        let disk = guest.disks.iter().position(|disk| disk.links.iter().any(|known| known == link))?;
        return guest.partition((disk, partition)).map(|_| (disk, partition).into());
    }
    let name = parse_kernel_name(spec)?;
    if let Some(disk) = disk_called(guest, &name) {
        return Some((disk, 0).into());
    }
    let id = (place_of(guest, &name)?, name.partition);
    guest.partition(id).map(|_| id.into())
}

/// The disk without a partition table that the machine's description calls a partition: Xen gives a guest such disks
/// (`xvda1`, `xvda2`).
fn disk_called(guest: &Guest, name: &KernelName) -> Option<usize> {
    let is_it = |disk: &DiskFacts| {
        let called = disk.device_name.as_deref().and_then(parse_kernel_name);
        let is_part = disk.table == TableKind::None && name.partition > 0;
        is_part && called.is_some_and(|called| called == *name)
    };
    let mut found = (0..).zip(&guest.disks).filter(|(_, disk)| is_it(disk));
    found.next().filter(|_| found.next().is_none()).map(|(index, _)| index)
}

/// The disk that a kernel name means. A paravirtual `xvdf` and the `sdf` of a machine's description are the same disk;
/// NVMe numbers follow the order of attachment instead.
fn place_of(guest: &Guest, name: &KernelName) -> Option<usize> {
    let letter = |disk: &DiskFacts| Some(parse_kernel_name(disk.device_name.as_deref()?)?.disk);
    let letters: Option<Vec<usize>> = guest.disks.iter().map(letter).collect();
    match letters {
        Some(letters) if matches!(name.prefix.as_str(), "sd" | "xvd") => {
            letters.iter().position(|letter| *letter == name.disk)
        }
        _ => Some(name.disk),
    }
}

fn by_tag(guest: &Guest, key: &str, value: &str) -> Option<VolumeId> {
    let same = |found: Option<&String>| found.is_some_and(|found| found.eq_ignore_ascii_case(value));
    let exact = |found: Option<&String>| found.is_some_and(|found| found == value);
    let key = key.to_ascii_uppercase();
    let by_fs = |fs: Option<&FsFacts>| match key.as_str() {
        "UUID" => same(fs.and_then(|fs| fs.uuid.as_ref())),
        "LABEL" => exact(fs.and_then(|fs| fs.label.as_ref())),
        _ => false,
    };
    let by_entry = |partition: &PartitionFacts| match key.as_str() {
        "PARTUUID" => same(partition.part_uuid.as_ref()),
        "PARTLABEL" => exact(partition.name.as_ref()),
        _ => by_fs(partition.file_system.as_ref()),
    };
    let on_disks = guest.disks.iter().enumerate().flat_map(|(disk, facts)| {
        let found = facts.partitions.iter().filter(|partition| by_entry(partition));
        found.map(move |partition| VolumeId::from((disk, partition.number)))
    });
    let volumes = (0..).zip(&guest.volumes).filter(|(_, volume)| by_fs(volume.file_system.as_ref()));
    only(on_disks.chain(volumes.map(|(volume, _)| VolumeId::Mapped { volume })))
}

/// A name that two places share names neither.
fn only(mut found: impl Iterator<Item = VolumeId>) -> Option<VolumeId> {
    found.next().filter(|_| found.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guest::PartitionId;

    #[test]
    fn disks_that_the_machine_calls_partitions_are_whole_file_systems() {
        let disk = |name: &str, table| DiskFacts {
            device_name: Some(name.into()),
            table,
            partitions: vec![PartitionFacts {
                number: u32::from(table != TableKind::None),
                ..Default::default()
            }],
            ..DiskFacts::default()
        };
        let none = TableKind::None;
        let disks =
            vec![disk("/dev/xvda2", none), disk("/dev/xvda1", none), disk("/dev/xvdb1", TableKind::Mbr)];
        let guest = Guest { disks, ..Guest::default() };
        for (name, wanted) in [
            ("/dev/xvda2", Some((0, 0))),
            ("/dev/xvda1", Some((1, 0))),
            ("/dev/xvda3", None),
            ("/dev/xvdb1", Some((2, 1))),
        ] {
            assert_eq!(resolve(&guest, name), wanted.map(VolumeId::from), "{name}");
        }
    }

    #[test]
    fn kernel_names_say_disk_and_partition() {
        for (name, prefix, disk, partition) in [
            ("/dev/xvda1", "xvd", 0, 1),
            ("/dev/sdb", "sd", 1, 0),
            ("sdaa12", "sd", 26, 12),
            ("/dev/nvme0n1p15", "nvme", 0, 15),
            ("/dev/nvme2n1", "nvme", 2, 0),
            ("/dev/mmcblk0p1", "mmcblk", 0, 1),
        ] {
            let expected = KernelName { prefix: prefix.into(), disk, partition };
            assert_eq!(parse_kernel_name(name), Some(expected), "{name}");
        }
        for name in [
            "/dev/sda0",
            "/dev/sd",
            "/dev/sdA1",
            "/dev/md0",
            "/dev/nvme0",
            "/dev/nvme0n2p1",
            "/dev/sda1x",
            "/dev/sdaaaa",
            "",
        ] {
            assert_eq!(parse_kernel_name(name), None, "{name}");
        }
    }

    #[test]
    fn the_names_of_the_machine_go_before_the_order_of_the_disks() {
        let disk = |name: Option<&str>| DiskFacts {
            device_name: name.map(str::to_owned),
            partitions: vec![PartitionFacts::default()],
            ..DiskFacts::default()
        };
        let guest = |names: [Option<&str>; 2]| Guest { disks: names.map(disk).to_vec(), ..Guest::default() };
        let named = guest([Some("/dev/sda1"), Some("/dev/sdf")]);
        for (spec, expected) in [
            ("/dev/xvda", Some((0, 0))),
            ("/dev/xvdf", Some((1, 0))),
            ("/dev/sdf", Some((1, 0))),
            ("/dev/xvdb", None),
            ("/dev/nvme1n1", Some((1, 0))),
        ] {
            assert_eq!(named.resolve_device(spec), expected.map(PartitionId::into), "{spec}");
        }
        let half = guest([None, Some("/dev/sdf")]);
        assert_eq!(half.resolve_device("/dev/xvdb"), Some((1, 0).into()));
    }

    #[test]
    fn a_tag_shared_by_two_partitions_names_neither() {
        let partition = |number, uuid: &str| PartitionFacts {
            number,
            file_system: Some(FsFacts { uuid: Some(uuid.into()), ..FsFacts::default() }),
            ..PartitionFacts::default()
        };
        let partitions = vec![partition(1, "aa"), partition(2, "bb"), partition(3, "bb")];
        let guest =
            Guest { disks: vec![DiskFacts { partitions, ..DiskFacts::default() }], ..Guest::default() };
        assert_eq!(guest.resolve_device("UUID=AA"), Some((0, 1).into()));
        assert_eq!(guest.resolve_device("/dev/disk/by-uuid/aa"), Some((0, 1).into()));
        assert_eq!(guest.resolve_device("UUID=\"aa\""), Some((0, 1).into()));
        assert_eq!(guest.resolve_device("UUID=bb"), None);
        assert_eq!(guest.resolve_device("/dev/xvda3"), Some((0, 3).into()));
        assert_eq!(guest.resolve_device("/dev/xvdb3"), None);
    }

    #[test]
    fn volumes_are_named_by_their_devices_and_by_tags() {
        let volume = |devices: &[&str], uuid: &str| VolumeFacts {
            group: 0,
            devices: devices.iter().map(|&device| device.to_owned()).collect(),
            size: 1,
            layout: "linear".into(),
            file_system: Some(FsFacts { uuid: Some(uuid.into()), ..FsFacts::default() }),
            obstacle: None,
        };
        let volumes = vec![
            volume(&["/dev/mapper/vg-a--b", "/dev/vg/a-b"], "aa"),
            volume(&["/dev/md0", "/dev/md/twice"], "bb"),
            volume(&["/dev/md1", "/dev/md/twice"], "bb"),
        ];
        let guest = Guest { volumes, ..Guest::default() };
        for (spec, expected) in [
            ("/dev/vg/a-b", Some(0)),
            ("/dev/mapper/vg-a--b", Some(0)),
            ("/dev/mapper/vg-a-b", None),
            ("UUID=AA", Some(0)),
            ("UUID=bb", None),
            ("/dev/md1", Some(2)),
            ("/dev/md/twice", None),
            ("md1", None),
        ] {
            assert_eq!(
                guest.resolve_device(spec),
                expected.map(|volume| VolumeId::Mapped { volume }),
                "{spec}"
            );
        }
        let json = serde_json::to_value([VolumeId::from((1, 2)), VolumeId::Mapped { volume: 3 }]).unwrap();
        assert_eq!(json, serde_json::json!([{ "disk": 1, "partition": 2 }, { "volume": 3 }]));
    }
}
