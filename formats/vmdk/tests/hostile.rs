//! Cut and flipped images: an error or the right bytes, soon, and never a broken contract.

#![allow(clippy::unwrap_used)]

mod builder;
mod esx;

use builder::{Plan, STREAM, open, read};
use format_core::{Disk, ErrorKind, FolderGate, LayerContext, MemStorage};
use format_vmdk::FORMAT;
use std::sync::Arc;
use std::time::{Duration, Instant};

fn plans() -> [Plan; 4] {
    let unredundant = Plan { flags: 5, ..Plan::sample(0) };
    [Plan::sample(0), unredundant, Plan::sample(STREAM), Plan::stream()]
}

#[test]
fn every_prefix_is_an_error_or_the_whole_disk() {
    for plan in plans() {
        let image = plan.build();
        let mut errors = 0;
        for len in 0..image.bytes.len() {
            match read(&image.bytes[..len]) {
                Ok(content) => assert!(content == image.content, "{len:#x} bytes read as another disk"),
                Err(e) => {
                    assert!(matches!(e.kind(), ErrorKind::Corrupt | ErrorKind::Unsupported), "{len:#x}: {e}");
                    errors += 1;
                }
            }
        }
        assert!(errors > image.bytes.len() / 2, "only {errors} prefixes were noticed");
    }
}

/// Opens, walks some extents, reads some data; whatever the bytes, the layer keeps to its contract.
fn walk(bytes: &[u8], what: &str) {
    let start = Instant::now();
    if let Ok(layer) = open(bytes) {
        let disk = Disk::new(vec![layer.into()]).unwrap();
        let mut buf = vec![0; 64 << 10];
        for extent in disk.extents(0, u64::MAX).take(500) {
            match extent {
                Ok(extent) => {
                    let len = (buf.len() as u64).min(disk.virtual_size() - extent.offset) as usize;
                    let read = disk.read_exact_at(extent.offset, &mut buf[..len]);
                    assert!(read.map_err(|e| e.kind()) != Err(ErrorKind::Contract), "{what}");
                }
                Err(e) => assert_ne!(e.kind(), ErrorKind::Contract, "{what}: {e}"),
            }
        }
        let last = disk.virtual_size() - 1;
        let _ = (disk.extent_at(last), disk.host_range(last), disk.read_exact_at(last, &mut buf[..1]));
    }
    assert!(start.elapsed() < Duration::from_secs(1), "{what} took {:?}", start.elapsed());
}

#[test]
fn flipped_bits_of_headers_texts_and_tables_break_nothing_else() {
    for (number, plan) in plans().into_iter().enumerate() {
        let image = plan.build();
        let mut places: Vec<usize> = (0..80).collect();
        if number == 0 {
            places.extend(512..700);
        }
        for at in image.tables_at.iter().copied().chain([image.directory_at, image.redundant_at]) {
            places.extend(at..at + 16);
        }
        if plan.at_end {
            places.extend(image.footer_at - 512..image.footer_at + 80);
        }
        for at in places {
            for bit in 0..8 {
                let mut bytes = image.bytes.clone();
                bytes[at] ^= 1 << bit;
                walk(&bytes, &format!("bit {bit} of byte {at:#x}"));
            }
        }
    }
}

#[test]
fn extreme_numbers_everywhere_in_the_header_break_nothing_else() {
    for plan in plans() {
        let image = plan.build();
        for at in 4..80 {
            for value in [0u64, 1, 0x7fff_ffff, 0xffff_ffff, 1 << 53, 1 << 55, u64::MAX - 1, u64::MAX] {
                let mut image = image.clone();
                image.put(at, &value.to_le_bytes());
                walk(&image.bytes, &format!("{value:#x} at {at:#x}"));
                if plan.at_end {
                    image.put(image.footer_at + at, &value.to_le_bytes());
                    walk(&image.bytes, &format!("{value:#x} at {at:#x} of header and footer"));
                }
            }
        }
    }
}

#[test]
fn a_damaged_stream_never_reads_as_another_disk() {
    let image = Plan::stream().build();
    for grain in [0, 3, 4, 5] {
        for at in image.grains_at[grain]..image.grains_at[grain] + 2000 {
            let mut bytes = image.bytes.clone();
            bytes[at] ^= 0x10;
            if let Ok(content) = read(&bytes) {
                assert!(content == image.content, "byte {at:#x}");
            }
        }
    }
}

/// Opens descriptor `text` over an extent file `x` of these bytes, walks and checks it.
fn walk_parts(folder: &std::path::Path, text: &[u8], extent: &[u8], what: &str) {
    let start = Instant::now();
    std::fs::write(folder.join("x"), extent).unwrap();
    let gate: Arc<dyn format_core::Gate> = Arc::new(FolderGate::new(folder.to_owned(), Arc::new([])));
    let open = || Arc::new(MemStorage(text.to_vec()));
    let context = LayerContext::new(gate);
    if let Ok(layer) = (FORMAT.open_layer.unwrap())(open(), &context) {
        // The parent of a snapshot is not looked for here.
        let disk = Disk::new(vec![layer.into()]).unwrap();
        let mut buf = vec![0; 64 << 10];
        for extent in disk.extents(0, u64::MAX).take(500) {
            match extent {
                Ok(extent) => {
                    let len = (buf.len() as u64).min(disk.virtual_size() - extent.offset) as usize;
                    let read = disk.read_exact_at(extent.offset, &mut buf[..len]);
                    assert!(read.map_err(|e| e.kind()) != Err(ErrorKind::Contract), "{what}");
                }
                Err(e) => assert_ne!(e.kind(), ErrorKind::Contract, "{what}: {e}"),
            }
        }
    }
    if let Err(error) = (FORMAT.check.unwrap())(open(), &context) {
        assert_ne!(error.kind(), ErrorKind::Contract, "{what}: {error}");
    }
    assert!(start.elapsed() < Duration::from_secs(1), "{what} took {:?}", start.elapsed());
}

const HEAD: &str = "# Disk DescriptorFile\nCID=1\nparentCID=ffffffff\ncreateType=\"custom\"\n";

#[test]
fn extreme_numbers_in_esx_extents_break_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let cowd = (esx::Cowd::sample().bytes, "VMFSSPARSE", (0..32).chain(2048..2052).chain(2560..2568));
    let directory = esx::SeSparse::DIRECTORY * 512;
    let tables = esx::SeSparse::TABLES * 512;
    let se_places: Vec<_> =
        (0..208).chain(512..544).chain(directory..directory + 8).chain(tables..tables + 16).collect();
    let sesparse = (esx::SeSparse::sample().bytes, "SESPARSE", se_places);
    let both = [(cowd.0, cowd.1, cowd.2.collect::<Vec<_>>()), sesparse];
    for (good, kind, places) in both {
        let text = format!("{HEAD}RW 64 {kind} \"x\"\n");
        for at in places {
            for value in [[0; 8], [0x7f; 8], [0xff; 8], [1, 0, 0, 0, 0, 0, 0, 0]] {
                let mut bytes = good.clone();
                bytes[at..at + 8].copy_from_slice(&value);
                walk_parts(folder.path(), text.as_bytes(), &bytes, &format!("{kind} {value:x?} at {at:#x}"));
            }
        }
        for len in (0..good.len()).step_by(97) {
            walk_parts(folder.path(), text.as_bytes(), &good[..len], &format!("{len:#x} bytes of {kind}"));
        }
    }
}

#[test]
fn damaged_descriptors_break_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let lines =
        "encoding=\"GBK\"\nRW 3 FLAT \"x\" 1\nRW 9 ZERO\nRDONLY 8 VMFS \"x\" 4\nddb.uuid.parent=\"0\"\n";
    let text = format!("{HEAD}{lines}").into_bytes();
    let extent = vec![7; 16 * 512];
    for at in 0..text.len() {
        walk_parts(folder.path(), &text[..at], &extent, &format!("the first {at} bytes"));
        for value in [0, b'"', b'=', b'9', b'\n', b' ', 0xff, text[at] ^ 0x20] {
            let mut text = text.clone();
            text[at] = value;
            walk_parts(folder.path(), &text, &extent, &format!("{value:#x} at {at}"));
        }
    }
    for number in ["18446744073709551615", "36028797018963968", "99999999999999999999", "-1", "0x10"] {
        for line in [format!("RW {number} ZERO"), format!("RW 1 FLAT \"x\" {number}")] {
            walk_parts(folder.path(), format!("{HEAD}{line}\n{line}\n").as_bytes(), &extent, &line);
        }
    }
}
