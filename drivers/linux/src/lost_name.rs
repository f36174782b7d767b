//! Names by content of what is on none of the disks: tags, logical volumes, arrays, and the containers of crypttab.
//!
//! Such a name is no hardware's and stays. But where the disk that had it is not moved along, systemd waits for it and then drops to an
//! emergency shell. Something is called lost only when that is certain: every disk, group and volume is known, and nothing on them has
//! the name. Fact: arrays that no configuration names get numbers downwards from 127 (mdadm(8), "DEVICE NAMES").

use crate::content_name::{ContentName, content_name, number_of_array};
use crate::stable_name::{Name, same_kind, stable_name};
use driver_core::{
    FsFacts, GroupKind, Guest, PartitionFacts, PartitionRole, TableKind, VolumeFacts, VolumeId,
};

/// Containers in containers at most.
const MAX_DEPTH: usize = 4;
/// Above it, arrays have numbers that mdadm chose.
const LAST_GIVEN_NUMBER: u32 = 99;

/// Why `spec` names nothing on the disks; `None` when it does, or may. `kind` is the file system type expected there.
pub(crate) fn why(guest: &Guest, spec: &str, kind: Option<&str>) -> Option<String> {
    let mut device = spec;
    for _ in 0..MAX_DEPTH {
        let Some(next) = container(guest, device) else { break };
        device = next;
    }
    if device != spec {
        // A name of crypttab; what it is made of may be lost.
        let is_end = container(guest, device).is_none();
        return match is_end.then(|| stable_name(guest, device, None)) {
            Some(Name::Lost(why)) => Some(format!("{spec} is made of what is lost: {why}")),
            _ => None,
        };
    }
    let name = content_name(spec)?;
    is_lost(guest, &name, kind).then(|| format!("{} on the disks is {spec}", words(&name)))
}

/// Whether it is a file system's UUID.
pub(crate) fn is_uuid(spec: &str) -> bool {
    matches!(content_name(spec), Some(ContentName::Uuid(_)))
}

/// What crypttab says that `spec` is made of.
fn container<'a>(guest: &'a Guest, spec: &str) -> Option<&'a str> {
    let name = spec.strip_prefix("/dev/mapper/").or_else(|| spec.strip_prefix("/dev/disk/by-id/dm-name-"))?;
    guest.mappings.iter().find(|mapping| mapping.name == name).map(|mapping| mapping.device.as_str())
}

/// `true` only when it is certain: the content of every partition and volume is known, and so is that of every group.
fn is_lost(guest: &Guest, name: &ContentName, kind: Option<&str>) -> bool {
    let has_tables = (0..).zip(&guest.disks).all(|(index, disk)| {
        let of_disk = format!("disk {index}:");
        !disk.partitions.is_empty() && !guest.obstacles.iter().any(|text| text.starts_with(&of_disk))
    });
    if guest.disks.is_empty() || !has_tables {
        return false;
    }
    let is = |own: Option<&String>, wanted: &str| own.is_some_and(|own| is_like(own, wanted));
    match name {
        ContentName::Uuid(uuid) => all_known(guest, |fs| is(fs.uuid.as_ref(), uuid), is_plain),
        ContentName::Label(label) => all_known(
            guest,
            |fs| is(fs.label.as_ref(), label),
            |fs| has_known_label(fs) || cannot_be(fs, kind),
        ),
        ContentName::PartUuid(uuid) => no_entry(guest, |entry| is(entry.part_uuid.as_ref(), uuid)),
        ContentName::PartLabel(label) => no_entry(guest, |entry| is(entry.name.as_ref(), label)),
        ContentName::Logical(path) => {
            all_known(guest, |_| false, is_plain)
                && guest.volumes.iter().all(|volume| !volume.devices.contains(path))
        }
        ContentName::Array(path) => {
            all_known(guest, |_| false, is_plain)
                && arrays(guest).all(|(name, array)| !may_be(name, array, path))
        }
    }
}

fn words(name: &ContentName) -> &'static str {
    match name {
        ContentName::Uuid(_) | ContentName::Label(_) => "no file system",
        ContentName::PartUuid(_) | ContentName::PartLabel(_) => "no partition",
        ContentName::Logical(_) => "no volume",
        ContentName::Array(_) => "no array",
    }
}

/// Whoever may mean the same is not lost: padding, case and bytes that are no UTF-8 do not count.
fn is_like(own: &str, wanted: &str) -> bool {
    own.trim().eq_ignore_ascii_case(wanted.trim()) || own.contains('\u{fffd}') || wanted.contains('\u{fffd}')
}

/// Whether all that partitions and volumes hold is known, and none of it `is_it`. `is_clear` says that nothing else can be inside.
fn all_known(guest: &Guest, is_it: impl Fn(&FsFacts) -> bool, is_clear: impl Fn(&FsFacts) -> bool) -> bool {
    let known = |id: VolumeId, fs: Option<&FsFacts>| {
        fs.is_some_and(|fs| !is_it(fs) && (is_clear(fs) || is_used_by_a_group(guest, id)))
    };
    let partitions = entries(guest).all(|(disk, entry)| {
        never_holds_any(entry) || known((disk, entry.number).into(), entry.file_system.as_ref())
    });
    let mut volumes = (0..).zip(&guest.volumes);
    partitions
        && volumes.all(|(volume, facts)| known(VolumeId::Mapped { volume }, facts.file_system.as_ref()))
}

/// Whether all partition tables are known, and none has an entry that `is_it`. Arrays may have tables, too.
fn no_entry(guest: &Guest, is_it: impl Fn(&PartitionFacts) -> bool) -> bool {
    let is_array = |fs: &FsFacts| fs.kind == "linux_raid_member";
    let known = |id: VolumeId, fs: Option<&FsFacts>| {
        fs.is_none_or(|fs| !is_array(fs)) || is_used_by_a_group(guest, id)
    };
    let is_blank = |disk: usize, entry: &PartitionFacts| {
        let has_table = guest.disks.get(disk).is_some_and(|disk| disk.table != TableKind::None);
        !has_table && entry.file_system.is_none()
    };
    entries(guest).all(|(disk, entry)| {
        !is_it(entry)
            && !is_blank(disk, entry)
            && known((disk, entry.number).into(), entry.file_system.as_ref())
    }) && guest.volumes.iter().all(|volume| volume.file_system.is_some())
}

fn entries(guest: &Guest) -> impl Iterator<Item = (usize, &PartitionFacts)> {
    (0..).zip(&guest.disks).flat_map(|(disk, facts)| facts.partitions.iter().map(move |entry| (disk, entry)))
}

/// One known file system with a UUID.
fn is_plain(fs: &FsFacts) -> bool {
    fs.uuid.is_some()
        && matches!(fs.kind.as_str(), "ext2" | "ext3" | "ext4" | "vfat" | "xfs" | "ntfs" | "swap")
}

/// The label of FAT lies in the root folder as well, which nobody looked at.
fn has_known_label(fs: &FsFacts) -> bool {
    matches!(fs.kind.as_str(), "ext2" | "ext3" | "ext4" | "xfs" | "swap")
}

/// A file system that holds no other, of another kind than the line says.
fn cannot_be(fs: &FsFacts, wanted: Option<&str>) -> bool {
    const KINDS: [&str; 8] = ["ext2", "ext3", "ext4", "xfs", "swap", "vfat", "msdos", "btrfs"];
    let is_leaf = fs.kind == "ntfs" || KINDS.contains(&fs.kind.as_str());
    is_leaf && wanted.is_some_and(|wanted| KINDS.contains(&wanted) && !same_kind(&fs.kind, wanted))
}

fn never_holds_any(partition: &PartitionFacts) -> bool {
    let extended = matches!(partition.type_id.as_str(), "0x05" | "0x5" | "0x0f" | "0xf" | "0x85");
    partition.role == PartitionRole::BiosBoot || extended
}

/// A part of a group that was put together: what it holds is among the volumes.
fn is_used_by_a_group(guest: &Guest, id: VolumeId) -> bool {
    guest
        .groups
        .iter()
        .any(|group| group.obstacle.is_none() && group.parts.iter().any(|part| part.place == Some(id)))
}

/// The arrays, with their names by superblock.
fn arrays(guest: &Guest) -> impl Iterator<Item = (&str, &VolumeFacts)> {
    guest.volumes.iter().filter_map(|volume| {
        let group = guest.groups.get(volume.group)?;
        (group.kind == GroupKind::Md).then_some((group.name.as_str(), volume))
    })
}

/// Whether an array may have the name `path` in the guest.
fn may_be(name: &str, array: &VolumeFacts, path: &str) -> bool {
    if array.devices.iter().any(|device| device == path) {
        return true;
    }
    if let Some(wanted) = number_of_array(path) {
        let is_numbered = array.devices.iter().any(|device| number_of_array(device).is_some());
        return !is_numbered || wanted > LAST_GIVEN_NUMBER;
    }
    // `host:data` of another host is `data_0`, or stays as it is.
    let local = |name: &str| {
        let name = name.rsplit(['/', ':']).next().unwrap_or_default();
        name.rsplit_once('_').map_or(name, |(name, _)| name).to_owned()
    };
    path.contains("/md-uuid-")
        || local(path.trim_start_matches("/dev/disk/by-id/md-name-")) == local(name)
        || array.devices.iter().any(|device| local(device) == local(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use driver_core::{DiskFacts, GroupFacts, GroupPart, MappingFacts};

    fn fs(kind: &str, uuid: &str, label: &str) -> FsFacts {
        let label = Some(label.to_owned()).filter(|label| !label.is_empty());
        FsFacts { kind: kind.into(), uuid: Some(uuid.into()), label, ..FsFacts::default() }
    }

    fn guest() -> Guest {
        let partition = |number, fs| PartitionFacts {
            number,
            part_uuid: Some(format!("p-{number}")),
            name: Some(format!("part {number}")),
            file_system: Some(fs),
            ..PartitionFacts::default()
        };
        let partitions = vec![
            partition(1, fs("ext4", "aa", "/")),
            partition(2, fs("swap", "bb", "SWAP-sda2")),
            partition(3, fs("xfs", "cc", "my data")),
        ];
        let disk = DiskFacts { table: TableKind::Gpt, partitions, ..DiskFacts::default() };
        Guest { disks: vec![disk], ..Guest::default() }
    }

    /// A group whose only part is partition 2, with one volume.
    fn grouped(kind: GroupKind, name: &str, devices: &[&str]) -> Guest {
        let mut guest = guest();
        let member = if kind == GroupKind::Md { "linux_raid_member" } else { "LVM2_member" };
        guest.disks[0].partitions[1].file_system = Some(fs(member, "part", ""));
        let part = GroupPart { place: Some((0, 2).into()), uuid: None, state: "in use".into() };
        guest.groups.push(GroupFacts {
            kind,
            name: name.into(),
            uuid: "u".into(),
            layout: String::new(),
            parts: vec![part],
            warnings: Vec::new(),
            obstacle: None,
        });
        guest.volumes.push(VolumeFacts {
            group: 0,
            devices: devices.iter().map(|&device| device.to_owned()).collect(),
            size: 1,
            layout: String::new(),
            file_system: Some(fs("ext4", "vv", "volume")),
            obstacle: None,
        });
        guest
    }

    fn is_lost(guest: &Guest, spec: &str) -> bool {
        why(guest, spec, None).is_some()
    }

    #[test]
    fn what_no_disk_has_is_lost() {
        let guest = guest();
        for spec in [
            "UUID=ff",
            "LABEL=nosuch",
            "LABEL=\"data\"",
            "/dev/disk/by-label/data",
            "PARTUUID=p-9",
            "/dev/disk/by-partuuid/p-9",
            "PARTLABEL=data",
            "/dev/disk/by-partlabel/data",
            "/dev/mapper/vg-lv",
            "/dev/vg/lv",
            "/dev/md127",
            "/dev/md/data",
            "/dev/disk/by-id/md-uuid-1:2:3:4",
        ] {
            assert!(is_lost(&guest, spec), "{spec}");
        }
        for spec in [
            "UUID=AA",
            "LABEL=/",
            "LABEL=SWAP-sda2",
            "LABEL=my data",
            "/dev/disk/by-label/my\\x20data",
            "PARTUUID=P-1",
            "PARTLABEL=part 3",
            "/dev/disk/by-partlabel/part\\x203",
            "/dev/mapper/cryptswap1",
            "/dev/loop0",
            "tmpfs",
            "nas:/export",
        ] {
            assert!(!is_lost(&guest, spec), "{spec}");
        }
    }

    #[test]
    fn nothing_is_lost_where_something_is_not_known() {
        let all = [
            "UUID=ff",
            "LABEL=x",
            "PARTUUID=x",
            "PARTLABEL=x",
            "/dev/mapper/vg-lv",
            "/dev/vg/lv",
            "/dev/md9",
        ];
        let mut damaged = guest();
        damaged.obstacles.push("disk 0: the table is damaged".into());
        let mut blank = guest();
        blank.disks.push(DiskFacts { partitions: vec![PartitionFacts::default()], ..DiskFacts::default() });
        let empty = Guest::default();
        let mut stray = guest();
        stray.disks[0].partitions[1].file_system = Some(fs("linux_raid_member", "x", ""));
        for guest in [&damaged, &blank, &empty, &stray] {
            for spec in all {
                assert!(!is_lost(guest, spec), "{spec}");
            }
        }
        let mut container = guest();
        container.disks[0].partitions[2].file_system = Some(fs("crypto_LUKS", "l", ""));
        for spec in all {
            assert_eq!(is_lost(&container, spec), spec.starts_with("PART"), "{spec}");
        }
    }

    #[test]
    fn a_fat_label_counts_only_where_fat_is_expected() {
        let mut guest = guest();
        guest.disks[0].partitions[1].file_system = Some(fs("vfat", "AB-CD", ""));
        assert!(why(&guest, "LABEL=UEFI", Some("vfat")).is_none(), "it may lie in the root folder");
        assert!(why(&guest, "LABEL=data", Some("auto")).is_none());
        assert!(why(&guest, "LABEL=data", Some("ext4")).is_some());
        guest.disks[0].partitions[1].file_system = Some(fs("ntfs", "AB", ""));
        assert!(why(&guest, "LABEL=data", Some("ntfs-3g")).is_none());
        assert!(why(&guest, "LABEL=data", Some("xfs")).is_some());
    }

    #[test]
    fn a_volume_is_lost_only_when_every_group_is_known() {
        let mut guest = grouped(GroupKind::Lvm, "vg", &["/dev/mapper/vg-x", "/dev/vg/x"]);
        let lost = ["UUID=ff", "LABEL=data", "/dev/mapper/vg-gone", "/dev/data/x", "PARTUUID=p-9"];
        for spec in lost {
            assert!(is_lost(&guest, spec), "{spec}");
        }
        for spec in ["UUID=vv", "LABEL=volume", "/dev/mapper/vg-x", "/dev/vg/x", "PARTUUID=p-2"] {
            assert!(!is_lost(&guest, spec), "{spec}");
        }
        guest.volumes[0].file_system = None;
        for spec in lost {
            assert!(!is_lost(&guest, spec), "{spec}: the content of a volume is not known");
        }
        let mut guest = grouped(GroupKind::Lvm, "vg", &["/dev/mapper/vg-x", "/dev/vg/x"]);
        guest.groups[0].obstacle = Some("why".into());
        for spec in ["UUID=ff", "LABEL=data", "/dev/mapper/vg-gone", "/dev/data/x"] {
            assert!(!is_lost(&guest, spec), "{spec}: a group is not known");
        }
    }

    #[test]
    fn an_array_is_lost_unless_one_may_have_its_name() {
        let numbered = grouped(GroupKind::Md, "host:0", &["/dev/md0", "/dev/md/0"]);
        for (spec, expected) in
            [("/dev/md0", false), ("/dev/md1", true), ("/dev/md127", false), ("/dev/md/data", true)]
        {
            assert_eq!(is_lost(&numbered, spec), expected, "{spec}");
        }
        let named = grouped(GroupKind::Md, "host:data", &["/dev/md/data"]);
        for (spec, expected) in [
            ("/dev/md/data", false),
            ("/dev/md/data_0", false),
            ("/dev/md/host:data", false),
            ("/dev/disk/by-id/md-name-host:data", false),
            ("/dev/disk/by-id/md-name-host:home", true),
            ("/dev/md/home", true),
            ("/dev/md127", false),
            ("/dev/md1", false),
        ] {
            assert_eq!(is_lost(&named, spec), expected, "{spec}");
        }
    }

    #[test]
    fn a_container_is_lost_with_what_it_is_made_of() {
        let mut guest = guest();
        let mapping = |name: &str, device: &str| MappingFacts { name: name.into(), device: device.into() };
        guest.mappings = vec![
            mapping("data", "/dev/sdf"),
            mapping("crypt-home", "UUID=cc"),
            mapping("deep", "/dev/mapper/data"),
            mapping("round", "/dev/mapper/round"),
            mapping("key-lost", "UUID=ff"),
        ];
        for (spec, expected) in [
            ("/dev/mapper/data", true),
            ("/dev/mapper/deep", true),
            ("/dev/disk/by-id/dm-name-data", true),
            ("/dev/mapper/key-lost", true),
            ("/dev/mapper/crypt-home", false),
            ("/dev/mapper/round", false),
            ("/dev/mapper/other", false),
        ] {
            assert_eq!(is_lost(&guest, spec), expected, "{spec}");
        }
    }
}
