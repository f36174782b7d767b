//! Compressed and cut images, from files and through pipes.

use crate::bench::{Bench, MIB, Run};

/// Files that other programs make of `disk.raw`, and what is said when a temporary file is needed.
const PACKERS: &[(&str, &str, bool)] = &[
    ("disk.raw.gz", "gzip -1c disk.raw", true),
    ("disk.raw.zst", "zstd -qc disk.raw", false),
    ("disk.raw.xz", "xz -T1 -0c disk.raw", false),
    ("disk.raw.blocks.xz", "xz -T2 --block-size=1MiB -0c disk.raw", false),
    ("disk.raw.lz4", "lz4 -qc --content-size disk.raw", false),
    ("disk.raw.bz2", "bzip2 -1c disk.raw", true),
    ("disk.raw.lzo", "lzop -qc disk.raw", true),
];

fn bench_with_disk() -> Bench {
    let bench = Bench::new();
    bench.disk("disk.raw", 12 * MIB + 512, &[(0, 70_000), (5 * MIB, 3 * MIB), (12 * MIB, 512)]);
    bench
}

fn is_spooled(run: &Run) -> bool {
    run.stderr.contains("is unpacked into a temporary file")
}

#[test]
fn whatever_compresses_a_disk_it_is_the_same_disk() {
    let bench = bench_with_disk();
    for (name, packer, spools) in PACKERS {
        bench.bash(&format!("{packer} > {name}")).ends(0);
        let run = bench.rehome(&["convert", name, "out.qcow2", "--verify", "--force", "-f", "raw"]).ends(0);
        // Its size is not in the file, and there is no partition table that tells it.
        assert_eq!(is_spooled(&run), *spools, "{name}: {run:?}");
        bench.qemu_img(&["compare", "-f", "qcow2", "-F", "raw", "out.qcow2", "disk.raw"]);
        bench.rehome(&["compare", name, "disk.raw", "-f", "raw"]).ends(0);
        // Cut anywhere, by its own name or with -f.
        bench.bash(&format!("rm -f piece.*; split -b 300000 {name} {name}.")).ends(0);
        bench.rehome(&["compare", &format!("{name}.aa"), "disk.raw", "-f", "raw"]).ends(0);
        bench.bash(&format!("rm {name}.a?")).ends(0);
    }
}

#[test]
fn a_partition_table_tells_how_large_a_disk_in_gzip_is() {
    let bench = bench_with_disk();
    bench.tool("gdisk", "sgdisk", &["--new=1:2048:0", "disk.raw"]);
    bench.bash("gzip -k disk.raw && gzip -c disk.raw > grown.gz").ends(0);
    let run = bench.rehome(&["convert", "disk.raw.gz", "out.vhdx", "--verify"]).ends(0);
    assert!(!is_spooled(&run), "{run:?}");
    bench.rehome(&["compare", "out.vhdx", "disk.raw"]).ends(0);
    // A disk that has grown since does not end where its table says: noticed at the end, and read again.
    bench.bash("truncate -s +3M disk.raw && gzip -c disk.raw > grown.raw.gz").ends(0);
    let run = bench.rehome(&["convert", "grown.raw.gz", "grown.raw", "--verify"]).ends(0);
    assert!(run.stderr.contains("unpacked into a file first"), "{run:?}");
    assert_eq!(bench.read("grown.raw"), bench.read("disk.raw"));
}

#[test]
fn compressed_images_come_through_pipes() {
    let bench = bench_with_disk();
    bench.rehome(&["convert", "disk.raw", "disk.vmdk", "-o", "subformat=streamOptimized"]).ends(0);
    for line in [
        "gzip -c disk.raw | \"$REHOME\" convert -f gzip - out.raw",
        "zstd -qc disk.vmdk | \"$REHOME\" convert - out.raw",
        "xz -0c disk.vmdk | \"$REHOME\" convert -f vmdk - out.raw",
        "gzip -c disk.vmdk | zstd -qc | \"$REHOME\" convert - out.raw",
    ] {
        bench.bash(&format!("set -o pipefail; rm -f out.raw*; {line}")).ends(0);
        assert_eq!(bench.read("out.raw"), bench.read("disk.raw"), "{line}");
    }
    assert!(!bench.names().iter().any(|name| name.contains("spool")), "{:?}", bench.names());
    // Which bytes are the disk, nobody knows.
    for line in [
        "gzip -c disk.raw | \"$REHOME\" convert -f raw - out.raw --force",
        "gzip -c disk.raw | zstd -qc | \"$REHOME\" convert -f zstd - out.raw --force",
    ] {
        let run = bench.bash(line).ends(2);
        assert!(run.stderr.contains("-f gzip"), "{run:?}");
    }
}

#[test]
fn damage_is_noticed_and_leaves_no_target() {
    let bench = bench_with_disk();
    for (name, packer, _) in PACKERS {
        // lz4's and zstd's frames carry a checksum only where they are asked for one; both programs do that.
        bench.bash(&format!("{packer} > {name}; head -c -20 {name} > cut.{name}")).ends(0);
        let middle = bench.read(name).len() as u64 / 2;
        bench.flip(name, middle);
        for name in [(*name).to_owned(), format!("cut.{name}")] {
            let run = bench.rehome(&["convert", &name, "out.raw", "-f", "raw"]);
            assert_eq!(run.code, Some(65), "{name}: {run:?}");
            assert!(!bench.path("out.raw").exists(), "{name}");
            bench.bash("rm -f out.raw*").ends(0);
            let run = bench.rehome(&["check", &name, "-f", "raw"]);
            assert!(matches!(run.code, Some(1 | 65)), "{name}: {run:?}");
        }
    }
}

#[test]
fn what_we_compress_others_unpack() {
    let bench = bench_with_disk();
    for (name, unpacker, sizes) in [
        ("a.raw.zst", "zstd -qdc", 1),
        ("a.raw.gz", "gzip -dc", 1),
        ("a.tar", "tar -xOf", 1),
        ("a.tar.gz", "tar -xzOf", 1 << 30),
    ] {
        bench.rehome(&["convert", "disk.raw", name, "--verify"]).ends(0);
        bench
            .bash(&format!("{unpacker} {name} > back.raw; cmp -n {} back.raw disk.raw", 12 * MIB + 512))
            .ends(0);
        let len = std::fs::metadata(bench.path("back.raw")).unwrap().len();
        assert_eq!(len % sizes, 0, "{name}");
        let run = bench.rehome(&["compare", name, "disk.raw"]).ends(0);
        assert!(!run.stderr.contains("error"), "{run:?}");
        bench.bash("rm back.raw").ends(0);
    }
    // Google Cloud's form has exactly one member of that name, in GNU's old format.
    let listed = bench.tool("tar", "tar", &["-tzf", "a.tar.gz"]);
    assert_eq!(listed.trim(), "disk.raw");
    bench.bash("zcat a.tar.gz | head -c 265 | tail -c 8 | grep -q 'ustar  '").ends(0);
}

#[test]
fn temporary_files_go_where_they_are_told_to() {
    let bench = bench_with_disk();
    bench.bash("gzip -k disk.raw; mkdir there").ends(0);
    bench.rehome(&["info", "disk.raw.gz", "--spool", "there"]).ends(0);
    let run = bench.rehome(&["info", "disk.raw.gz", "--spool", "missing"]);
    assert!(run.code != Some(0) && run.stderr.contains("--spool"), "{run:?}");
    assert_eq!(std::fs::read_dir(bench.path("there")).unwrap().count(), 0);
    // A file system without room.
    bench.bash("mkdir small && mount -t tmpfs -o size=1M none small").ends(0);
    let run = bench.rehome(&["convert", "disk.raw.gz", "out.raw", "--spool", "small", "-f", "raw"]);
    bench.bash("umount small").ends(0);
    assert_eq!(run.code, Some(75), "{run:?}");
    assert!(!bench.path("out.raw").exists());
}

#[test]
fn a_compressed_image_is_never_taken_for_a_disk() {
    let bench = bench_with_disk();
    bench.bash("gzip -c disk.raw > really.raw; gzip -c disk.raw > lone").ends(0);
    bench.rehome(&["info", "really.raw"]).ends(2);
    let run = bench.rehome(&["info", "lone", "--output", "json"]).ends(0);
    assert_eq!(run.json()["virtual-size"], 12 * MIB + 512);
    // The operator's word: the bytes as they are.
    let run = bench.rehome(&["info", "-f", "raw", "really.raw", "--output", "json"]).ends(0);
    assert_eq!(run.json()["virtual-size"], bench.read("really.raw").len());
}
