//! What persistent bitmaps say has changed: judged by qemu-nbd, which serves them to nbdinfo, and hostile ones.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod disks;

use disks::{Noise, open_layer};
use format_core::{Access, DenyAll, Error, ErrorKind, FileStorage, Layer, LayerContext, RangeSet};
use format_qcow2::FORMAT;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

fn run(folder: &Path, program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).current_dir(folder).output();
    let output =
        output.unwrap_or_else(|e| panic!("{program}, of qemu-utils or libnbd-bin, does not start: {e}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

/// The dirty ranges as QEMU tells them to nbdinfo.
fn of_qemu(folder: &Path, image: &str, name: &str) -> RangeSet {
    let socket = folder.join("socket");
    let place = socket.to_str().unwrap();
    let mut server = Command::new("qemu-nbd")
        .args(["-r", "-f", "qcow2", "-B", name, "-k", place, image])
        .current_dir(folder)
        .stdin(Stdio::null())
        .spawn()
        .expect("qemu-nbd, of qemu-utils, starts");
    let begin = Instant::now();
    while !socket.exists() {
        assert!(begin.elapsed() < Duration::from_secs(20), "qemu-nbd does not listen");
        std::thread::sleep(Duration::from_millis(10));
    }
    let context = format!("--map=qemu:dirty-bitmap:{name}");
    let told = run(folder, "nbdinfo", &["--json", &context, &format!("nbd+unix:///?socket={place}")]);
    let status = server.wait().unwrap();
    assert!(status.success(), "{status}");
    let mut ranges = RangeSet::default();
    let list: serde_json::Value = serde_json::from_str(&told).unwrap();
    for run in list.as_array().unwrap() {
        if run["type"] == 1 {
            ranges.add(run["offset"].as_u64().unwrap(), run["length"].as_u64().unwrap());
        }
    }
    ranges
}

fn layer(image: &Path, snapshot: Option<&str>) -> Box<dyn Layer> {
    let mut context = LayerContext::new(Arc::new(DenyAll));
    context.access = Access { snapshot: snapshot.map(str::to_owned), ..Access::default() };
    FORMAT.open_layer.unwrap()(Arc::new(FileStorage::open(image).unwrap()), &context).unwrap()
}

#[test]
fn changes_are_those_that_qemu_tells() {
    for (seed, options, size, granularity) in [
        (1, "cluster_size=64k", 64 << 20, "64k"),
        (2, "cluster_size=4k", 64 << 20, "4k"),
        // Bits over several clusters, and the last byte of bits not full.
        (3, "cluster_size=512", 37 << 20, "512"),
        (4, "cluster_size=2M", (1 << 30) + 512, "1M"),
        (5, "cluster_size=64k,extended_l2=on", 5 << 20, "8k"),
        (6, "cluster_size=1k", 10_000 * 512, "2M"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let (path, mut noise) = (folder.path(), Noise(seed));
        run(path, "qemu-img", &["create", "-q", "-f", "qcow2", "-o", options, "a.qcow2", &size.to_string()]);
        let mut write = |count: u64| {
            let mut args = vec!["-f".to_owned(), "qcow2".to_owned()];
            for _ in 0..count {
                let len = (1 + noise.next() % 200) * 512;
                let at = noise.next() % (size - len) / 512 * 512;
                let what = ["write -P 7", "write -z", "discard"][noise.next() as usize % 3];
                args.extend(["-c".to_owned(), format!("{what} {at} {len}")]);
            }
            args.extend(["-c".to_owned(), format!("write -P 8 {} 512", size - 512), "a.qcow2".to_owned()]);
            run(path, "qemu-io", &args.iter().map(String::as_str).collect::<Vec<_>>());
        };
        write(20);
        run(path, "qemu-img", &["bitmap", "--add", "-g", granularity, "a.qcow2", "first"]);
        let all_clean = layer(&path.join("a.qcow2"), None).changed_by_bitmap("first").unwrap();
        assert!(all_clean.is_empty(), "{options}");
        write(20);
        run(path, "qemu-img", &["bitmap", "--add", "-g", granularity, "a.qcow2", "second"]);
        write(3);
        let layer = layer(&path.join("a.qcow2"), None);
        for name in ["first", "second"] {
            let ours = layer.changed_by_bitmap(name).unwrap();
            let theirs = of_qemu(path, "a.qcow2", name);
            assert!(!ours.is_empty(), "{options} {name}");
            assert_eq!(ours, theirs, "{options} {name}");
        }
        drop(layer);
        // All of it: QEMU stores clusters of ones in the table alone.
        run(path, "qemu-io", &["-f", "qcow2", "-c", &format!("write -z 0 {size}"), "a.qcow2"]);
        let ours = self::layer(&path.join("a.qcow2"), None).changed_by_bitmap("first").unwrap();
        assert_eq!(ours.iter().collect::<Vec<_>>(), [(0, size)], "{options}");
    }
}

#[track_caller]
fn refused(found: Result<RangeSet, Error>, kind: ErrorKind, text: &str) {
    let error = found.expect_err(text);
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(text), "wanted {text:?} in: {error}");
}

#[test]
fn a_bitmap_that_does_not_tell_all_is_refused() {
    use ErrorKind::{SourceMissing, Unsupported, Usage};
    let folder = tempfile::tempdir().unwrap();
    let (path, image) = (folder.path(), folder.path().join("a.qcow2"));
    run(path, "qemu-img", &["create", "-q", "-f", "qcow2", "a.qcow2", "1M"]);
    let changes = |name: &str| layer(&image, None).changed_by_bitmap(name);
    refused(changes("one"), SourceMissing, "has no bitmap \"one\", it has none");
    run(path, "qemu-img", &["bitmap", "--add", "a.qcow2", "one"]);
    run(path, "qemu-img", &["bitmap", "--add", "--disable", "a.qcow2", "two"]);
    assert!(changes("one").unwrap().is_empty());
    refused(changes("three"), SourceMissing, "it has \"one\", \"two\"");
    refused(changes("two"), Unsupported, "it is disabled");
    run(path, "qemu-img", &["snapshot", "-c", "then", "a.qcow2"]);
    refused(layer(&image, Some("then")).changed_by_bitmap("one"), Usage, "not about its snapshots");
    // A program that is killed leaves its bitmaps in use.
    let killed = Command::new("qemu-io")
        .args(["-f", "qcow2", "-c", "write 0 4k", "-c", "sigraise 9", "a.qcow2"])
        .current_dir(path)
        .stdout(Stdio::null())
        .status();
    assert!(!killed.unwrap().success());
    refused(changes("one"), Unsupported, "marked as in use");
    // A program that does not know bitmaps clears the bit that says that they are right.
    let mut bytes = std::fs::read(&image).unwrap();
    bytes[88..96].fill(0);
    refused(open_layer(bytes).unwrap().changed_by_bitmap("one"), Unsupported, "stale");
    let disk = format_core::Disk::new(vec![layer(&image, None).into()]).unwrap();
    let overlay = format_core::Overlay::new(disk);
    refused(overlay.changed_by_bitmap("one"), Unsupported, "keep no bitmaps");
}

/// An image of 64 KiB clusters with one bitmap, and where its parts are.
struct Image {
    bytes: Vec<u8>,
    entry: usize,
    table: usize,
}

impl Image {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        run(path, "qemu-img", &["create", "-q", "-f", "qcow2", "-o", "cluster_size=512", "a.qcow2", "8M"]);
        run(path, "qemu-img", &["bitmap", "--add", "-g", "512", "a.qcow2", "one"]);
        run(
            path,
            "qemu-io",
            &["-f", "qcow2", "-c", "write -P 1 0 512", "-c", "write -P 1 7M 512", "a.qcow2"],
        );
        let bytes = std::fs::read(path.join("a.qcow2")).unwrap();
        let extension = bytes.windows(4).position(|window| window == [0x23, 0x85, 0x28, 0x75]).unwrap() + 8;
        let number = |at: usize| u64::from_be_bytes(bytes[at..at + 8].try_into().unwrap()) as usize;
        let entry = number(extension + 16);
        let table = number(entry);
        let image = Self { bytes, entry, table };
        let good = image.changes(|_| {}).unwrap();
        assert_eq!(good.iter().collect::<Vec<_>>(), [(0, 512), (7 << 20, 512)]);
        image
    }

    fn changes(&self, change: impl FnOnce(&mut Vec<u8>)) -> Result<RangeSet, Error> {
        let mut bytes = self.bytes.clone();
        change(&mut bytes);
        open_layer(bytes).unwrap().changed_by_bitmap("one")
    }
}

#[test]
fn hostile_bitmaps_are_errors() {
    use ErrorKind::{Corrupt, Unsupported};
    let image = Image::new();
    let (entry, table) = (image.entry, image.table);
    let put = |at: usize, with: &[u8]| {
        let with = with.to_vec();
        image.changes(move |bytes| bytes[at..at + with.len()].copy_from_slice(&with))
    };
    let flags = |value: u32| put(entry + 12, &value.to_be_bytes());
    refused(put(entry + 16, &[2]), Unsupported, "a type that is not known");
    refused(flags(3), Unsupported, "marked as in use");
    refused(flags(0), Unsupported, "disabled");
    refused(flags(2 | 8), Corrupt, "reserved flags");
    for granularity in [0, 8, 32, 63, 64, 255] {
        refused(put(entry + 17, &[granularity]), Corrupt, "granularity is not of 512 bytes to 2 GiB");
    }
    for entries in [0, 1, 5, u32::MAX] {
        refused(put(entry + 8, &entries.to_be_bytes()), Corrupt, "another length");
    }
    for (offset, text) in [
        (0, "does not begin at a cluster"),
        (table as u64 + 8, "does not begin at a cluster"),
        (1 << 40, "leaves the file"),
        (u64::MAX - 511, "leaves the file"),
    ] {
        refused(put(entry, &offset.to_be_bytes()), Corrupt, text);
    }
    let first = u64::from_be_bytes(image.bytes[table..table + 8].try_into().unwrap());
    for (value, text) in [
        (first | 1, "reserved bits"),
        (2, "reserved bits"),
        (1 << 56, "reserved bits"),
        (1 << 63 | 512, "reserved bits"),
        (1 << 50, "leaves the file"),
        (0x00ff_ffff_ffff_fe00, "leaves the file"),
    ] {
        refused(put(table, &u64::to_be_bytes(value)), Corrupt, text);
    }
    let twice = image.changes(|bytes| {
        let first = bytes[table..table + 8].to_vec();
        bytes[table + 8..table + 16].copy_from_slice(&first);
    });
    refused(twice, Corrupt, "name the same cluster");
    // A table entry of one stands for ones.
    let ones = put(table + 8, &1u64.to_be_bytes()).unwrap();
    assert_eq!(ones.iter().collect::<Vec<_>>(), [(0, 512), (2 << 20, 2 << 20), (7 << 20, 512)]);
    // The end of the last cluster of bits may be missing where no bit is needed, else not.
    let end = image.bytes.len();
    let cut = image.changes(|bytes| {
        bytes.truncate(end - 512);
        bytes[table..table + 8].copy_from_slice(&(end as u64 - 512).to_be_bytes());
    });
    refused(cut, Corrupt, "leaves the file");
}

#[test]
fn clusters_that_are_no_multiple_and_extra_data() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    run(path, "qemu-img", &["create", "-q", "-f", "qcow2", "a.qcow2", "1M"]);
    run(path, "qemu-img", &["bitmap", "--add", "a.qcow2", "one"]);
    run(path, "qemu-io", &["-f", "qcow2", "-c", "write -P 1 0 512", "a.qcow2"]);
    let mut good = std::fs::read(path.join("a.qcow2")).unwrap();
    // The directory is what comes last.
    good.resize(good.len() + 4096, 0);
    let extension = good.windows(4).position(|window| window == [0x23, 0x85, 0x28, 0x75]).unwrap() + 8;
    let number = |at: usize| u64::from_be_bytes(good[at..at + 8].try_into().unwrap()) as usize;
    let (entry, table) = (number(extension + 16), number(number(extension + 16)));
    let changes = |bytes: Vec<u8>| open_layer(bytes).unwrap().changed_by_bitmap("one");
    let mut unaligned = good.clone();
    unaligned[table + 6] ^= 2;
    refused(changes(unaligned), ErrorKind::Corrupt, "names no cluster");
    // The same entry with eight bytes of extra data before its name; the directory becomes eight bytes longer.
    let with_extra = |flags: u8| {
        let mut bytes = good.clone();
        let name = bytes[entry + 24..entry + 32].to_vec();
        bytes[entry + 15] = flags;
        bytes[entry + 23] = 8;
        bytes[entry + 24..entry + 32].fill(0xee);
        bytes[entry + 32..entry + 40].copy_from_slice(&name);
        bytes[extension + 15] += 8;
        bytes
    };
    refused(changes(with_extra(2)), ErrorKind::Unsupported, "extra data");
    assert_eq!(changes(with_extra(6)).unwrap().total(), 65536);
    // Two of one name: nobody knows which is meant.
    let mut twice = good.clone();
    let copy = twice[entry..entry + 32].to_vec();
    twice[entry + 32..entry + 64].copy_from_slice(&copy);
    twice[extension + 3] = 2;
    twice[extension + 15] += 32;
    refused(changes(twice), ErrorKind::Corrupt, "two of this name");
    // A disk for which the bits would have more than 512 MiB.
    let mut huge = good.clone();
    huge[24..32].copy_from_slice(&(1u64 << 46).to_be_bytes());
    huge[36..40].copy_from_slice(&(1u32 << 17).to_be_bytes());
    huge.resize(4 << 20, 0);
    huge[entry + 17] = 9;
    refused(changes(huge), ErrorKind::Corrupt, "512 MiB");
}
