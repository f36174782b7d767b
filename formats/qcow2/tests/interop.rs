//! Judged by QEMU: what it writes we read, what we write it accepts.

#![allow(clippy::unwrap_used, clippy::panic)]

mod disks;

use disks::{copy, mixed, read_all, request, run};
use format_core::{ExtentKind, FileTarget, Format, OpenOptions, OpenedImage, Packed, open_image};
use format_qcow2::FORMAT;
use std::path::Path;

const SIZE: usize = (9 << 20) + 3 * 512;
/// Enough for small clusters, which QEMU compresses slowly.
const SMALL: usize = (1 << 20) + 3 * 512;

fn size_for(cluster: &str) -> usize {
    if cluster == "2M" { SIZE } else { SMALL }
}

static FORMATS: &[&Format] = &[&FORMAT];

fn open_file(path: &Path) -> OpenedImage {
    let options = OpenOptions::new(FORMATS, Some(&FORMAT));
    open_image(path, &options).unwrap()
}

fn assert_same(found: &[u8], wanted: &[u8], what: &str) {
    assert_eq!(found.len(), wanted.len(), "{what}: size");
    let differing = found.iter().zip(wanted).position(|(a, b)| a != b);
    assert_eq!(differing, None, "{what}: first differing byte");
}

/// `qemu-img convert`s a disk of `size` bytes with these arguments and reads the result back through our reader.
fn reads_of_size(size: usize, args: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let disk = mixed(size, 100_000, 1);
    std::fs::write(folder.path().join("in.raw"), &disk).unwrap();
    let mut all = vec!["convert", "-f", "raw", "-O", "qcow2"];
    all.extend(args);
    all.extend(["in.raw", "a.qcow2"]);
    run(folder.path(), "qemu-img", &all);
    let image = open_file(&folder.path().join("a.qcow2"));
    assert!(image.warnings.is_empty());
    assert_same(&read_all(&image.disk).unwrap(), &disk, &format!("{args:?}"));
    // In odd pieces, which go through the cluster cache and across every boundary.
    let mut at = 0;
    while at < size {
        let mut part = vec![0xee; 77_777.min(size - at)];
        image.disk.read_exact_at(at as u64, &mut part).unwrap();
        assert_same(&part, &disk[at..at + part.len()], "a piece");
        at += part.len();
    }
}

#[test]
fn reads_every_cluster_size_of_both_versions() {
    for cluster in ["512", "1k", "4k", "32k", "64k", "256k", "2M"] {
        for compat in ["0.10", "1.1"] {
            reads_of_size(size_for(cluster), &["-o", &format!("compat={compat},cluster_size={cluster}")]);
        }
    }
}

#[test]
fn reads_compressed_clusters() {
    for cluster in ["512", "4k", "64k", "2M"] {
        let size = size_for(cluster);
        reads_of_size(size, &["-c", "-o", &format!("compat=0.10,cluster_size={cluster}")]);
        for kind in ["zlib", "zstd"] {
            let options = format!("compression_type={kind},cluster_size={cluster}");
            reads_of_size(size, &["-c", "-o", &options]);
        }
    }
}

#[test]
fn reads_extended_l2_and_preallocated_images() {
    for cluster in ["16k", "64k", "2M"] {
        let options = format!("extended_l2=on,cluster_size={cluster}");
        reads_of_size(size_for(cluster), &["-o", &options]);
        reads_of_size(size_for(cluster), &["-c", "-o", &options]);
    }
    for how in ["metadata", "falloc", "full"] {
        reads_of_size(SMALL, &["-o", &format!("preallocation={how}")]);
    }
    reads_of_size(SMALL, &["-o", "refcount_bits=1"]);
    reads_of_size(SMALL, &["-o", "refcount_bits=64,lazy_refcounts=on"]);
}

/// Guest writes, zeroes and discards in a chain of three images, with subclusters and without.
#[test]
fn reads_a_chain_that_a_guest_wrote_to() {
    for options in ["extended_l2=off", "extended_l2=on,cluster_size=32k", "cluster_size=1k", "compat=0.10"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        std::fs::write(path.join("in.raw"), mixed(SIZE, 300_000, 2)).unwrap();
        run(path, "qemu-img", &["convert", "-f", "raw", "-O", "qcow2", "in.raw", "a.qcow2"]);
        for (child, parent, size) in [("b.qcow2", "a.qcow2", "9M"), ("c.qcow2", "b.qcow2", "12M")] {
            run(
                path,
                "qemu-img",
                &["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", parent, "-o", options, child, size],
            );
            let seed = child.len() as u64 + u64::from(child.as_bytes()[0]);
            let mut noise = disks::Noise(seed);
            let mut args = vec!["-f".to_owned(), "qcow2".to_owned()];
            for round in 0..40 {
                let (at, len) = (noise.next() % (9 << 11) / 2 * 512, (1 + noise.next() % 200) * 512);
                let how = ["write -P 0x5a", "write -P 0x11", "write -z", "write -z -u", "discard"][round % 5];
                args.extend(["-c".to_owned(), format!("{how} {at} {len}")]);
            }
            args.push(child.to_owned());
            run(path, "qemu-io", &args.iter().map(String::as_str).collect::<Vec<_>>());
            run(path, "qemu-img", &["convert", "-f", "qcow2", "-O", "raw", child, "out.raw"]);
            let image = open_file(&path.join(child));
            let wanted = std::fs::read(path.join("out.raw")).unwrap();
            assert_same(&read_all(&image.disk).unwrap(), &wanted, &format!("{child} {options}"));
        }
    }
}

/// QEMU writes only the touched part of a new cluster, so the file may end inside its last one.
#[test]
fn the_missing_end_of_the_last_cluster_is_zeros() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    run(path, "qemu-img", &["create", "-q", "-f", "qcow2", "-o", "cluster_size=2M", "a.qcow2", "8M"]);
    run(path, "qemu-io", &["-f", "qcow2", "-c", "write -P 7 0 4k", "a.qcow2"]);
    let len = std::fs::metadata(path.join("a.qcow2")).unwrap().len();
    let cut = len / (2 << 20) * (2 << 20) + 8192;
    let cut = if cut > len { cut - (2 << 20) } else { cut };
    std::fs::OpenOptions::new().write(true).open(path.join("a.qcow2")).unwrap().set_len(cut).unwrap();
    run(path, "qemu-img", &["convert", "-f", "qcow2", "-O", "raw", "a.qcow2", "out.raw"]);
    let wanted = std::fs::read(path.join("out.raw")).unwrap();
    assert_eq!(&wanted[..8], &[7; 8], "the cut left the data there");
    let image = open_file(&path.join("a.qcow2"));
    assert_same(&read_all(&image.disk).unwrap(), &wanted, "cut file");
    let range = image.disk.host_range(0).unwrap().unwrap();
    assert_eq!(range.offset + range.len, cut, "a host range stays in the file");
}

#[test]
fn internal_snapshots_are_left_out_with_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    run(path, "qemu-img", &["create", "-q", "-f", "qcow2", "a.qcow2", "2M"]);
    run(path, "qemu-io", &["-f", "qcow2", "-c", "write -P 1 0 1M", "a.qcow2"]);
    run(path, "qemu-img", &["snapshot", "-c", "before", "a.qcow2"]);
    run(path, "qemu-io", &["-f", "qcow2", "-c", "write -P 2 512k 256k", "a.qcow2"]);
    let image = open_file(&path.join("a.qcow2"));
    assert_eq!(image.warnings.iter().map(|w| w.code).collect::<Vec<_>>(), ["qcow2-snapshots"]);
    let bytes = read_all(&image.disk).unwrap();
    assert_eq!((bytes[0], bytes[512 << 10], bytes[(768 << 10) + 1]), (1, 2, 1));
}

/// What we write passes QEMU's check without an error or a leak, is the same disk, and is not larger than QEMU's.
fn writes_what_qemu_accepts(disk: &[u8], options: &[(&str, &str)], compressed: bool) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    std::fs::write(path.join("in.raw"), disk).unwrap();
    let target = FileTarget::create(&path.join("ours.qcow2"), false).unwrap();
    let mut all = options.to_vec();
    if compressed {
        all.push(("compressed", "on"));
    }
    let sink = FORMAT.create.unwrap()(Box::new(target), &request(disk.len() as u64, &all)).unwrap();
    copy(disk, 1 << 20, sink.as_ref()).unwrap();
    sink.finish().unwrap();
    let check = run(path, "qemu-img", &["check", "-f", "qcow2", "ours.qcow2"]);
    assert!(check.contains("No errors were found"), "{options:?}: {check}");
    run(path, "qemu-img", &["compare", "-f", "raw", "-F", "qcow2", "in.raw", "ours.qcow2"]);
    assert_same(&read_all(&open_file(&path.join("ours.qcow2")).disk).unwrap()[..disk.len()], disk, "our own");

    let keys: Vec<_> = options.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let mut args = vec!["convert", "-f", "raw", "-O", "qcow2"];
    let joined = keys.join(",");
    if !joined.is_empty() {
        args.extend(["-o", &joined]);
    }
    if compressed {
        args.push("-c");
    }
    args.extend(["in.raw", "theirs.qcow2"]);
    run(path, "qemu-img", &args);
    let size = |name: &str| std::fs::metadata(path.join(name)).unwrap().len();
    let (ours, theirs) = (size("ours.qcow2"), size("theirs.qcow2"));
    let cluster = format_core::units::parse_size(
        options.iter().find(|(key, _)| *key == "cluster_size").map_or("64k", |(_, value)| value),
    )
    .unwrap()
    .min(64 << 10);
    // The smallest files differ by a small cluster for rounding, whatever the rest does.
    assert!(ours <= theirs + theirs / 100 + cluster, "{options:?} {compressed}: {ours} against {theirs}");
}

#[test]
fn writes_every_cluster_size_of_both_versions() {
    for cluster in ["512", "1k", "4k", "64k", "512k", "2M"] {
        let disk = mixed(size_for(cluster), 100_000, 3);
        for compat in ["0.10", "1.1"] {
            writes_what_qemu_accepts(&disk, &[("compat", compat), ("cluster_size", cluster)], false);
        }
    }
}

#[test]
fn writes_compressed_clusters() {
    for cluster in ["512", "4k", "64k", "2M"] {
        let disk = mixed(size_for(cluster), 50_000, 4);
        writes_what_qemu_accepts(&disk, &[("compat", "0.10"), ("cluster_size", cluster)], true);
        for kind in ["zlib", "zstd"] {
            writes_what_qemu_accepts(&disk, &[("compression_type", kind), ("cluster_size", cluster)], true);
        }
    }
}

/// A disk of 64 TiB, and one whose L1 table is 24 MiB in 512-byte clusters: three clusters of data each.
#[test]
fn writes_huge_disks() {
    for (size, cluster) in [(64u64 << 40, "64k"), (96 << 30, "512")] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let target = FileTarget::create(&path.join("a.qcow2"), false).unwrap();
        let request = request(size, &[("cluster_size", cluster)]);
        let sink = FORMAT.create.unwrap()(Box::new(target), &request).unwrap();
        for at in [0, size / 2, size - 65536] {
            sink.write_at(at, Packed::Plain(&[0x5a; 65536])).unwrap();
        }
        sink.finish().unwrap();
        let check = run(path, "qemu-img", &["check", "-f", "qcow2", "a.qcow2"]);
        assert!(check.contains("No errors were found"), "{check}");
        let last = format!("read -P 0x5a {} 65536", size - 65536);
        let out = run(path, "qemu-io", &["-f", "qcow2", "-r", "-c", &last, "a.qcow2"]);
        assert!(!out.contains("failed"), "{out}");
        let image = open_file(&path.join("a.qcow2"));
        let data: u64 = image
            .disk
            .extents(0, size)
            .map(Result::unwrap)
            .filter(|e| e.kind == ExtentKind::Data)
            .map(|e| e.len)
            .sum();
        assert_eq!(data, 3 * 65536);
    }
}

#[test]
fn writes_disks_at_the_edges() {
    writes_what_qemu_accepts(&[], &[], false);
    writes_what_qemu_accepts(&[0; 1 << 20], &[], false);
    writes_what_qemu_accepts(&[7; 512], &[], false);
    writes_what_qemu_accepts(&[7; 512], &[], true);
    writes_what_qemu_accepts(&vec![9; 1 << 20], &[("cluster_size", "64k")], true);
    // One more byte than a sector: QEMU's file and ours both end with whole sectors.
    writes_what_qemu_accepts(&mixed(200_001, 10_000, 5), &[], false);
    writes_what_qemu_accepts(&mixed(200_001, 10_000, 5), &[], true);
}
