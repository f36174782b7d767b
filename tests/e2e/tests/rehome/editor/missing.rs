//! What the micro-VM needs is not there.

use super::{EXT4, Recipe, XFS, migrate, why};
use crate::bench::{Bench, is_root};
use crate::guest::KERNEL;
use std::path::Path;

const NOWHERE: [&str; 2] = ["--kernel", "/nonexistent/vmlinuz"];

/// Without what would need a rule of udev anew or take one away, and with blocks enough for what is put into the initramfs.
fn needs_nothing_new(tree: &Path) {
    std::fs::remove_file(tree.join("etc/udev/rules.d/70-persistent-net.rules")).unwrap();
    std::fs::remove_file(tree.join("etc/netplan/50-cloud-init.yaml")).unwrap();
    std::fs::write(tree.join(format!("boot/config-{KERNEL}")), "CONFIG_RD_XZ=y\nCONFIG_RD_ZSTD=y\n").unwrap();
    let image = tree.join(format!("boot/initrd.img-{KERNEL}"));
    let mut initramfs = std::fs::read(&image).unwrap();
    initramfs.resize(5 * 4096, 0);
    std::fs::write(image, initramfs).unwrap();
}

/// The same without any program in the search path.
fn without_qemu(bench: &Bench, more: &str) -> crate::bench::Run {
    let line = "migrate server.raw --to kvm --out vm --output json";
    bench.bash(&format!("mkdir -p empty; PATH=$PWD/empty exec \"$REHOME\" {line} {more}"))
}

#[test]
fn an_xfs_guest_that_starts_all_the_same_is_migrated_with_a_warning() {
    if !is_root() {
        return;
    }
    let bench = Bench::new();
    XFS.build(&bench, needs_nothing_new);
    for run in [migrate(&bench, &[&NOWHERE[..], &["--dry-run"]].concat()), without_qemu(&bench, "")] {
        let report = run.ends(0).json();
        assert_eq!(report["editor"]["editor"], "native");
        let warnings = report["warnings"].as_array().unwrap();
        let warning = warnings.iter().find(|warning| warning["code"] == "no-microvm");
        let text = warning.unwrap_or_else(|| panic!("{warnings:?}"))["message"].as_str().unwrap();
        assert!(text.contains("XFS is edited in place only"), "{text}");
        assert!(text.contains("linux-image-amd64") || text.contains("qemu-system-x86"), "{text}");
    }
    bench.rehome(&["verify", "vm/web01.qcow2"]).ends(0);
    let mut asked = vec![migrate(&bench, &[&NOWHERE[..], &["--editor", "microvm"]].concat())];
    asked.push(without_qemu(&bench, "--editor microvm"));
    for (run, package) in asked.into_iter().zip(["linux-image-amd64", "qemu-system-x86"]) {
        let told = run.stdout.clone() + &run.stderr;
        run.ends(78);
        assert!(told.contains(package), "{told}");
    }
}

#[test]
fn a_guest_that_only_the_micro_vm_sees_is_blocked_with_the_package_that_is_missing() {
    if !is_root() {
        return;
    }
    let bench = Bench::new();
    let fstab = "/dev/xvda1 / btrfs defaults 0 0\n";
    Recipe { mib: 64, fstab, mkfs: "mkfs.btrfs -q -M part.img", ..EXT4 }.build(&bench, |_| {});
    let found = why(&migrate(&bench, &NOWHERE).ends(78));
    assert!(found.contains("btrfs") && found.contains("linux-image-amd64"), "{found}");
    let found = why(&without_qemu(&bench, "").ends(78));
    assert!(found.contains("btrfs") && found.contains("qemu-system-x86"), "{found}");
    let inspected = bench.rehome(&["inspect", "server.raw", "--kernel", NOWHERE[1], "--output", "json"]);
    assert!(inspected.ends(0).stdout.contains("linux-image-amd64"));
    assert!(!bench.path("vm").exists());
}
