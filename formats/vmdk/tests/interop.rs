//! Images that qemu-img writes, against the raw disk they were made from.

#![allow(clippy::unwrap_used, clippy::panic)]

mod builder;
mod esx;

use builder::noise;
use format_core::{Disk, ErrorKind, Format, OpenOptions, open_image};
use format_vmdk::FORMAT;
use std::path::Path;
use std::process::Command;

static FORMATS: &[&Format] = &[&FORMAT];

fn run(folder: &Path, program: &str, arguments: &[&str]) {
    let output = Command::new("timeout")
        .arg("60")
        .arg(program)
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap_or_else(|e| panic!("cannot run timeout: {e} (package coreutils)"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?} (package qemu-utils): {said}");
}

fn disk(path: &Path) -> Disk {
    let options = OpenOptions::new(FORMATS, Some(&FORMAT));
    open_image(path, &options).unwrap().disk
}

fn content(path: &Path) -> Vec<u8> {
    let disk = disk(path);
    let mut bytes = vec![0xaa; disk.virtual_size() as usize];
    // An odd step, so that reads start and end everywhere in grains.
    for (number, part) in bytes.chunks_mut(1_000_003).enumerate() {
        disk.read_exact_at(number as u64 * 1_000_003, part).unwrap();
    }
    bytes
}

/// Noise, long runs of zeros, text-like data, and data at both ends.
fn sample(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    for (number, part) in bytes.chunks_mut(300_000).enumerate() {
        match number % 4 {
            0 => part.copy_from_slice(&noise(number as u64, part.len())),
            1 => part.iter_mut().enumerate().for_each(|(at, byte)| *byte = (at / 97) as u8),
            _ => {}
        }
    }
    bytes[len - 1] = 1;
    bytes
}

#[test]
fn what_qemu_img_writes_reads_as_the_raw_disk() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    for len in [512, 65536, 3 << 20, (5 << 20) + 3 * 512, (34 << 20) + 65536 - 512] {
        let raw = sample(len);
        std::fs::write(path.join("a.raw"), &raw).unwrap();
        for options in [
            "subformat=monolithicSparse",
            "subformat=monolithicSparse,zeroed_grain=on",
            "subformat=streamOptimized",
            "subformat=streamOptimized,zeroed_grain=on",
        ] {
            let target = ["-o", options, "a.raw", "a.vmdk"];
            run(path, "qemu-img", &[&["convert", "-f", "raw", "-O", "vmdk"], &target[..]].concat());
            assert!(content(&path.join("a.vmdk")) == raw, "{len} bytes, {options}");
        }
    }
}

#[test]
fn zeros_stay_unread() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let mut raw = vec![0; 40 << 20];
    raw[20 << 20] = 1;
    std::fs::write(path.join("a.raw"), &raw).unwrap();
    run(path, "qemu-img", &["convert", "-f", "raw", "-O", "vmdk", "a.raw", "a.vmdk"]);
    let disk = disk(&path.join("a.vmdk"));
    let extents: Vec<_> = disk.extents(0, u64::MAX).map(|e| e.unwrap()).map(|e| (e.offset, e.len)).collect();
    assert_eq!(extents, [(0, 20 << 20), (20 << 20, 65536), ((20 << 20) + 65536, (20 << 20) - 65536)]);
}

#[test]
fn a_chain_of_children_shows_what_qemu_shows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    std::fs::write(path.join("a.raw"), sample(5 << 20)).unwrap();
    run(path, "qemu-img", &["convert", "-f", "raw", "-O", "vmdk", "a.raw", "base.vmdk"]);
    let create = ["create", "-q", "-f", "vmdk", "-F", "vmdk", "-o", "zeroed_grain=on", "-b"];
    let children = [
        ("base.vmdk", "one.vmdk", ["write -P 7 100k 300k", "write -z 0 64k"]),
        ("one.vmdk", "two.vmdk", ["write -P 9 1M 70k", "write -z 192k 64k"]),
    ];
    for (parent, child, [data, zeros]) in children {
        run(path, "qemu-img", &[&create[..], &[parent, child]].concat());
        run(path, "qemu-io", &["-f", "vmdk", "-c", data, "-c", zeros, child]);
    }
    for name in ["one.vmdk", "two.vmdk"] {
        run(path, "qemu-img", &["convert", "-f", "vmdk", "-O", "raw", name, "b.raw"]);
        let expected = std::fs::read(path.join("b.raw")).unwrap();
        assert!(content(&path.join(name)) == expected, "{name}");
    }
    // Writing to the base gives it a new CID: the children must not be read over it.
    run(path, "qemu-io", &["-f", "vmdk", "-c", "write -P 3 0 4k", "base.vmdk"]);
    let options = OpenOptions::new(FORMATS, Some(&FORMAT));
    let error = open_image(&path.join("two.vmdk"), &options).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
}

#[test]
fn flat_and_split_disks_read_as_the_raw_disk() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    // The hole makes a second extent cheap.
    let raw = sample(3 << 20);
    std::fs::write(path.join("a.raw"), &raw).unwrap();
    let size = (2u64 << 30) + (1 << 20);
    std::fs::File::options().write(true).open(path.join("a.raw")).unwrap().set_len(size).unwrap();
    for name in ["monolithicFlat", "twoGbMaxExtentSparse", "twoGbMaxExtentFlat"] {
        let options = format!("subformat={name}");
        let arguments = ["convert", "-f", "raw", "-O", "vmdk", "-o", &options, "a.raw", "a.vmdk"];
        run(path, "qemu-img", &arguments);
        let opened = open_image(&path.join("a.vmdk"), &OpenOptions::new(FORMATS, Some(&FORMAT))).unwrap();
        let parts = if name == "monolithicFlat" { 1 } else { 2 };
        assert_eq!((opened.disk.virtual_size(), opened.chain[0].parts.len()), (size, parts), "{name}");
        let mut found = vec![0xaa; 4 << 20];
        opened.disk.read_exact_at(0, &mut found).unwrap();
        assert!(found[..raw.len()] == raw && format_core::is_zero(&found[raw.len()..]), "{name}");
        // Over the border of the extents.
        opened.disk.read_exact_at((2 << 30) - (1 << 20), &mut found[..2 << 20]).unwrap();
        assert!(format_core::is_zero(&found[..2 << 20]), "{name}");
        let mapped: u64 = opened.disk.extents(0, u64::MAX).map(|e| e.unwrap().len).sum();
        assert_eq!(mapped, size);
    }
    let part = path.join("a-s001.vmdk");
    let options = OpenOptions::new(FORMATS, Some(&FORMAT));
    let error = open_image(&part, &options).err().unwrap();
    assert!(error.message().contains("part of a split disk"), "{error}");
}

#[test]
fn esx_extents_read_as_qemu_reads_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    std::fs::write(path.join("c.vmdk"), esx::Cowd::sample().bytes).unwrap();
    std::fs::write(path.join("s.vmdk"), esx::SeSparse::sample().bytes).unwrap();
    for (create_type, line) in
        [("vmfsSparse", "RW 64 VMFSSPARSE \"c.vmdk\""), ("seSparse", "RW 64 SESPARSE \"s.vmdk\"")]
    {
        let text = format!(
            "# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType=\"{create_type}\"\n{line}\n"
        );
        std::fs::write(path.join("d.vmdk"), text).unwrap();
        run(path, "qemu-img", &["convert", "-f", "vmdk", "-O", "raw", "d.vmdk", "d.raw"]);
        assert!(content(&path.join("d.vmdk")) == std::fs::read(path.join("d.raw")).unwrap(), "{create_type}");
    }
}

#[test]
fn details_are_what_qemu_img_info_says() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    std::fs::write(path.join("a.raw"), sample(1 << 20)).unwrap();
    for name in ["monolithicSparse", "streamOptimized", "monolithicFlat", "twoGbMaxExtentSparse"] {
        let options = format!("subformat={name}");
        run(path, "qemu-img", &["convert", "-f", "raw", "-O", "vmdk", "-o", &options, "a.raw", "a.vmdk"]);
        let output = Command::new("timeout")
            .args(["60", "qemu-img", "info", "--output", "json", "-f", "vmdk", "a.vmdk"])
            .current_dir(path)
            .output()
            .unwrap();
        let theirs: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let theirs = &theirs["format-specific"]["data"];
        let storage = std::sync::Arc::new(format_core::FileStorage::open(&path.join("a.vmdk")).unwrap());
        let gate = format_core::FolderGate::new(path.to_owned(), std::sync::Arc::new([]));
        let context = format_core::LayerContext {
            name: Some("a.vmdk".into()),
            ..format_core::LayerContext::new(std::sync::Arc::new(gate))
        };
        let layer = (FORMAT.open_layer.unwrap())(storage, &context).unwrap();
        let ours = layer.details();
        for key in ["cid", "parent-cid", "create-type"] {
            assert_eq!(ours[key], theirs[key], "{name} {key}");
        }
        for key in ["virtual-size", "cluster-size", "compressed", "filename"] {
            assert_eq!(ours["extents"][0].get(key), theirs["extents"][0].get(key), "{name} {key}");
        }
        assert_eq!(layer.is_compressed_at(0), name == "streamOptimized");
        assert_eq!(layer.host_range(0).is_some(), name != "streamOptimized");
    }
}
