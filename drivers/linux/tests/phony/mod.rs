//! Phony guests in memory: what the fixups look at, as the distributions write it for EC2.
#![allow(dead_code, clippy::unwrap_used)]

pub mod distributions;
pub mod in_place;
pub mod matrix;

use driver_core::{
    DiskFacts, FsFacts, Guest, GuestTree, MemFs, MountFacts, PartitionFacts, PartitionRole, TableKind,
};
use driver_initramfs::cpio;

/// File system UUIDs of the phony disk.
pub const ROOT: &str = "5f1c0c1e-6d3a-4b0e-9b57-2f6c5d0c7a11";
pub const SWAP: &str = "0c0ffee0-0000-4000-8000-000000000002";
pub const DATA: &str = "0c0ffee0-0000-4000-8000-000000000003";
pub const MODULES: [&str; 8] =
    ["ext4", "hv_vmbus", "hv_storvsc", "sd_mod", "hv_netvsc", "ata_piix", "hid-hyperv", "nvme"];

/// Two disks: root, swap, ESP on the first, data on the second.
pub fn facts() -> Guest {
    let partition = |number, kind: &str, uuid: &str| PartitionFacts {
        number,
        role: if kind == "vfat" { PartitionRole::Esp } else { PartitionRole::Data },
        part_uuid: Some(format!("8a3c51d7-{number:02x}")),
        file_system: Some(FsFacts { kind: kind.into(), uuid: Some(uuid.into()), ..FsFacts::default() }),
        ..PartitionFacts::default()
    };
    let disk = |partitions| DiskFacts { partitions, table: TableKind::Gpt, ..DiskFacts::default() };
    let first =
        vec![partition(1, "ext4", ROOT), partition(2, "swap", SWAP), partition(15, "vfat", "8A3C-51D7")];
    let mount = MountFacts {
        point: "/".into(),
        device: "/dev/xvda1".into(),
        place: (0, 1).into(),
        kind: "ext4".into(),
    };
    Guest {
        disks: vec![disk(first), disk(vec![partition(1, "xfs", DATA)])],
        mounts: vec![mount],
        ..Guest::default()
    }
}

/// An initramfs with these modules, as a plain cpio archive.
pub fn initramfs(version: &str, maker_file: &str, modules: &[&str]) -> Vec<u8> {
    let mut writer = cpio::Writer::new(1);
    for folder in ["bin", "conf", "scripts", "usr", "usr/lib", "usr/lib/dracut", "usr/lib/modules"] {
        writer.directory(folder).unwrap();
    }
    writer.symlink("lib", "usr/lib").unwrap();
    writer.file("init", b"#!/bin/sh\n").unwrap();
    writer.file(maker_file, b"x").unwrap();
    let root = format!("usr/lib/modules/{version}");
    for folder in ["", "/kernel"] {
        writer.directory(&format!("{root}{folder}")).unwrap();
    }
    let mut dep = String::new();
    for module in modules {
        writer.file(&format!("{root}/kernel/{module}.ko"), b"\x7fELF").unwrap();
        dep += &format!("kernel/{module}.ko:\n");
    }
    writer.file(&format!("{root}/modules.dep"), dep.as_bytes()).unwrap();
    writer.finish().unwrap()
}

/// The module folder of a kernel.
pub fn with_modules(fs: MemFs, version: &str, modules: &[&str]) -> MemFs {
    let folder = format!("/usr/lib/modules/{version}");
    let dep: String = modules.iter().map(|m| format!("kernel/{m}.ko:\n")).collect();
    let fs = fs
        .with_file(&format!("{folder}/modules.dep"), dep)
        .with_file(&format!("{folder}/modules.builtin"), "kernel/fs/builtin_one.ko\n");
    modules.iter().fold(fs, |fs, m| fs.with_file(&format!("{folder}/kernel/{m}.ko"), format!("\x7fELF {m}")))
}

/// What every system has: release, a shell that says x86_64, merged /usr.
pub fn base(id: &str, version: &str) -> MemFs {
    let mut shell = [0u8; 64];
    shell[..6].copy_from_slice(b"\x7fELF\x02\x01");
    shell[18] = 62;
    MemFs::new()
        .with_link("/lib", "usr/lib")
        .with_link("/bin", "usr/bin")
        .with_file("/usr/bin/dash", shell)
        .with_link("/usr/bin/sh", "dash")
        .with_file(
            "/usr/lib/os-release",
            format!("ID={id}\nVERSION_ID=\"{version}\"\nPRETTY_NAME=\"{id} {version}\"\n"),
        )
        .with_link("/etc/os-release", "../usr/lib/os-release")
        .with_file("/etc/hostname", "ip-10-0-1-23\n")
}

pub const DEBIAN_KERNEL: &str = "6.1.0-28-amd64";

/// Debian 12: initramfs-tools, ifupdown, GRUB with a hand-made root=.
pub fn debian() -> MemFs {
    let grub_cfg = format!(
        "set default=\"0\"\nmenuentry 'Debian GNU/Linux' --class debian $menuentry_id_option 'gnulinux-simple' {{\n\
         \tsearch --no-floppy --fs-uuid --set=root {ROOT}\n\
         \techo\t'Loading Linux ...'\n\
         \tlinux\t/boot/vmlinuz-{DEBIAN_KERNEL} root=/dev/nvme0n1p1 ro  console=ttyS0,115200n8 quiet\n\
         \tinitrd\t/boot/initrd.img-{DEBIAN_KERNEL}\n}}\n"
    );
    let fs = base("debian", "12")
        .with_file("/etc/fstab", "# static\n/dev/xvda1 / ext4 rw,discard,errors=remount-ro 0 1\n/dev/xvda2\tnone\tswap\tsw\t0 0\n/dev/xvda15 /boot/efi vfat umask=0077 0 1\n/dev/xvdb1 /data xfs defaults 0 2\n/dev/xvdf /scratch auto defaults 0 2\n")
        .with_file("/etc/default/grub", "GRUB_DEFAULT=0\nGRUB_CMDLINE_LINUX_DEFAULT=\"quiet\"\nGRUB_CMDLINE_LINUX=\"root=/dev/nvme0n1p1 console=ttyS0,115200n8\"\n")
        .with_file("/boot/grub/grub.cfg", grub_cfg)
        .with_file(&format!("/boot/vmlinuz-{DEBIAN_KERNEL}"), "MZ")
        .with_file(&format!("/boot/initrd.img-{DEBIAN_KERNEL}"), initramfs(DEBIAN_KERNEL, "conf/initramfs.conf", &["ext4", "nvme"]))
        .with_file("/etc/initramfs-tools/modules", "# modules\nnvme\n")
        .with_file("/etc/network/interfaces", "auto lo\niface lo inet loopback\n\nallow-hotplug ens5\niface ens5 inet dhcp\n\tmtu 9001\n")
        .with_file("/etc/udev/rules.d/70-persistent-net.rules", "SUBSYSTEM==\"net\", ATTR{address}==\"06:3f:9a:52:c4:1d\", NAME=\"ens5\"\n")
        .with_file("/etc/cloud/cloud.cfg", "disable_root: true\n")
        .with_file("/etc/cloud/cloud.cfg.d/90_dpkg.cfg", "datasource_list: [ Ec2 ]\n")
        .with_file("/var/lib/cloud/data/instance-id", "i-0abc123\n")
        .with_file("/usr/lib/systemd/system/amazon-ssm-agent.service", "[Unit]\n")
        .with_link("/etc/systemd/system/multi-user.target.wants/amazon-ssm-agent.service", "/lib/systemd/system/amazon-ssm-agent.service");
    with_modules(fs, DEBIAN_KERNEL, &MODULES)
}

pub const UBUNTU_KERNEL: &str = "6.8.0-1021-aws";

/// Ubuntu: netplan, PARTUUID boot without initramfs first, snap agent.
pub fn ubuntu() -> MemFs {
    let linux = format!(
        "linux\t/boot/vmlinuz-{UBUNTU_KERNEL} root=PARTUUID=8a3c51d7-01 ro  console=tty1 console=ttyS0 nvme_core.io_timeout=4294967295"
    );
    let grub_cfg = format!(
        "set default=\"0\"\nmenuentry 'Ubuntu' --class ubuntu $menuentry_id_option 'gnulinux-simple-x' {{\n\
         \tif [ \"${{initrdfail}}\" = 1 ]; then\n\
         \t  echo\t'GRUB_FORCE_PARTUUID set, initrdless boot failed. Attempting with initrd.'\n\
         \t  {linux}\n\
         \t  initrd\t/boot/initrd.img-{UBUNTU_KERNEL}\n\
         \telse\n\
         \t  echo\t'GRUB_FORCE_PARTUUID set, attempting initrdless boot.'\n\
         \t  {linux} panic=-1\n\
         \tfi\n\
         \tinitrdfail\n}}\n"
    );
    let fs = base("ubuntu", "24.04")
        .with_file("/etc/fstab", "LABEL=cloudimg-rootfs\t/\t ext4\tdiscard,commit=30,errors=remount-ro\t0 1\nLABEL=UEFI\t/boot/efi\tvfat\tumask=0077\t0 1\n")
        .with_file("/etc/default/grub", "GRUB_CMDLINE_LINUX_DEFAULT=\"quiet splash\"\nGRUB_CMDLINE_LINUX=\"\"\n")
        .with_file("/etc/default/grub.d/40-force-partuuid.cfg", "# Force boot without an initramfs\nGRUB_FORCE_PARTUUID=8a3c51d7-01\n")
        .with_file("/etc/default/grub.d/50-cloudimg-settings.cfg", "GRUB_CMDLINE_LINUX_DEFAULT=\"console=tty1 console=ttyS0 nvme_core.io_timeout=4294967295\"\n")
        .with_file("/boot/grub/grub.cfg", grub_cfg)
        .with_file(&format!("/boot/vmlinuz-{UBUNTU_KERNEL}"), "MZ")
        .with_file(&format!("/boot/initrd.img-{UBUNTU_KERNEL}"), initramfs(UBUNTU_KERNEL, "conf/initramfs.conf", &["ext4", "nvme"]))
        .with_file("/etc/initramfs-tools/modules", "")
        .with_file("/etc/netplan/50-cloud-init.yaml", "network:\n  version: 2\n  ethernets:\n    ens5:\n      match:\n        macaddress: \"06:3f:9a:52:c4:1d\"\n      dhcp4: true\n      dhcp6: false\n      set-name: \"ens5\"\n")
        .with_file("/etc/cloud/cloud.cfg", "disable_root: true\n")
        .with_file("/etc/cloud/ds-identify.cfg", "policy: enabled\ndatasource: Ec2\n")
        .with_file("/etc/systemd/system/snap.amazon-ssm-agent.amazon-ssm-agent.service", "[Unit]\n")
        .with_link("/etc/systemd/system/multi-user.target.wants/snap.amazon-ssm-agent.amazon-ssm-agent.service", "/etc/systemd/system/snap.amazon-ssm-agent.amazon-ssm-agent.service");
    with_modules(fs, UBUNTU_KERNEL, &MODULES)
}

pub const AMAZON_KERNEL: &str = "6.1.115-126.197.amzn2023.x86_64";

/// Amazon Linux 2023: dracut, BLS entries, networkd with Amazon's own units.
pub fn amazon() -> MemFs {
    let options = "root=/dev/nvme0n1p1 ro console=tty0 console=ttyS0,115200n8 nvme_core.io_timeout=4294967295 rd.emergency=poweroff rd.shell=0 selinux=1";
    let entry = format!(
        "title Amazon Linux\nversion {AMAZON_KERNEL}\nlinux /boot/vmlinuz-{AMAZON_KERNEL}\ninitrd /boot/initramfs-{AMAZON_KERNEL}.img\noptions {options}\ngrub_class amzn\n"
    );
    let fs = base("amzn", "2023")
        .with_file(
            "/etc/fstab",
            "#\nUUID=5f1c0c1e-6d3a-4b0e-9b57-2f6c5d0c7a11     /           xfs    defaults,noatime  1   1\n",
        )
        .with_file(
            "/etc/default/grub",
            format!("GRUB_CMDLINE_LINUX_DEFAULT=\"{options}\"\nGRUB_ENABLE_BLSCFG=true\n"),
        )
        .with_file("/boot/grub2/grub.cfg", "set timeout=0\ninsmod blscfg\nblscfg\n")
        .with_file(&format!("/boot/loader/entries/abc-{AMAZON_KERNEL}.conf"), entry)
        .with_file(
            "/boot/grub2/grubenv",
            grubenv(&format!("saved_entry=abc-{AMAZON_KERNEL}\nkernelopts=root=/dev/nvme0n1p1 ro\n")),
        )
        .with_file("/boot/efi/EFI/amzn/grub.cfg", "configfile $prefix/grub.cfg\n")
        .with_file(&format!("/boot/vmlinuz-{AMAZON_KERNEL}"), "MZ")
        .with_file(
            &format!("/boot/initramfs-{AMAZON_KERNEL}.img"),
            initramfs(AMAZON_KERNEL, "usr/lib/dracut/build-parameter.txt", &["ext4", "nvme"]),
        )
        .with_file("/etc/dracut.conf", "# dracut\n")
        .with_file(
            "/usr/lib/systemd/network/80-ec2.network",
            "[Match]\nDriver=ena ixgbevf vif\n\n[Link]\nMTUBytes=9001\n\n[Network]\nDHCP=yes\n",
        )
        .with_file("/etc/cloud/cloud.cfg", "datasource_list: [ Ec2, None ]\n")
        .with_link(
            "/etc/systemd/system/multi-user.target.wants/amazon-ssm-agent.service",
            "/usr/lib/systemd/system/amazon-ssm-agent.service",
        )
        .with_link(
            "/etc/systemd/system/multi-user.target.wants/hibinit-agent.service",
            "/usr/lib/systemd/system/hibinit-agent.service",
        );
    with_modules(fs, AMAZON_KERNEL, &MODULES)
}

pub const RHEL_KERNEL: &str = "5.14.0-503.el9.x86_64";

/// RHEL 9: dracut, BLS with `$kernelopts`-less options, separate files for NetworkManager.
pub fn rhel() -> MemFs {
    let entry = format!(
        "title Red Hat Enterprise Linux\nlinux /vmlinuz-{RHEL_KERNEL}\ninitrd /initramfs-{RHEL_KERNEL}.img $tuned_initrd\noptions root=UUID={ROOT} console=ttyS0,115200n8 $tuned_params\n"
    );
    let fs = base("rhel", "9.5")
        .with_file("/etc/fstab", format!("UUID={ROOT} / xfs defaults 0 0\n"))
        .with_file("/etc/default/grub", "GRUB_CMDLINE_LINUX=\"console=tty0 console=ttyS0,115200n8 net.ifnames=0\"\nGRUB_ENABLE_BLSCFG=true\n")
        .with_link("/etc/sysconfig/grub", "/etc/default/grub")
        .with_file("/boot/grub2/grub.cfg", "blscfg\n")
        .with_file(&format!("/boot/loader/entries/m-{RHEL_KERNEL}.conf"), entry)
        .with_file(&format!("/boot/vmlinuz-{RHEL_KERNEL}"), "MZ")
        .with_file(&format!("/boot/initramfs-{RHEL_KERNEL}.img"), initramfs(RHEL_KERNEL, "usr/lib/dracut/build-parameter.txt", &["ext4", "nvme"]))
        .with_file(&format!("/boot/initramfs-{RHEL_KERNEL}kdump.img"), "kdump")
        .with_folder("/etc/dracut.conf.d")
        .with_file("/etc/sysconfig/network-scripts/ifcfg-eth0", "DEVICE=eth0\nBOOTPROTO=dhcp\nHWADDR=06:3f:9a:52:c4:1d\nONBOOT=yes\n");
    with_modules(fs, RHEL_KERNEL, &MODULES)
}

/// A GRUB environment block of 1024 bytes.
pub fn grubenv(lines: &str) -> String {
    let text = format!("# GRUB Environment Block\n{lines}");
    format!("{text}{}", "#".repeat(1024 - text.len()))
}

/// All of them by name.
pub fn all() -> Vec<(&'static str, MemFs)> {
    vec![("debian", debian()), ("ubuntu", ubuntu()), ("amazon", amazon()), ("rhel", rhel())]
}

/// Mounted as the only file system.
pub fn tree(fs: MemFs) -> GuestTree {
    let mut tree = GuestTree::new();
    tree.mount("/", Box::new(fs));
    tree
}

/// The phony disks with what inspection finds in `tree`.
pub fn inspected(tree: &GuestTree) -> Guest {
    let mut facts = facts();
    driver_linux::inspect(tree, &mut facts, &MODULES).unwrap();
    facts
}
