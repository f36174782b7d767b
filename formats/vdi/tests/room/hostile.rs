//! Cut and flipped images: an error or the right bytes, soon, and never a broken contract.

use crate::builder::{Plan, check, open, read};
use format_core::{Disk, ErrorKind};
use std::time::{Duration, Instant};

fn plans() -> [Plan; 3] {
    [Plan::sample(), Plan::extra(), Plan { kind: 4, uuids: [1, 2, 3, 4], ..Plan::sample() }]
}

#[test]
fn every_prefix_is_an_error_or_the_whole_disk() {
    for plan in plans() {
        let image = plan.build();
        // The last block of the file is used as far as the disk goes.
        let needed = image.bytes.len() - 724;
        for len in 0..image.bytes.len() {
            match read(&image.bytes[..len]) {
                Ok(content) => assert!(len >= needed && content == image.content, "{len:#x} bytes"),
                Err(e) => assert!(len < needed && e.kind() == ErrorKind::Corrupt, "{len:#x}: {e}"),
            }
            let _ = check(&image.bytes[..len]);
        }
    }
}

/// Opens, walks the extents, reads, checks; whatever the bytes, the layer keeps to its contract.
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
        if let Some(last) = disk.virtual_size().checked_sub(1) {
            let _ = (disk.extent_at(last), disk.host_range(last), disk.read_exact_at(last, &mut buf[..1]));
        }
    }
    let _ = check(bytes);
    assert!(start.elapsed() < Duration::from_secs(1), "{what} took {:?}", start.elapsed());
}

#[test]
fn flipped_bits_of_header_and_map_break_nothing_else() {
    for plan in plans() {
        let image = plan.build();
        for at in (0x40..0x54).chain(0x150..0x200).chain(0x200..0x228) {
            for bit in 0..8 {
                let mut bytes = image.bytes.clone();
                bytes[at] ^= 1 << bit;
                walk(&bytes, &format!("bit {bit} of byte {at:#x}"));
            }
        }
    }
}

#[test]
fn extreme_numbers_everywhere_break_nothing_else() {
    for plan in plans() {
        let image = plan.build();
        for at in (0x40..0x54).chain(0x150..0x200).chain(0x200..0x228) {
            for value in [0u64, 1, 0x7fff_ffff, 0xffff_ffff, 1 << 40, 1 << 63, u64::MAX - 1, u64::MAX] {
                for len in [4, 8] {
                    let mut bytes = image.bytes.clone();
                    bytes[at..at + len].copy_from_slice(&value.to_le_bytes()[..len]);
                    walk(&bytes, &format!("{value:#x} at {at:#x}"));
                }
            }
        }
    }
}
