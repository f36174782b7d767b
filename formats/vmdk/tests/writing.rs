//! Streams that are written, and what is asked of them, judged by qemu-img first and by the reader second.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

mod builder;

mod writer;

use builder::{noise, read};
use format_core::{DenyAll, ErrorKind, FileTarget, LayerContext, MemTarget, Packed, PipeTarget, Result};
use format_vmdk::FORMAT;
use std::io::{Cursor, Write};
use std::sync::{Arc, Mutex};
use writer::{GRAIN, STREAM, create, feed, judge, qemu_img};

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
        feed(create(Box::new(target), raw.len() as u64, &[STREAM]).unwrap(), &raw).unwrap();
        judge(path, "a.vmdk", "a.raw", "streamOptimized");
        assert!(read(&std::fs::read(path.join("a.vmdk")).unwrap()).unwrap() == raw);
    }
}

#[test]
fn the_last_bytes_are_directory_footer_and_end() {
    let target = MemTarget::default();
    let raw = sparse(40 << 20, &[(0, 100), (33 << 20, 100)]);
    feed(create(Box::new(target.clone()), raw.len() as u64, &[STREAM]).unwrap(), &raw).unwrap();
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
        feed(
            create(Box::new(target.clone()), raw.len() as u64, &[STREAM, ("adapter_type", "ide")]).unwrap(),
            raw,
        )
        .unwrap();
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
    feed(create(Box::new(target.clone()), raw.len() as u64, &[STREAM]).unwrap(), &raw).unwrap();
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
        match create(Box::new(target.clone()), raw.len() as u64, &[STREAM]).and_then(|sink| feed(sink, &raw))
        {
            Err(e) => assert_eq!(e.kind(), ErrorKind::Temporary),
            Ok(()) => break,
        }
        assert!(target.committed_bytes().is_none());
        failures += 1;
    }
    assert!(failures > 8, "grains, tables, directory, footer, end, header, commit: {failures}");
    let unfinished = MemTarget::default();
    drop(create(Box::new(unfinished.clone()), 512, &[STREAM]).unwrap());
    assert!(unfinished.committed_bytes().is_none());
}

#[test]
fn what_breaks_the_needs_is_a_contract_error() {
    let sink = create(Box::new(MemTarget::default()), 3 * GRAIN as u64 + 512, &[STREAM]).unwrap();
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

/// The other end of a pipe.
#[derive(Clone, Default)]
struct Received(Arc<Mutex<Vec<u8>>>);

impl Write for Received {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn read_through_a_pipe(bytes: &[u8]) -> Result<Vec<u8>> {
    let context = LayerContext::new(Arc::new(DenyAll));
    let mut stream = (FORMAT.open_stream.unwrap())(Box::new(Cursor::new(bytes.to_vec())), &context)?;
    let mut disk = vec![0; stream.virtual_size() as usize];
    while let Some(chunk) = stream.next_chunk()? {
        disk[chunk.offset as usize..][..chunk.data.len()].copy_from_slice(&chunk.data);
    }
    Ok(disk)
}

#[test]
fn a_stream_goes_through_a_pipe() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    for raw in disks() {
        let received = Received::default();
        let target = PipeTarget::new(Box::new(received.clone()));
        feed(create(Box::new(target), raw.len() as u64, &[STREAM]).unwrap(), &raw).unwrap();
        let bytes = received.0.lock().unwrap().clone();
        std::fs::write(path.join("a.raw"), &raw).unwrap();
        std::fs::write(path.join("a.vmdk"), &bytes).unwrap();
        judge(path, "a.vmdk", "a.raw", "streamOptimized");
        qemu_img(path, &["convert", "-f", "vmdk", "-O", "raw", "a.vmdk", "b.raw"]);
        assert!(std::fs::read(path.join("b.raw")).unwrap() == raw);
        assert!(read(&bytes).unwrap() == raw);
        assert!(read_through_a_pipe(&bytes).unwrap() == raw);
        // The same bytes as in a file, but for the content ID in the descriptor.
        let file = MemTarget::default();
        feed(create(Box::new(file.clone()), raw.len() as u64, &[STREAM]).unwrap(), &raw).unwrap();
        let file = file.committed_bytes().unwrap();
        assert!(file[..512] == bytes[..512] && file[21 * 512..] == bytes[21 * 512..]);
        // What was cut off is never a disk.
        for end in [512, bytes.len() / 2, bytes.len() - 1536, bytes.len() - 512] {
            assert!(read_through_a_pipe(&bytes[..end]).is_err(), "{end} of {}", bytes.len());
            assert!(read(&bytes[..end]).is_err(), "{end} of {}", bytes.len());
        }
    }
}

#[test]
fn only_a_stream_goes_through_a_pipe() {
    for subformat in ["monolithicSparse", "monolithicFlat", "twoGbMaxExtentSparse", "vmfs"] {
        let target = PipeTarget::new(Box::new(Received::default()));
        let error = create(Box::new(target), 512, &[("subformat", subformat)]).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{subformat}");
    }
}

#[test]
fn options_are_checked() {
    let kind = |len: u64, options: &[(&str, &str)]| {
        create(Box::new(MemTarget::default()), len, options).err().map(|e| e.kind())
    };
    for good in [
        &[("subformat", "streamoptimized"), ("adapter_type", "buslogic")][..],
        &[("subformat", "MONOLITHICFLAT"), ("hwversion", "21"), ("toolsversion", "12389")],
        &[("compat6", "on"), ("zeroed_grain", "on"), ("adapter_type", "legacyESX")],
        &[("compat6", "off"), ("hwversion", "6"), ("adapter_type", "pvscsi")],
    ] {
        assert_eq!(kind(512, good), None, "{good:?}");
    }
    for wrong in [
        &[("subformat", "monolithic")][..],
        &[("adapter_type", "floppy")],
        &[("hwversion", "0")],
        &[("hwversion", "+4")],
        &[("hwversion", "4\"\nRW 9 FLAT")],
        &[("toolsversion", "4294967296")],
        &[("compat6", "yes")],
        &[("compat6", "on"), ("hwversion", "6")],
        &[("zeroed_grain", "on"), ("subformat", "monolithicFlat")],
        &[("zeroed_grain", "on"), STREAM],
    ] {
        assert_eq!(kind(512, wrong), Some(ErrorKind::Usage), "{wrong:?}");
    }
    for subformat in ["monolithicSparse", "streamOptimized", "vmfs", "twoGbMaxExtentFlat"] {
        assert_eq!(kind(0, &[("subformat", subformat)]), Some(ErrorKind::Usage), "{subformat}");
    }
    for subformat in ["monolithicSparse", "streamOptimized", "twoGbMaxExtentFlat", "twoGbMaxExtentSparse"] {
        assert_eq!(kind(1 << 60, &[("subformat", subformat)]), Some(ErrorKind::Limit), "{subformat}");
        assert_eq!(kind(u64::MAX, &[("subformat", subformat)]), Some(ErrorKind::Limit), "{subformat}");
    }
}
