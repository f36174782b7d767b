//! Other people's programs that make what is attacked, and the small guest of Linux that it is made from.

use super::disk::Disk;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A folder to make a base in.
pub(super) struct Workshop {
    folder: tempfile::TempDir,
}

impl Workshop {
    pub(super) fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder for temporary files") }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs a program in the folder and gives what it prints.
    pub(super) fn run(&self, package: &str, program: &str, args: &[&str]) -> String {
        let output = Command::new("timeout")
            .args(["60", program])
            .args(args)
            .current_dir(self.folder.path())
            .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
            .env("LC_ALL", "C")
            .env("SOURCE_DATE_EPOCH", "1700000000")
            .env("MTOOLS_SKIP_CHECK", "1")
            .output();
        let output =
            output.unwrap_or_else(|error| panic!("cannot run {program} (package {package}): {error}"));
        assert!(output.status.success(), "{program} {args:?} (package {package}): {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    pub(super) fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).expect("a file that was made")
    }

    pub(super) fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.path(name), bytes).expect("room for a file");
    }

    /// A file of zeros.
    pub(super) fn blank(&self, name: &str, len: u64) {
        let file = std::fs::File::create(self.path(name)).expect("room for a file");
        file.set_len(len).expect("a file system with holes");
    }

    pub(super) fn disk(&self, name: &str) -> Disk {
        Disk::of(&self.read(name))
    }

    /// Makes an ext file system of these files; `requests` are then done by debugfs.
    pub(super) fn ext(&self, tree: &Tree, options: &[&str], size: &str, requests: &str) -> Disk {
        tree.plant(&self.path("tree"));
        let uuid = ["-U", UUID, "-E", "root_owner=0:0,hash_seed=5f1c0c1e-6d3a-4b0e-9b57-2f6c5d0c7a12"];
        let (starts, ends) = (["-q", "-F", "-N", "2048"], ["-d", "tree", "volume", size]);
        self.run("e2fsprogs", "mkfs.ext4", &[&starts, options, &uuid, &ends].concat());
        self.debugfs(requests);
        self.disk("volume")
    }

    /// Does these requests to the volume that was made.
    pub(super) fn debugfs(&self, requests: &str) -> String {
        if requests.is_empty() {
            return String::new();
        }
        self.write("requests", requests.as_bytes());
        self.run("e2fsprogs", "debugfs", &["-w", "-f", "requests", "volume"])
    }
}

/// The UUID of the guest's root.
pub(super) const UUID: &str = "5f1c0c1e-6d3a-4b0e-9b57-2f6c5d0c7a11";
pub(super) const KERNEL: &str = "6.1.0-28-amd64";

/// What a path of the guest is.
#[derive(Clone, Debug)]
pub(super) enum Node {
    File(Vec<u8>),
    Link(String),
    Folder,
    Pipe,
}

/// The files of a guest, by path.
#[derive(Clone, Debug)]
pub(super) struct Tree(pub(super) BTreeMap<String, Node>);

impl Tree {
    /// A Debian that Hyper-V and KVM can have, as far as a migration looks.
    pub(super) fn debian() -> Self {
        let mut tree = Self(BTreeMap::new());
        let mut shell = vec![0; 64];
        shell[..6].copy_from_slice(b"\x7fELF\x02\x01");
        shell[18] = 62;
        let modules = [
            "ext4",
            "nvme",
            "virtio_pci",
            "virtio_blk",
            "virtio_net",
            "hv_vmbus",
            "hv_storvsc",
            "sd_mod",
            "hv_netvsc",
            "hid-hyperv",
        ];
        let dep = modules.iter().fold(String::new(), |mut text, module| {
            let _ = writeln!(text, "kernel/{module}.ko:");
            text
        });
        let folder = format!("/usr/lib/modules/{KERNEL}");
        for module in modules {
            tree = tree.file(&format!("{folder}/kernel/{module}.ko"), format!("\x7fELF {module}").as_bytes());
        }
        let menu = format!(
            "set default=\"0\"\nmenuentry 'Debian GNU/Linux' --class debian {{\n\tsearch --no-floppy --fs-uuid --set=root {UUID}\n\
             \tlinux\t/boot/vmlinuz-{KERNEL} root=/dev/nvme0n1p1 ro console=ttyS0 quiet\n\tinitrd\t/boot/initrd.img-{KERNEL}\n}}\n"
        );
        tree.file(
            "/usr/lib/os-release",
            b"ID=debian\nVERSION_ID=\"12\"\nPRETTY_NAME=\"Debian GNU/Linux 12\"\n",
        )
        .file("/usr/bin/dash", &shell)
        .link("/usr/bin/sh", "dash")
        .link("/bin", "usr/bin")
        .link("/lib", "usr/lib")
        .link("/etc/os-release", "../usr/lib/os-release")
        .file("/etc/hostname", b"web01\n")
        .file("/etc/fstab", b"/dev/xvda1 / ext4 rw,discard,errors=remount-ro 0 1\n")
        .file(
            "/etc/default/grub",
            b"GRUB_DEFAULT=0\nGRUB_CMDLINE_LINUX=\"root=/dev/nvme0n1p1 console=ttyS0\"\n",
        )
        .file("/boot/grub/grub.cfg", menu.as_bytes())
        .file(&format!("/boot/vmlinuz-{KERNEL}"), b"MZ")
        .file(&format!("/boot/initrd.img-{KERNEL}"), &initramfs(&["ext4", "nvme"]))
        .file("/etc/initramfs-tools/modules", b"nvme\n")
        .file(
            "/etc/network/interfaces",
            b"auto lo\niface lo inet loopback\nauto ens5\niface ens5 inet dhcp\n",
        )
        .file(&format!("{folder}/modules.dep"), dep.as_bytes())
        .file(&format!("{folder}/modules.builtin"), b"")
    }

    pub(super) fn file(mut self, path: &str, content: &[u8]) -> Self {
        self.0.insert(path.to_owned(), Node::File(content.to_vec()));
        self
    }

    pub(super) fn link(mut self, path: &str, target: &str) -> Self {
        self.0.insert(path.to_owned(), Node::Link(target.to_owned()));
        self
    }

    pub(super) fn node(mut self, path: &str, node: Node) -> Self {
        self.0.insert(path.to_owned(), node);
        self
    }

    /// Without a path and what is below it.
    pub(super) fn without(mut self, path: &str) -> Self {
        let below = format!("{path}/");
        self.0.retain(|name, _| name != path && !name.starts_with(&below));
        self
    }

    /// Makes the files below a folder of the host, which is made anew.
    fn plant(&self, root: &Path) {
        let _ = std::fs::remove_dir_all(root);
        for (path, node) in &self.0 {
            let at = root.join(path.trim_start_matches('/'));
            std::fs::create_dir_all(at.parent().unwrap_or(root)).expect("a folder of the guest");
            match node {
                Node::File(content) => std::fs::write(&at, content).expect("a file of the guest"),
                Node::Link(target) => symlink(target, &at).expect("a link of the guest"),
                Node::Folder => std::fs::create_dir_all(&at).expect("a folder of the guest"),
                Node::Pipe => {
                    let made = Command::new("mkfifo").arg(&at).status();
                    assert!(made.is_ok_and(|status| status.success()), "mkfifo (package coreutils)");
                }
            }
        }
    }
}

/// An initramfs of initramfs-tools with these modules.
pub(super) fn initramfs(modules: &[&str]) -> Vec<u8> {
    let root = format!("usr/lib/modules/{KERNEL}");
    let mut archive = Vec::new();
    for folder in ["conf", "scripts", "usr", "usr/lib", "usr/lib/modules", &root, &format!("{root}/kernel")] {
        archive.extend(member(folder, 0o40755, b""));
    }
    archive.extend(member("lib", 0o120_777, b"usr/lib"));
    archive.extend(member("init", 0o100_755, b"#!/bin/sh\n"));
    archive.extend(member("conf/initramfs.conf", 0o100_644, b"MODULES=dep\n"));
    for module in modules {
        archive.extend(member(&format!("{root}/kernel/{module}.ko"), 0o100_644, b"\x7fELF"));
    }
    archive.extend(member("TRAILER!!!", 0, b""));
    archive
}

/// A member of a cpio archive of the "newc" kind (cpio(5)).
pub(super) fn member(name: &str, mode: u32, content: &[u8]) -> Vec<u8> {
    raw_member(name.as_bytes(), mode, content.len() as u32, name.len() as u32 + 1, content)
}

/// The same with sizes that may lie.
pub(super) fn raw_member(name: &[u8], mode: u32, size: u32, name_size: u32, content: &[u8]) -> Vec<u8> {
    let zero = "00000000";
    let mut bytes = format!("070701{zero}{mode:08x}{zero}{zero}00000001{zero}{size:08x}{zero}{zero}{zero}{zero}{name_size:08x}{zero}").into_bytes();
    bytes.extend(name);
    bytes.push(0);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes.extend(content);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}
