//! Images that are written as a difference to a parent, read back by QEMU through the parent and by us.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod disks;

use disks::{copy_difference, edited, image_of, mixed, open_layer, parent_image, read_all, run};
use format_core::{CreateRequest, Disk, ErrorKind, ExtentKind, FileTarget, MemTarget, Packed};
use format_qcow2::FORMAT;
use proptest::prelude::*;
use std::path::Path;

type Options<'a> = &'a [(&'a str, &'a str)];

const OPTIONS: &[Options<'static>] = &[
    &[],
    &[("compat", "0.10")],
    &[("compat", "0.10"), ("compressed", "on"), ("cluster_size", "4k")],
    &[("cluster_size", "512"), ("refcount_bits", "1")],
    &[("cluster_size", "2M"), ("refcount_bits", "64")],
    &[("compressed", "on"), ("compression_type", "zstd")],
    &[("extended_l2", "on")],
    &[("extended_l2", "on"), ("cluster_size", "16k"), ("refcount_bits", "2")],
    &[("extended_l2", "on"), ("cluster_size", "2M")],
    &[("extended_l2", "on"), ("compressed", "on")],
];

fn difference_request(
    size: usize,
    options: Options<'_>,
    parent: &[u8],
    format: &'static str,
) -> CreateRequest {
    let name = format!("base.{format}");
    let parent = parent_image(&name, format, parent.len() as u64);
    CreateRequest { parent: Some(parent), ..disks::request(size as u64, options) }
}

/// Writes `top` as a difference to `parent`, which QEMU has put into the file `base.FORMAT`.
fn judged_by_qemu(folder: &Path, parent: &[u8], top: &[u8], format: &'static str, options: Options<'_>) {
    std::fs::write(folder.join("top.raw"), top).unwrap();
    let _ = std::fs::remove_file(folder.join("ours.qcow2"));
    let target = FileTarget::create(&folder.join("ours.qcow2"), false).unwrap();
    let request = difference_request(top.len(), options, parent, format);
    let sink = FORMAT.create.unwrap()(Box::new(target), &request).unwrap();
    copy_difference(Some(parent), top, 1 << 20, sink.as_ref()).unwrap();
    sink.finish().unwrap();
    let check = run(folder, "qemu-img", &["check", "-f", "qcow2", "ours.qcow2"]);
    assert!(check.contains("No errors were found"), "{options:?}: {check}");
    assert_same_disk(folder, "top.raw", "ours.qcow2");
    let info = run(folder, "qemu-img", &["info", "-f", "qcow2", "ours.qcow2"]);
    let theirs = if format == "vhd" { "vpc" } else { format };
    assert!(info.contains(&format!("backing file: base.{format}\n")), "{info}");
    assert!(info.contains(&format!("backing file format: {theirs}\n")), "{info}");
}

fn assert_same_disk(folder: &Path, raw: &str, qcow2: &str) {
    let said = run(folder, "qemu-img", &["compare", "-f", "raw", "-F", "qcow2", raw, qcow2]);
    assert_eq!(said, "Images are identical.\n", "no warning that the sizes differ");
}

fn qemu_parent(folder: &Path, parent: &[u8], format: &str) {
    std::fs::write(folder.join("parent.raw"), parent).unwrap();
    let name = format!("base.{format}");
    let args: &[&str] = match format {
        "vhd" => &["-O", "vpc", "-o", "force_size=on"],
        other => &["-O", other],
    };
    run(folder, "qemu-img", &[&["convert", "-f", "raw"], args, &["parent.raw", &name]].concat());
}

#[test]
fn qemu_reads_every_kind_of_difference() {
    const PARENT: usize = (3 << 20) + 5 * 512;
    let folder = tempfile::tempdir().unwrap();
    let parent = mixed(PARENT, 60_000, 11);
    qemu_parent(folder.path(), &parent, "raw");
    for (round, options) in OPTIONS.iter().enumerate() {
        // As large as the parent, smaller and larger, all of them ending within a cluster.
        for size in [PARENT, (1 << 20) + 7 * 512, (6 << 20) + 512] {
            let top = edited(&parent, size, 30, round as u64);
            judged_by_qemu(folder.path(), &parent, &top, "raw", options);
        }
    }
}

#[test]
fn qemu_finds_parents_of_every_format() {
    let parent = mixed(1 << 20, 60_000, 12);
    let top = edited(&parent, 2 << 20, 20, 13);
    for format in ["raw", "qcow2", "vhd", "vhdx", "vmdk", "vdi", "parallels", "qed"] {
        let folder = tempfile::tempdir().unwrap();
        qemu_parent(folder.path(), &parent, format);
        judged_by_qemu(folder.path(), &parent, &top, format, &[]);
    }
}

#[test]
fn a_child_that_is_all_zeros_hides_all_of_its_parent() {
    let folder = tempfile::tempdir().unwrap();
    let parent = vec![7; 3 << 19];
    qemu_parent(folder.path(), &parent, "raw");
    for options in OPTIONS {
        judged_by_qemu(folder.path(), &parent, &[], "raw", options);
        judged_by_qemu(folder.path(), &parent, &vec![0; (3 << 19) - 512], "raw", options);
        judged_by_qemu(folder.path(), &parent, &vec![0; 5 << 19], "raw", options);
    }
}

/// Zeros that come as data hide the parent as well.
#[test]
fn zeros_among_the_data_hide_the_parent() {
    let parent = vec![7; 4 << 20];
    let base = image_of(&parent, 1 << 20, &[]).unwrap();
    for options in OPTIONS {
        let target = MemTarget::default();
        let request = difference_request(parent.len(), options, &parent, "qcow2");
        let sink = FORMAT.create.unwrap()(Box::new(target.clone()), &request).unwrap();
        let mut chunk = vec![0; sink.needs().chunk_size as usize];
        let half = chunk.len() / 2;
        chunk[half..].fill(9);
        sink.write_at(0, Packed::Plain(&chunk)).unwrap();
        sink.finish().unwrap();
        let child = open_layer(target.committed_bytes().unwrap()).unwrap();
        let disk = Disk::new(vec![child.into(), open_layer(base.clone()).unwrap().into()]).unwrap();
        let mut found = vec![0; chunk.len() + 1];
        disk.read_exact_at(0, &mut found).unwrap();
        assert!(found[..chunk.len()] == chunk && found[chunk.len()] == 7, "{options:?}");
    }
}

/// The parent's data end in the middle of a cluster: what the child has behind them is its own.
#[test]
fn the_child_of_a_shorter_parent_is_zeros_behind_it() {
    let folder = tempfile::tempdir().unwrap();
    let parent = vec![7; 100 * 512];
    qemu_parent(folder.path(), &parent, "raw");
    for options in OPTIONS {
        let mut top = vec![0; 5 << 19];
        top[..parent.len()].copy_from_slice(&parent);
        judged_by_qemu(folder.path(), &parent, &top, "raw", options);
        top[parent.len() - 512..parent.len() + 512].fill(9);
        judged_by_qemu(folder.path(), &parent, &top, "raw", options);
    }
}

/// A name with a colon is a file for QEMU, no protocol.
#[test]
fn qemu_opens_a_parent_with_a_colon_in_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    std::fs::write(path.join("nbd:12:30.raw"), vec![5; 1 << 20]).unwrap();
    let target = FileTarget::create(&path.join("ours.qcow2"), false).unwrap();
    let parent = Some(parent_image("nbd:12:30.raw", "raw", 1 << 20));
    let request = CreateRequest { parent, ..disks::request(1 << 20, &[]) };
    FORMAT.create.unwrap()(Box::new(target), &request).unwrap().finish().unwrap();
    run(path, "qemu-img", &["compare", "-F", "raw", "-f", "qcow2", "ours.qcow2", "./nbd:12:30.raw"]);
}

#[test]
fn a_name_that_the_first_cluster_cannot_hold_is_refused() {
    let create = |name: &str, cluster: &str| {
        let request = disks::request(1 << 20, &[("cluster_size", cluster)]);
        let request = CreateRequest { parent: Some(parent_image(name, "raw", 1 << 20)), ..request };
        let target = MemTarget::default();
        FORMAT.create.unwrap()(Box::new(target.clone()), &request)?.finish()?;
        open_layer(target.committed_bytes().unwrap())
    };
    let longest = "n".repeat(512 - 112 - 16 - 8);
    let layer = create(&longest, "512").unwrap();
    let parent = layer.parent().unwrap();
    assert_eq!(
        (parent.names.as_slice(), parent.format.as_deref()),
        ([longest.clone()].as_slice(), Some("raw"))
    );
    assert_eq!(create(&format!("{longest}n"), "512").err().unwrap().kind(), ErrorKind::Limit);
    assert!(create(&format!("{longest}n"), "1k").is_ok());
}

/// A difference of a few sectors is a few subclusters, wherever they lie in their clusters.
#[test]
fn subclusters_keep_a_difference_small() {
    let target = MemTarget::default();
    let options = [("extended_l2", "on")];
    let request = difference_request(1 << 20, &options, &[7; 1 << 20], "raw");
    let sink = FORMAT.create.unwrap()(Box::new(target.clone()), &request).unwrap();
    assert_eq!(sink.needs().chunk_size, 2048);
    sink.write_at(65536, Packed::Plain(&[1; 2048])).unwrap();
    sink.zero_at(65536 + 2048, 4096).unwrap();
    sink.write_at(65536 + 8192, Packed::Plain(&[2; 65536])).unwrap();
    for back in [sink.write_at(65536, Packed::Plain(&[1; 2048])), sink.zero_at(0, 2048)] {
        assert_eq!(
            back.unwrap_err().kind(),
            ErrorKind::Contract,
            "parts of a cluster come one after the other"
        );
    }
    sink.finish().unwrap();
    let layer = open_layer(target.committed_bytes().unwrap()).unwrap();
    let (mut at, mut found) = (0, Vec::new());
    while at < 1 << 20 {
        let extent = layer.extent_at(at).unwrap();
        match found.last_mut() {
            Some((kind, len)) if *kind == extent.kind => *len += extent.len,
            _ => found.push((extent.kind, extent.len)),
        }
        at += extent.len;
    }
    assert_eq!(
        found,
        [
            (ExtentKind::Unallocated, 65536),
            (ExtentKind::Data, 2048),
            (ExtentKind::Zero, 4096),
            (ExtentKind::Unallocated, 2048),
            (ExtentKind::Data, 65536),
            (ExtentKind::Unallocated, (1 << 20) - 65536 - 8192 - 65536),
        ]
    );
}

fn options() -> impl Strategy<Value = Vec<(&'static str, &'static str)>> {
    let cluster = prop::sample::select(vec!["512", "1k", "4k", "16k", "32k", "64k", "256k", "2M"]);
    let width = prop::sample::select(vec!["1", "2", "4", "8", "16", "32", "64"]);
    (cluster, width, any::<[bool; 4]>()).prop_map(|(cluster, width, [old, extended, compressed, zstd])| {
        let extended = extended && !old && !["512", "1k", "4k"].contains(&cluster);
        vec![
            ("cluster_size", cluster),
            ("refcount_bits", if old { "16" } else { width }),
            ("compat", if old { "0.10" } else { "1.1" }),
            ("extended_l2", if extended { "on" } else { "off" }),
            ("compressed", if compressed { "on" } else { "off" }),
            ("compression_type", if zstd && !old { "zstd" } else { "zlib" }),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_differs_comes_back_over_the_parent(
        below in options(),
        above in options(),
        sizes in (1usize..3000, 1usize..3000),
        edits in 0usize..20,
        seed: u64,
        with_qemu in prop::bool::weighted(0.15),
    ) {
        let parent = mixed(sizes.0 * 512, 20_000, seed);
        let top = edited(&parent, sizes.1 * 512, edits, seed);
        let base = image_of(&parent, 1 << 20, &below).unwrap();
        let target = MemTarget::default();
        let request = difference_request(top.len(), &above, &parent, "qcow2");
        let sink = FORMAT.create.unwrap()(Box::new(target.clone()), &request).unwrap();
        copy_difference(Some(&parent), &top, 1 << 20, sink.as_ref()).unwrap();
        sink.finish().unwrap();
        let child = target.committed_bytes().unwrap();
        if with_qemu {
            let folder = tempfile::tempdir().unwrap();
            for (name, bytes) in [("base.qcow2", &base), ("top.qcow2", &child), ("top.raw", &top)] {
                std::fs::write(folder.path().join(name), bytes).unwrap();
            }
            for name in ["base.qcow2", "top.qcow2"] {
                let check = run(folder.path(), "qemu-img", &["check", "-f", "qcow2", name]);
                prop_assert!(check.contains("No errors were found"), "{}: {}", name, check);
            }
            assert_same_disk(folder.path(), "top.raw", "top.qcow2");
        }
        let layers = vec![open_layer(child).unwrap().into(), open_layer(base).unwrap().into()];
        prop_assert!(read_all(&Disk::new(layers).unwrap()).unwrap() == top);
    }
}

/// Whatever write fails, an error comes out and nothing appears under the final name.
#[test]
fn every_failing_write_of_a_difference_is_an_error() {
    let parent = mixed(300_032, 20_000, 4);
    let top = edited(&parent, 350_208, 20, 5);
    for options in OPTIONS {
        let mut n = 0;
        loop {
            let target = MemTarget::failing_after(n);
            let request = difference_request(top.len(), options, &parent, "raw");
            let result = FORMAT.create.unwrap()(Box::new(target.clone()), &request).and_then(|sink| {
                copy_difference(Some(&parent), &top, 64 << 10, sink.as_ref())?;
                sink.finish()
            });
            let Err(error) = result else { break };
            assert_eq!(error.kind(), ErrorKind::Temporary);
            assert!(target.committed_bytes().is_none(), "write {n} of {options:?}");
            n += 1;
        }
        assert!(n >= 8, "{n} writes of {options:?}");
    }
}
