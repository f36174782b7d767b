//! Writing with every option: judged by QEMU's check and compare, by its sizes, and by a byte array.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod disks;

use disks::{Noise, copy, image_of, mixed, open, read_all, request, run};
use format_core::{
    CreateRequest, ErrorKind, ExtentKind, FileTarget, MemTarget, Packed, PipeTarget, Result, Sink,
    TargetStorage, is_zero,
};
use format_qcow2::FORMAT;
use proptest::prelude::*;
use std::path::Path;

type Options<'a> = &'a [(&'a str, &'a str)];

fn create(target: impl TargetStorage + 'static, request: &CreateRequest) -> Result<Box<dyn Sink>> {
    FORMAT.create.unwrap()(Box::new(target), request)
}

fn assert_good(folder: &Path, raw: &str, qcow2: &str) {
    let check = run(folder, "qemu-img", &["check", "-f", "qcow2", qcow2]);
    assert!(check.contains("No errors were found"), "{check}");
    let said = run(folder, "qemu-img", &["compare", "-f", "raw", "-F", "qcow2", raw, qcow2]);
    assert_eq!(said, "Images are identical.\n", "no warning that the sizes differ");
}

/// Our file and qemu-img's of the same disk with the same options: both good, ours not larger.
fn against_qemu(folder: &Path, disk: &[u8], options: Options<'_>) {
    std::fs::write(folder.join("in.raw"), disk).unwrap();
    let _ = std::fs::remove_file(folder.join("ours.qcow2"));
    let target = FileTarget::create(&folder.join("ours.qcow2"), false).unwrap();
    let sink = create(target, &request(disk.len() as u64, options)).unwrap();
    copy(disk, 1 << 20, sink.as_ref()).unwrap();
    sink.finish().unwrap();
    assert_good(folder, "in.raw", "ours.qcow2");

    let pairs = options.iter().filter(|(key, _)| *key != "compressed");
    let joined = pairs.map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",");
    let compress: &[&str] = if options.contains(&("compressed", "on")) { &["-c"] } else { &[] };
    let args =
        [&["convert", "-f", "raw", "-O", "qcow2", "-o", &joined], compress, &["in.raw", "theirs.qcow2"]];
    run(folder, "qemu-img", &args.concat());
    let size = |name: &str| std::fs::metadata(folder.join(name)).unwrap().len();
    let (ours, theirs) = (size("ours.qcow2"), size("theirs.qcow2"));
    let cluster = options.iter().find(|(key, _)| *key == "cluster_size").map_or("64k", |(_, value)| value);
    let cluster = format_core::units::parse_size(cluster).unwrap().min(64 << 10);
    // The smallest files differ by a small cluster for rounding, whatever the rest does.
    assert!(ours <= theirs + theirs / 100 + cluster, "{options:?}: {ours} against {theirs}");
}

#[test]
fn subclusters_are_as_good_and_small_as_qemus() {
    let folder = tempfile::tempdir().unwrap();
    for cluster in ["16k", "64k", "2M"] {
        let disk = mixed((5 << 20) + 7 * 512, 30_000, 21);
        for compressed in ["off", "on"] {
            let options = [("extended_l2", "on"), ("cluster_size", cluster), ("compressed", compressed)];
            against_qemu(folder.path(), &disk, &options);
        }
    }
}

#[test]
fn every_width_of_reference_counts_is_as_good_and_small_as_qemus() {
    let folder = tempfile::tempdir().unwrap();
    let disk = mixed(1 << 19, 30_000, 22);
    for width in ["1", "2", "4", "8", "16", "32", "64"] {
        for (cluster, compressed) in [("512", "off"), ("4k", "off"), ("4k", "on"), ("64k", "on")] {
            let options = [("refcount_bits", width), ("cluster_size", cluster), ("compressed", compressed)];
            against_qemu(folder.path(), &disk, &options);
        }
    }
}

/// Zeros in a cluster that has data are no data.
#[test]
fn subclusters_of_zeros_are_not_allocated() {
    let mut disk = vec![0; 1 << 20];
    disk[4096..6144].fill(1);
    disk[65536 + 2048 * 31..65536 * 2].fill(2);
    let found = open(image_of(&disk, 1 << 20, &[("extended_l2", "on")]).unwrap()).unwrap();
    let data =
        found.extents(0, 1 << 20).map(std::result::Result::unwrap).filter(|e| e.kind == ExtentKind::Data);
    assert_eq!(data.map(|e| (e.offset, e.len)).collect::<Vec<_>>(), [(4096, 2048), (65536 * 2 - 2048, 2048)]);
    assert!(read_all(&found).unwrap() == disk);
}

/// 64 TiB with three pieces of data; and the largest disks of small clusters and subclusters.
#[test]
fn huge_disks_are_small_files() {
    for (size, options, most) in [
        (64u64 << 40, &[] as Options<'_>, 2 << 20),
        (64 << 40, &[("extended_l2", "on")], 4 << 20),
        (64 << 40, &[("cluster_size", "2M"), ("refcount_bits", "1")], 24 << 20),
        (64 << 30, &[("cluster_size", "512")], 20 << 20),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.qcow2");
        let sink = create(FileTarget::create(&path, false).unwrap(), &request(size, options)).unwrap();
        let chunk = vec![0x5a; sink.needs().chunk_size as usize];
        let places = [0, size / 2, size - chunk.len() as u64];
        for at in places {
            sink.write_at(at, Packed::Plain(&chunk)).unwrap();
        }
        sink.finish().unwrap();
        let len = std::fs::metadata(&path).unwrap().len();
        assert!(len < most + 3 * chunk.len() as u64, "{size:#x} {options:?}: a file of {len} bytes");
        let check = run(folder.path(), "qemu-img", &["check", "-f", "qcow2", "a.qcow2"]);
        assert!(check.contains("No errors were found"), "{check}");
        for at in places {
            let read = format!("read -P 0x5a {at} {}", chunk.len());
            let out = run(folder.path(), "qemu-io", &["-f", "qcow2", "-r", "-c", &read, "a.qcow2"]);
            assert!(!out.contains("failed"), "{out}");
        }
    }
}

#[test]
fn a_pipe_is_refused_before_anything_is_written() {
    let error = create(PipeTarget::new(Box::new(Vec::new())), &request(1 << 20, &[])).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.hint_text().is_some_and(|hint| hint.contains("raw")), "{error}");
}

/// A target that is full of garbage, as a device may be.
struct Dirty(MemTarget);

impl TargetStorage for Dirty {
    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.0.write_all_at(offset, bytes)
    }
    fn set_len(&self, _: u64) -> Result<()> {
        Ok(())
    }
    fn sync(&self) -> Result<()> {
        Ok(())
    }
    fn commit(self: Box<Self>) -> Result<()> {
        Box::new(self.0).commit()
    }
    fn zero_range(&self, offset: u64, len: u64) -> Result<()> {
        self.0.write_all_at(offset, &vec![0; len as usize])
    }
}

#[test]
fn garbage_on_a_device_never_shows() {
    let mut disk = mixed((3 << 20) + 100, 50_000, 23);
    disk[3 << 20..].fill(7);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("in.raw"), &disk).unwrap();
    for options in [
        &[] as Options<'_>,
        &[("compat", "0.10"), ("cluster_size", "4k")],
        &[("compressed", "on"), ("refcount_bits", "1")],
        &[("extended_l2", "on")],
    ] {
        let memory = MemTarget::default();
        memory.write_all_at(0, &vec![0xa5; 8 << 20]).unwrap();
        let sink = create(Dirty(memory.clone()), &request(disk.len() as u64, options)).unwrap();
        copy(&disk, 1 << 20, sink.as_ref()).unwrap();
        sink.finish().unwrap();
        let bytes = memory.committed_bytes().unwrap();
        let found = read_all(&open(bytes.clone()).unwrap()).unwrap();
        assert!(found[..disk.len()] == disk && is_zero(&found[disk.len()..]), "{options:?}");
        std::fs::write(folder.path().join("a.qcow2"), bytes).unwrap();
        assert_good(folder.path(), "in.raw", "a.qcow2");
    }
}

fn options() -> impl Strategy<Value = Vec<(&'static str, &'static str)>> {
    let cluster = prop::sample::select(vec!["512", "1k", "2k", "8k", "16k", "64k", "128k", "2M"]);
    let width = prop::sample::select(vec!["1", "2", "4", "8", "16", "32", "64"]);
    (cluster, width, any::<[bool; 4]>()).prop_map(|(cluster, width, [old, extended, compressed, zstd])| {
        let extended = extended && !old && !["512", "1k", "2k", "8k"].contains(&cluster);
        let on = |yes: bool| if yes { "on" } else { "off" };
        vec![
            ("cluster_size", cluster),
            ("refcount_bits", if old { "16" } else { width }),
            ("compat", if old { "v2" } else { "v3" }),
            ("extended_l2", on(extended)),
            ("compressed", on(compressed)),
            ("compression_type", if zstd && !old { "zstd" } else { "zlib" }),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_disk_comes_back(
        options in options(),
        sectors in 1usize..6000,
        run_len in 500usize..100_000,
        seed: u64,
        with_qemu in prop::bool::weighted(0.15),
    ) {
        let disk = mixed(sectors * 512, run_len, seed);
        let image = image_of(&disk, 1 + Noise(seed).next() as usize % (1 << 20), &options).unwrap();
        prop_assert!(read_all(&open(image.clone()).unwrap()).unwrap() == disk);
        if with_qemu {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join("a.raw"), &disk).unwrap();
            std::fs::write(folder.path().join("a.qcow2"), &image).unwrap();
            assert_good(folder.path(), "a.raw", "a.qcow2");
        }
    }
}
