//! Streams through a pipe: the same disk as at random, or an error that says what to do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

mod builder;

use builder::{Grain, Image, Plan, STREAM, noise, read};
use format_core::ErrorKind::{self, Corrupt, NeedsPerson, Unsupported};
use format_core::{ChunkStream, CreateRequest, DenyAll, Error, LayerContext, MemTarget, Result};
use format_vmdk::FORMAT;
use std::io::Read;
use std::process::Command;
use std::sync::Arc;

/// A pipe that gives one to seven bytes at a time.
struct Drops {
    bytes: Vec<u8>,
    at: usize,
}

impl Read for Drops {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let len = (1 + self.at % 7).min(buf.len()).min(self.bytes.len() - self.at);
        buf[..len].copy_from_slice(&self.bytes[self.at..self.at + len]);
        self.at += len;
        Ok(len)
    }
}

fn open(reader: Box<dyn Read + Send>) -> Result<Box<dyn ChunkStream>> {
    (FORMAT.open_stream.unwrap())(reader, &LayerContext::new(Arc::new(DenyAll)))
}

fn drain(mut stream: Box<dyn ChunkStream>) -> Result<Vec<u8>> {
    let mut content = vec![0; stream.virtual_size() as usize];
    let mut end = 0;
    while let Some(chunk) = stream.next_chunk()? {
        assert!(chunk.offset >= end && !chunk.data.is_empty(), "chunks ascend");
        content[chunk.offset as usize..][..chunk.data.len()].copy_from_slice(&chunk.data);
        end = chunk.offset + chunk.data.len() as u64;
    }
    assert!(stream.next_chunk()?.is_none(), "the end stays the end");
    Ok(content)
}

fn streamed(bytes: &[u8]) -> Result<Vec<u8>> {
    drain(open(Box::new(std::io::Cursor::new(bytes.to_vec())))?)
}

fn in_drops(bytes: &[u8]) -> Result<Vec<u8>> {
    drain(open(Box::new(Drops { bytes: bytes.to_vec(), at: 0 }))?)
}

#[track_caller]
fn refused(bytes: &[u8], kind: ErrorKind, words: &str) -> Error {
    let error = streamed(bytes).err().unwrap_or_else(|| panic!("{words}: was read"));
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.message().contains(words), "{error} does not say {words:?}");
    error
}

fn broken(break_it: impl FnOnce(&mut Image), kind: ErrorKind, words: &str) {
    let mut image = Plan::stream().build();
    break_it(&mut image);
    refused(&image.bytes, kind, words);
}

#[test]
fn markers_are_walked() {
    let empty = Plan { grains: vec![Grain::Absent; 6], ..Plan::stream() };
    let mut no_zeros = Plan::stream();
    no_zeros.grains[1] = Grain::Absent;
    for plan in [Plan::stream(), empty, no_zeros] {
        let mut image = plan.build();
        assert!(streamed(&image.bytes).unwrap() == image.content);
        assert!(in_drops(&image.bytes).unwrap() == image.content);
        image.bytes.extend([0; 20_000]);
        assert!(streamed(&image.bytes).unwrap() == image.content);
    }
}

#[test]
fn a_directory_behind_the_grains_may_stand_in_the_header() {
    let mut image = Plan::stream().build();
    let directory = (image.directory_at / 512) as u64;
    image.put(56, &directory.to_le_bytes());
    image.put(64, &5u64.to_le_bytes());
    assert!(streamed(&image.bytes).unwrap() == image.content);
    // Another place than the one where a directory came.
    image.put(56, &(directory - 1).to_le_bytes());
    refused(&image.bytes, Corrupt, "gdOffset does not agree");
}

#[test]
fn every_prefix_of_a_stream_is_an_error() {
    let image = Plan::stream().build();
    for len in (0..image.bytes.len()).filter(|len| len % 7 == 0 || len % 512 < 2) {
        let error = streamed(&image.bytes[..len]).err().unwrap_or_else(|| panic!("{len:#x} bytes were read"));
        assert!(matches!(error.kind(), Corrupt | Unsupported), "{len:#x}: {error}");
    }
}

#[test]
fn room_before_the_first_marker_does_not_matter() {
    let good = Plan::stream().build();
    let first = good.grains_at[0];
    // Sixteen sectors more before the first grain, all places moved.
    let mut bytes = good.bytes.clone();
    bytes.splice(first..first, vec![0; 16 * 512]);
    let mut image = Image { bytes, ..good.clone() };
    for &table in &good.tables_at {
        let table = table + 16 * 512;
        for entry in (table..table + 16).step_by(4) {
            bump(&mut image.bytes, entry);
        }
    }
    for entry in [0, 4] {
        bump(&mut image.bytes, good.directory_at + 16 * 512 + entry);
    }
    bump(&mut image.bytes, good.footer_at + 16 * 512 + 56);
    assert!(read(&image.bytes).unwrap() == good.content);
    assert!(streamed(&image.bytes).unwrap() == good.content);
}

fn bump(bytes: &mut [u8], at: usize) {
    let value = u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    if value > 1 {
        bytes[at..at + 4].copy_from_slice(&(value + 16).to_le_bytes());
    }
}

#[test]
fn broken_streams() {
    broken(|i| i.put(i.grains_at[3], &[0x19]), Corrupt, "where no grain of the disk starts");
    broken(|i| i.put(i.grains_at[3], &[0x80]), Corrupt, "where no grain of the disk starts");
    broken(|i| i.put(i.grains_at[3], &[0]), Unsupported, "do not lie in the order");
    broken(|i| i.put(i.grains_at[3], &[0x10]), Corrupt, "grain table 0x0 does not agree");
    broken(|i| i.put(i.grains_at[3] + 8, &[0xff; 4]), Corrupt, "says 0xffffffff compressed bytes");
    broken(|i| i.put(i.grains_at[3] + 500, &[0xff; 8]), Corrupt, "zlib stream");
    broken(|i| i.put(i.tables_at[0], &[0; 4]), Corrupt, "grain table 0x0 does not agree");
    broken(|i| i.put(i.tables_at[1] + 8, &[9]), Corrupt, "grain table 0x1 does not agree");
    broken(|i| i.put(i.directory_at, &[0; 4]), Corrupt, "grain table 0x0 does not agree");
    broken(|i| i.put(i.directory_at, &[9]), Corrupt, "grain table 0x0 does not agree");
    broken(|i| i.put(i.footer_at + 56, &[9]), Corrupt, "gdOffset does not agree");
    broken(|i| i.put(i.footer_at + 12, &[45]), Corrupt, "disagree on capacity");
    broken(|i| i.put(i.footer_at - 512 + 12, &[7]), Corrupt, "has type 7");
    broken(|i| i.put(i.footer_at - 512, &[0]), Corrupt, "says 0x0 sectors");
    broken(|i| i.put(i.footer_at - 512, &[0xff; 8]), Corrupt, "sectors");
    broken(|i| i.put(i.footer_at - 512 + 12, &[0]), Corrupt, "without one");
    broken(|i| i.bytes.extend([1; 512]), Corrupt, "more follows");
    broken(|i| i.bytes.extend([0; 70_000]), Corrupt, "more follows");
    let second = |image: &mut Image| {
        let sectors = image.bytes[image.tables_at[1] - 512..image.tables_at[1]].to_vec();
        image.put(image.directory_at - 512, &sectors);
    };
    broken(second, Corrupt, "does not agree");
}

#[test]
fn what_needs_a_file_says_so() {
    let plain = refused(&Plan::sample(0).build().bytes, Unsupported, "cannot be read from a pipe");
    assert_eq!(plain.hint_text(), Some("save the stream to a file first"));
    // The tables lie behind the grains without markers.
    refused(&Plan::sample(STREAM).build().bytes, Unsupported, "cannot be read from a pipe");
    refused(b"# Disk DescriptorFile\ncreateType=monolithicFlat\n", Unsupported, "other files");
    refused(b"COWD", Unsupported, "ESX");
    refused(b"", Corrupt, "no VMDK");
    refused(&[0; 4096], Corrupt, "no VMDK");
    let text = |text: &str| Plan { text: text.into(), ..Plan::stream() }.build().bytes;
    let child = "#\nparentCID=1\nparentFileNameHint=a\ncreateType=streamOptimized\nRW 44 SPARSE \"x\"\n";
    refused(&text(child), Unsupported, "difference to a parent");
    refused(&text("keyID=x\n"), NeedsPerson, "encrypted");
    let flat = "#\ncreateType=streamOptimized\nRW 44 FLAT \"x\" 0\n";
    refused(&text(flat), Unsupported, "FLAT");
}

#[test]
fn flipped_bits_of_a_stream_give_an_error_or_the_same_disk() {
    let image = Plan::stream().build();
    // The redundancy of the descriptor's text is not what is tested.
    for at in (0..80).chain((512 + 2048..image.bytes.len()).step_by(3)) {
        let mut bytes = image.bytes.clone();
        bytes[at] ^= 1 << (at % 8);
        match streamed(&bytes) {
            Ok(content) if content.len() == image.content.len() => {
                assert!(content == image.content, "byte {at:#x}");
            }
            Ok(content) => panic!("byte {at:#x}: a disk of {:#x} bytes", content.len()),
            Err(error) => assert_ne!(error.kind(), ErrorKind::Contract, "byte {at:#x}: {error}"),
        }
    }
}

#[test]
fn streams_of_qemu_and_of_our_own_read_as_the_raw_disk() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    for len in [512usize, 1 << 20, (5 << 20) + 3 * 512, 34 << 20] {
        let mut raw = vec![0; len];
        for (number, part) in raw.chunks_mut(300_000).enumerate().filter(|(number, _)| number % 3 != 1) {
            part.copy_from_slice(&noise(number as u64 + 1, part.len()));
        }
        std::fs::write(path("a.raw"), &raw).unwrap();
        for options in ["subformat=streamOptimized", "subformat=streamOptimized,zeroed_grain=on"] {
            let arguments = ["60", "qemu-img", "convert", "-f", "raw", "-O", "vmdk", "-o", options];
            let status = Command::new("timeout")
                .args(arguments)
                .args([path("a.raw"), path("a.vmdk")])
                .status()
                .unwrap();
            assert!(status.success(), "qemu-img (package qemu-utils)");
            let bytes = std::fs::read(path("a.vmdk")).unwrap();
            assert!(streamed(&bytes).unwrap() == raw, "{len} {options}");
            assert!(len > 4 << 20 || in_drops(&bytes).unwrap() == raw, "{len} {options}");
            // Cut anywhere before the end of its last grain, it is an error.
            let last = bytes.iter().rposition(|&byte| byte != 0).unwrap();
            assert_eq!(streamed(&bytes[..last]).unwrap_err().kind(), Corrupt);
        }
    }
}

#[test]
fn what_we_write_reads_through_a_pipe() {
    let mut raw = vec![0; 70 << 20];
    raw[..300_000].copy_from_slice(&noise(1, 300_000));
    raw[(66 << 20) + 512..][..70_000].copy_from_slice(&noise(2, 70_000));
    let target = MemTarget::default();
    let options = [("subformat".to_owned(), "streamOptimized".to_owned())].into();
    let request = CreateRequest { virtual_size: raw.len() as u64, options, parent: None };
    let sink = (FORMAT.create.unwrap())(Box::new(target.clone()), &request).unwrap();
    for (number, chunk) in raw.chunks(65536).enumerate().filter(|(_, chunk)| !format_core::is_zero(chunk)) {
        let packed = sink.pack(chunk).unwrap();
        sink.write_at(number as u64 * 65536, packed).unwrap();
    }
    sink.finish().unwrap();
    let bytes = target.committed_bytes().unwrap();
    assert!(streamed(&bytes).unwrap() == raw);
    assert!(read(&bytes).unwrap() == raw);
}
