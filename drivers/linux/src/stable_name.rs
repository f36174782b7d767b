//! Names of block devices that do not survive a move to other hardware, and what to write instead.

use driver_core::device::parse_kernel_name;
use driver_core::{FsFacts, Guest, PartitionFacts, PartitionRole, VolumeId};

/// What becomes of a device name.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Name {
    /// It survives, or is no disk at all.
    Stable,
    /// This name says the same and survives.
    New(String),
    /// It names nothing on the disks at hand; why.
    Lost(String),
}

/// Looks at a device name of fstab, crypttab or a kernel command line. `kind` is the file system type expected there.
pub(crate) fn stable_name(guest: &Guest, spec: &str, kind: Option<&str>) -> Name {
    if !depends_on_hardware(spec) {
        return if is_lost_uuid(guest, spec) {
            Name::Lost(format!("no file system on the disks has {spec}"))
        } else {
            Name::Stable
        };
    }
    let Some(id) = guest.resolve_device(spec) else {
        return Name::Lost(format!("{spec} is on none of the disks"));
    };
    let found = guest.file_system(id);
    match (found.map(|fs| fs.kind.as_str()), kind) {
        (Some(found), Some(kind)) if !same_kind(found, kind) => {
            Name::Lost(format!("{spec} should hold {kind}, but there is {found}"))
        }
        _ => name_of(guest, id),
    }
}

/// The same for a device that must be the one mounted at `point`: inspection knows better than the name.
pub(crate) fn stable_name_of_mount(guest: &Guest, spec: &str, point: &str) -> Name {
    let mounted = guest.mounts.iter().find(|mount| mount.point == point);
    match mounted {
        Some(mount) if depends_on_hardware(spec) => name_of(guest, mount.place),
        _ => stable_name(guest, spec, None),
    }
}

/// Whether `spec` is the partition of another system than this one: it holds a file system that may be a root, this guest
/// mounts it nowhere, and its number is another than that of this guest's root, which no change of controllers alters.
pub(crate) fn is_another_root(guest: &Guest, spec: &str) -> bool {
    let root = guest.mounts.iter().find(|mount| mount.point == "/").map(|mount| mount.place);
    let (Some(root), Some(found)) = (root, guest.resolve_device(spec)) else { return false };
    let number = |id: VolumeId| match id {
        VolumeId::Partition { partition, .. } => Some(partition),
        VolumeId::Mapped { .. } => None,
    };
    let kind = guest.file_system(found).map(|fs| fs.kind.as_str()).unwrap_or_default();
    number(found) != number(root)
        && matches!(kind, "ext2" | "ext3" | "ext4" | "xfs" | "btrfs" | "reiserfs" | "jfs")
        && guest.mounts.iter().all(|mount| mount.place != found)
}

/// `PARTUUID=…` of what is mounted at `point`: the only name that a kernel without initramfs understands.
pub(crate) fn partition_name_of_mount(guest: &Guest, point: &str) -> Name {
    let mounted = guest.mounts.iter().find(|mount| mount.point == point);
    match mounted {
        Some(mount) => partition_name_of(guest, mount.place),
        None => Name::Lost(format!("what is mounted at {point} is not known")),
    }
}

/// The same for a device.
pub(crate) fn partition_name(guest: &Guest, spec: &str) -> Name {
    match guest.resolve_device(spec) {
        Some(id) => partition_name_of(guest, id),
        None => Name::Lost(format!("{spec} is on none of the disks")),
    }
}

/// Whether udev has a `PARTUUID` for what is mounted at `point`: an MBR without a signature gives none.
pub(crate) fn is_told_by_partition(guest: &Guest, point: &str) -> bool {
    match partition_name_of_mount(guest, point) {
        Name::New(name) => !name.starts_with("PARTUUID=00000000-"),
        Name::Stable | Name::Lost(_) => false,
    }
}

fn partition_name_of(guest: &Guest, id: VolumeId) -> Name {
    let uuid = partition_of(guest, id).and_then(|partition| partition.part_uuid.as_ref());
    match uuid.map(|uuid| format!("PARTUUID={uuid}")).filter(|name| guest.resolve_device(name) == Some(id)) {
        Some(name) => Name::New(name),
        None => {
            Name::Lost("a kernel starts without initramfs, and its root has no PARTUUID of its own".into())
        }
    }
}

/// Kernel names count disks in the order of this machine's controllers; by-id and by-path name its hardware.
pub(crate) fn depends_on_hardware(spec: &str) -> bool {
    let path = spec.trim_matches('"');
    // These are names of volumes, arrays and what is on a disk, by their own identifiers.
    let by_content = ["dm-name-", "dm-uuid-", "md-name-", "md-uuid-", "lvm-pv-uuid-"];
    let by_id = path.strip_prefix("/dev/disk/by-id/");
    let by_hardware = by_id.is_some_and(|name| !by_content.iter().any(|start| name.starts_with(start)))
        || path.starts_with("/dev/disk/by-path/");
    let disk = |prefix, next: fn(char) -> bool| {
        // `/dev/nvmevg/data` is a logical volume.
        let rest: Option<&str> = path.strip_prefix(prefix);
        rest.is_some_and(|rest| rest.starts_with(next) && !rest.contains('/'))
    };
    by_hardware
        || path.starts_with("/dev/") && parse_kernel_name(path).is_some()
        || disk("/dev/nvme", |c| c.is_ascii_digit())
        || ["/dev/cciss/", "/dev/ida/"].iter().any(|controller| path.starts_with(controller))
        || disk("/dev/xvd", |c| c.is_ascii_lowercase())
}

fn same_kind(found: &str, wanted: &str) -> bool {
    let family = |kind: &str| match kind {
        "ext2" | "ext3" | "ext4" => "ext".to_owned(),
        "vfat" | "msdos" => "fat".to_owned(),
        other => other.to_owned(),
    };
    matches!(wanted, "auto" | "none" | "") || family(found) == family(wanted)
}

/// `UUID=…` where it is unique, else `PARTUUID=…` or the name of a volume: those are no hardware's.
fn name_of(guest: &Guest, id: VolumeId) -> Name {
    let uuid = guest.file_system(id).and_then(|fs| fs.uuid.as_ref()).map(|uuid| format!("UUID={uuid}"));
    let other = match id {
        VolumeId::Mapped { volume } => {
            guest.volumes.get(volume).and_then(|volume| volume.devices.first().cloned())
        }
        VolumeId::Partition { .. } => {
            partition_of(guest, id).and_then(|p| p.part_uuid.as_ref()).map(|uuid| format!("PARTUUID={uuid}"))
        }
    };
    // Written into shell files too: nothing that a shell or GRUB would look at.
    let writable = |name: &String| name.chars().all(|c| c.is_ascii_alphanumeric() || "=-_.:/+".contains(c));
    let unique = |name: &String| writable(name) && guest.resolve_device(name) == Some(id);
    match [uuid, other].into_iter().flatten().find(unique) {
        Some(name) => Name::New(name),
        None => Name::Lost(format!("{} has no UUID of its own", guest.place_name(id))),
    }
}

fn partition_of(guest: &Guest, id: VolumeId) -> Option<&PartitionFacts> {
    match id {
        VolumeId::Partition { disk, partition } => guest.partition((disk, partition)),
        VolumeId::Mapped { .. } => None,
    }
}

/// `true` only when it is certain: the content of every partition and volume is known, and so is that of every group.
fn is_lost_uuid(guest: &Guest, spec: &str) -> bool {
    let uuid = spec.strip_prefix("UUID=").or_else(|| spec.strip_prefix("/dev/disk/by-uuid/"));
    let Some(uuid) = uuid.map(|uuid| uuid.trim_matches('"')) else { return false };
    let partitions = || {
        guest.disks.iter().enumerate().flat_map(|(disk, facts)| {
            facts
                .partitions
                .iter()
                .filter(|p| !never_holds_any(p))
                .map(move |p| ((disk, p.number).into(), &p.file_system))
        })
    };
    let volumes =
        || (0..).zip(&guest.volumes).map(|(volume, v)| (VolumeId::Mapped { volume }, &v.file_system));
    let own = |fs: &FsFacts| fs.uuid.as_ref().is_some_and(|own| own.eq_ignore_ascii_case(uuid));
    let known = |(id, fs): (VolumeId, &Option<FsFacts>)| {
        fs.as_ref().is_some_and(|fs| !own(fs) && (is_plain(fs) || is_used_by_a_group(guest, id)))
    };
    !guest.disks.is_empty()
        && guest.disks.iter().all(|disk| !disk.partitions.is_empty())
        && partitions().all(known)
        && volumes().all(known)
}

/// One known file system with a UUID.
fn is_plain(fs: &FsFacts) -> bool {
    fs.uuid.is_some()
        && matches!(fs.kind.as_str(), "ext2" | "ext3" | "ext4" | "vfat" | "xfs" | "ntfs" | "swap")
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

#[cfg(test)]
mod tests {
    use super::*;
    use driver_core::{DiskFacts, MountFacts};

    fn guest() -> Guest {
        let partition = |number, kind: &str, uuid: Option<&str>| PartitionFacts {
            number,
            part_uuid: Some(format!("p-{number}")),
            file_system: Some(FsFacts {
                kind: kind.into(),
                uuid: uuid.map(Into::into),
                ..FsFacts::default()
            }),
            ..PartitionFacts::default()
        };
        let partitions = vec![
            partition(1, "ext4", Some("aa")),
            partition(2, "swap", None),
            partition(3, "xfs", Some("cc")),
        ];
        Guest { disks: vec![DiskFacts { partitions, ..DiskFacts::default() }], ..Guest::default() }
    }

    #[test]
    fn kernel_names_become_uuids() {
        let guest = guest();
        for (spec, kind, expected) in [
            ("/dev/xvda1", Some("ext4"), "UUID=aa"),
            ("/dev/nvme0n1p1", Some("auto"), "UUID=aa"),
            ("/dev/sda1", Some("ext3"), "UUID=aa"),
            ("/dev/sda2", Some("swap"), "PARTUUID=p-2"),
            ("/dev/cciss/c0d0p1", None, "UUID=aa"),
        ] {
            assert_eq!(stable_name(&guest, spec, kind), Name::New(expected.into()), "{spec}");
        }
        for spec in [
            "LABEL=x",
            "PARTUUID=p-9",
            "/dev/mapper/a-b",
            "/dev/nvmevg/data",
            "/dev/xvdata/x",
            "/dev/md0",
            "tmpfs",
            "nas:/x",
            "/swapfile",
            "",
        ] {
            assert_eq!(stable_name(&guest, spec, None), Name::Stable, "{spec}");
        }
    }

    #[test]
    fn what_is_not_there_or_not_as_expected_is_lost() {
        let mut guest = guest();
        for (spec, kind) in [
            ("/dev/xvdf", None),
            ("/dev/nvme1n1p1", None),
            ("/dev/nvme0n2", None),
            ("/dev/cciss/c0d1p1", None),
            ("/dev/cciss/c1d0p1", None),
            ("/dev/sda1", Some("xfs")),
            ("/dev/disk/by-id/nvme-x", None),
        ] {
            assert!(matches!(stable_name(&guest, spec, kind), Name::Lost(_)), "{spec}");
        }
        // A swap area without UUID: what UUID=ff names is not certain.
        assert_eq!(stable_name(&guest, "UUID=ff", None), Name::Stable);
        guest.disks[0].partitions[1].file_system.as_mut().unwrap().uuid = Some("bb".into());
        assert!(matches!(stable_name(&guest, "UUID=ff", None), Name::Lost(_)));
        assert_eq!(stable_name(&guest, "UUID=AA", None), Name::Stable);
    }

    #[test]
    fn a_uuid_that_two_partitions_share_is_not_written() {
        let mut guest = guest();
        guest.disks[0].partitions[2].file_system.as_mut().unwrap().uuid = Some("aa".into());
        assert_eq!(stable_name(&guest, "/dev/xvda1", None), Name::New("PARTUUID=p-1".into()));
        guest.disks[0].partitions[2].part_uuid = Some("p-1".into());
        assert!(matches!(stable_name(&guest, "/dev/xvda1", None), Name::Lost(_)));
    }

    #[test]
    fn inspection_knows_the_root_better_than_a_name() {
        let mut guest = guest();
        let mount = |partition| MountFacts {
            point: "/".into(),
            device: String::new(),
            place: (0, partition).into(),
            kind: "xfs".into(),
        };
        guest.mounts.push(mount(3));
        assert_eq!(stable_name_of_mount(&guest, "/dev/nvme1n1p1", "/"), Name::New("UUID=cc".into()));
        assert_eq!(stable_name_of_mount(&guest, "/dev/xvda1", "/var"), Name::New("UUID=aa".into()));
        assert_eq!(stable_name_of_mount(&guest, "LABEL=root", "/"), Name::Stable);
    }

    #[test]
    fn names_of_volumes_survive_and_stand_in_for_what_does_not() {
        let mut guest = guest();
        guest.volumes.push(driver_core::VolumeFacts {
            group: 0,
            devices: vec!["/dev/mapper/vg-root".into(), "/dev/vg/root".into()],
            size: 1,
            layout: "linear".into(),
            file_system: Some(FsFacts { kind: "ext4".into(), uuid: Some("vv".into()), ..FsFacts::default() }),
            obstacle: None,
        });
        let place = VolumeId::Mapped { volume: 0 };
        guest.mounts.push(MountFacts {
            point: "/".into(),
            device: String::new(),
            place,
            kind: "ext4".into(),
        });
        for spec in ["/dev/mapper/vg-root", "/dev/vg/root", "UUID=vv"] {
            assert_eq!(stable_name_of_mount(&guest, spec, "/"), Name::Stable, "{spec}");
        }
        assert_eq!(stable_name_of_mount(&guest, "/dev/xvda9", "/"), Name::New("UUID=vv".into()));
        assert!(
            matches!(partition_name_of_mount(&guest, "/"), Name::Lost(_)),
            "no kernel finds it without initramfs"
        );
        guest.disks[0].partitions[0].file_system.as_mut().unwrap().uuid = Some("vv".into());
        assert_eq!(stable_name_of_mount(&guest, "/dev/xvda9", "/"), Name::New("/dev/mapper/vg-root".into()));
    }

    #[test]
    fn a_uuid_is_lost_only_when_every_group_is_known() {
        let mut guest = guest();
        let fs = |kind: &str, uuid: &str| FsFacts {
            kind: kind.into(),
            uuid: Some(uuid.into()),
            ..FsFacts::default()
        };
        guest.disks[0].partitions[1].file_system = Some(fs("LVM2_member", "pv"));
        assert_eq!(
            stable_name(&guest, "UUID=ff", None),
            Name::Stable,
            "a group that is not known may hold it"
        );
        guest.groups.push(driver_core::GroupFacts {
            kind: driver_core::GroupKind::Lvm,
            name: "vg".into(),
            uuid: "u".into(),
            layout: "lvm2".into(),
            parts: vec![driver_core::GroupPart {
                place: Some((0, 2).into()),
                uuid: None,
                state: "in use".into(),
            }],
            warnings: Vec::new(),
            obstacle: None,
        });
        let volume = |file_system| driver_core::VolumeFacts {
            group: 0,
            devices: vec!["/dev/vg/x".into()],
            size: 1,
            layout: "linear".into(),
            file_system,
            obstacle: None,
        };
        guest.volumes.push(volume(Some(fs("ext4", "vv"))));
        assert!(matches!(stable_name(&guest, "UUID=ff", None), Name::Lost(_)));
        assert_eq!(stable_name(&guest, "UUID=vv", None), Name::Stable);
        guest.volumes.push(volume(None));
        assert_eq!(stable_name(&guest, "UUID=ff", None), Name::Stable, "a volume whose content is not known");
        guest.volumes.pop();
        guest.groups[0].obstacle = Some("why".into());
        assert_eq!(stable_name(&guest, "UUID=ff", None), Name::Stable);
    }
}
