//! A small Linux guest as EC2 exports it: ext4 on an MBR disk, made with mkfs.ext4, nothing in it can be run.

use crate::bench::{Bench, MIB};
use std::collections::BTreeMap;
use std::os::unix::fs::{FileExt, MetadataExt, symlink};
use std::path::{Path, PathBuf};

pub const ROOT_UUID: &str = "5f1c0c1e-6d3a-4b0e-9b57-2f6c5d0c7a11";
pub const KERNEL: &str = "6.1.0-28-amd64";
/// What a guest needs for Hyper-V, as module names.
pub const HYPERV_MODULES: [&str; 5] = ["hv_vmbus", "hv_storvsc", "sd_mod", "hv_netvsc", "hid-hyperv"];
const START: u64 = MIB;
const FS_SIZE: u64 = 24 * MIB;

/// Writes the guest's disk as NAME (raw). `modules` are what its kernel has besides EC2's; `change` may change the tree of
/// files before it becomes a file system.
pub fn build(bench: &Bench, name: &str, modules: &[&str], change: impl FnOnce(&Path)) {
    let tree = bench.path("tree");
    std::fs::create_dir(&tree).unwrap();
    plant(&tree, modules);
    change(&tree);
    let size = format!("{}K", FS_SIZE / 1024);
    let args = ["-q", "-F", "-E", "root_owner=0:0", "-U", ROOT_UUID, "-d", "tree", "part.img", &size];
    bench.tool("e2fsprogs", "mkfs.ext4", &args);
    std::fs::remove_dir_all(&tree).unwrap();
    put_on_disk(bench, "part.img", name);
    std::fs::remove_file(bench.path("part.img")).unwrap();
}

/// The same on XFS, filled by the kernel.
pub fn build_xfs(bench: &Bench, name: &str, change: impl FnOnce(&Path)) {
    let tree = bench.path("tree");
    std::fs::create_dir(&tree).unwrap();
    plant(&tree, &HYPERV_MODULES);
    std::fs::write(tree.join("etc/fstab"), "/dev/xvda1 / xfs defaults 0 0\n").unwrap();
    change(&tree);
    let uuid = format!("uuid={ROOT_UUID}");
    bench.bash(&format!("truncate -s {FS_SIZE} part.img; mkdir mnt")).ends(0);
    bench.tool("xfsprogs", "mkfs.xfs", &["-q", "--unsupported", "-m", &uuid, "part.img"]);
    bench.bash("mount -o loop,nouuid part.img mnt && cp -a tree/. mnt/ && umount mnt && rmdir mnt").ends(0);
    std::fs::remove_dir_all(&tree).unwrap();
    put_on_disk(bench, "part.img", name);
    std::fs::remove_file(bench.path("part.img")).unwrap();
}

/// All that is in the guest's XFS, by path, read by the kernel.
pub fn xfs_content(bench: &Bench, disk: &str) -> BTreeMap<String, Entry> {
    cut_out(bench, disk, "part.img");
    bench.tool("xfsprogs", "xfs_repair", &["-n", "-f", "-o", "force_geometry", "part.img"]);
    bench.bash("mkdir dump && mount -o loop,nouuid,ro,norecovery part.img dump").ends(0);
    let mut found = BTreeMap::new();
    collect(&bench.path("dump"), "", &mut found);
    bench.bash("umount dump && rmdir dump && rm part.img").ends(0);
    found
}

/// Makes a disk with the file `part` as its first partition.
pub fn put_on_disk(bench: &Bench, part: &str, name: &str) {
    let content = bench.read(part);
    let file = std::fs::File::create(bench.path(name)).unwrap();
    file.write_all_at(&boot_sector(content.len() as u64), 0).unwrap();
    file.write_all_at(&content, START).unwrap();
}

/// The first sector of a disk that GRUB starts from: an MBR with one partition of `size` bytes at 1 MiB.
pub fn boot_sector(size: u64) -> [u8; 512] {
    let sectors = u32::try_from(size / 512).unwrap();
    let mut sector = [0u8; 512];
    sector[..4].copy_from_slice(b"\xeb\x63\x90\x00");
    sector[0x180..0x185].copy_from_slice(b"GRUB ");
    sector[440..444].copy_from_slice(&0x8a3c_51d7u32.to_le_bytes());
    sector[446] = 0x80;
    sector[450] = 0x83;
    sector[454..458].copy_from_slice(&((START / 512) as u32).to_le_bytes());
    sector[458..462].copy_from_slice(&sectors.to_le_bytes());
    sector[510..].copy_from_slice(b"\x55\xaa");
    sector
}

/// Cuts the first partition out of a raw disk.
pub fn cut_out(bench: &Bench, disk: &str, part: &str) {
    let mut content = bench.read(disk);
    content.drain(..START as usize);
    content.truncate(FS_SIZE as usize);
    bench.write(part, content);
}

/// What a path holds: mode with type, and content or where it points.
pub type Entry = (u32, Vec<u8>);

/// All that is in the guest's file system, by path, read with debugfs.
pub fn content(bench: &Bench, disk: &str) -> BTreeMap<String, Entry> {
    cut_out(bench, disk, "part.img");
    let check = bench.try_tool("e2fsprogs", "e2fsck", &["-fn", "part.img"]);
    assert_eq!(check.code, Some(0), "{disk}: {check:?}");
    std::fs::create_dir(bench.path("dump")).unwrap();
    bench.tool("e2fsprogs", "debugfs", &["-R", "rdump / dump", "part.img"]);
    let mut found = BTreeMap::new();
    collect(&bench.path("dump"), "", &mut found);
    std::fs::remove_dir_all(bench.path("dump")).unwrap();
    std::fs::remove_file(bench.path("part.img")).unwrap();
    found
}

fn collect(host: &Path, guest: &str, found: &mut BTreeMap<String, Entry>) {
    for entry in std::fs::read_dir(host).unwrap() {
        let entry = entry.unwrap();
        let (host, guest) = (entry.path(), format!("{guest}/{}", entry.file_name().to_string_lossy()));
        let meta = host.symlink_metadata().unwrap();
        let content = if meta.is_symlink() {
            std::fs::read_link(&host).unwrap().into_os_string().into_encoded_bytes()
        } else if meta.is_dir() {
            collect(&host, &guest, found);
            Vec::new()
        } else {
            std::fs::read(&host).unwrap()
        };
        found.insert(guest, (meta.mode(), content));
    }
}

/// Writes the guest's files below `tree`. `modules` are what its kernel has besides EC2's.
pub fn plant(tree: &Path, modules: &[&str]) {
    let put = |path: &str, content: &[u8]| {
        let path: PathBuf = tree.join(path.trim_start_matches('/'));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    };
    let text = |path: &str, content: &str| put(path, content.as_bytes());
    text("/usr/lib/os-release", "ID=debian\nVERSION_ID=\"12\"\nPRETTY_NAME=\"Debian GNU/Linux 12\"\n");
    let mut shell = [0u8; 64];
    shell[..6].copy_from_slice(b"\x7fELF\x02\x01");
    shell[18] = 62;
    put("/usr/bin/dash", &shell);
    text("/etc/hostname", "web01\n");
    text("/etc/motd", "before the crash\n");
    text("/etc/fstab", "/dev/xvda1 / ext4 rw,discard,errors=remount-ro 0 1\n");
    text("/etc/default/grub", "GRUB_DEFAULT=0\nGRUB_CMDLINE_LINUX=\"root=/dev/nvme0n1p1 console=ttyS0\"\n");
    text(
        "/boot/grub/grub.cfg",
        &format!(
            "set default=\"0\"\nmenuentry 'Debian GNU/Linux' --class debian {{\n\
             \tsearch --no-floppy --fs-uuid --set=root {ROOT_UUID}\n\
             \tlinux\t/boot/vmlinuz-{KERNEL} root=/dev/nvme0n1p1 ro console=ttyS0 quiet\n\
             \tinitrd\t/boot/initrd.img-{KERNEL}\n}}\n"
        ),
    );
    text(&format!("/boot/vmlinuz-{KERNEL}"), "MZ");
    put(&format!("/boot/initrd.img-{KERNEL}"), &initramfs(&["ext4", "nvme"]));
    text("/etc/initramfs-tools/modules", "nvme\n");
    text(
        "/etc/netplan/50-cloud-init.yaml",
        "network:\n  version: 2\n  ethernets:\n    ens5:\n      match:\n        macaddress: \"06:3f:9a:52:c4:1d\"\n      \
         dhcp4: true\n      set-name: \"ens5\"\n",
    );
    text(
        "/etc/udev/rules.d/70-persistent-net.rules",
        "SUBSYSTEM==\"net\", ATTR{address}==\"06:3f:9a:52:c4:1d\", NAME=\"ens5\"\n",
    );
    text("/etc/cloud/cloud.cfg", "disable_root: true\n");
    text("/etc/cloud/cloud.cfg.d/90_dpkg.cfg", "datasource_list: [ Ec2 ]\n");
    text("/var/lib/cloud/data/instance-id", "i-0abc123\n");
    text("/usr/lib/systemd/system/amazon-ssm-agent.service", "[Unit]\n");
    text("/etc/systemd/system/multi-user.target.wants/.keep", "");
    text("/srv/data", "the customer's\n");
    for (at, to) in [
        ("lib", "usr/lib"),
        ("bin", "usr/bin"),
        ("usr/bin/sh", "dash"),
        ("etc/os-release", "../usr/lib/os-release"),
        (
            "etc/systemd/system/multi-user.target.wants/amazon-ssm-agent.service",
            "/lib/systemd/system/amazon-ssm-agent.service",
        ),
    ] {
        symlink(to, tree.join(at)).unwrap();
    }
    let folder = format!("/usr/lib/modules/{KERNEL}");
    let modules: Vec<_> = ["ext4", "nvme"].iter().chain(modules).collect();
    let dep: String = modules.iter().map(|module| format!("kernel/{module}.ko:\n")).collect();
    text(&format!("{folder}/modules.dep"), &dep);
    text(&format!("{folder}/modules.builtin"), "");
    for module in modules {
        text(&format!("{folder}/kernel/{module}.ko"), &format!("\x7fELF {module}"));
    }
}

/// An initramfs of initramfs-tools with these modules.
pub fn initramfs(modules: &[&str]) -> Vec<u8> {
    let mut archive = Vec::new();
    let root = format!("usr/lib/modules/{KERNEL}");
    let folders = ["conf", "scripts", "usr", "usr/lib", "usr/lib/modules", &root, &format!("{root}/kernel")];
    for folder in folders {
        newc(&mut archive, folder, 0o40755, b"");
    }
    newc(&mut archive, "lib", 0o120_777, b"usr/lib");
    newc(&mut archive, "init", 0o100_755, b"#!/bin/sh\n");
    newc(&mut archive, "conf/initramfs.conf", 0o100_644, b"MODULES=dep\n");
    for module in modules {
        newc(&mut archive, &format!("{root}/kernel/{module}.ko"), 0o100_644, b"\x7fELF");
    }
    let dep: String = modules.iter().map(|module| format!("kernel/{module}.ko:\n")).collect();
    newc(&mut archive, &format!("{root}/modules.dep"), 0o100_644, dep.as_bytes());
    newc(&mut archive, "TRAILER!!!", 0, b"");
    archive
}

/// One member of a cpio archive of the "newc" kind (cpio(5)).
fn newc(archive: &mut Vec<u8>, name: &str, mode: u32, content: &[u8]) {
    let inode = archive.len() / 4 + 1;
    let (size, name_size) = (content.len(), name.len() + 1);
    archive.extend_from_slice(
        format!("070701{inode:08x}{mode:08x}{0:08x}{0:08x}{1:08x}{0:08x}{size:08x}{0:08x}{0:08x}{0:08x}{0:08x}{name_size:08x}{0:08x}", 0, 1)
            .as_bytes(),
    );
    archive.extend_from_slice(name.as_bytes());
    archive.push(0);
    archive.resize(archive.len().next_multiple_of(4), 0);
    archive.extend_from_slice(content);
    archive.resize(archive.len().next_multiple_of(4), 0);
}
