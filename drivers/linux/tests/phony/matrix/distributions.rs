//! What each distribution has where: release files, kernels, initramfs, module folders. Data.

use super::{Images, Init, Maker};

/// A distribution of one version.
pub struct Distribution {
    pub name: &'static str,
    /// Files that say what it is.
    pub release: &'static [(&'static str, &'static str)],
    /// Versions of the installed kernels, the newest first.
    pub kernels: &'static [&'static str],
    pub images: Images,
    pub maker: Maker,
    pub init: Init,
    /// What its kernels have as modules.
    pub modules: &'static [&'static str],
    /// What is part of its kernels.
    pub builtin: &'static [&'static str],
    /// Other files of interest.
    pub files: &'static [(&'static str, &'static str)],
    /// /boot is a file system of its own.
    pub boot: bool,
    /// The file system of the root.
    pub root: &'static str,
}

/// Linux 4.x and newer, generic.
const NEW: &[&str] = &[
    "ext4",
    "xfs",
    "hv_vmbus",
    "hv_storvsc",
    "hv_netvsc",
    "hyperv-keyboard",
    "hid-hyperv",
    "sd_mod",
    "ata_piix",
    "ahci",
    "nvme",
    "ena",
    "virtio_pci",
    "virtio_blk",
    "virtio_scsi",
    "virtio_net",
    "vmw_pvscsi",
    "vmxnet3",
    "mptspi",
    "e1000",
    "e1000e",
    "xen-blkfront",
    "xen-netfront",
    "gve",
];
/// The same, with Xen's front ends and the disk drivers of every PC inside of the kernel.
const UBUNTU: &[&str] = &[
    "hv_vmbus",
    "hv_storvsc",
    "hv_netvsc",
    "hyperv-keyboard",
    "ahci",
    "nvme",
    "ena",
    "virtio_scsi",
    "virtio_net",
    "vmw_pvscsi",
    "vmxnet3",
    "mptspi",
    "e1000",
    "e1000e",
];
const UBUNTU_BUILTIN: &[&str] =
    &["ext4", "sd_mod", "ata_piix", "virtio_pci", "virtio_blk", "xen-blkfront", "xen-netfront"];
/// 2.6.32 to 3.10, as the vendors keep them.
const MIDDLE: &[&str] = &[
    "ext4",
    "hv_vmbus",
    "hv_storvsc",
    "hv_netvsc",
    "sd_mod",
    "ata_piix",
    "ahci",
    "virtio_pci",
    "virtio_blk",
    "virtio_scsi",
    "virtio_net",
    "vmw_pvscsi",
    "vmxnet3",
    "mptspi",
    "e1000",
    "e1000e",
    "xen-blkfront",
    "xen-netfront",
];
/// RHEL 5.11.
const OLD: &[&str] = &[
    "ext3",
    "jbd",
    "scsi_mod",
    "sd_mod",
    "hv_vmbus",
    "hv_storvsc",
    "hv_netvsc",
    "ata_piix",
    "ahci",
    "virtio_pci",
    "virtio_blk",
    "virtio_net",
    "mptspi",
    "e1000",
    "e1000e",
    "cciss",
];
/// Debian's and Alpine's kernels for clouds: no SATA, no controllers of VMware.
pub const CLOUD: &[&str] = &[
    "ext4",
    "hv_vmbus",
    "hv_storvsc",
    "hv_netvsc",
    "sd_mod",
    "ata_piix",
    "nvme",
    "ena",
    "virtio_pci",
    "virtio_blk",
    "virtio_scsi",
    "virtio_net",
    "xen-blkfront",
    "xen-netfront",
    "gve",
];

const INITRAMFS_TOOLS: &[(&str, &str)] = &[
    ("/etc/initramfs-tools/initramfs.conf", "MODULES=most\n"),
    ("/etc/initramfs-tools/modules", "# List of modules that you want to include in your initramfs.\n"),
    ("/etc/initramfs-tools/conf.d/resume", "RESUME={swap}\n"),
];
const DRACUT: &[(&str, &str)] =
    &[("/etc/dracut.conf", "# PUT YOUR CONFIG IN separate files\n"), ("/etc/dracut.conf.d/", "")];
const SUSE_DRACUT: &[(&str, &str)] = &[
    ("/etc/dracut.conf", ""),
    ("/etc/dracut.conf.d/01-dist.conf", "hostonly=\"yes\"\n"),
    ("/etc/sysconfig/kernel", "INITRD_MODULES=\"\"\nMODULES_LOADED_ON_BOOT=\"\"\n"),
    ("/etc/sysconfig/bootloader", "LOADER_TYPE=\"grub2\"\nSECURE_BOOT=\"no\"\n"),
];

const fn os_release(text: &'static str) -> (&'static str, &'static str) {
    ("/etc/os-release", text)
}

/// What most rows have in common.
const DEBIAN: Distribution = Distribution {
    name: "debian-12",
    release: &[os_release("PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nID=debian\nVERSION_ID=\"12\"\n")],
    kernels: &["6.1.0-28-amd64", "6.1.0-9-amd64"],
    images: Images::Debian,
    maker: Maker::InitramfsTools,
    init: Init::Systemd,
    modules: NEW,
    builtin: &[],
    files: INITRAMFS_TOOLS,
    boot: false,
    root: "ext4",
};
const RHEL: Distribution = Distribution {
    name: "rhel-9",
    release: &[os_release(
        "NAME=\"Red Hat Enterprise Linux\"\nID=\"rhel\"\nID_LIKE=\"fedora\"\nVERSION_ID=\"9.5\"\n",
    )],
    kernels: &["5.14.0-503.11.1.el9_5.x86_64", "5.14.0-427.13.1.el9_4.x86_64"],
    images: Images::RedHat,
    maker: Maker::Dracut,
    files: DRACUT,
    boot: true,
    root: "xfs",
    ..DEBIAN
};
const SLES: Distribution = Distribution {
    name: "sles-15",
    release: &[os_release("NAME=\"SLES\"\nID=\"sles\"\nID_LIKE=\"suse\"\nVERSION_ID=\"15.6\"\n")],
    kernels: &["6.4.0-150600.23.33-default", "6.4.0-150600.21-default"],
    images: Images::Suse,
    files: SUSE_DRACUT,
    boot: false,
    root: "xfs",
    ..RHEL
};

pub static DEBIAN_12: Distribution = DEBIAN;
pub static DEBIAN_12_CLOUD: Distribution =
    Distribution { name: "debian-12-cloud", kernels: &["6.1.0-28-cloud-amd64"], modules: CLOUD, ..DEBIAN };
pub static DEBIAN_7: Distribution = Distribution {
    name: "debian-7",
    release: &[
        os_release("PRETTY_NAME=\"Debian GNU/Linux 7 (wheezy)\"\nID=debian\nVERSION_ID=\"7\"\n"),
        ("/etc/debian_version", "7.11\n"),
        (
            "/etc/inittab",
            "id:2:initdefault:\n1:2345:respawn:/sbin/getty 38400 tty1\n#T0:23:respawn:/sbin/getty -L ttyS0 9600 vt100\n",
        ),
    ],
    kernels: &["3.2.0-6-amd64", "3.2.0-4-amd64"],
    init: Init::Sysv,
    modules: MIDDLE,
    ..DEBIAN
};
pub static UBUNTU_14: Distribution = Distribution {
    name: "ubuntu-14.04",
    release: &[
        os_release("NAME=\"Ubuntu\"\nVERSION_ID=\"14.04\"\nID=ubuntu\nID_LIKE=debian\n"),
        ("/etc/lsb-release", "DISTRIB_ID=Ubuntu\nDISTRIB_RELEASE=14.04\n"),
    ],
    kernels: &["3.13.0-170-generic", "3.13.0-24-generic"],
    init: Init::Upstart,
    modules: MIDDLE,
    ..DEBIAN
};
pub static UBUNTU_22: Distribution = Distribution {
    name: "ubuntu-22.04",
    release: &[os_release("NAME=\"Ubuntu\"\nVERSION_ID=\"22.04\"\nID=ubuntu\nID_LIKE=debian\n")],
    kernels: &["5.15.0-126-generic", "5.15.0-25-generic"],
    modules: UBUNTU,
    builtin: UBUNTU_BUILTIN,
    ..DEBIAN
};
pub static UBUNTU_24: Distribution = Distribution {
    name: "ubuntu-24.04",
    release: &[os_release("NAME=\"Ubuntu\"\nVERSION_ID=\"24.04\"\nID=ubuntu\nID_LIKE=debian\n")],
    kernels: &["6.8.0-1021-aws", "6.8.0-1009-aws"],
    modules: UBUNTU,
    builtin: UBUNTU_BUILTIN,
    ..DEBIAN
};
pub static CENTOS_5: Distribution = CENTOS_5_BASE;
const CENTOS_5_BASE: Distribution = Distribution {
    name: "centos-5",
    release: &[
        ("/etc/redhat-release", "CentOS release 5.11 (Final)\n"),
        (
            "/etc/inittab",
            "id:3:initdefault:\nsi::sysinit:/etc/rc.d/rc.sysinit\n1:2345:respawn:/sbin/mingetty tty1\n",
        ),
        ("/etc/securetty", "console\ntty1\n"),
    ],
    kernels: &["2.6.18-398.el5", "2.6.18-371.el5"],
    images: Images::RedHat5,
    maker: Maker::Nash,
    init: Init::Sysv,
    modules: OLD,
    files: &[
        (
            "/etc/modprobe.conf",
            "alias eth0 e1000\nalias eth1 e1000\nalias scsi_hostadapter mptspi\nalias scsi_hostadapter1 ata_piix\n",
        ),
        ("/etc/sysconfig/kernel", "UPDATEDEFAULT=yes\nDEFAULTKERNEL=kernel\n"),
        ("/etc/blkid/blkid.tab", "<device DEVNO=\"0x0801\" TYPE=\"ext3\">/dev/sda1</device>\n"),
    ],
    boot: true,
    root: "ext3",
    ..DEBIAN
};
/// A paravirtual guest: its kernel starts nowhere else.
pub static CENTOS_5_XEN: Distribution =
    Distribution { name: "centos-5-xen", kernels: &["2.6.18-398.el5", "2.6.18-398.el5xen"], ..CENTOS_5_BASE };
pub static CENTOS_6: Distribution = Distribution {
    name: "centos-6",
    release: &[
        ("/etc/redhat-release", "CentOS release 6.10 (Final)\n"),
        ("/etc/system-release", "CentOS release 6.10 (Final)\n"),
    ],
    kernels: &["2.6.32-754.35.1.el6.x86_64", "2.6.32-754.el6.x86_64"],
    init: Init::Upstart,
    modules: MIDDLE,
    files: &[
        ("/etc/dracut.conf", "# dracut modules to omit\n"),
        ("/etc/dracut.conf.d/", ""),
        ("/etc/sysconfig/kernel", "UPDATEDEFAULT=yes\nDEFAULTKERNEL=kernel\n"),
    ],
    root: "ext4",
    ..RHEL
};
pub static CENTOS_7: Distribution = Distribution {
    name: "centos-7",
    release: &[
        os_release("NAME=\"CentOS Linux\"\nID=\"centos\"\nID_LIKE=\"rhel fedora\"\nVERSION_ID=\"7\"\n"),
        ("/etc/redhat-release", "CentOS Linux release 7.9.2009 (Core)\n"),
    ],
    kernels: &["3.10.0-1160.119.1.el7.x86_64", "3.10.0-1160.el7.x86_64"],
    modules: NEW,
    ..RHEL
};
pub static RHEL_8: Distribution = Distribution {
    name: "rhel-8",
    release: &[os_release(
        "NAME=\"Red Hat Enterprise Linux\"\nID=\"rhel\"\nID_LIKE=\"fedora\"\nVERSION_ID=\"8.10\"\n",
    )],
    kernels: &["4.18.0-553.30.1.el8_10.x86_64", "4.18.0-513.5.1.el8_9.x86_64"],
    ..RHEL
};
pub static RHEL_9: Distribution = RHEL;
pub static ALMA_9: Distribution = Distribution {
    name: "almalinux-9",
    release: &[os_release(
        "NAME=\"AlmaLinux\"\nID=\"almalinux\"\nID_LIKE=\"rhel centos fedora\"\nVERSION_ID=\"9.5\"\n",
    )],
    ..RHEL
};
pub static ROCKY_8: Distribution = Distribution {
    name: "rocky-8",
    release: &[os_release(
        "NAME=\"Rocky Linux\"\nID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\nVERSION_ID=\"8.10\"\n",
    )],
    kernels: &["4.18.0-553.30.1.el8_10.x86_64", "4.18.0-513.5.1.el8_9.x86_64"],
    ..RHEL
};
pub static ORACLE_8: Distribution = Distribution {
    name: "oracle-8",
    release: &[os_release(
        "NAME=\"Oracle Linux Server\"\nID=\"ol\"\nID_LIKE=\"fedora\"\nVERSION_ID=\"8.10\"\n",
    )],
    // Its own kernel is the default, Red Hat's is the other.
    kernels: &["5.15.0-302.167.6.el8uek.x86_64", "4.18.0-553.30.1.el8_10.x86_64"],
    ..RHEL
};
pub static FEDORA: Distribution = Distribution {
    name: "fedora-40",
    release: &[os_release("NAME=\"Fedora Linux\"\nID=fedora\nVERSION_ID=40\n")],
    kernels: &["6.11.8-200.fc40.x86_64", "6.8.5-301.fc40.x86_64"],
    files: &[("/etc/dracut.conf", ""), ("/usr/lib/dracut/dracut.conf.d/01-dist.conf", "hostonly=\"yes\"\n")],
    root: "ext4",
    ..RHEL
};
pub static AMAZON_2: Distribution = Distribution {
    name: "amazon-2",
    release: &[os_release(
        "NAME=\"Amazon Linux\"\nID=\"amzn\"\nID_LIKE=\"centos rhel fedora\"\nVERSION_ID=\"2\"\n",
    )],
    kernels: &["5.10.228-219.884.amzn2.x86_64", "4.14.355-275.570.amzn2.x86_64"],
    boot: false,
    ..RHEL
};
pub static AMAZON_2023: Distribution = Distribution {
    name: "amazon-2023",
    release: &[os_release("NAME=\"Amazon Linux\"\nID=\"amzn\"\nID_LIKE=\"fedora\"\nVERSION_ID=\"2023\"\n")],
    kernels: &["6.1.115-126.197.amzn2023.x86_64", "6.1.112-122.189.amzn2023.x86_64"],
    files: &[
        ("/etc/dracut.conf", ""),
        ("/etc/dracut.conf.d/ec2.conf", "hostonly=\"yes\"\nadd_drivers+=\" nvme xen-blkfront \"\n"),
    ],
    boot: false,
    ..RHEL
};
pub static SLES_11: Distribution = Distribution {
    name: "sles-11",
    release: &[
        ("/etc/SuSE-release", "SUSE Linux Enterprise Server 11 (x86_64)\nVERSION = 11\nPATCHLEVEL = 4\n"),
        ("/etc/inittab", "id:3:initdefault:\n1:2345:respawn:/sbin/mingetty --noclear tty1\n"),
    ],
    kernels: &["3.0.101-108.13-default", "3.0.101-63-default"],
    maker: Maker::SuseMkinitrd,
    init: Init::Sysv,
    modules: MIDDLE,
    files: &[
        (
            "/etc/sysconfig/kernel",
            "## Path:\tSystem/Kernel\nINITRD_MODULES=\"ata_piix ata_generic mptspi\"\nDOMU_INITRD_MODULES=\"xennet xenblk\"\n",
        ),
        (
            "/etc/sysconfig/bootloader",
            "LOADER_TYPE=\"grub\"\nDEFAULT_APPEND=\"resume={swap} splash=silent showopts\"\nFAILSAFE_APPEND=\"showopts noresume\"\n",
        ),
        (
            "/boot/grub/device.map",
            "(hd0)\t/dev/disk/by-id/scsi-36000c290\n(hd1)\t/dev/disk/by-id/scsi-36000c291\n",
        ),
        ("/etc/grub.conf", "setup --stage2=/boot/grub/stage2 (hd0,0) (hd0,0)\nquit\n"),
    ],
    root: "ext3",
    ..SLES
};
pub static SLES_12: Distribution = Distribution {
    name: "sles-12",
    release: &[os_release("NAME=\"SLES\"\nVERSION_ID=\"12.5\"\nID=\"sles\"\n")],
    kernels: &["4.12.14-122.228-default", "4.12.14-120-default"],
    ..SLES
};
pub static SLES_15: Distribution = SLES;
pub static OPENSUSE: Distribution = Distribution {
    name: "opensuse-15",
    release: &[os_release(
        "NAME=\"openSUSE Leap\"\nID=\"opensuse-leap\"\nID_LIKE=\"suse opensuse\"\nVERSION_ID=\"15.6\"\n",
    )],
    root: "ext4",
    ..SLES
};
pub static ARCH: Distribution = Distribution {
    name: "arch",
    release: &[os_release("NAME=\"Arch Linux\"\nID=arch\nBUILD_ID=rolling\n")],
    kernels: &["6.12.1-arch1-1", "6.6.63-1-lts"],
    images: Images::Arch,
    maker: Maker::Mkinitcpio,
    files: &[
        (
            "/etc/mkinitcpio.conf",
            "MODULES=()\nBINARIES=()\nFILES=()\nHOOKS=(base udev autodetect modconf block filesystems fsck)\n",
        ),
        (
            "/etc/mkinitcpio.d/linux.preset",
            "ALL_kver=\"/boot/vmlinuz-linux\"\nPRESETS=('default' 'fallback')\ndefault_image=\"/boot/initramfs-linux.img\"\n",
        ),
    ],
    ..DEBIAN
};
pub static ALPINE: Distribution = Distribution {
    name: "alpine-3.20",
    release: &[
        os_release("NAME=\"Alpine Linux\"\nID=alpine\nVERSION_ID=3.20.3\n"),
        ("/etc/alpine-release", "3.20.3\n"),
        ("/etc/inittab", "::sysinit:/sbin/openrc sysinit\ntty1::respawn:/sbin/getty 38400 tty1\n"),
        ("/etc/securetty", "console\ntty1\n"),
    ],
    kernels: &["6.6.63-0-lts"],
    images: Images::Alpine,
    maker: Maker::Mkinitfs,
    init: Init::OpenRc,
    files: &[
        (
            "/etc/mkinitfs/mkinitfs.conf",
            "features=\"ata base cdrom ext4 keymap kms mmc nvme raid scsi usb virtio\"\n",
        ),
        ("/etc/mkinitfs/features.d/", ""),
    ],
    ..DEBIAN
};
pub static UNKNOWN: Distribution = Distribution {
    name: "unknown",
    release: &[os_release("NAME=\"Frobnix\"\nID=frobnix\nID_LIKE=\"rhel\"\nVERSION_ID=7\n")],
    kernels: &["6.5.0-frob7"],
    ..RHEL
};
