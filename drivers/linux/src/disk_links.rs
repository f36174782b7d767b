//! Which disk a link of udev means, where the guest's own files tell.
//!
//! Facts: the installers of SUSE up to 11 write `/dev/disk/by-id/…-partN` into fstab and the boot loader's menu (SLES administration
//! guide, "Device names"). What follows `by-id` is a serial number that the images do not hold; but the disk of the root is known, and
//! every other line with the same link means that disk. GRUB's device.map names the disks in the order of the BIOS.

use crate::fstab::FstabEntry;
use crate::inspect::text;
use driver_core::device::parse_hardware_link;
use driver_core::{Guest, GuestTree, VolumeId};
use format_core::Result;

/// Adds to the disks of `guest`, whose root is `root` and mounted in `tree`, the links that `fstab` and device.map tie to them.
///
/// # Errors
/// When a file system cannot be read.
pub fn learn_disk_links(
    tree: &GuestTree,
    guest: &mut Guest,
    root: VolumeId,
    fstab: &[FstabEntry],
) -> Result<()> {
    let link_of = |point: &str| {
        let entry = fstab.iter().find(|entry| entry.point == point)?;
        parse_hardware_link(&entry.device)
    };
    let mut found: Vec<(usize, String)> = Vec::new();
    if let (VolumeId::Partition { disk, partition }, Some((link, number))) = (root, link_of("/")) {
        found.extend((partition == number).then(|| (disk, link.to_owned())));
    }
    // A machine of one disk starts from it.
    if guest.disks.len() == 1 {
        let boot = ["/boot", "/boot/efi"].into_iter().filter_map(link_of);
        found.extend(boot.map(|(link, _)| (0, link.to_owned())));
    }
    // Azure's agent and udev rules call the disk of the system so.
    if let VolumeId::Partition { disk, .. } = root {
        let links = fstab.iter().filter_map(|entry| parse_hardware_link(&entry.device)).map(|(link, _)| link);
        let own = links.filter(|link| matches!(*link, "/dev/disk/azure/root" | "/dev/disk/azure/os"));
        found.extend(own.map(|link| (disk, link.to_owned())));
    }
    for (disk, link) in found {
        add(guest, disk, link);
    }
    let mut map: Vec<(usize, String)> = Vec::new();
    for path in ["/boot/grub/device.map", "/boot/grub2/device.map"] {
        let content = text(tree, path)?.unwrap_or_default();
        let lines = content.lines().take(64).filter_map(mapped);
        map.extend(lines.map(|(disk, link)| (disk, link.to_owned())));
    }
    if map.iter().all(|line| fits(line, &map, guest, root, fstab)) {
        for (disk, link) in map {
            add(guest, disk, link);
        }
    }
    Ok(())
}

fn add(guest: &mut Guest, disk: usize, link: String) {
    let is_known = guest.disks.iter().any(|disk| disk.links.contains(&link));
    if let Some(disk) = guest.disks.get_mut(disk).filter(|_| !is_known) {
        disk.links.push(link);
    }
}

/// Whether a line of device.map agrees with the others, with the links that are known, and with fstab.
fn fits(
    (disk, link): &(usize, String),
    map: &[(usize, String)],
    guest: &Guest,
    root: VolumeId,
    fstab: &[FstabEntry],
) -> bool {
    // One disk, one link. Whether two are names of the same disk cannot be seen from here.
    let agrees = |other: usize, known: &String| (other == *disk) == (known == link);
    let known = (0..).zip(&guest.disks).flat_map(|(at, disk)| disk.links.iter().map(move |link| (at, link)));
    let is_one = map.iter().map(|(other, known)| (*other, known)).chain(known).all(|(at, l)| agrees(at, l));
    is_one
        && fstab.iter().all(|entry| match parse_hardware_link(&entry.device) {
            Some((used, number)) if used == link => {
                let place = VolumeId::Partition { disk: *disk, partition: number };
                let is_there =
                    number == 0 || *disk >= guest.disks.len() || guest.partition((*disk, number)).is_some();
                // Subvolumes of btrfs share a partition; nothing else is mounted twice.
                is_there
                    && match entry.point.as_str() {
                        "/" => place == root,
                        _ => place != root || entry.kind == "btrfs",
                    }
            }
            _ => true,
        })
}

/// `(hd1) /dev/disk/by-id/X` is disk 1.
fn mapped(line: &str) -> Option<(usize, &str)> {
    let mut words = line.split_whitespace();
    let disk = words.next()?.strip_prefix("(hd")?.strip_suffix(')')?.parse().ok()?;
    let (link, partition) = parse_hardware_link(words.next()?)?;
    (partition == 0).then_some((disk, link))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read_fstab;
    use driver_core::{DiskFacts, MemFs, PartitionFacts};

    fn guest(disks: usize) -> Guest {
        let partition = |number| PartitionFacts { number, ..PartitionFacts::default() };
        let disk = DiskFacts { partitions: vec![partition(1), partition(2)], ..DiskFacts::default() };
        Guest { disks: vec![disk; disks], ..Guest::default() }
    }

    fn learned(disks: usize, root: VolumeId, fstab: &str, map: &str) -> Guest {
        let mut tree = GuestTree::new();
        tree.mount("/", Box::new(MemFs::new().with_file("/boot/grub/device.map", map)));
        let mut guest = guest(disks);
        learn_disk_links(&tree, &mut guest, root, &read_fstab(fstab)).unwrap();
        guest
    }

    #[test]
    fn the_roots_disk_is_known_by_its_link() {
        let fstab = "/dev/disk/by-id/ata-X-part2 / ext3 defaults 1 1\n/dev/disk/by-id/ata-X-part1 swap swap sw 0 0\n\
                     /dev/disk/by-id/ata-Y-part1 /data ext3 defaults 0 2\n";
        let guest = learned(2, (1, 2).into(), fstab, "");
        assert_eq!(guest.resolve_device("/dev/disk/by-id/ata-X-part1"), Some((1, 1).into()));
        assert_eq!(guest.resolve_device("/dev/disk/by-id/ata-Y-part1"), None);
        assert_eq!(guest.resolve_device("/dev/disk/by-id/ata-X-part9"), None);
        let guest = learned(2, (1, 1).into(), fstab, "");
        assert_eq!(
            guest.resolve_device("/dev/disk/by-id/ata-X-part1"),
            None,
            "the root is another partition"
        );
    }

    #[test]
    fn azure_names_the_disk_of_the_system() {
        let fstab = "UUID=1 / ext4 defaults 1 1\n/dev/disk/azure/root-part1 /boot ext4 defaults 0 2\n\
                     /dev/disk/azure/scsi1/lun0-part1 /data ext4 defaults 0 2\n";
        let guest = learned(2, (1, 2).into(), fstab, "");
        assert_eq!(guest.resolve_device("/dev/disk/azure/root-part1"), Some((1, 1).into()));
        assert_eq!(guest.resolve_device("/dev/disk/azure/scsi1/lun0-part1"), None);
    }

    #[test]
    fn device_map_and_the_only_disk_tell() {
        let map =
            "(hd0) /dev/disk/by-id/a\n(hd1)\t/dev/disk/by-id/b\n(hd7) /dev/disk/by-id/c\n(fd0) /dev/fd0\n";
        let guest = learned(2, VolumeId::Mapped { volume: 0 }, "", map);
        assert_eq!(guest.resolve_device("/dev/disk/by-id/b-part2"), Some((1, 2).into()));
        assert_eq!(guest.resolve_device("/dev/disk/by-id/c-part2"), None);
        let fstab = "/dev/vg/root / ext3 defaults 1 1\n/dev/disk/by-path/p-part1 /boot ext3 defaults 1 2\n";
        let guest = learned(1, VolumeId::Mapped { volume: 0 }, fstab, "");
        assert_eq!(guest.resolve_device("/dev/disk/by-path/p-part1"), Some((0, 1).into()));
        let guest = learned(2, VolumeId::Mapped { volume: 0 }, fstab, "");
        assert_eq!(guest.resolve_device("/dev/disk/by-path/p-part1"), None);
    }
    #[test]
    fn a_stale_device_map_is_not_believed() {
        let by_link = "/dev/disk/by-id/ata-A-part1 / ext3 defaults 1 1\n\
                       /dev/disk/by-id/ata-B-part1 /data ext3 defaults 0 2\n";
        let by_uuid = "UUID=1 / ext3 defaults 1 1\n/dev/disk/by-id/ata-B-part1 /data ext3 defaults 0 2\n";
        let missing = "UUID=1 / ext3 defaults 1 1\n/dev/disk/by-id/ata-B-part7 /data ext3 defaults 0 2\n";
        let (a, b) = ("/dev/disk/by-id/ata-A", "/dev/disk/by-id/ata-B");
        for (fstab, map) in [
            (by_link, format!("(hd0) {b}\n")),
            (by_link, format!("(hd1) {a}\n(hd0) {b}\n")),
            (by_link, format!("(hd0) {a}\n(hd1) {b}\n(hd0) /dev/disk/by-id/wwn-1\n")),
            (by_link, format!("(hd1) {b}\n(hd1) /dev/disk/by-id/ata-C\n")),
            (by_link, format!("(hd1) {b}\n(hd2) {b}\n")),
            (by_uuid, format!("(hd0) {b}\n")),
            (missing, format!("(hd1) {b}\n")),
        ] {
            let guest = learned(2, (0, 1).into(), fstab, &map);
            assert_eq!(guest.resolve_device(&format!("{b}-part1")), None, "{map}");
            let known: Vec<_> = guest.disks.iter().flat_map(|disk| &disk.links).collect();
            assert!(
                known.iter().all(|link| *link == a) && guest.disks[1].links.is_empty(),
                "{map}: {known:?}"
            );
        }
        let guest = learned(2, (0, 1).into(), by_link, &format!("(hd0) {a}\n(hd1) {b}\n"));
        assert_eq!(guest.resolve_device(&format!("{b}-part1")), Some((1, 1).into()), "a map that fits");
    }
}
