//! Every format into every format: a 96 MiB disk with a GPT and an odd tail.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

use conformance::{Content, qemu_name};
use convert_engine::{Control, Silent, compare_disks};
use format_core::Format;
use interop::judge::{for_qemu, qemu_reads, targets};
use interop::{convert_image, open, qemu_img, run};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

const MIB: usize = 1 << 20;
const SIZE: usize = 96 * MIB + 3 * 512;

/// Noise at both ends, an ext4 file system, holes between them.
fn disk(folder: &Path) -> PathBuf {
    let path = folder.join("disk.raw");
    let mut bytes = vec![0; SIZE];
    for (at, len, seed) in
        [(MIB + 77, 3 * MIB, 71), (60 * MIB - 5, 2 * MIB + 9, 72), (SIZE - 40_000, 40_000, 73)]
    {
        bytes[at..at + len].copy_from_slice(&Content::mixed(len, 60_000, seed).bytes);
    }
    std::fs::write(&path, bytes).unwrap();
    let script = "PATH=$PATH:/sbin:/usr/sbin
        printf 'label: gpt\nstart=2048,size=6144,type=U\nstart=8192,size=65536,name=root\n' | sfdisk -q \"$1\"
        mkfs.ext4 -q -F -E offset=4194304 \"$1\" 32M";
    run("fdisk, e2fsprogs", 60, "sh", &["-ec", script, "sh", path.to_str().unwrap()]);
    path
}

/// Subformats, besides the default, that are different enough to be sources and targets of their own.
fn variants(format: &Format) -> Vec<&'static [(&'static str, &'static str)]> {
    let more: &[&[(&str, &str)]] = match format.name {
        "qcow2" => &[&[("compressed", "on")], &[("extended_l2", "on")]],
        "vmdk" => &[
            &[("subformat", "monolithicSparse")],
            &[("subformat", "streamOptimized")],
            &[("subformat", "monolithicFlat")],
            &[("subformat", "twoGbMaxExtentSparse")],
        ],
        "vhdx" | "vhd" => &[&[("subformat", "fixed")]],
        "vdi" => &[&[("static", "on")]],
        _ => &[],
    };
    if format.name == "vmdk" { more.to_vec() } else { [&[&[][..]], more].concat() }
}

/// The disk in every format that can be read: by our writer, or by qemu-img where we have none.
fn sources(raw: &Path, folder: &Path) -> Vec<(PathBuf, &'static Format)> {
    let source = open(raw, "raw").unwrap();
    let mut images = Vec::new();
    for format in interop::judge::sources() {
        if format.create.is_none() {
            let path = folder.join(format!("source.{}", format.name));
            qemu_img(&[
                "convert",
                "-f",
                "raw",
                "-O",
                qemu_name(format),
                raw.to_str().unwrap(),
                path.to_str().unwrap(),
            ]);
            images.push((path, format));
            continue;
        }
        for (number, options) in variants(format).iter().enumerate() {
            let path = folder.join(format!("source{number}.{}", format.name));
            convert_image(&source, &path, format, options).unwrap_or_else(|e| panic!("{}: {e}", format.name));
            images.push((path, format));
        }
    }
    images
}

fn judge(raw: &Path, image: &Path, format: &Format, what: &str) {
    let interrupted = AtomicBool::new(false);
    let control = Control { observer: &Silent, interrupted: &interrupted, threads: 2 };
    let (ours, wanted) = (open(image, format.name).unwrap(), open(raw, "raw").unwrap());
    let found = compare_disks(&ours.disk, &wanted.disk, true, control).unwrap();
    assert!(found.same, "{what}: {found:?}");
    let (image, name) = for_qemu(image, format);
    let (raw, image) = (raw.to_str().unwrap(), image.to_str().unwrap());
    let said = qemu_img(&["compare", "-f", "raw", "-F", name, raw, image]);
    assert!(said.contains("Images are identical"), "{what}: {said}");
}

#[test]
fn each_pair_of_formats() {
    let folder = tempfile::tempdir().unwrap();
    let raw = disk(folder.path());
    let sources = sources(&raw, folder.path());
    let targets: Vec<_> = targets().collect();
    for (path, format) in &sources {
        // qemu-img rounds a disk in qcow (version 1), QED and Parallels to whole sectors at most: this one is.
        judge(&raw, path, format, &format!("source {}", path.display()));
        let source = open(path, format.name).unwrap();
        for target in &targets {
            for options in variants(target) {
                let what = format!("{} to {} {options:?}", path.display(), target.name);
                let copy = folder.path().join("pair").join(format!("copy.{}", target.name));
                std::fs::create_dir_all(copy.parent().unwrap()).unwrap();
                convert_image(&source, &copy, target, options).unwrap_or_else(|e| panic!("{what}: {e}"));
                judge(&raw, &copy, target, &what);
                let checked =
                    qemu_reads(target) && !matches!(target.name, "raw" | "vhd") && !is_flat(options);
                if checked {
                    let said = qemu_img(&["check", "-f", qemu_name(target), copy.to_str().unwrap()]);
                    assert!(said.contains("No errors were found"), "{what}: {said}");
                }
                std::fs::remove_dir_all(copy.parent().unwrap()).unwrap();
            }
        }
    }
}

/// qemu-img has no check for flat extents.
fn is_flat(options: &[(&str, &str)]) -> bool {
    options.iter().any(|(_, value)| value.ends_with("Flat"))
}
