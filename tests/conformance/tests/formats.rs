//! The contract, for every entry of `FORMATS`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

use conformance::{
    Content, Delivery, Options, Recorder, all_contents, check_abandoned, check_digests, check_files,
    check_flat, check_hostile, check_layer, check_lookups, check_over_parent, check_sink, flatten, grown,
    open_bytes, qemu_name, several_files_options, write_image, writer_options,
};
use convert_engine::{Control, Silent, copy_disk, digest_of_bytes};
use format_all::FORMATS;
use format_core::{
    CreateRequest, Disk, FileStorage, Format, Layer, LayerContext, MemTarget, Needs, Order, Storage,
};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Judged in their own rooms: archives are read as containers, one of them holds whole GiB only, and saved file systems are made
/// by no program that takes any content.
const OF_THEIR_ROOMS: &[&str] = &["tar", "gcp", "partclone", "ntfsclone"];

/// What qemu-img makes of each format: images that our own writer had no part in.
const MADE_BY_QEMU: &[(&str, &[&str])] = &[
    ("raw", &[]),
    ("qcow2", &["compat=0.10", "cluster_size=512", "extended_l2=on", "preallocation=metadata"]),
    ("vmdk", &["subformat=monolithicSparse", "subformat=streamOptimized", "zeroed_grain=on"]),
    ("vhdx", &["subformat=dynamic", "subformat=fixed", "block_size=1M"]),
    ("vdi", &["static=off", "static=on"]),
    ("parallels", &["cluster_size=4k", "cluster_size=64k"]),
    ("vhd", &["subformat=dynamic,force_size=on", "subformat=fixed,force_size=on"]),
    ("qed", &["cluster_size=4k,table_size=2", "cluster_size=64k"]),
    ("qcow1", &["encryption=off"]),
    // qemu-img knows no compressed files.
    ("gzip", &[]),
    ("zstd", &[]),
];

fn of<T>(table: &'static [(&'static str, T)], format: &Format) -> &'static T {
    let found = table.iter().find(|(name, _)| *name == format.name);
    &found.unwrap_or_else(|| panic!("{} is missing in a table of this test", format.name)).1
}

/// The formats that are more than recognised.
fn readers() -> impl Iterator<Item = &'static Format> {
    FORMATS
        .iter()
        .copied()
        .filter(|format| format.open_layer.is_some() && !OF_THEIR_ROOMS.contains(&format.name))
}

fn writers() -> impl Iterator<Item = (&'static Format, Options)> {
    let written =
        FORMATS.iter().filter(|format| format.create.is_some() && !OF_THEIR_ROOMS.contains(&format.name));
    written.flat_map(|&format| writer_options(format).map(move |options| (format, options)))
}

/// Runs qemu-img, which must succeed.
fn qemu_img(args: &[&str], file: &Path, more: &[&str]) {
    let output = Command::new("timeout")
        .args(["60", "qemu-img"])
        .args(args)
        .arg(file)
        .args(more)
        .output()
        .expect("timeout is missing: install coreutils");
    assert!(
        output.status.success(),
        "qemu-img {args:?} {more:?} (package qemu-utils): {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The image that qemu-img makes of `content` with `option`.
fn made_by_qemu(format: &Format, option: &str, content: &[u8], folder: &Path) -> Vec<u8> {
    let (raw, made) = (folder.join("made.raw"), folder.join("made"));
    std::fs::write(&raw, content).unwrap();
    let target = made.to_str().unwrap();
    qemu_img(&["convert", "-f", "raw", "-O", qemu_name(format), "-o", option], &raw, &[target]);
    std::fs::read(made).unwrap()
}

#[test]
fn every_option_of_every_writer_is_tried() {
    for format in FORMATS.iter().filter(|format| !OF_THEIR_ROOMS.contains(&format.name)) {
        for option in format.create_options {
            let mut tried = writer_options(format).flatten().map(|(key, _)| key);
            assert!(
                tried.any(|key| *key == option.key),
                "{}: no check runs with -o {}",
                format.name,
                option.key
            );
        }
    }
}

#[test]
fn lines_1_2_3_6_7_what_is_written_is_read() {
    let all = all_contents();
    let every_second: Vec<_> = all.iter().skip(1).step_by(2).cloned().collect();
    for (format, options) in writers() {
        let contents = if options.is_empty() { &all } else { &every_second };
        if let Err(violation) = check_sink(format, options, contents) {
            panic!("{violation}");
        }
    }
}

#[test]
fn lines_6_and_7_images_of_several_files() {
    let folder = tempfile::tempdir().unwrap();
    for &format in FORMATS {
        for options in several_files_options(format) {
            for content in all_contents().iter().step_by(2) {
                check_files((format, FORMATS), options, content, folder.path())
                    .unwrap_or_else(|violation| panic!("{violation}"));
            }
        }
    }
}

#[test]
fn lines_1_to_5_for_images_made_by_qemu_img() {
    let folder = tempfile::tempdir().unwrap();
    let contents =
        [Content::mixed(2 << 20, 60_000, 31), Content::sparse((5 << 20) + 512), Content::empty(1 << 20)];
    for format in readers() {
        for option in *of(MADE_BY_QEMU, format) {
            for content in &contents {
                let image = made_by_qemu(format, option, &content.bytes, folder.path());
                let name = format!("{} {option}, {}", format.name, content.name);
                let layer = open_bytes(format, image.clone()).unwrap_or_else(|e| panic!("{name}: {e}"));
                let checked = check_layer(layer.as_ref(), &content.bytes)
                    .and_then(|()| check_over_parent(&layer, &content.bytes, &flatten))
                    .and_then(|()| check_lookups(format, image));
                checked.unwrap_or_else(|violation| panic!("{name}: {violation}"));
            }
        }
    }
}

#[test]
fn lines_4_and_5_a_chain_is_flat() {
    let content = Content::mixed(3 << 20, 70_000, 12);
    for (format, options) in writers() {
        let bytes = grown(format, options, &content.bytes).unwrap();
        let image = write_image(format, options, &bytes, Delivery::ALL[0]).unwrap();
        let layer = open_bytes(format, image.clone()).unwrap();
        let disk = Disk::new(vec![Arc::clone(&layer)]).unwrap();
        let size = disk.virtual_size();
        let checked = check_flat(disk.extents(0, size), size)
            .and_then(|()| check_over_parent(&layer, &bytes, &flatten))
            .and_then(|()| check_lookups(format, image));
        checked.unwrap_or_else(|violation| panic!("{} {options:?}: {violation}", format.name));
    }
}

#[test]
fn lines_1_to_3_a_raw_file_with_holes() {
    let folder = tempfile::tempdir().unwrap();
    let content = Content::sparse((8 << 20) + 100);
    let path = folder.path().join("holes.raw");
    let file = std::fs::File::create(&path).unwrap();
    file.set_len(content.bytes.len() as u64).unwrap();
    for (number, part) in
        content.bytes.chunks(4096).enumerate().filter(|(_, part)| !format_core::is_zero(part))
    {
        std::os::unix::fs::FileExt::write_all_at(&file, part, number as u64 * 4096).unwrap();
    }
    let raw = FORMATS.iter().find(|format| format.name == "raw").unwrap();
    let storage: Arc<dyn Storage> = Arc::new(FileStorage::open(&path).unwrap());
    let context = LayerContext::new(Arc::new(format_core::DenyAll));
    let layer: Arc<dyn Layer> = raw.open_layer.unwrap()(storage, &context).unwrap().into();
    check_layer(layer.as_ref(), &content.bytes).unwrap();
    let disk = Disk::new(vec![layer]).unwrap();
    assert!(disk.extents(0, disk.virtual_size()).count() > 1, "the holes are seen");
    check_digests(&disk, &content.bytes).unwrap();
}

#[test]
fn line_6_the_pipeline_keeps_to_the_needs_of_any_sink() {
    let content = Content::mixed((9 << 20) + 777, 150_000, 13);
    let raw = FORMATS.iter().find(|format| format.name == "raw").unwrap();
    let image = made_layer(raw, &content.bytes);
    let interrupted = AtomicBool::new(false);
    for order in [Order::Any, Order::Ascending] {
        for packed in [false, true] {
            for chunk_size in [512, 65_536, 4 << 20] {
                let recorder = Recorder::new(content.bytes.len(), Needs { order, chunk_size, packed });
                let control = Control { observer: &Silent, interrupted: &interrupted, threads: 5 };
                copy_disk(&image, &recorder, control).unwrap();
                let checked = recorder.check(&content.bytes);
                checked.unwrap_or_else(|v| panic!("{order:?} {packed} {chunk_size:#x}: {v}"));
            }
        }
    }
}

fn made_layer(format: &Format, content: &[u8]) -> Disk {
    let image = write_image(format, &[], content, Delivery::ALL[0]).unwrap();
    Disk::new(vec![open_bytes(format, image).unwrap()]).unwrap()
}

#[test]
fn line_8_an_unfinished_image_does_not_exist() {
    for (format, options) in writers() {
        let folder = tempfile::tempdir().unwrap();
        let checked = check_abandoned(format, options, folder.path());
        checked.unwrap_or_else(|violation| panic!("{} {options:?}: {violation}", format.name));
    }
}

#[test]
fn line_9_hostile_files_end_soon() {
    let folder = tempfile::tempdir().unwrap();
    let content = Content::mixed(400 * 1024, 30_000, 14);
    for format in readers() {
        let mut images: Vec<Vec<u8>> = of(MADE_BY_QEMU, format)
            .iter()
            .map(|option| made_by_qemu(format, option, &content.bytes, folder.path()))
            .collect();
        if format.create.is_some() {
            images.push(write_image(format, &[], &content.bytes, Delivery::ALL[0]).unwrap());
        }
        assert!(!images.is_empty(), "{} has no image to break", format.name);
        for image in images {
            check_hostile(format, &image).unwrap_or_else(|violation| panic!("{violation}"));
        }
    }
}

#[test]
fn line_9_a_writer_takes_any_size_without_a_panic() {
    for (format, options) in writers() {
        let options = options.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect();
        let mut request = CreateRequest { virtual_size: 0, options, parent: None };
        for size in [0, 1, u64::MAX, u64::MAX - 511, 1 << 63, (1 << 40) + 1] {
            request.virtual_size = size;
            // A sink that would be as large as the disk in memory is not made here.
            if format.name == "raw" && size > 1 << 20 {
                continue;
            }
            let sink = format.create.unwrap()(Box::new(MemTarget::failing_after(0)), &request);
            drop(sink);
        }
    }
}

#[test]
fn line_10_the_digest_speaks_of_the_content_alone() {
    let interrupted = AtomicBool::new(false);
    for content in [Content::mixed((13 << 20) + 512, 400_000, 15), Content::sparse(9 << 20)] {
        for (format, options) in writers() {
            let bytes = grown(format, options, &content.bytes).unwrap();
            let source = made_layer(FORMATS[0], &bytes);
            check_digests(&source, &bytes).unwrap();
            let name = format!("{} {options:?}", format.name);
            let target = MemTarget::default();
            let request = CreateRequest {
                virtual_size: source.virtual_size(),
                options: options.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect(),
                parent: None,
            };
            let sink = format.create.unwrap()(Box::new(target.clone()), &request).unwrap();
            let control = Control { observer: &Silent, interrupted: &interrupted, threads: 3 };
            let outcome = copy_disk(&source, sink.as_ref(), control).unwrap();
            sink.finish().unwrap();
            assert_eq!(outcome.blocks.digest().unwrap(), digest_of_bytes(&bytes), "{name}: on the way");
            let layer = open_bytes(format, target.committed_bytes().unwrap()).unwrap();
            let disk = Disk::new(vec![layer]).unwrap();
            check_digests(&disk, &bytes).unwrap_or_else(|violation| panic!("{name}: {violation}"));
        }
    }
}
