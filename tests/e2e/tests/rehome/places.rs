//! Sources and targets that are no plain files: pipes, block devices, disks of another size.

use crate::bench::{Bench, MIB, noise};

const SIZE: u64 = 9 * MIB + 1024;

fn bench() -> Bench {
    let bench = Bench::new();
    bench.disk("disk.raw", SIZE, &[(0, 70_000), (5 * MIB, MIB), (SIZE - 10, 10)]);
    bench
}

#[test]
fn images_flow_through_pipes() {
    let bench = bench();
    bench.rehome(&["convert", "disk.raw", "stream.vmdk", "-o", "subformat=streamOptimized"]).ends(0);
    bench.rehome(&["convert", "disk.raw", "plain.qcow2"]).ends(0);
    for (line, format) in [
        ("$REHOME convert - out <stream.vmdk -O qcow2", "qcow2"),
        ("cat stream.vmdk | $REHOME convert - out -O raw", "raw"),
        ("cat plain.qcow2 | $REHOME convert - out -O vhdx", "vhdx"),
        ("cat disk.raw | $REHOME convert -f raw - out -O qcow2", "qcow2"),
        ("$REHOME convert plain.qcow2 - -O raw >out", "raw"),
        ("$REHOME convert disk.raw - -O vmdk -o subformat=streamOptimized >out", "vmdk"),
        ("$REHOME convert disk.raw - -O vhd -o subformat=fixed >out", "vpc"),
        ("cat stream.vmdk | $REHOME convert - - -O vmdk -o subformat=streamOptimized | cat >out", "vmdk"),
    ] {
        bench.bash(&format!("set -o pipefail; rm -f out; {line}")).ends(0);
        bench.qemu_img(&["compare", "-f", "raw", "-F", format, "disk.raw", "out"]);
    }
    assert!(!bench.names().iter().any(|name| name.contains("spool")), "{:?}", bench.names());
}

#[test]
fn pipes_that_cannot_be_are_refused() {
    let bench = bench();
    bench.rehome(&["convert", "disk.raw", "stream.vmdk", "-o", "subformat=streamOptimized"]).ends(0);
    bench.bash("$REHOME convert disk.raw - -O qcow2 | wc -c; exit ${PIPESTATUS[0]}").ends(69);
    bench.bash("$REHOME convert disk.raw -").ends(2);
    bench.bash("$REHOME convert disk.raw - -O raw --verify").ends(2);
    // Nothing says what these bytes are.
    bench.bash("cat disk.raw | $REHOME convert - out.qcow2").ends(2);
    for cut in ["70000", "1000000"] {
        bench.bash(&format!("head -c {cut} stream.vmdk | $REHOME convert - out.qcow2")).ends(65);
    }
    // The reader goes away in the middle.
    let gone = bench.bash("set -o pipefail; $REHOME convert disk.raw - -O raw | head -c 100000 >/dev/null");
    assert_eq!(gone.code, Some(74), "{gone:?}");
    assert_eq!(
        bench.names(),
        ["disk.raw", "stream.vmdk", "stream.vmdk.rehome.blocks", "stream.vmdk.rehome.json"]
    );
}

/// Loop devices need root, which CI has.
fn is_root() -> bool {
    if rustix_uid_is_root() {
        return true;
    }
    assert!(std::env::var_os("CI").is_none(), "this test has to run as root");
    eprintln!("NOT RUN: loop devices need root");
    false
}

fn rustix_uid_is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

#[test]
fn a_block_device_is_overwritten_only_when_that_was_said() {
    if !is_root() {
        return;
    }
    let bench = bench();
    bench.write("device.img", noise(3, 12 * MIB as usize));
    let attached = bench.tool("mount", "losetup", &["-f", "--show", "device.img"]);
    let device = attached.trim();
    let on_device = |args: &[&str]| bench.rehome(&[&["convert"], args, &[device]].concat());
    on_device(&["disk.raw"]).ends(2);
    on_device(&["-O", "raw", "disk.raw"]).ends(73);
    on_device(&["-n", "disk.raw"]).ends(2);
    on_device(&["-n", "--overwrite-device", "-O", "qcow2", "disk.raw"]).ends(69);
    on_device(&["-n", "--overwrite-device", "device.img"]).ends(2);
    on_device(&["-n", "--overwrite-device", "-f", "raw", device]).ends(2);
    bench.disk("large.raw", 13 * MIB, &[(0, 10)]);
    on_device(&["-n", "--overwrite-device", "large.raw"]).ends(73);
    assert!(bench.read("device.img") == noise(3, 12 * MIB as usize), "nothing was written yet");
    on_device(&["-n", "--overwrite-device", "--verify", "disk.raw"]).ends(0);
    let (written, disk) = (bench.read("device.img"), bench.read("disk.raw"));
    assert!(written[..SIZE as usize] == disk, "the disk is there, its zeros too");
    assert!(
        written[SIZE as usize..] == noise(3, 12 * MIB as usize)[SIZE as usize..],
        "the rest is untouched"
    );
    bench.rehome(&["convert", "-f", "raw", device, "from-device.qcow2"]).ends(0);
    bench.qemu_img(&["compare", "-f", "raw", "device.img", "from-device.qcow2"]);
    bench.tool("e2fsprogs", "mkfs.ext4", &["-q", device]);
    std::fs::create_dir(bench.path("mounted")).unwrap();
    bench.tool("mount", "mount", &[device, "mounted"]);
    let in_use = on_device(&["-n", "--overwrite-device", "disk.raw"]);
    bench.tool("mount", "umount", &["mounted"]);
    bench.tool("mount", "losetup", &["-d", device]);
    in_use.ends(75);
}

/// A GPT with one partition of 4 MiB at 1 MiB.
fn with_gpt(bench: &Bench) {
    bench.disk("gpt.raw", 20 * MIB, &[(MIB, 4 * MIB)]);
    bench.bash("PATH=$PATH:/usr/sbin:/sbin; echo 'start=2048,size=8192' | sfdisk -q -X gpt gpt.raw").ends(0);
}

#[test]
fn a_disk_gets_another_size_and_keeps_its_partitions() {
    let bench = Bench::new();
    with_gpt(&bench);
    for size in ["64M", "8M", "20972032"] {
        let out = bench.rehome(&["convert", "--size", size, "gpt.raw", "out.qcow2", "--force"]).ends(0);
        assert!(out.stderr.contains("[gpt-backup-moved]"), "{}", out.stderr);
        bench.qemu_img(&["convert", "-O", "raw", "out.qcow2", "out.raw"]);
        let verdict = bench.bash("PATH=$PATH:/usr/sbin:/sbin; sgdisk -v out.raw").ends(0).stdout;
        assert!(verdict.contains("No problems found"), "{size}: {verdict}");
        let partition = |name: &str| bench.read(name)[MIB as usize..5 * MIB as usize].to_vec();
        assert!(partition("out.raw") == partition("gpt.raw"), "{size}");
    }
    for size in ["4M", "5M", "1"] {
        bench.rehome(&["convert", "--size", size, "gpt.raw", "cut.qcow2"]).ends(2);
    }
    assert!(!bench.names().iter().any(|name| name.starts_with("cut")));
    // Without a partition table only zeros may go.
    bench.disk("plain.raw", 8 * MIB, &[(0, 1000), (5 * MIB, 10)]);
    bench.rehome(&["convert", "--size", "6M", "plain.raw", "plain.qcow2"]).ends(0);
    bench.rehome(&["convert", "--size", "5M", "plain.raw", "cut.qcow2"]).ends(2);
}

#[test]
fn an_mbr_partition_is_never_cut() {
    let bench = Bench::new();
    bench.disk("mbr.raw", 20 * MIB, &[(MIB, 4 * MIB), (10 * MIB, 100)]);
    bench.bash("PATH=$PATH:/usr/sbin:/sbin; echo 'start=2048,size=8192' | sfdisk -q -X dos mbr.raw").ends(0);
    let cut = bench.rehome(&["convert", "--size", "5M", "mbr.raw", "out.raw"]).ends(0);
    assert!(cut.stderr.contains("[unpartitioned-data-cut]"), "{}", cut.stderr);
    assert_eq!(bench.read("out.raw"), bench.read("mbr.raw")[..5 * MIB as usize]);
    bench.rehome(&["convert", "--size", "5242368", "mbr.raw", "cut.raw"]).ends(2);
}
