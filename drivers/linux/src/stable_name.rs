//! Names of block devices that do not survive a move to other hardware, and what to write instead.

use crate::lost_name;
use driver_core::device::parse_kernel_name;
use driver_core::{Guest, PartitionFacts, VolumeId};

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
        return match lost_name::why(guest, spec, kind) {
            Some(why) => Name::Lost(why),
            None => Name::Stable,
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
        // It is there, so what its label or volume is called cannot be missing.
        Some(_) if !lost_name::is_uuid(spec) => Name::Stable,
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

/// Folders of links that the agents and rules of a platform make from its hardware (azure-vm-utils, cloud-init, oci-utils).
const PLATFORM_LINKS: [&str; 5] = [
    "/dev/disk/by-path/",
    "/dev/disk/by-diskseq/",
    "/dev/disk/azure/",
    "/dev/disk/cloud/",
    "/dev/oracleoci/",
];

/// Kernel names count disks in the order of this machine's controllers; by-id and by-path name its hardware.
pub(crate) fn depends_on_hardware(spec: &str) -> bool {
    let path = spec.trim_matches('"');
    // These are names of volumes, arrays and what is on a disk, by their own identifiers.
    let by_content = ["dm-name-", "dm-uuid-", "md-name-", "md-uuid-", "lvm-pv-uuid-"];
    let by_id = path.strip_prefix("/dev/disk/by-id/");
    let by_hardware = by_id.is_some_and(|name| !by_content.iter().any(|start| name.starts_with(start)))
        || PLATFORM_LINKS.iter().any(|folder| path.starts_with(folder));
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

pub(crate) fn same_kind(found: &str, wanted: &str) -> bool {
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

#[cfg(test)]
mod tests {
    use super::*;
    use driver_core::{DiskFacts, FsFacts, MountFacts};

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
            "PARTUUID=p-3",
            "PARTUUID=p-3/PARTNROFF=1",
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
            ("/dev/disk/by-id/google-data", None),
            ("/dev/disk/azure/scsi1/lun0-part1", None),
            ("/dev/disk/cloud/azure_resource-part1", None),
            ("/dev/oracleoci/oraclevdb", None),
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
        assert_eq!(
            stable_name_of_mount(&guest, "/dev/disk/azure/root-part1", "/"),
            Name::New("UUID=cc".into())
        );
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
}
