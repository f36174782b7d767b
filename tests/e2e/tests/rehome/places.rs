//! Sources and targets that are no plain files: pipes, block devices, disks of another size.

use crate::bench::{Bench, MIB, is_root, noise};

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
    bench.rehome(&["convert", "disk.raw", "sparse.vmdk"]).ends(0);
    for (line, format) in [
        ("$REHOME convert - out <stream.vmdk -O qcow2", "qcow2"),
        ("cat stream.vmdk | $REHOME convert - out -O raw", "raw"),
        ("cat plain.qcow2 | $REHOME convert - out -O vhdx", "vhdx"),
        ("cat sparse.vmdk | $REHOME convert - out -O qcow2", "qcow2"),
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
    bench.bash("cat disk.raw | $REHOME convert -f raw - no/out.qcow2").ends(73);
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

#[test]
fn an_image_in_a_pipe_names_no_file_beside_the_target() {
    let bench = bench();
    std::fs::create_dir(bench.path("elsewhere")).unwrap();
    bench.qemu_img(&[
        "create",
        "-q",
        "-f",
        "qcow2",
        "-b",
        "../disk.raw",
        "-F",
        "raw",
        "elsewhere/child.qcow2",
    ]);
    bench.qemu_img(&["rebase", "-u", "-b", "disk.raw", "-F", "raw", "elsewhere/child.qcow2"]);
    // Its format was only guessed: it may refer to nothing.
    bench.bash("cat elsewhere/child.qcow2 | $REHOME convert - out.raw").ends(77);
    // Its format was named, but its own folder is not the target's.
    bench.bash("cat elsewhere/child.qcow2 | $REHOME convert -f qcow2 - out.raw").ends(66);
    bench.bash("cat elsewhere/child.qcow2 | TMPDIR=. $REHOME convert -f qcow2 - - -O raw").ends(66);
    assert_eq!(bench.names(), ["disk.raw", "elsewhere"]);
}

#[test]
fn an_empty_pipe_is_no_empty_disk() {
    let bench = bench();
    for line in ["-f raw - out.qcow2", "- out.qcow2", "-f vmdk - out.qcow2"] {
        bench.bash(&format!("true | $REHOME convert {line}")).ends(66);
    }
    assert_eq!(bench.names(), ["disk.raw"]);
}

#[test]
fn a_redirected_source_is_not_written() {
    let bench = bench();
    let image = noise(5, MIB as usize);
    bench.rehome(&["convert", "disk.raw", "stream.vmdk", "-o", "subformat=streamOptimized"]).ends(0);
    let stream = bench.read("stream.vmdk");
    for (line, name, content) in [
        ("$REHOME convert -f raw - in.raw --force <in.raw", "in.raw", &image),
        ("$REHOME convert -f raw - in.raw <in.raw.partial", "in.raw.partial", &image),
        ("$REHOME convert -f raw in.raw - -O raw >>in.raw", "in.raw", &image),
        ("$REHOME convert -f raw in.raw - -O raw 1<>in.raw", "in.raw", &image),
        ("$REHOME convert - in.vmdk --force <in.vmdk", "in.vmdk", &stream),
        ("$REHOME convert - in.vmdk <in.vmdk.partial", "in.vmdk.partial", &stream),
        ("$REHOME convert - - -O raw <in.vmdk 1<>in.vmdk", "in.vmdk", &stream),
        (
            "$REHOME convert - in.vmdk -o subformat=monolithicFlat <in-flat.vmdk --force",
            "in-flat.vmdk",
            &stream,
        ),
    ] {
        bench.write(name, content);
        let run = bench.bash(line).ends(2);
        assert!(run.stderr.contains("is a file of the source"), "{line}: {run:?}");
        assert!(bench.read(name) == *content, "{line}");
        std::fs::remove_file(bench.path(name)).unwrap();
    }
}

#[test]
fn stdout_has_nothing_but_the_image() {
    let bench = bench();
    let run = bench.bash("$REHOME --output json convert missing.raw - -O raw").ends(66);
    assert_eq!(run.stdout, "");
    assert!(run.stderr.contains("\"exit_code\": 66"), "{run:?}");
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
    on_device(&["-O", "raw", "disk.raw"]).ends(2);
    on_device(&["-n", "disk.raw"]).ends(2);
    on_device(&["-n", "--overwrite-device", "-O", "qcow2", "disk.raw"]).ends(69);
    on_device(&["-n", "--overwrite-device", "device.img"]).ends(2);
    on_device(&["-n", "--overwrite-device", "-f", "raw", device]).ends(2);
    bench.bash(&format!("$REHOME convert -n --overwrite-device -f raw - {device} <device.img")).ends(2);
    let twin = bench.tool("mount", "losetup", &["-f", "--show", "device.img"]);
    let on_twin = on_device(&["-n", "--overwrite-device", "-f", "raw", twin.trim()]);
    bench.tool("mount", "losetup", &["-d", twin.trim()]);
    on_twin.ends(2);
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
    // The end is where the format puts it.
    bench.rehome(&["convert", "--size", "67108865", "gpt.raw", "odd.qcow2"]).ends(0);
    bench.qemu_img(&["convert", "-O", "raw", "odd.qcow2", "out.raw"]);
    let verdict = bench.bash("PATH=$PATH:/usr/sbin:/sbin; sgdisk -v out.raw").ends(0).stdout;
    assert!(verdict.contains("No problems found"), "{verdict}");
    // With no primary table, the backup has to stay where it is.
    bench
        .bash("cp gpt.raw backup.raw; dd if=/dev/zero of=backup.raw bs=512 seek=1 count=1 conv=notrunc")
        .ends(0);
    for size in ["64M", "8M"] {
        bench.rehome(&["convert", "--size", size, "backup.raw", "cut.qcow2"]).ends(if size == "8M" {
            2
        } else {
            65
        });
    }
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
