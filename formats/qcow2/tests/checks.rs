//! The check against `qemu-img check`, on good images and on broken ones.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

mod disks;

use disks::{mixed, run};
use format_core::{CheckReport, FileStorage, FolderGate, LayerContext};
use format_qcow2::FORMAT;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

fn ours(folder: &Path) -> CheckReport {
    let context = LayerContext::new(Arc::new(FolderGate::new(folder.to_owned(), Arc::new([]))));
    let storage = FileStorage::open(&folder.join("a.qcow2")).unwrap();
    FORMAT.check.unwrap()(Arc::new(storage), &context).unwrap()
}

fn theirs(folder: &Path) -> serde_json::Value {
    let mut command = Command::new("timeout");
    command.args(["60", "qemu-img", "check", "-f", "qcow2", "--output=json", "a.qcow2"]).current_dir(folder);
    serde_json::from_slice(&command.output().unwrap().stdout).unwrap()
}

/// Our report and QEMU's say the same in numbers.
fn assert_agree(folder: &Path, what: &str) -> CheckReport {
    let (ours, theirs) = (ours(folder), theirs(folder));
    let number = |key: &str| theirs.get(key).map_or(0, |value| value.as_u64().unwrap());
    let pairs = [
        (ours.errors, "corruptions"),
        (ours.leaks, "leaks"),
        (ours.total_chunks, "total-clusters"),
        (ours.allocated_chunks, "allocated-clusters"),
        (ours.compressed_chunks, "compressed-clusters"),
        (ours.fragmented_chunks, "fragmented-clusters"),
        (ours.image_end, "image-end-offset"),
    ];
    for (found, key) in pairs {
        // After an error QEMU may stop before it counts these.
        if theirs.get(key).is_some() || ours.is_clean() {
            assert_eq!(found, number(key), "{what}: {key}: {theirs} against {ours:?}");
        }
    }
    ours
}

fn assert_clean(folder: &Path, what: &str) {
    let report = assert_agree(folder, what);
    assert!(report.is_clean() && report.findings.is_empty(), "{what}: {report:?}");
}

fn qemu_io(folder: &Path, commands: &[&str]) {
    let mut args = vec!["-f", "qcow2"];
    commands.iter().for_each(|command| args.extend(["-c", command]));
    args.push("a.qcow2");
    run(folder, "qemu-io", &args);
}

/// An image that has everything: data, holes, zeros, snapshots, bitmaps.
fn make(folder: &Path, options: &str, compressed: bool) {
    make_of((4 << 20) + 1536, folder, options, compressed);
}

fn make_of(size: usize, folder: &Path, options: &str, compressed: bool) {
    std::fs::write(folder.join("in.raw"), mixed(size, size / 70, 31)).unwrap();
    let mut args = vec!["convert", "-f", "raw", "-O", "qcow2", "-o", options];
    args.extend(compressed.then_some("-c"));
    args.extend(["in.raw", "a.qcow2"]);
    run(folder, "qemu-img", &args);
}

#[test]
fn good_images_of_every_kind_are_clean() {
    for (options, compressed) in [
        ("compat=0.10", false),
        ("cluster_size=512", false),
        ("cluster_size=512", true),
        ("cluster_size=2M", false),
        ("compression_type=zstd", true),
        ("cluster_size=4k,refcount_bits=2", false),
        ("refcount_bits=1", false),
        ("cluster_size=512,refcount_bits=8", false),
        ("refcount_bits=32", false),
        ("refcount_bits=64,cluster_size=1k", false),
        ("extended_l2=on", false),
        ("extended_l2=on,cluster_size=16k", true),
        ("preallocation=metadata", false),
        ("preallocation=full", false),
        ("data_file=data.bin", false),
        ("data_file=data.bin,data_file_raw=on", false),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        make_of((1 << 20) + 1536, path, options, compressed);
        assert_clean(path, options);
        qemu_io(
            path,
            &["write -P 7 256k 50k", "write -z 512k 130k", "discard 768k 70k", "write -P 1 775k 70k"],
        );
        assert_clean(path, options);
        // With one bit for a count nothing can be shared, and a data file has no snapshots.
        if !options.contains("bits=1") && !options.contains("data_file") {
            run(path, "qemu-img", &["snapshot", "-c", "one", "a.qcow2"]);
            qemu_io(path, &["write -P 9 275k 125k", "write -z 0 100k"]);
            run(path, "qemu-img", &["snapshot", "-c", "two", "a.qcow2"]);
            assert_clean(path, options);
            run(path, "qemu-img", &["snapshot", "-d", "one", "a.qcow2"]);
            assert_clean(path, options);
        }
        if !options.contains("compat") {
            run(path, "qemu-img", &["bitmap", "--add", "-g", "4k", "a.qcow2", "b"]);
            run(path, "qemu-img", &["bitmap", "--add", "a.qcow2", "c"]);
            qemu_io(path, &["write -P 3 300k 20k"]);
            assert_clean(path, options);
        }
    }
}

/// A plain image of 64 KiB clusters, with a function that breaks it.
fn broken(what: &str, breaks: impl FnOnce(&mut Vec<u8>)) -> CheckReport {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    make(path, "cluster_size=64k", false);
    run(path, "qemu-img", &["snapshot", "-c", "one", "a.qcow2"]);
    qemu_io(path, &["write -P 9 1100k 500k"]);
    let mut image = std::fs::read(path.join("a.qcow2")).unwrap();
    breaks(&mut image);
    std::fs::write(path.join("a.qcow2"), image).unwrap();
    let report = assert_agree(path, what);
    assert!(!report.is_clean(), "{what}");
    report
}

fn get(image: &[u8], at: u64) -> u64 {
    u64::from_be_bytes(image[at as usize..at as usize + 8].try_into().unwrap())
}

fn put(image: &mut [u8], at: u64, value: u64) {
    image[at as usize..at as usize + 8].copy_from_slice(&value.to_be_bytes());
}

const OFFSET: u64 = 0x00ff_ffff_ffff_fe00;
const COPIED: u64 = 1 << 63;
const CLUSTER: u64 = 64 << 10;

fn l2(image: &[u8]) -> u64 {
    get(image, get(image, 40)) & OFFSET
}

/// Where the first L2 entry with data and with the flag "copied" is.
fn data_entry(image: &[u8]) -> u64 {
    let table = l2(image);
    (0..64).map(|i| table + i * 8).find(|&at| get(image, at) & COPIED != 0).unwrap()
}

fn refcount(image: &[u8], host: u64) -> u64 {
    get(image, get(image, 48)) + host / CLUSTER * 2
}

#[test]
fn broken_images_are_told_as_by_qemu() {
    let report = broken("a lost cluster", |image| {
        let at = data_entry(image);
        put(image, at, 0);
    });
    assert_eq!((report.errors, report.leaks, report.leaked_bytes), (0, 1, CLUSTER));
    broken("a count too low", |image| {
        let at = refcount(image, get(image, data_entry(image)) & OFFSET) as usize;
        image[at..at + 2].fill(0);
    });
    broken("a count too high", |image| {
        let at = refcount(image, get(image, data_entry(image)) & OFFSET) as usize;
        image[at + 1] = 7;
    });
    broken("copied flag missing", |image| {
        let at = data_entry(image);
        let entry = get(image, at);
        put(image, at, entry & !COPIED);
    });
    broken("a cluster used by two entries", |image| {
        let at = data_entry(image);
        let entry = get(image, at);
        put(image, at + 8, entry);
    });
    broken("reserved bits", |image| {
        let at = data_entry(image);
        let entry = get(image, at);
        put(image, at, entry | 4);
    });
    broken("the count of an L2 table", |image| {
        let at = refcount(image, l2(image)) as usize;
        image[at..at + 2].fill(0);
    });
    broken("the count of the header", |image| {
        let at = refcount(image, 0) as usize;
        image[at + 1] = 2;
    });
    broken("no refcount block", |image| {
        let at = get(image, 48);
        put(image, at, 0);
    });
}

/// QEMU counts such an image in another way or does not notice; the verdict is ours.
#[test]
fn what_lies_over_a_table_is_an_error() {
    for (what, entry) in [
        ("the L1 table", (|image, _| COPIED | get(image, 40)) as fn(&[u8], u64) -> u64),
        ("the refcount table", |image, _| COPIED | get(image, 48)),
        ("an L2 table", |image, _| COPIED | l2(image)),
        ("beyond the end of the file", |_, _| COPIED | 1 << 40),
        ("unaligned", |image, at| get(image, at) + 512),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        make(path, "cluster_size=64k", false);
        let mut image = std::fs::read(path.join("a.qcow2")).unwrap();
        let at = data_entry(&image);
        let entry = entry(&image, at);
        put(&mut image, at, entry);
        std::fs::write(path.join("a.qcow2"), image).unwrap();
        let report = ours(path);
        assert!(report.errors > 0, "{what}: {report:?}");
        assert!(theirs(path)["corruptions"].as_u64() > Some(0), "{what}");
    }
}

/// No change of a byte in the first tables makes the check fail in another way than by an error.
#[test]
fn flipped_bytes_end_well() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    std::fs::write(path.join("in.raw"), mixed(100_000, 5_000, 32)).unwrap();
    run(
        path,
        "qemu-img",
        &["convert", "-f", "raw", "-O", "qcow2", "-o", "cluster_size=512", "in.raw", "a.qcow2"],
    );
    run(path, "qemu-img", &["snapshot", "-c", "one", "a.qcow2"]);
    run(path, "qemu-img", &["bitmap", "--add", "a.qcow2", "b"]);
    let good = std::fs::read(path.join("a.qcow2")).unwrap();
    let context = LayerContext::new(Arc::new(format_core::DenyAll));
    let start = std::time::Instant::now();
    for at in (0..good.len()).filter(|at| *at < 3000 || at % 97 == 0) {
        for bits in [0x01, 0x80, 0xff] {
            let mut image = good.clone();
            image[at] ^= bits;
            let _ = FORMAT.check.unwrap()(Arc::new(format_core::MemStorage(image)), &context);
        }
    }
    for len in (0..good.len()).step_by(61) {
        let cut = format_core::MemStorage(good[..len].to_vec());
        let _ = FORMAT.check.unwrap()(Arc::new(cut), &context);
    }
    assert!(start.elapsed() < std::time::Duration::from_secs(20), "{:?}", start.elapsed());
}

/// Tables that say much about a file that holds nothing.
#[test]
fn huge_claims_cost_little() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let context = LayerContext::new(Arc::new(format_core::DenyAll));
    let entries = 1u64 << 20;
    for (what, stride, snapshots) in
        [("spread tables", 1u64 << 24, 0u32), ("dense tables", 1 << 16, 0), ("snapshots", 0, 65536)]
    {
        let mut header = vec![0; 1 << 16];
        header[..4].copy_from_slice(b"QFI\xfb");
        let words = [(4, 3u32), (20, 16), (36, entries as u32), (60, snapshots), (96, 4), (100, 104)];
        words.iter().for_each(|&(at, value)| header[at..at + 4].copy_from_slice(&value.to_be_bytes()));
        // The refcount table is in a hole, and its blocks are, too.
        for (at, value) in [(24, 1u64 << 40), (40, 1 << 16), (48, 1 << 30), (64, 1 << 31)] {
            put(&mut header, at, value);
        }
        header[56..60].copy_from_slice(&128u32.to_be_bytes());
        header
            .extend((0..entries).flat_map(|i| ((i + 1) * stride + (1 << 32) * stride.min(1)).to_be_bytes()));
        std::fs::write(path.join("a.qcow2"), &header).unwrap();
        let file = std::fs::OpenOptions::new().write(true).open(path.join("a.qcow2")).unwrap();
        file.set_len(1 << 43).unwrap();
        if snapshots > 0 {
            let mut table = vec![0; 40 << 16];
            for entry in table.chunks_mut(40) {
                entry[..8].copy_from_slice(&(1u64 << 16).to_be_bytes());
                entry[8..12].copy_from_slice(&(entries as u32).to_be_bytes());
            }
            std::os::unix::fs::FileExt::write_all_at(&file, &table, 1 << 31).unwrap();
        }
        let start = std::time::Instant::now();
        let storage = FileStorage::open(&path.join("a.qcow2")).unwrap();
        let found = FORMAT.check.unwrap()(Arc::new(storage), &context).map(|report| report.errors);
        println!("{what}: {found:?} after {:?}", start.elapsed());
        assert!(start.elapsed() < std::time::Duration::from_secs(20), "{what}: {:?}", start.elapsed());
    }
}
