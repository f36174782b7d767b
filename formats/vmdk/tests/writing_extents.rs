//! Sparse, flat and split disks that are written, judged by qemu-img and by a walk over the tables.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

mod builder;
mod writer;

use builder::{noise, read};
use format_core::{ErrorKind, FileTarget, MemTarget, Packed, TargetStorage};
use std::collections::BTreeMap;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::Mutex;
use writer::{GRAIN, create, feed, give, judge, qemu_img};

const ALL: [&str; 5] =
    ["monolithicSparse", "monolithicFlat", "twoGbMaxExtentSparse", "twoGbMaxExtentFlat", "vmfs"];
const SPLIT: u64 = 2047 << 20;

fn subformat(name: &str) -> [(&str, &str); 1] {
    [("subformat", name)]
}

fn file(folder: &Path, name: &str) -> Box<dyn TargetStorage> {
    Box::new(FileTarget::create(&folder.join(name), true).unwrap())
}

fn disk(len: usize, places: &[(usize, usize)]) -> Vec<u8> {
    let mut raw = vec![0; len];
    for &(at, len) in places {
        raw[at..at + len].copy_from_slice(&noise(at as u64 + 1, len));
    }
    raw
}

/// The files of a folder, sorted.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn qemu_img_reads_what_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let disks = [
        disk(512, &[(0, 512)]),
        disk(GRAIN, &[(100, 1)]),
        disk(3 << 20, &[]),
        disk((5 << 20) + 3 * 512, &[(0, 1 << 20), ((5 << 20) + 600, 900)]),
        disk(96 << 20, &[((32 << 20) - 1000, 1000), (64 << 20, 70_000), ((96 << 20) - 1, 1)]),
    ];
    for raw in disks {
        std::fs::write(path.join("a.raw"), &raw).unwrap();
        for name in ALL {
            let sink = create(file(path, "a.vmdk"), raw.len() as u64, &subformat(name)).unwrap();
            feed(sink, &raw).unwrap();
            judge(path, "a.vmdk", "a.raw", name);
        }
        feed(create(file(path, "b.vmdk"), raw.len() as u64, &[("zeroed_grain", "on")]).unwrap(), &raw)
            .unwrap();
        judge(path, "b.vmdk", "a.raw", "monolithicSparse");
        assert!(read(&std::fs::read(path.join("b.vmdk")).unwrap()).unwrap() == raw);
    }
}

#[test]
fn an_empty_disk_has_the_header_and_tables_that_qemu_img_writes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    for sectors in [1u64, 127, 128, 65_536, 65_537, 4_194_304, 41_943_047] {
        for zeroed in ["off", "on"] {
            let options = format!("zeroed_grain={zeroed}");
            let size = (sectors * 512).to_string();
            qemu_img(path, &["create", "-q", "-f", "vmdk", "-o", &options, "theirs.vmdk", &size]);
            let theirs = std::fs::read(path.join("theirs.vmdk")).unwrap();
            let target = MemTarget::default();
            let sink = create(Box::new(target.clone()), sectors * 512, &[("zeroed_grain", zeroed)]).unwrap();
            sink.finish().unwrap();
            let ours = target.committed_bytes().unwrap();
            assert_eq!(ours.len(), theirs.len(), "{sectors} sectors");
            assert!(ours[..512] == theirs[..512], "{sectors} sectors: the header");
            assert!(ours[21 * 512..] == theirs[21 * 512..], "{sectors} sectors: the tables");
        }
    }
}

#[test]
fn files_are_no_larger_than_those_of_qemu_img() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let raw = disk(40 << 20, &[(0, 5 << 20), (33 << 20, 100_000)]);
    std::fs::write(path.join("a.raw"), &raw).unwrap();
    let size = |name: &str| {
        let found = std::fs::metadata(path.join(name)).unwrap();
        (found.len(), found.blocks() * 512)
    };
    for (name, own, theirs) in [
        ("monolithicSparse", "ours.vmdk", "theirs.vmdk"),
        ("twoGbMaxExtentSparse", "ours-s001.vmdk", "theirs-s001.vmdk"),
        ("monolithicFlat", "ours-flat.vmdk", "theirs-flat.vmdk"),
        ("streamOptimized", "ours.vmdk", "theirs.vmdk"),
    ] {
        feed(create(file(path, "ours.vmdk"), raw.len() as u64, &subformat(name)).unwrap(), &raw).unwrap();
        let option = format!("subformat={name}");
        qemu_img(path, &["convert", "-f", "raw", "-O", "vmdk", "-o", &option, "a.raw", "theirs.vmdk"]);
        let (ours, theirs) = (size(own), size(theirs));
        println!("{name}: {ours:?} bytes (apparent, allocated), qemu-img {theirs:?}");
        let bound = |size: u64| size + size / 100 + 8192;
        assert!(ours.0 <= bound(theirs.0) && ours.1 <= bound(theirs.1), "{name}: {ours:?} {theirs:?}");
    }
}

#[test]
fn a_disk_is_split_at_2047_mib() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let len = 2 * SPLIT + 5 * 512;
    let raw = std::fs::File::create(path.join("a.raw")).unwrap();
    raw.set_len(len).unwrap();
    let near = 3 * GRAIN as u64;
    let pieces = [(0, GRAIN), (SPLIT - near, 6 * GRAIN), (2 * SPLIT - near, 3 * GRAIN + 5 * 512)];
    for (at, len) in pieces {
        raw.write_all_at(&noise(at + 1, len), at).unwrap();
    }
    for (name, letter, middle) in
        [("twoGbMaxExtentSparse", 's', None), ("twoGbMaxExtentFlat", 'f', Some(SPLIT))]
    {
        let sink = create(file(path, "disk.vmdk"), len, &subformat(name)).unwrap();
        for (at, len) in pieces.into_iter().rev() {
            give(sink.as_ref(), at, &noise(at + 1, len)).unwrap();
        }
        sink.zero_at(SPLIT - 2 * near, near).unwrap();
        assert_eq!(
            std::fs::metadata(path.join("disk.vmdk")).map(|_| ()).unwrap_err().raw_os_error(),
            Some(2)
        );
        sink.finish().unwrap();
        judge(path, "disk.vmdk", "a.raw", name);
        let text = std::fs::read_to_string(path.join("disk.vmdk")).unwrap();
        for (number, sectors) in [(1, 4_192_256), (2, 4_192_256), (3, 5)] {
            let kind = if letter == 's' { "SPARSE" } else { "FLAT" };
            let line = format!("RW {sectors} {kind} \"disk-{letter}{number:03}.vmdk\"");
            assert!(text.contains(&line), "{line}: {text}");
        }
        let second = std::fs::metadata(path.join(format!("disk-{letter}002.vmdk"))).unwrap();
        assert!(middle.is_none_or(|len| second.len() == len) && second.blocks() * 512 < 2 << 20);
        std::fs::remove_file(path.join("disk.vmdk")).unwrap();
    }
}

#[test]
fn many_threads_in_any_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let raw = disk((34 << 20) + 512, &[(0, 9 << 20), ((31 << 20) + 77, (3 << 20) + 435)]);
    std::fs::write(path.join("a.raw"), &raw).unwrap();
    for name in ALL {
        let sink = create(file(path, "a.vmdk"), raw.len() as u64, &subformat(name)).unwrap();
        // Runs of three grains, from both ends.
        let mut runs: Vec<_> = raw.chunks(3 * GRAIN).enumerate().collect();
        runs.sort_by_key(|(number, _)| number * 7919 % 181);
        let left = Mutex::new(runs);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    while let Some((number, run)) = { left.lock().unwrap().pop() } {
                        give(sink.as_ref(), (number * 3 * GRAIN) as u64, run).unwrap();
                    }
                });
            }
        });
        sink.flush().unwrap();
        sink.finish().unwrap();
        judge(path, "a.vmdk", "a.raw", name);
    }
}

#[test]
fn files_are_named_as_vmware_does() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let written = |image: &str, name: &str| {
        feed(create(file(path, image), 512, &subformat(name)).unwrap(), &noise(1, 512)).unwrap();
        let found = names(path);
        found.iter().for_each(|name| std::fs::remove_file(path.join(name)).unwrap());
        found
    };
    assert_eq!(written("a.vmdk", "monolithicSparse"), ["a.vmdk"]);
    assert_eq!(written("a.vmdk", "monolithicFlat"), ["a-flat.vmdk", "a.vmdk"]);
    assert_eq!(written("a b.VMDK", "vmfs"), ["a b-flat.vmdk", "a b.VMDK"]);
    assert_eq!(written("ä", "twoGbMaxExtentSparse"), ["ä", "ä-s001.vmdk"]);
    assert_eq!(written(".vmdk", "twoGbMaxExtentFlat"), [".vmdk", ".vmdk-f001.vmdk"]);
    assert_eq!(written("äöüß", "monolithicFlat"), ["äöüß", "äöüß-flat.vmdk"]);
    assert_eq!(written("\"\n.vmdk", "monolithicSparse"), ["\"\n.vmdk"], "its name is in no other file");
    let error =
        create(file(path, "a\"\nRW 1 FLAT \"b.vmdk"), 512, &subformat("monolithicFlat")).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    for name in ["a:b.vmdk", "a\\b.vmdk"] {
        let error = create(file(path, name), 512, &subformat("monolithicFlat")).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{name}");
    }
    assert!(names(path).is_empty());
}

#[test]
fn files_of_others_are_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    std::fs::write(path.join("a-flat.vmdk"), "mine").unwrap();
    let target = FileTarget::create(&path.join("a.vmdk"), false).unwrap();
    let error = create(Box::new(target), 512, &subformat("monolithicFlat")).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Destination);
    assert_eq!(names(path), ["a-flat.vmdk"]);
}

#[test]
fn a_failed_write_leaves_no_image() {
    let raw = disk(33 << 20, &[(0, 100), (20 << 20, 100)]);
    for name in ALL {
        let mut failures = 0;
        loop {
            let target = MemTarget::failing_after(failures);
            let sink = create(Box::new(target.clone()), raw.len() as u64, &subformat(name));
            match sink.and_then(|sink| feed(sink, &raw)) {
                Err(e) => assert_eq!(e.kind(), ErrorKind::Temporary, "{name}"),
                Ok(()) => break,
            }
            assert!(target.committed_bytes().is_none(), "{name} after {failures} writes");
            failures += 1;
        }
        assert!(failures >= 5, "{name}: {failures}");
        let folder = tempfile::tempdir().unwrap();
        let sink = create(file(folder.path(), "a.vmdk"), raw.len() as u64, &subformat(name)).unwrap();
        give(sink.as_ref(), 0, &noise(1, GRAIN)).unwrap();
        drop(sink);
        assert!(names(folder.path()).is_empty(), "{name}");
    }
}

#[test]
fn no_file_of_a_split_disk_gets_its_name_before_all_are_whole() {
    let options = subformat("twoGbMaxExtentSparse");
    let write = |target: MemTarget| {
        let sink = create(Box::new(target), 3 * SPLIT, &options)?;
        for at in [0, SPLIT, SPLIT + GRAIN as u64, 2 * SPLIT, 2 * SPLIT + GRAIN as u64] {
            give(sink.as_ref(), at, &noise(at + 1, GRAIN))?;
        }
        sink.finish()
    };
    let mut partly = 0;
    for failures in 0.. {
        let target = MemTarget::failing_after(failures);
        let whole = write(target.clone()).is_ok();
        let named = target.committed_siblings().len();
        if whole {
            assert!(target.committed_bytes().is_some() && named == 3 && failures > 10, "{failures}");
            break;
        }
        assert!(target.committed_bytes().is_none());
        partly += u32::from(named > 0);
    }
    assert!(partly <= 1, "{partly}: only a commit itself may come between");
}

#[test]
fn what_breaks_the_needs_is_a_contract_error() {
    for name in ALL {
        let sink = create(Box::new(MemTarget::default()), 3 * GRAIN as u64 + 512, &subformat(name)).unwrap();
        let grain = noise(1, GRAIN);
        let fails = |offset: u64, data: &[u8]| {
            let error = sink.write_at(offset, Packed::Plain(data)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Contract, "{name} {offset}");
            let error = sink.zero_at(offset, data.len() as u64).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Contract, "{name} {offset}");
        };
        fails(512, &grain);
        fails(0, &grain[..512]);
        fails(0, &[]);
        fails(3 * GRAIN as u64, &grain);
        fails(4 * GRAIN as u64, &grain);
        fails(u64::MAX - 65535, &grain);
        let packed = Packed::Encoded { bytes: grain.clone(), guest_len: GRAIN as u64 };
        assert_eq!(sink.write_at(0, packed).unwrap_err().kind(), ErrorKind::Contract);
    }
}

fn keys(text: &str) -> BTreeMap<String, String> {
    let lines = text.lines().filter_map(|line| line.split_once('='));
    lines.map(|(key, value)| (key.trim().to_owned(), value.trim().trim_matches('"').to_owned())).collect()
}

#[test]
fn the_descriptor_says_what_was_asked_for() {
    let text = |size: u64, options: &[(&str, &str)]| {
        let folder = tempfile::tempdir().unwrap();
        let sink = create(file(folder.path(), "a.vmdk"), size, options).unwrap();
        sink.finish().unwrap();
        let bytes = std::fs::read(folder.path().join("a.vmdk")).unwrap();
        let text = bytes[512..21 * 512].split(|&byte| byte == 0).next().unwrap().to_vec();
        keys(&String::from_utf8(text).unwrap())
    };
    let geometry = |size, adapter: &str| {
        let keys = text(size, &[("adapter_type", adapter)]);
        assert_eq!(keys["ddb.adapterType"], adapter);
        let number = |key: &str| keys[&format!("ddb.geometry.{key}")].parse::<u64>().unwrap();
        (number("cylinders"), number("heads"), number("sectors"))
    };
    assert_eq!(geometry(5 << 30, "ide"), (10402, 16, 63));
    assert_eq!(geometry(1 << 40, "ide"), (16383, 16, 63));
    assert_eq!(geometry(20 << 30, "lsilogic"), (2610, 255, 63));
    assert_eq!(geometry(1 << 30, "buslogic"), (512, 128, 32));
    assert_eq!(geometry(100 << 20, "pvscsi"), (100, 64, 32));
    assert_eq!(geometry(512, "legacyESX"), (1, 64, 32));
    let (one, other) =
        (text(512, &[("compat6", "on")]), text(512, &[("hwversion", "21"), ("toolsversion", "7")]));
    assert_eq!((&*one["ddb.virtualHWVersion"], &*one["ddb.toolsVersion"]), ("6", "2147483647"));
    assert_eq!((&*other["ddb.virtualHWVersion"], &*other["ddb.toolsVersion"]), ("21", "7"));
    assert_eq!(one["parentCID"], "ffffffff");
    assert_ne!(one["CID"], other["CID"]);
    let cid = u32::from_str_radix(&one["CID"], 16).unwrap();
    assert!(cid != 0 && cid < 0x8000_0000);
    assert!(one["ddb.longContentID"].len() == 32 && one["ddb.longContentID"].ends_with(&one["CID"]));
}

#[test]
fn a_disk_of_64_tib_needs_little_memory() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let size: u64 = 64 << 40;
    let sink = create(file(path, "a.vmdk"), size, &[]).unwrap();
    sink.zero_at(0, 1 << 40).unwrap();
    for at in [1 << 40, 40 << 40, size - GRAIN as u64] {
        give(sink.as_ref(), at, &noise(at, GRAIN)).unwrap();
    }
    sink.finish().unwrap();
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap().trim();
    let peak: u64 = peak.trim_end_matches(" kB").parse().unwrap();
    assert!(peak < 256 << 10, "{peak} KiB");
    let written = std::fs::metadata(path.join("a.vmdk")).unwrap();
    assert!(written.blocks() * 512 < 64 << 20, "{} bytes are allocated", written.blocks() * 512);
    let info = qemu_img(path, &["info", "-f", "vmdk", "a.vmdk"]);
    assert!(info.contains(&format!("({size} bytes)")), "{info}");
    let last = format!("skip={}", size / GRAIN as u64 - 1);
    qemu_img(path, &["dd", "-f", "vmdk", "-O", "raw", "bs=65536", &last, "if=a.vmdk", "of=last.raw"]);
    assert!(std::fs::read(path.join("last.raw")).unwrap() == noise(size - GRAIN as u64, GRAIN));
}
