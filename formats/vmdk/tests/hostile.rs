//! Cut and flipped images: an error or the right bytes, soon, and never a broken contract.

#![allow(clippy::unwrap_used)]

mod builder;

use builder::{Plan, STREAM, open, read};
use format_core::{Disk, ErrorKind};
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
