//! What is written, judged by qemu-img first and by the reader second.

#![allow(clippy::unwrap_used, clippy::panic)]

mod builder;

use builder::{noise, read};
use format_core::{CreateRequest, ErrorKind, FileTarget, MemTarget, Packed, Result, Sink, TargetStorage};
use format_vmdk::FORMAT;
use std::path::Path;
use std::process::Command;

const GRAIN: usize = 65536;

fn create(target: Box<dyn TargetStorage>, len: usize, options: &[(&str, &str)]) -> Result<Box<dyn Sink>> {
    let options = options.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
    (FORMAT.create.unwrap())(target, &CreateRequest { virtual_size: len as u64, options, parent: None })
}

/// Feeds a sink as the pipeline does.
fn feed(sink: Box<dyn Sink>, raw: &[u8]) -> Result<()> {
    for (number, chunk) in raw.chunks(GRAIN).enumerate() {
        let offset = (number * GRAIN) as u64;
        if format_core::is_zero(chunk) {
            sink.zero_at(offset, chunk.len() as u64)?;
        } else {
            let packed = sink.pack(chunk)?;
            sink.write_at(offset, packed)?;
        }
    }
    sink.flush()?;
    sink.finish()
}

fn qemu_img(folder: &Path, arguments: &[&str]) -> String {
    let output =
        Command::new("timeout").args(["60", "qemu-img"]).args(arguments).current_dir(folder).output();
    let output = output.unwrap_or_else(|e| panic!("cannot run timeout: {e} (package coreutils)"));
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "qemu-img {arguments:?} (package qemu-utils): {said}");
    said
}

fn sparse(len: usize, places: &[(usize, usize)]) -> Vec<u8> {
    let mut raw = vec![0; len];
    for &(at, len) in places {
        raw[at..at + len].copy_from_slice(&noise(at as u64 + 1, len));
    }
    raw
}

fn disks() -> Vec<Vec<u8>> {
    vec![
        sparse(512, &[(0, 512)]),
        sparse(GRAIN, &[(100, 1)]),
        sparse(3 << 20, &[]),
        sparse((5 << 20) + 3 * 512, &[(0, 1 << 20), ((5 << 20) + 600, 900)]),
        // Three tables, the middle one empty; data on both sides of their borders.
        sparse(96 << 20, &[((32 << 20) - 1000, 1000), (64 << 20, 70_000), ((96 << 20) - 1, 1)]),
    ]
}

#[test]
fn qemu_img_reads_what_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    for raw in disks() {
        std::fs::write(path.join("a.raw"), &raw).unwrap();
        let target = FileTarget::create(&path.join("a.vmdk"), true).unwrap();
        feed(create(Box::new(target), raw.len(), &[]).unwrap(), &raw).unwrap();
        let compare = ["compare", "-f", "vmdk", "-F", "raw", "a.vmdk", "a.raw"];
        assert!(qemu_img(path, &compare).contains("identical"));
        assert!(qemu_img(path, &["check", "-f", "vmdk", "a.vmdk"]).contains("No errors"));
        let info = qemu_img(path, &["info", "--output=json", "-f", "vmdk", "a.vmdk"]);
        assert!(info.contains(&format!("\"virtual-size\": {}", raw.len())), "{info}");
        assert!(info.contains("\"create-type\": \"streamOptimized\""), "{info}");
        assert!(read(&std::fs::read(path.join("a.vmdk")).unwrap()).unwrap() == raw);
    }
}

#[test]
fn the_last_bytes_are_directory_footer_and_end() {
    let target = MemTarget::default();
    let raw = sparse(40 << 20, &[(0, 100), (33 << 20, 100)]);
    feed(create(Box::new(target.clone()), raw.len(), &[]).unwrap(), &raw).unwrap();
    let bytes = target.committed_bytes().unwrap();
    let sector = |from_end: usize| &bytes[bytes.len() - from_end * 512..][..512];
    assert_eq!(&bytes[56..64], [0xff; 8], "the header says that the directory is at the end");
    assert!(sector(1).iter().all(|&byte| byte == 0));
    assert_eq!((&sector(2)[..4], &sector(2)[56..64] == [0xff; 8].as_slice()), (&b"KDMV"[..], false));
    assert_eq!(sector(3)[..16], [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0]);
    let directory = u64::from_le_bytes(sector(2)[56..64].try_into().unwrap()) as usize * 512;
    assert_eq!(directory + 512 + 3 * 512, bytes.len());
    assert_eq!(bytes[directory - 512..][..16], [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0]);
    for table in bytes[directory..directory + 8].chunks(4) {
        let at = u32::from_le_bytes(table.try_into().unwrap()) as usize * 512;
        assert_eq!(bytes[at - 512..][..16], [4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0]);
    }
}

#[test]
fn the_same_disk_is_the_same_file_and_another_disk_has_another_content_id() {
    let write = |raw: &[u8]| {
        let target = MemTarget::default();
        feed(create(Box::new(target.clone()), raw.len(), &[("adapter_type", "ide")]).unwrap(), raw).unwrap();
        target.committed_bytes().unwrap()
    };
    let cid = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(&bytes[512..1536]).into_owned();
        assert!(text.contains("ddb.adapterType = \"ide\"") && text.contains("ddb.geometry.heads = \"16\""));
        text.lines().find(|line| line.starts_with("CID=")).unwrap().to_owned()
    };
    let (one, other) = (write(&sparse(1 << 20, &[(0, 9)])), write(&sparse(1 << 20, &[(GRAIN, 9)])));
    assert!(one == write(&sparse(1 << 20, &[(0, 9)])));
    assert_ne!(cid(&one), cid(&other));
}

#[test]
fn a_disk_of_broken_sectors_is_rounded_up_to_whole_ones() {
    let target = MemTarget::default();
    let raw = noise(1, 1000);
    feed(create(Box::new(target.clone()), raw.len(), &[]).unwrap(), &raw).unwrap();
    let mut expected = raw;
    expected.resize(1024, 0);
    assert_eq!(read(&target.committed_bytes().unwrap()).unwrap(), expected);
}

#[test]
fn a_failed_write_leaves_no_image() {
    let raw = sparse(40 << 20, &[(0, 100), (33 << 20, 100)]);
    let mut failures = 0;
    loop {
        let target = MemTarget::failing_after(failures);
        match create(Box::new(target.clone()), raw.len(), &[]).and_then(|sink| feed(sink, &raw)) {
            Err(e) => assert_eq!(e.kind(), ErrorKind::Temporary),
            Ok(()) => break,
        }
        assert!(target.committed_bytes().is_none());
        failures += 1;
    }
    assert!(failures > 8, "grains, tables, directory, footer, end, header, commit: {failures}");
    let unfinished = MemTarget::default();
    drop(create(Box::new(unfinished.clone()), 512, &[]).unwrap());
    assert!(unfinished.committed_bytes().is_none());
}

#[test]
fn what_breaks_the_needs_is_a_contract_error() {
    let sink = create(Box::new(MemTarget::default()), 3 * GRAIN + 512, &[]).unwrap();
    let grain = noise(1, GRAIN);
    let fails = |offset: u64, data: &[u8]| {
        let error = sink.write_at(offset, Packed::Plain(data)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Contract, "{offset}");
    };
    fails(512, &grain);
    fails(0, &grain[..512]);
    fails(3 * GRAIN as u64, &grain);
    fails(4 * GRAIN as u64, &grain);
    fails(u64::MAX - 65535, &grain);
    sink.write_at(GRAIN as u64, Packed::Plain(&grain)).unwrap();
    fails(GRAIN as u64, &grain);
    fails(0, &grain);
    sink.write_at(3 * GRAIN as u64, Packed::Plain(&grain[..512])).unwrap();
    let empty = Packed::Encoded { bytes: Vec::new(), guest_len: GRAIN as u64 };
    assert_eq!(sink.write_at(2 * GRAIN as u64, empty).unwrap_err().kind(), ErrorKind::Contract);
}

#[test]
fn options_are_checked() {
    let kind = |len, options: &[(&str, &str)]| {
        create(Box::new(MemTarget::default()), len, options).err().map(|e| e.kind())
    };
    assert_eq!(kind(512, &[("subformat", "streamoptimized"), ("adapter_type", "buslogic")]), None);
    assert_eq!(kind(512, &[("subformat", "monolithicFlat")]), Some(ErrorKind::Usage));
    assert_eq!(kind(512, &[("adapter_type", "floppy")]), Some(ErrorKind::Usage));
    assert_eq!(kind(0, &[]), Some(ErrorKind::Usage));
    assert_eq!(kind(1 << 60, &[]), Some(ErrorKind::Limit));
}
