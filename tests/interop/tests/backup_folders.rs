//! Backup folders and evidence images, with all formats known: what is inside is opened by its own room.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

use convert_engine::{Control, Silent, compare_disks};
use format_all::FORMATS;
use format_core::{OpenOptions, check_image, open_image, open_images};
use interop::{convert_image, format_named, open, qemu_img, run};
use std::path::Path;
use std::sync::atomic::AtomicBool;

/// A disk with a pattern of its own.
fn raw_disk(path: &Path, seed: u8, len: usize) {
    let mut bytes: Vec<u8> = (0..len).map(|at| (at / 700) as u8 ^ (at >> 13) as u8 ^ seed).collect();
    bytes[len / 3..len / 2].fill(0);
    std::fs::write(path, bytes).unwrap();
}

fn assert_same(disk: &format_core::Disk, raw: &Path) {
    let expected = open(raw, "raw").unwrap();
    let interrupted = AtomicBool::new(false);
    let control = Control { observer: &Silent, interrupted: &interrupted, threads: 2 };
    let outcome = compare_disks(disk, &expected.disk, true, control).unwrap();
    assert!(outcome.same, "{}: {outcome:?}", raw.display());
}

/// Volumes as VHDX and VHD, as qemu-img writes them; Windows' own could not be had.
#[test]
fn volumes_of_windows_server_backup_read_as_their_disks() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("WindowsImageBackup/SERVER/Backup 2026-04-18 090830");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("BackupSpecs.xml"), b"<BackupSpecs/>").unwrap();
    let volumes = [
        ("06fedb78-0000-0000-0000-100000000000.vhdx", "vhdx", 5 << 20),
        ("06fedb78-0000-0000-0000-501f00000000.vhdx", "vhdx", 40 << 20),
        ("9b9cfbc4-369e-11e9-a17c-806e6f6e6963.vhd", "vpc", 12 << 20),
    ];
    for (number, (name, kind, len)) in volumes.iter().enumerate() {
        let raw = root.path().join(format!("{number}.raw"));
        raw_disk(&raw, number as u8 + 1, *len);
        let image = folder.join(name);
        let options = if *kind == "vpc" { "force_size=on" } else { "subformat=dynamic" };
        let (raw, image) = (raw.to_str().unwrap(), image.to_str().unwrap());
        qemu_img(&["convert", "-f", "raw", "-O", kind, "-o", options, raw, image]);
    }
    let options = OpenOptions::new(FORMATS, None);
    for path in [root.path(), &folder] {
        let images = open_images(path, &options).unwrap();
        let names: Vec<_> = images.iter().map(|image| image.name_inside().unwrap()).collect();
        assert_eq!(names, volumes.map(|(name, ..)| name));
        for (number, image) in images.iter().enumerate() {
            assert_same(&image.disk, &root.path().join(format!("{number}.raw")));
        }
    }
    let checked = check_image(root.path(), &options, &|_| Ok(())).unwrap();
    assert!(checked[0].report.is_clean(), "{:?}", checked[0].report);
    let mut picked = options;
    picked.access.pick = Some("1".into());
    let source = open_image(root.path(), &picked).unwrap();
    let target = root.path().join("out.qcow2");
    convert_image(&source, &target, format_named("qcow2").unwrap(), &[]).unwrap();
    assert_same(&open(&target, "qcow2").unwrap().disk, &root.path().join("1.raw"));
}

#[test]
fn evidence_images_are_recognised_and_converted() {
    let root = tempfile::tempdir().unwrap();
    let raw = root.path().join("disk.raw");
    raw_disk(&raw, 7, 9 << 20);
    let at = |name: &str| root.path().join(name).to_str().unwrap().to_owned();
    for (format, name) in [("encase6", "a.E01"), ("smart", "b.s01")] {
        let stem = at(name.split('.').next().unwrap());
        let args = ["-u", "-q", "-f", format, "-c", "best", "-S", "1048576", "-t", &stem, &at("disk.raw")];
        run("ewf-tools", 120, "ewfacquire", &args);
        let source = open_image(Path::new(&at(name)), &OpenOptions::new(FORMATS, None)).unwrap();
        assert_eq!(source.chain[0].format.name, "ewf");
        assert_same(&source.disk, &raw);
        let target = root.path().join(format!("{format}.vmdk"));
        convert_image(&source, &target, format_named("vmdk").unwrap(), &[]).unwrap();
        assert_same(&open(&target, "vmdk").unwrap().disk, &raw);
    }
}
