//! Judged by qemu-img: its images read by us, our images read by it. It has no check for this format.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use format_core::{
    CreateRequest, Disk, ExtentKind, FileStorage, FileTarget, Format, OpenOptions, Packed, Storage,
    TargetStorage, is_zero, open_image,
};
use format_vhd::FORMAT;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

static FORMATS: &[&Format] = &[&FORMAT];
const MIB: u64 = 1 << 20;
const CHUNK: usize = 64 << 10;

fn qemu_img(arguments: &[&str]) -> String {
    let output = Command::new("timeout").args(["60", "qemu-img"]).args(arguments).output();
    let output = output.expect("qemu-img is missing: install qemu-utils");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "qemu-img {arguments:?}: {said}");
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
    let options = OpenOptions::new(FORMATS, None);
    open_image(path, &options).unwrap().disk
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
    let [raw, image] = ["a.raw", "a.vhd"].map(|name| folder.path().join(name));
    let [raw_text, image_text] = [&raw, &image].map(|path| path.to_str().unwrap());
    for (size, options) in [
        (96 * MIB, "subformat=dynamic,force_size=on"),
        (33 * MIB + 3 * 512, "subformat=dynamic,force_size=on"),
        (40 * MIB + 512, "subformat=fixed,force_size=on"),
        (5000 * MIB, "subformat=dynamic,force_size=on"),
        (33 * MIB + 3 * 512, "subformat=dynamic,force_size=off"),
        (40 * MIB + 512, "subformat=fixed,force_size=off"),
        (5000 * MIB, "subformat=dynamic,force_size=off"),
    ] {
        raw_disk(&raw, size);
        qemu_img(&["convert", "-f", "raw", "-O", "vpc", "-o", options, raw_text, image_text]);
        let disk = open_disk(&image);
        let info = qemu_img(&["info", "--output=json", "-f", "vpc", image_text]);
        assert!(info.contains(&format!("\"virtual-size\": {},", disk.virtual_size())), "{options}: {info}");
        // Without force_size QEMU rounds the disk up to cylinders.
        assert_eq!(disk.virtual_size() > size, options.ends_with("off"), "{options}");
        File::options().write(true).open(&raw).unwrap().set_len(disk.virtual_size()).unwrap();
        assert_reads_as(&disk, &raw);
    }
}

/// Copies `disk` as a pipeline would, but from its end to its start.
fn write_image(path: &Path, raw: &Path, options: &[(&str, &str)]) {
    let file = FileStorage::open(raw).unwrap();
    let virtual_size = file.size();
    let options = options.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
    let target: Box<dyn TargetStorage> = Box::new(FileTarget::create(path, true).unwrap());
    let sink =
        FORMAT.create.unwrap()(target, &CreateRequest { virtual_size, options, parent: None }).unwrap();
    let mut bytes = vec![0; CHUNK];
    for at in (0..virtual_size.div_ceil(CHUNK as u64)).rev().map(|chunk| chunk * CHUNK as u64) {
        let bytes = &mut bytes[..(virtual_size - at).min(CHUNK as u64) as usize];
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
    let [raw, image] = ["a.raw", "a.vhd"].map(|name| folder.path().join(name));
    let [raw_text, image_text] = [&raw, &image].map(|path| path.to_str().unwrap());
    let cases: [(u64, &[(&str, &str)]); 7] = [
        (512, &[]),
        (96 * MIB, &[]),
        (33 * MIB + 3 * 512, &[("force_size", "on")]),
        (40 * MIB + 512, &[("subformat", "fixed")]),
        (64 * MIB, &[("azure", "on")]),
        (5000 * MIB, &[("subformat", "dynamic")]),
        // More than a geometry can say.
        (140 << 30, &[]),
    ];
    for (size, options) in cases {
        raw_disk(&raw, size);
        write_image(&image, &raw, options);
        let info = qemu_img(&["info", "--output=json", "-f", "vpc", image_text]);
        assert!(info.contains(&format!("\"virtual-size\": {size},")), "{info}");
        let said = qemu_img(&["compare", "-f", "raw", "-F", "vpc", raw_text, image_text]);
        assert!(said.contains("Images are identical"), "{options:?}: {said}");
        assert_reads_as(&open_disk(&image), &raw);
        assert!(check(&image).is_clean());
    }
}

fn check(image: &Path) -> format_core::CheckReport {
    let context = format_core::LayerContext::new(std::sync::Arc::new(format_core::DenyAll));
    let storage = std::sync::Arc::new(FileStorage::open(image).unwrap());
    FORMAT.check.unwrap()(storage, &context).unwrap()
}

/// QEMU writes on into images of ours: the places it takes for new blocks must be free.
#[test]
fn qemu_can_go_on_writing() {
    let folder = tempfile::tempdir().unwrap();
    let [raw, image] = ["a.raw", "a.vhd"].map(|name| folder.path().join(name));
    let [raw_text, image_text] = [&raw, &image].map(|path| path.to_str().unwrap());
    raw_disk(&raw, 96 * MIB);
    write_image(&image, &raw, &[]);
    for (format, path) in [("raw", raw_text), ("vpc", image_text)] {
        let writes = ["-c", "write -P 7 0 64k", "-c", "write -P 8 60M 3M"];
        let output =
            Command::new("timeout").args(["60", "qemu-io", "-f", format]).args(writes).arg(path).output();
        let output = output.expect("qemu-io is missing: install qemu-utils");
        assert!(output.status.success(), "{output:?}");
    }
    assert!(check(&image).is_clean());
    assert_reads_as(&open_disk(&image), &raw);
}
