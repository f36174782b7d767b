//! Phony guests put together: a distribution × a boot loader × a network stack × the platform it comes from.

pub mod distributions;
pub mod guests;
pub mod loaders;
pub mod networks;
pub mod sources;

use super::{DATA, ROOT, SWAP};
use distributions::Distribution;
use driver_core::{
    DiskFacts, FsFacts, GroupFacts, GroupKind, Guest, GuestTree, MemFs, MountFacts, PartitionFacts,
    PartitionRole, TableKind, VolumeFacts, VolumeId,
};
use driver_initramfs::cpio;
use loaders::Loader;
use networks::{Addresses, Network};
use sources::Source;

pub const MACS: [&str; 2] = super::distributions::MACS;
const BOOT: &str = "0c0ffee0-0000-4000-8000-000000000004";
const ESP: &str = "8A3C-51D7";
const PERSISTENT_RULES: &str = "/etc/udev/rules.d/70-persistent-net.rules";

/// How kernels and initramfs are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Images {
    Debian,
    RedHat,
    /// `initrd-VERSION.img`
    RedHat5,
    Suse,
    /// `vmlinuz-linux`: no version in the name.
    Arch,
    /// `vmlinuz-lts`: no version in the name.
    Alpine,
}

/// What makes the initramfs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Maker {
    InitramfsTools,
    Dracut,
    /// mkinitrd of RHEL 5: a fixed list of modules.
    Nash,
    SuseMkinitrd,
    Mkinitcpio,
    Mkinitfs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Init {
    Systemd,
    Upstart,
    Sysv,
    OpenRc,
}

/// How the guest names its disks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Root {
    Device,
    Uuid,
    Label,
    PartUuid,
    /// udev's links by hardware.
    ById,
    /// Root and swap are logical volumes.
    Lvm,
}

/// One phony guest, before it is made.
pub struct Recipe {
    pub distribution: &'static Distribution,
    pub loader: Loader,
    pub network: Network,
    pub addresses: Addresses,
    pub source: Source,
    pub root: Root,
}

/// One phony guest.
pub struct Phony {
    pub name: String,
    pub mounts: Vec<(&'static str, MemFs)>,
    /// The disks; inspection adds the rest.
    pub disks: Guest,
    /// How many network adapters the machine has.
    pub adapters: usize,
}

impl Phony {
    /// The guest's file systems; those on Linux file systems take edits in place only where asked for.
    pub fn tree(&self, in_place: bool) -> GuestTree {
        let mut tree = GuestTree::new();
        for (point, fs) in &self.mounts {
            let is_esp = self.disks.mounts.iter().any(|mount| mount.point == *point && mount.kind == "vfat");
            if in_place && !is_esp {
                tree.mount(point, Box::new(super::in_place::InPlace::new(fs.clone())));
            } else {
                tree.mount(point, Box::new(fs.clone()));
            }
        }
        tree
    }

    pub fn inspected(&self, tree: &GuestTree, modules: &[&str]) -> Guest {
        let mut guest = self.disks.clone();
        driver_linux::inspect(tree, &mut guest, modules).unwrap();
        guest
    }
}

/// What is on the disks.
#[derive(Clone, Copy)]
enum Part {
    Root,
    Swap,
    Boot,
    Data,
}

impl Recipe {
    pub fn name(&self) -> String {
        let addresses = if self.addresses == Addresses::Dhcp { "-dhcp" } else { "" };
        format!(
            "{}-{}-{}{addresses}-{}",
            self.distribution.name,
            self.loader.name(),
            self.network.name(),
            self.source.name()
        )
    }

    fn spec(&self, part: Part) -> String {
        let (number, disk, uuid, label) = match part {
            Part::Root => (1, 0, ROOT, "root"),
            Part::Swap => (2, 0, SWAP, "swap"),
            Part::Boot => (3, 0, BOOT, "boot"),
            Part::Data => (1, 1, DATA, "data"),
        };
        match (self.root, part) {
            (Root::Lvm, Part::Root) => "/dev/mapper/vg-root".into(),
            (Root::Lvm, Part::Swap) => "/dev/mapper/vg-swap".into(),
            // The installers of LVM name /boot by UUID.
            (Root::Lvm, Part::Boot) | (Root::Uuid, _) => format!("UUID={uuid}"),
            (Root::Label, _) => format!("LABEL={label}"),
            (Root::ById, _) => format!("/dev/disk/by-id/scsi-36000c29{disk}-part{number}"),
            (Root::PartUuid, _) => format!("PARTUUID={}", part_uuid(disk, number)),
            (Root::Device | Root::Lvm, _) => self.source.device(disk, number),
        }
    }

    /// Kernel arguments.
    fn arguments(&self) -> String {
        let lvm = if self.root == Root::Lvm { " rd.lvm.lv=vg/root rd.lvm.lv=vg/swap" } else { "" };
        let resume = match self.distribution.maker {
            Maker::SuseMkinitrd | Maker::Dracut if !self.source.is_cloud() => {
                format!(" resume={}", self.spec(Part::Swap))
            }
            _ => String::new(),
        };
        let alpine =
            if self.distribution.maker == Maker::Mkinitfs { " modules=sd-mod,usb-storage,ext4" } else { "" };
        format!("root={} ro{lvm}{resume}{alpine} {}", self.spec(Part::Root), self.source.arguments())
    }

    pub fn make(&self) -> Phony {
        let distribution = self.distribution;
        let mut root = shell(MemFs::new());
        for (path, content) in distribution.release.iter().chain(distribution.files) {
            root = match path.strip_suffix('/') {
                Some(folder) => root.with_folder(folder),
                None => root.with_file(path, content.replace("{swap}", &self.spec(Part::Swap))),
            };
        }
        root = root.with_file("/etc/fstab", self.fstab()).with_file("/etc/hostname", "app1\n");
        for version in distribution.kernels {
            root = modules(root, version, distribution.modules, distribution.builtin);
        }
        root = match distribution.init {
            Init::Systemd => root
                .with_file("/usr/lib/systemd/systemd", "\x7fELF")
                .with_file("/usr/lib/udev/rules.d/80-net-setup-link.rules", "# x\n"),
            Init::Upstart | Init::Sysv if self.addresses != Addresses::Dhcp => {
                root.with_file(PERSISTENT_RULES, sources::persistent_rules())
            }
            _ => root,
        };
        if distribution.images == Images::Arch {
            for (version, package) in distribution.kernels.iter().zip(["linux", "linux-lts"]) {
                root = root
                    .with_file(&format!("/usr/lib/modules/{version}/pkgbase"), format!("{package}\n"))
                    .with_file(&format!("/usr/lib/modules/{version}/vmlinuz"), kernel_image(version));
            }
        }
        let interfaces = self.source.interfaces(distribution.init);
        root = self.network.configure(root, self.addresses, interfaces, distribution.init);
        root = self.source.marks(root, distribution.init);
        let mut mounts = vec![("/", root)];
        self.loader.install(self, &mut mounts);
        let disks = self.disks(&mounts);
        let adapters = if self.addresses == Addresses::Dhcp { 1 } else { 2 };
        let mut phony = Phony { name: self.name(), mounts, disks, adapters };
        let tree = phony.tree(false);
        let fstab = driver_linux::read_fstab(&self.fstab());
        let root = phony.disks.mounts[0].place;
        driver_linux::learn_disk_links(&tree, &mut phony.disks, root, &fstab).unwrap();
        phony
    }

    fn fstab(&self) -> String {
        let kind = self.distribution.root;
        let mut text = format!(
            "# <file system> <mount point> <type> <options> <dump> <pass>\n{} / {kind} defaults 1 1\n",
            self.spec(Part::Root)
        );
        text += &format!(
            "{} none swap sw 0 0\n{} /data xfs defaults 0 2\n",
            self.spec(Part::Swap),
            self.spec(Part::Data)
        );
        if self.distribution.boot {
            text += &format!("{} /boot {kind} defaults 1 2\n", self.spec(Part::Boot));
        }
        if let Some(point) = self.loader.esp() {
            text += &format!("UUID={ESP} {point} vfat umask=0077 0 1\n");
        }
        if self.source == Source::AwsNitro {
            text += "/dev/nvme2n1 /scratch ext4 defaults 0 2\n";
        }
        text
    }

    fn disks(&self, mounts: &[(&'static str, MemFs)]) -> Guest {
        let kind = self.distribution.root;
        let lvm = self.root == Root::Lvm;
        let partition = |disk, number, role, kind: &str, uuid: &str, label: &str| PartitionFacts {
            number,
            role,
            part_uuid: Some(part_uuid(disk, number)),
            file_system: Some(FsFacts {
                kind: kind.into(),
                uuid: Some(uuid.into()),
                label: Some(label.into()),
                ..FsFacts::default()
            }),
            ..PartitionFacts::default()
        };
        let mut first = vec![partition(0, 15, PartitionRole::Esp, "vfat", ESP, "UEFI")];
        first.insert(0, partition(0, 3, PartitionRole::Data, kind, BOOT, "boot"));
        let mut guest = Guest::default();
        if lvm {
            first.insert(0, partition(0, 4, PartitionRole::Lvm, "LVM2_member", "pv", ""));
            guest.groups.push(GroupFacts {
                kind: GroupKind::Lvm,
                name: "vg".into(),
                uuid: "g".into(),
                layout: "lvm2".into(),
                parts: Vec::new(),
                warnings: Vec::new(),
                obstacle: None,
            });
            for (name, kind, uuid) in [("root", kind, ROOT), ("swap", "swap", SWAP)] {
                guest.volumes.push(VolumeFacts {
                    group: 0,
                    devices: vec![format!("/dev/mapper/vg-{name}"), format!("/dev/vg/{name}")],
                    size: 1 << 30,
                    layout: "linear".into(),
                    file_system: Some(FsFacts {
                        kind: kind.into(),
                        uuid: Some(uuid.into()),
                        ..FsFacts::default()
                    }),
                    obstacle: None,
                });
            }
        } else {
            first.insert(0, partition(0, 2, PartitionRole::Swap, "swap", SWAP, "swap"));
            first.insert(0, partition(0, 1, PartitionRole::Data, kind, ROOT, "root"));
        }
        let second = vec![partition(1, 1, PartitionRole::Data, "xfs", DATA, "data")];
        guest.disks = [first, second]
            .into_iter()
            .enumerate()
            .map(|(disk, partitions)| DiskFacts {
                partitions,
                table: TableKind::Gpt,
                device_name: self.source.described(disk),
                ..DiskFacts::default()
            })
            .collect();
        for (point, _) in mounts {
            let (place, kind): (VolumeId, &str) = match *point {
                "/" if lvm => (VolumeId::Mapped { volume: 0 }, kind),
                "/" => ((0, 1).into(), kind),
                point if self.loader.esp() == Some(point) => ((0, 15).into(), "vfat"),
                _ => ((0, 3).into(), kind),
            };
            guest.mounts.push(MountFacts {
                point: (*point).into(),
                device: String::new(),
                place,
                kind: kind.into(),
            });
        }
        guest
    }
}

fn part_uuid(disk: usize, number: u32) -> String {
    format!("8a3c51d{disk}-{number:02x}")
}

/// A shell that says x86_64, and merged /usr.
fn shell(fs: MemFs) -> MemFs {
    let mut shell = [0u8; 64];
    shell[..6].copy_from_slice(b"\x7fELF\x02\x01");
    shell[18] = 62;
    fs.with_link("/lib", "usr/lib").with_link("/bin", "usr/bin").with_file("/usr/bin/sh", shell)
}

/// The module folder of a kernel.
fn modules(fs: MemFs, version: &str, modules: &[&str], builtin: &[&str]) -> MemFs {
    let folder = format!("/usr/lib/modules/{version}");
    let dep: String = modules.iter().map(|m| format!("kernel/drivers/{m}.ko:\n")).collect();
    let builtin: String = builtin.iter().map(|m| format!("kernel/drivers/{m}.ko\n")).collect();
    let fs = fs
        .with_file(&format!("{folder}/modules.dep"), dep)
        .with_file(&format!("{folder}/modules.builtin"), format!("kernel/fs/builtin_one.ko\n{builtin}"));
    modules
        .iter()
        .fold(fs, |fs, m| fs.with_file(&format!("{folder}/kernel/drivers/{m}.ko"), format!("\x7fELF {m}")))
}

/// The head of a bzImage, which names its version (kernel documentation, "The Linux/x86 Boot Protocol").
pub fn kernel_image(version: &str) -> Vec<u8> {
    let mut image = vec![0u8; 0x400];
    image[..2].copy_from_slice(b"MZ");
    image[0x202..0x206].copy_from_slice(b"HdrS");
    image[0x206..0x208].copy_from_slice(&0x20f_u16.to_le_bytes());
    image[0x20e..0x210].copy_from_slice(&0x100_u16.to_le_bytes());
    let text = format!("{version} (builder@host) #1 SMP");
    image[0x300..0x300 + text.len()].copy_from_slice(text.as_bytes());
    image
}

/// An initramfs with the drivers of its source only, as its maker builds it.
pub fn image(maker: Maker, version: &str) -> Vec<u8> {
    let mut writer = cpio::Writer::new(1);
    for folder in
        ["bin", "conf", "scripts", "etc", "sbin", "usr", "usr/lib", "usr/lib/dracut", "usr/lib/modules"]
    {
        writer.directory(folder).unwrap();
    }
    let sign = match maker {
        Maker::InitramfsTools => "conf/initramfs.conf",
        Maker::Dracut => "usr/lib/dracut/build-parameter.txt",
        Maker::Mkinitcpio => "init_functions",
        Maker::Mkinitfs => "sbin/nlplug-findfs",
        Maker::SuseMkinitrd => "run_all.sh",
        Maker::Nash => "bin/nash",
    };
    writer.file(sign, b"x").unwrap();
    // Room for what is added to it, in a file that cannot grow: it is packed again.
    writer.file("bin/busybox", &vec![b'x'; 8 << 10]).unwrap();
    if maker == Maker::Nash {
        writer.directory("lib").unwrap();
        writer.file("init", NASH.as_bytes()).unwrap();
        for module in ["jbd", "ext3", "scsi_mod", "sd_mod", "ata_piix"] {
            writer.file(&format!("lib/{module}.ko"), b"\x7fELF").unwrap();
        }
        return writer.finish().unwrap();
    }
    writer.symlink("lib", "usr/lib").unwrap();
    writer.file("init", b"#!/bin/sh\n").unwrap();
    let root = format!("usr/lib/modules/{version}");
    for folder in ["", "/kernel", "/kernel/drivers"] {
        writer.directory(&format!("{root}{folder}")).unwrap();
    }
    writer.file(&format!("{root}/kernel/drivers/ata_piix.ko"), b"\x7fELF").unwrap();
    writer.file(&format!("{root}/modules.dep"), b"kernel/drivers/ata_piix.ko:\n").unwrap();
    writer.finish().unwrap()
}

/// What mkinitrd of RHEL 5 writes.
const NASH: &str = "#!/bin/nash\n\nmount -t proc /proc /proc\nsetquiet\necho Mounting proc filesystem\nmount -t sysfs /sys /sys\n\
echo Creating block device nodes.\nmakedevs\necho \"Loading jbd.ko module\"\ninsmod /lib/jbd.ko\necho \"Loading ext3.ko module\"\ninsmod /lib/ext3.ko\n\
echo \"Loading scsi_mod.ko module\"\ninsmod /lib/scsi_mod.ko\necho \"Loading sd_mod.ko module\"\ninsmod /lib/sd_mod.ko\n\
echo \"Loading ata_piix.ko module\"\ninsmod /lib/ata_piix.ko\necho Waiting for driver initialization.\nstabilized --hash --interval 250 /proc/scsi/scsi\n\
mkblkdevs\nresume /dev/sda2\necho Creating root device.\nmkrootdev -t ext3 -o defaults,ro /dev/sda1\necho Mounting root filesystem.\nmount /sysroot\n\
echo Setting up other filesystems.\nsetuproot\necho Switching to new root and running init.\nswitchroot\n";
