//! Images that qemu-img and our own writers make of one disk, and chains that a guest wrote to.

use crate::compare::{Case, compare_all};
use crate::known::KNOWN;
use conformance::{Content, writer_options};
use format_all::FORMATS;
use interop::{convert_image, open, qemu_img, run};
use std::path::{Path, PathBuf};

const SIZE: usize = 8 << 20;

/// What qemu-img makes, with options before and after the file names.
const QEMU: &[(&str, &[&str])] = &[
    (
        "qcow2",
        &[
            "compat=1.1",
            "compat=0.10,cluster_size=4k",
            "cluster_size=2M",
            "cluster_size=512",
            "extended_l2=on",
            "preallocation=metadata",
            "compression_type=zlib -c",
            "compression_type=zstd -c",
            "compat=0.10,cluster_size=4k -c",
        ],
    ),
    (
        "vmdk",
        &[
            "subformat=monolithicSparse",
            "subformat=streamOptimized",
            "subformat=monolithicFlat",
            "subformat=twoGbMaxExtentSparse",
            "subformat=monolithicSparse,zeroed_grain=on",
        ],
    ),
    ("vhdx", &["subformat=dynamic", "subformat=fixed", "block_size=1M"]),
    ("vhd", &["subformat=dynamic,force_size=on", "subformat=fixed,force_size=on"]),
];

fn disk(folder: &Path) -> PathBuf {
    let raw = folder.join("disk.raw");
    std::fs::write(&raw, &Content::mixed(SIZE, 100_000, 51).bytes).unwrap();
    raw
}

#[test]
fn images_that_qemu_makes() {
    let folder = tempfile::tempdir().unwrap();
    let raw = disk(folder.path());
    let mut cases = Vec::new();
    for (format, options) in QEMU {
        for option in *options {
            let inside = folder.path().join(format!("{}", cases.len()));
            std::fs::create_dir(&inside).unwrap();
            let path = inside.join(format!("a.{format}"));
            let mut words = option.split(' ');
            let theirs = if *format == "vhd" { "vpc" } else { format };
            let mut args = vec!["convert", "-f", "raw", "-O", theirs, "-o", words.next().unwrap()];
            args.extend(words);
            args.extend([raw.to_str().unwrap(), path.to_str().unwrap()]);
            qemu_img(&args);
            cases.push(Case { name: format!("qemu {format} {option}"), path, format, recorded: None });
        }
    }
    compare_all(|file| file.starts_with("qemu "), &cases);
}

#[test]
fn images_that_we_make() {
    let folder = tempfile::tempdir().unwrap();
    let raw = disk(folder.path());
    let source = open(&raw, "raw").unwrap();
    let mut cases = Vec::new();
    for format in FORMATS.iter().filter(|format| format.create.is_some() && format.name != "raw") {
        for options in writer_options(format) {
            let inside = folder.path().join(format!("{}", cases.len()));
            std::fs::create_dir(&inside).unwrap();
            let path = inside.join(format!("a.{}", format.name));
            convert_image(&source, &path, format, options).unwrap();
            let words: Vec<_> = options.iter().map(|(key, value)| format!("{key}={value}")).collect();
            let name = format!("ours {} {}", format.name, words.join(","));
            cases.push(Case { name: name.trim_end().into(), path, format: format.name, recorded: None });
        }
    }
    compare_all(|file| file.starts_with("ours "), &cases);
}

/// A guest wrote data and zeros over a parent.
#[test]
fn chains() {
    let folder = tempfile::tempdir().unwrap();
    let raw = disk(folder.path());
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let mut cases = Vec::new();
    // qcow2-rs looks for parents in the current folder.
    std::env::set_current_dir(folder.path()).unwrap();
    for (format, options) in
        [("qcow2", "compat=1.1"), ("qcow2", "extended_l2=on"), ("vmdk", "zeroed_grain=on")]
    {
        let number = cases.len();
        let (base, child) = (format!("base{number}.{format}"), format!("child{number}.{format}"));
        qemu_img(&["convert", "-f", "raw", "-O", format, &text(&raw), &base]);
        qemu_img(&["create", "-q", "-f", format, "-F", format, "-b", &base, "-o", options, &child]);
        let writes = ["write -P 5 0 100k", "write -z 1M 1M", "write -P 6 3M 64k", "write -z 5M 64k"];
        let mut args = vec!["-f", format];
        args.extend(writes.iter().flat_map(|write| ["-c", write]));
        args.push(&child);
        run("qemu-utils", 60, "qemu-io", &args);
        let name = format!("chain {format} {options}");
        cases.push(Case { name, path: folder.path().join(child), format, recorded: None });
    }
    compare_all(|file| file.starts_with("chain "), &cases);
}

#[test]
fn the_readme_names_every_known_difference() {
    let readme = include_str!("../../README.md");
    for known in KNOWN {
        assert!(readme.contains(known.file), "{} is not in README.md", known.file);
    }
}
