//! Damaged and hostile guests in the micro-VM: an error in bounded time, and nothing is written.

use super::{EXT4, Recipe, XFS, migrate, on_disk, plant_programs, plant_tool};
use crate::bench::{Bench, MIB, is_root};
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

/// Overwrites a piece of `part.img` and migrates.
fn ends_without_a_result(bench: &Bench, what: &str, at: u64, len: u64, more: &[&str]) {
    std::fs::copy(bench.path("part.img"), bench.path("bad.img")).unwrap();
    let file = std::fs::File::options().write(true).open(bench.path("bad.img")).unwrap();
    file.write_all_at(&vec![0xa5; len as usize], at).unwrap();
    on_disk(bench, "bad.img", "server.raw");
    let source = bench.fingerprint("server.raw");
    let began = Instant::now();
    let run = migrate(bench, more);
    assert!(began.elapsed() < Duration::from_secs(40), "{what}: {:?}", began.elapsed());
    assert!(matches!(run.code, Some(65 | 78)), "{what}: {run:#?}");
    assert!(!run.stderr.contains("panicked"), "{what}: {run:#?}");
    eprintln!("{what}: {:?} in {:?}: {}", run.code, began.elapsed(), super::why(&run).trim());
    assert_eq!(bench.fingerprint("server.raw"), source, "{what}");
    assert_eq!(bench.bash("find vm -type f 2>/dev/null").stdout, "", "{what}");
}

#[test]
fn a_damaged_xfs_is_refused() {
    if !is_root() {
        return;
    }
    let bench = Bench::new();
    XFS.make_part(&bench, |tree| plant_programs(tree, &["/sbin/xfs_repair"]));
    let sector = 512;
    // The second, third and fourth sector of each allocation group are its free space, its inodes and its free list.
    for (what, at) in [("free space", sector), ("inodes", 2 * sector), ("free list", 3 * sector)] {
        ends_without_a_result(&bench, what, at, 400, &[]);
    }
    let root_inodes = u64::from_be_bytes(bench.read("part.img")[56..64].try_into().unwrap()) * 512;
    ends_without_a_result(&bench, "root inode", root_inodes, 16384, &["--editor", "microvm"]);
}

#[test]
fn a_damaged_btrfs_is_refused() {
    if !is_root() {
        return;
    }
    let bench = Bench::new();
    let fstab = "/dev/xvda1 / btrfs defaults 0 0\n";
    Recipe { mib: 96, fstab, mkfs: "mkfs.btrfs -q -M part.img", ..EXT4 }.build(&bench, |_| {});
    // Of the superblock at 64 KiB: the addresses of the root tree, the chunk tree and the log tree; then the trees.
    let superblock = 64 << 10;
    for (what, at, len) in [
        ("root tree's address", superblock + 0x50, 8),
        ("magic and trees", superblock + 0x20, 64),
        ("all trees", MIB, 60 * MIB),
    ] {
        ends_without_a_result(&bench, what, at, len, &[]);
    }
}

#[test]
fn a_guest_that_brings_the_kernel_down_is_corrupt() {
    if !is_root() {
        return;
    }
    let bench = Bench::new();
    EXT4.make_part(&bench, |tree| plant_tool(tree, "echo c >/proc/sysrq-trigger; sleep 60"));
    on_disk(&bench, "part.img", "server.raw");
    let source = bench.fingerprint("server.raw");
    let began = Instant::now();
    let run = migrate(&bench, &["--editor", "microvm", "--rebuild-initramfs"]).ends(65);
    assert!(began.elapsed() < Duration::from_secs(40), "{:?}", began.elapsed());
    assert!(super::why(&run).contains("sysrq triggered crash"), "{run:?}");
    assert_eq!(bench.fingerprint("server.raw"), source);
    assert_eq!(bench.bash("find vm -type f 2>/dev/null").stdout, "");
}
