//! A disk that is one file system, put behind a partition table: what Xen starts without one, others do not.

use crate::report::MigrateReport;
use driver_core::{Guest, MountFacts, Platform, TableKind, VolumeId};
use driver_machine::Machine;
use format_core::{Disk, Error, Extent, ExtentKind, Layer, Result};
use serde::Serialize;
use std::sync::Arc;

/// Where the partition begins: what partitioning programs leave in front, and room for a boot loader's core.
const SHIFT: u64 = 1 << 20;
const SECTOR: u64 = 512;
/// File systems that may lie in a partition of type 0x83.
const LINUX: &[&str] = &["ext2", "ext3", "ext4", "xfs", "btrfs"];

/// How the boot disk is wrapped: an MBR, zeros, the source's bytes as partition 1, zeros up to a whole MiB.
#[derive(Clone, Debug, Serialize)]
pub struct Wrapping {
    /// Where the source's first byte lies on the target's disk.
    pub offset: u64,
    /// Size of the source's disk in bytes.
    pub source_size: u64,
    /// Size of the target's disk in bytes.
    pub size: u64,
    /// Signature in the MBR (`0x1234abcd`): the first digits of the file system's UUID.
    pub disk_id: String,
    #[serde(skip)]
    signature: u32,
}

impl Wrapping {
    /// How to wrap the first disk of the guest.
    ///
    /// # Errors
    /// `Usage` when it needs none, or is no file system of Linux; `Unsupported` when an MBR cannot say its size.
    pub(crate) fn of(guest: &Guest) -> Result<Self> {
        let fs = lone_file_system(guest).ok_or_else(|| {
            Error::usage("--wrap is for a boot disk that is one file system, without a partition table")
                .hint("'rehome inspect' shows what is on the disk")
        })?;
        let holds = |mount: &MountFacts| {
            let first = matches!(mount.place, VolumeId::Partition { disk: 0, .. });
            first && matches!(mount.point.as_str(), "/" | "/boot")
        };
        if !guest.mounts.is_empty() && !guest.mounts.iter().any(holds) {
            return Err(Error::usage("the first disk holds neither / nor /boot of the guest")
                .hint("name the boot disk first: that is the one --wrap is about"));
        }
        // GRUB's code in a partition's own first sector counts on the disk that the partition lay on.
        let is_old = guest.disks.first().is_some_and(|disk| disk.boot_code.as_deref() == Some("GRUB"));
        if let Some(how) = guest.boot.bios.as_ref().filter(|_| !is_old) {
            return Err(
                Error::usage(format!("the boot disk starts as it is: {how}")).hint("leave --wrap out")
            );
        }
        let source_size = guest.disks.first().map_or(0, |disk| disk.size);
        if source_size.div_ceil(SECTOR) > u64::from(u32::MAX) {
            return Err(Error::unsupported(format!(
                "an MBR partition ends at 2 TiB, the file system's disk has {source_size} bytes"
            ))
            .hint("shrink the file system in the guest first"));
        }
        let digits = fs.uuid.as_deref().and_then(|uuid| u32::from_str_radix(uuid.get(..8)?, 16).ok());
        // Zero means that there is none.
        let signature = digits.filter(|&digits| digits != 0).unwrap_or(1);
        Ok(Self {
            offset: SHIFT,
            source_size,
            size: (source_size + SHIFT).next_multiple_of(SHIFT),
            disk_id: format!("0x{signature:08x}"),
            signature,
        })
    }

    /// `inner` wrapped.
    ///
    /// # Errors
    /// None in practice.
    pub(crate) fn around(&self, inner: &Disk) -> Result<Disk> {
        Disk::new(vec![Arc::new(Wrapped { mbr: self.mbr(), inner: inner.clone(), size: self.size })])
    }

    /// The first disk's size in the machine and among the target's, where the machine has the source's.
    pub(crate) fn enlarge(&self, machine: &mut Machine, sizes: &mut [u64]) {
        let order = machine.disks_in_boot_order().first().map(|disk| disk.order);
        for disk in machine.disks.iter_mut().filter(|disk| Some(disk.order) == order) {
            disk.size_bytes =
                disk.size_bytes.map(|size| if size == self.source_size { self.size } else { size });
        }
        sizes.iter_mut().take(1).for_each(|size| *size = self.size);
    }

    /// Says what becomes of the disk.
    pub(crate) fn tell(&self, report: &mut MigrateReport) {
        if let Some(disk) = report.disks.first_mut() {
            (disk.virtual_size, disk.wrapped) = (self.size, Some(self.clone()));
        }
        let message = format!("the wrapped disk has no boot loader: {}", loader_step(report));
        report.warnings.push(driver_machine::Warning { code: "no-boot-loader", message });
    }

    /// Ranges of the source's disk as they lie on the target's.
    pub(crate) fn shifted(&self, ranges: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
        ranges.into_iter().map(|(offset, len)| (offset + self.offset, len)).collect()
    }

    /// No boot code, one active partition of type 0x83.
    fn mbr(&self) -> [u8; SECTOR as usize] {
        let mut mbr = [0; SECTOR as usize];
        mbr[440..444].copy_from_slice(&self.signature.to_le_bytes());
        // Both addresses by cylinder, head and sector say that the addresses by sector count.
        mbr[446..454].copy_from_slice(&[0x80, 0xfe, 0xff, 0xff, 0x83, 0xfe, 0xff, 0xff]);
        let sectors = u32::try_from(self.source_size.div_ceil(SECTOR)).unwrap_or(u32::MAX);
        mbr[454..458].copy_from_slice(&((SHIFT / SECTOR) as u32).to_le_bytes());
        mbr[458..462].copy_from_slice(&sectors.to_le_bytes());
        mbr[510..].copy_from_slice(&[0x55, 0xaa]);
        mbr
    }
}

/// How a machine with a wrapped disk starts at all.
pub(crate) fn loader_step(report: &MigrateReport) -> String {
    let rescue = "start a rescue system on the machine, mount the guest's root, in it /boot where that is a file system of its \
                  own, /dev, /proc and /sys, and in a chroot there run grub-install on the disk and update-grub (grub2-install and grub2-mkconfig elsewhere)";
    let guest = &report.guest;
    let kernel =
        guest.kernels.first().and_then(|kernel| Some((kernel.image.as_ref()?, kernel.initramfs.as_ref()?)));
    let root = guest.mounts.iter().find(|mount| mount.point == "/").map(|mount| mount.place);
    let uuid = root
        .filter(|place| matches!(place, VolumeId::Partition { .. }))
        .and_then(|place| guest.file_system(place)?.uuid.as_ref());
    match (report.choice.target.platform, kernel, uuid) {
        (Platform::Kvm, Some((kernel, initramfs)), Some(uuid)) => format!(
            "{rescue}; or copy {kernel} and {initramfs} out of the guest to the host and have libvirt start them: in <os>, \
             <kernel>, <initrd> and <cmdline>root=UUID={uuid} ro</cmdline>"
        ),
        _ => rescue.into(),
    }
}

/// The file system that is the whole first disk.
pub(crate) fn lone_file_system(guest: &Guest) -> Option<&driver_core::FsFacts> {
    let disk = guest.disks.first().filter(|disk| disk.table == TableKind::None)?;
    let fs = disk.partitions.first()?.file_system.as_ref()?;
    LINUX.contains(&fs.kind.as_str()).then_some(fs)
}

struct Wrapped {
    mbr: [u8; SECTOR as usize],
    inner: Disk,
    size: u64,
}

/// What a place of the wrapped disk is.
enum Part {
    Mbr,
    Zeros,
    Inner,
}

impl Wrapped {
    /// What lies at `offset`, and where that ends.
    fn part_at(&self, offset: u64) -> (Part, u64) {
        let end = SHIFT + self.inner.virtual_size();
        match offset {
            _ if offset < SECTOR => (Part::Mbr, SECTOR),
            _ if offset < SHIFT => (Part::Zeros, SHIFT),
            _ if offset < end => (Part::Inner, end),
            _ => (Part::Zeros, self.size),
        }
    }
}

impl Layer for Wrapped {
    fn format(&self) -> &'static str {
        "wrapped"
    }

    fn virtual_size(&self) -> u64 {
        self.size
    }

    fn chunk_size(&self) -> u64 {
        1
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        format_core::check_guest_range(self.size, offset, 1)?;
        let (part, end) = self.part_at(offset);
        Ok(match part {
            Part::Inner => Extent { offset, ..self.inner.extent_at(offset - SHIFT)? },
            Part::Mbr => Extent { offset, len: end - offset, kind: ExtentKind::Data },
            Part::Zeros => Extent { offset, len: end - offset, kind: ExtentKind::Zero },
        })
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        format_core::check_guest_range(self.size, offset, buf.len() as u64)?;
        let (mut at, mut rest) = (offset, buf);
        while !rest.is_empty() {
            let (part, end) = self.part_at(at);
            let len = usize::try_from(end - at).unwrap_or(usize::MAX).min(rest.len());
            let (piece, more) = rest.split_at_mut(len);
            match part {
                Part::Inner => self.inner.read_exact_at(at - SHIFT, piece)?,
                Part::Mbr => piece.copy_from_slice(&self.mbr[at as usize..][..len]),
                Part::Zeros => piece.fill(0),
            }
            (at, rest) = (at + len as u64, more);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use driver_core::{DiskFacts, FsFacts, PartitionFacts};
    use format_core::{ErrorKind, Overlay};

    fn guest(size: u64) -> Guest {
        let fs = FsFacts { kind: "ext4".into(), uuid: Some("12ab34cd-0".into()), ..FsFacts::default() };
        let partitions = vec![PartitionFacts { size, file_system: Some(fs), ..Default::default() }];
        Guest { disks: vec![DiskFacts { size, partitions, ..DiskFacts::default() }], ..Guest::default() }
    }

    #[test]
    fn every_byte_is_where_it_belongs() {
        for size in [3 << 20, (3 << 20) + 700] {
            let overlay = Overlay::new(Disk::blank(size));
            overlay.write_all_at(0, b"first").unwrap();
            overlay.write_all_at(size - 4, b"last").unwrap();
            let wrapping = Wrapping::of(&guest(size)).unwrap();
            let disk = wrapping.around(&overlay.disk()).unwrap();
            assert_eq!(disk.virtual_size(), (size + SHIFT).next_multiple_of(1 << 20));
            let mut all = vec![1; disk.virtual_size() as usize];
            disk.read_exact_at(0, &mut all).unwrap();
            assert_eq!((&all[440..444], &all[510..512]), (&[0xcd, 0x34, 0xab, 0x12][..], &[0x55, 0xaa][..]));
            let mut wanted = vec![0; all.len()];
            wanted[..512].copy_from_slice(&wrapping.mbr());
            wanted[SHIFT as usize..][..5].copy_from_slice(b"first");
            wanted[(SHIFT + size) as usize - 4..][..4].copy_from_slice(b"last");
            assert!(all == wanted);
            // Any range reads the same, and what is called zero is.
            for (at, len) in [(0, 513), (500, 40), (SHIFT - 3, 9), (SHIFT + size - 2, 2), (1, all.len() - 1)]
            {
                let mut part = vec![1; len];
                disk.read_exact_at(at, &mut part).unwrap();
                assert!(part == wanted[at as usize..][..len], "{at} {len}");
            }
            for extent in disk.extents(0, disk.virtual_size()) {
                let extent = extent.unwrap();
                let range = extent.offset as usize..extent.end() as usize;
                assert!(
                    extent.kind == ExtentKind::Data || format_core::is_zero(&wanted[range]),
                    "{extent:?}"
                );
            }
        }
    }

    #[test]
    fn only_a_lone_file_system_of_a_possible_size_is_wrapped() {
        assert_eq!(Wrapping::of(&guest(3 << 40)).unwrap_err().kind(), ErrorKind::Unsupported);
        let mut with_table = guest(1 << 30);
        with_table.disks[0].table = TableKind::Mbr;
        assert_eq!(Wrapping::of(&with_table).unwrap_err().kind(), ErrorKind::Usage);
        let mut member = guest(1 << 30);
        member.disks[0].partitions[0].file_system.as_mut().unwrap().kind = "LVM2_member".into();
        assert_eq!(Wrapping::of(&member).unwrap_err().kind(), ErrorKind::Usage);
        let mut starts = guest(1 << 30);
        starts.boot.bios = Some("extlinux".into());
        assert_eq!(Wrapping::of(&starts).unwrap_err().kind(), ErrorKind::Usage);
    }
}
