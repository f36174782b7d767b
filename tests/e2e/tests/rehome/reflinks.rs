//! File systems on which files share their bytes: a raw copy takes no space there.

use crate::bench::{Bench, MIB, Mounted, is_root};

/// What these file systems may write for their own use meanwhile.
const SLACK: u64 = 4 * MIB;

/// Free bytes below a folder, once everything is written.
fn free(bench: &Bench, folder: &str) -> u64 {
    bench
        .bash(&format!("sync -f {folder}; stat -f -c '%a %S' {folder}"))
        .ends(0)
        .stdout
        .split_whitespace()
        .map(|word| word.parse::<u64>().unwrap())
        .product()
}

fn copies_share_on(name: &str, make: &[&str]) {
    if !is_root() {
        return;
    }
    let bench = Bench::new();
    bench.bash("truncate -s 400M host.img; mkdir host").ends(0);
    bench.tool(name, &format!("mkfs.{name}"), &[make, &["-q", "host.img"]].concat());
    bench.tool("mount", "mount", &["-o", "loop", "host.img", "host"]);
    let _mounted = Mounted(bench.path("host"));
    // A hole, and an end that is no whole block.
    let size = 60 * MIB + 1024;
    bench.disk("host/disk.raw", size, &[(0, 40 * MIB), (50 * MIB, 10 * MIB + 1024)]);
    bench.rehome(&["convert", "host/disk.raw", "host/disk.qcow2"]).ends(0);
    let before = free(&bench, "host");
    for (source, more) in [("disk.raw", "--verify"), ("disk.raw", "--no-digest"), ("disk.qcow2", "--verify")]
    {
        let (from, to) = (format!("host/{source}"), format!("host/{source}{more}.raw"));
        bench.rehome(&["convert", &from, &to, more]).ends(0);
        bench.bash(&format!("cmp host/disk.raw {to}")).ends(0);
    }
    let after = free(&bench, "host");
    bench.bash("cp --reflink=never host/disk.raw host/plain.raw").ends(0);
    let (taken, plain_takes) = (before.saturating_sub(after), after.saturating_sub(free(&bench, "host")));
    assert!(taken < SLACK, "{name}: three copies of 50 MiB take {taken} bytes");
    assert!(
        plain_takes > 40 * MIB,
        "{name}: a plain copy takes {plain_takes} bytes, so what is measured is wrong"
    );
}

#[test]
fn on_xfs_a_raw_copy_shares_its_bytes() {
    copies_share_on("xfs", &["-m", "reflink=1"]);
}

#[test]
fn on_btrfs_a_raw_copy_shares_its_bytes() {
    copies_share_on("btrfs", &[]);
}
