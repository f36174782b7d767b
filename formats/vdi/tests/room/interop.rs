//! Judged by qemu-img: its images read by us, our images read and checked by it, and what both find broken.

use crate::builder::{Plan, at, check};
use format_core::{
    CreateRequest, Disk, ExtentKind, FileStorage, FileTarget, Format, OpenOptions, Packed, Storage,
    TargetStorage, is_zero, open_image,
};
use format_vdi::FORMAT;
use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::process::{Command, Output};

static FORMATS: &[&Format] = &[&FORMAT];
const MIB: u64 = 1 << 20;

fn run(program: &str, arguments: &[&str]) -> Output {
    let output = Command::new("timeout").args(["60", program]).args(arguments).output();
    output.expect("timeout is missing: install coreutils")
}

fn qemu_img(arguments: &[&str]) -> String {
    let output = run("qemu-img", arguments);
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "qemu-img (package qemu-utils) {arguments:?}: {said}");
    said.into_owned()
}

/// A sparse raw disk with data at its ends, around block borders and in a long run.
fn raw_disk(path: &Path, size: u64) {
    let file = File::create(path).unwrap();
    file.set_len(size).unwrap();
    let bytes: Vec<u8> = (0..3 * MIB).map(|at| ((at * 2_654_435_761) >> 13) as u8 | 1).collect();
    for (at, len) in [
        (0, 512),
        (MIB - 512, 1024),
        (9 * MIB + 4096, 2 * MIB),
        (33 * MIB - 512, 3 * MIB),
        (4096 * MIB - 512, MIB),
        (size - 512, 512),
    ] {
        if at + len <= size {
            file.write_all_at(&bytes[..len as usize], at).unwrap();
        }
    }
}

fn open_disk(path: &Path) -> Disk {
    open_image(path, &OpenOptions::new(FORMATS, None)).unwrap().disk
}

/// Compares where either side says that there is data; elsewhere both say zero.
fn assert_reads_as(disk: &Disk, raw: &Path) {
    let file = FileStorage::open(raw).unwrap();
    assert_eq!(disk.virtual_size(), file.size());
    let mut ranges: Vec<_> = disk.extents(0, u64::MAX).map(Result::unwrap).collect();
    let mut at = 0;
    while at < file.size() {
        let extent = file.data_at(at).unwrap();
        at = extent.end();
        ranges.push(extent);
    }
    let (mut found, mut expected) = (vec![0; MIB as usize], vec![0; MIB as usize]);
    for range in ranges.iter().filter(|range| range.kind == ExtentKind::Data) {
        for at in (range.offset..range.end()).step_by(MIB as usize) {
            let len = MIB.min(range.end() - at) as usize;
            disk.read_exact_at(at, &mut found[..len]).unwrap();
            file.read_exact_at(at, &mut expected[..len]).unwrap();
            assert!(found[..len] == expected[..len], "at {at:#x}");
        }
    }
}

#[test]
fn images_of_qemu_img_read_as_it_reads_them() {
    let folder = tempfile::tempdir().unwrap();
    let [raw, image] = ["a.raw", "a.vdi"].map(|name| folder.path().join(name));
    let [raw_text, image_text] = [&raw, &image].map(|path| path.to_str().unwrap());
    for (size, options) in [
        (96 * MIB, "static=off"),
        (33 * MIB + 3 * 512, "static=off"),
        (40 * MIB + 512, "static=on"),
        (5000 * MIB, "static=off"),
    ] {
        raw_disk(&raw, size);
        qemu_img(&["convert", "-f", "raw", "-O", "vdi", "-o", options, raw_text, image_text]);
        let disk = open_disk(&image);
        assert_reads_as(&disk, &raw);
        assert_eq!(disk.layers()[0].details()["image-type"] == "fixed", options == "static=on");
        assert!(check(&std::fs::read(&image).unwrap()).unwrap().is_clean());
    }
}

/// The holes of a fixed image are seen: its data are less than its size.
#[test]
fn holes_of_a_fixed_image_are_zeros() {
    let folder = tempfile::tempdir().unwrap();
    let [raw, image] = ["a.raw", "a.vdi"].map(|name| folder.path().join(name));
    raw_disk(&raw, 40 * MIB);
    write_image(&image, &raw, &[("static", "on")]);
    let data: u64 = open_disk(&image)
        .extents(0, u64::MAX)
        .map(Result::unwrap)
        .filter(|extent| extent.kind == ExtentKind::Data)
        .map(|extent| extent.len)
        .sum();
    assert!((5 * MIB..10 * MIB).contains(&data), "{data:#x}");
}

/// Copies `disk` as a pipeline would, but from its end to its start.
fn write_image(path: &Path, raw: &Path, options: &[(&str, &str)]) {
    let file = FileStorage::open(raw).unwrap();
    let virtual_size = file.size();
    let options = options.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
    let target: Box<dyn TargetStorage> = Box::new(FileTarget::create(path, true).unwrap());
    let request = CreateRequest { virtual_size, options, parent: None };
    let sink = FORMAT.create.unwrap()(target, &request).unwrap();
    let mut bytes = vec![0; MIB as usize];
    for at in (0..virtual_size.div_ceil(MIB)).rev().map(|chunk| chunk * MIB) {
        let bytes = &mut bytes[..(virtual_size - at).min(MIB) as usize];
        let hole = file.data_at(at).unwrap();
        if hole.kind == ExtentKind::Zero && hole.len >= bytes.len() as u64 {
            continue; // never mentioned is as good as zero
        }
        file.read_exact_at(at, bytes).unwrap();
        if is_zero(bytes) {
            sink.zero_at(at, bytes.len() as u64).unwrap();
        } else {
            sink.write_at(at, Packed::Plain(bytes)).unwrap();
        }
    }
    sink.finish().unwrap();
}

#[test]
fn qemu_img_agrees_with_what_we_write() {
    let folder = tempfile::tempdir().unwrap();
    let [raw, image, theirs] = ["a.raw", "a.vdi", "b.vdi"].map(|name| folder.path().join(name));
    let [raw_text, image_text, theirs_text] = [&raw, &image, &theirs].map(|path| path.to_str().unwrap());
    let cases: [(u64, &str); 6] = [
        (512, "off"),
        (96 * MIB, "off"),
        (33 * MIB + 3 * 512, "off"),
        (40 * MIB + 512, "on"),
        (5000 * MIB, "off"),
        (3 << 40, "off"),
    ];
    for (size, fixed) in cases {
        raw_disk(&raw, size);
        write_image(&image, &raw, &[("static", fixed)]);
        let info = qemu_img(&["info", "--output=json", "-f", "vdi", image_text]);
        assert!(info.contains(&format!("\"virtual-size\": {size},")), "{info}");
        let said = qemu_img(&["check", "-f", "vdi", image_text]);
        assert!(said.contains("No errors were found"), "{said}");
        assert_reads_as(&open_disk(&image), &raw);
        if size > 5000 * MIB {
            continue; // reading terabytes of holes takes qemu-img minutes
        }
        let said = qemu_img(&["compare", "-f", "raw", "-F", "vdi", raw_text, image_text]);
        assert!(said.contains("Images are identical"), "{size:#x} {fixed}: {said}");
        let option = format!("static={fixed}");
        qemu_img(&["convert", "-f", "raw", "-O", "vdi", "-o", &option, raw_text, theirs_text]);
        let room = |path: &Path| path.metadata().map(|file| file.blocks() * 512).unwrap();
        assert!(room(&image) <= room(&theirs), "{} {}", room(&image), room(&theirs));
        let len = |path: &Path| path.metadata().map(|file| file.len()).unwrap();
        assert!(len(&image) <= len(&theirs) + 4096, "{} {}", len(&image), len(&theirs));
    }
}

/// QEMU writes on into images of ours: the places it takes for new blocks must be free.
#[test]
fn qemu_can_go_on_writing() {
    let folder = tempfile::tempdir().unwrap();
    let [raw, image] = ["a.raw", "a.vdi"].map(|name| folder.path().join(name));
    raw_disk(&raw, 96 * MIB);
    write_image(&image, &raw, &[]);
    for (format, path) in [("raw", &raw), ("vdi", &image)] {
        let writes = ["-f", format, "-c", "write -P 7 0 64k", "-c", "write -P 8 60M 3M"];
        let output = run("qemu-io", &[&writes[..], &[path.to_str().unwrap()]].concat());
        assert!(output.status.success(), "{output:?}");
    }
    assert_reads_as(&open_disk(&image), &raw);
    let said = qemu_img(&["check", "-f", "vdi", image.to_str().unwrap()]);
    assert!(said.contains("No errors were found"), "{said}");
    assert!(check(&std::fs::read(&image).unwrap()).unwrap().is_clean());
}

/// Our check and QEMU's count the same errors.
#[test]
fn both_checks_agree_on_damage() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.vdi");
    let plan = Plan {
        disk_size: 6 * MIB,
        block_size: MIB as u32,
        map: vec![1, 0, u32::MAX, 2, u32::MAX, 3],
        ..Plan::sample()
    };
    let good = plan.build();
    let damages: [&[(usize, u32)]; 5] = [
        &[],
        &[(0x200, 2)],
        &[(0x200, 7), (at::ALLOCATED, 3)],
        &[(at::ALLOCATED, 3)],
        &[(0x200, 2), (0x204, 2)],
    ];
    for damage in damages {
        let mut image = good.clone();
        for &(at, value) in damage {
            image.put(at, value);
        }
        std::fs::write(&path, &image.bytes).unwrap();
        let output = run("qemu-img", &["check", "-f", "vdi", "--output=json", path.to_str().unwrap()]);
        let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let theirs = said.get("corruptions").and_then(serde_json::Value::as_u64).unwrap_or(0);
        let report = check(&image.bytes).unwrap();
        assert_eq!(report.errors, theirs, "{damage:?}: {report:?} {said}");
    }
}
