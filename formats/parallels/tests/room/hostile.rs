//! Cut and flipped images and descriptors: an error or the right bytes, soon, and never a broken contract.

use crate::builder::{Descriptor, Folder, NIL, Plan, check, guid, open, read};
use format_core::{Disk, ErrorKind};
use std::time::{Duration, Instant};

#[test]
fn every_prefix_is_an_error_or_the_whole_disk() {
    for ext in [false, true] {
        let image = Plan::sample(ext).build();
        for len in 0..image.bytes.len() {
            match read(&image.bytes[..len]) {
                Ok(content) => panic!("{len:#x} bytes: {}", content == image.content),
                Err(e) => assert_eq!(e.kind(), ErrorKind::Corrupt, "{len:#x}: {e}"),
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
fn flipped_bits_and_extreme_numbers_break_nothing_else() {
    for ext in [false, true] {
        let image = Plan::sample(ext).build();
        for at in 0..104 {
            for bit in 0..8 {
                let mut bytes = image.bytes.clone();
                bytes[at] ^= 1 << bit;
                walk(&bytes, &format!("bit {bit} of byte {at:#x}"));
            }
            for value in [0u64, 1, 0x7fff_ffff, 0xffff_ffff, 1 << 40, 1 << 55, 1 << 63, u64::MAX] {
                for len in [4, 8] {
                    let mut bytes = image.bytes.clone();
                    bytes[at..at + len].copy_from_slice(&value.to_le_bytes()[..len]);
                    walk(&bytes, &format!("{value:#x} at {at:#x}"));
                }
            }
        }
    }
}

#[test]
fn cut_and_changed_descriptors_end_soon() {
    let image = Plan::sample(true).build();
    let descriptor = Descriptor {
        sectors: 28,
        storages: vec![(0, 28, 3, vec![(guid(0), "Compressed", "0.hds".into())])],
        shots: vec![(guid(0), NIL.into())],
        ..Descriptor::default()
    };
    let text = descriptor.text();
    let folder = Folder::new(&text, &[("0.hds", &image.bytes)]);
    let try_one = |bytes: &[u8]| {
        let start = Instant::now();
        std::fs::write(folder.path().join("DiskDescriptor.xml"), bytes).unwrap();
        let found = folder.content(None);
        assert!(start.elapsed() < Duration::from_secs(1));
        found
    };
    for len in 0..text.trim_end().len() {
        assert!(try_one(&text.as_bytes()[..len]).is_err(), "{len}");
    }
    for at in 0..text.len() {
        let value = [0, b'<', b'>', b'9', 0xff][at % 5];
        let mut bytes = text.clone().into_bytes();
        bytes[at] = value;
        if let Ok(found) = try_one(&bytes) {
            assert!(found == image.content, "{value:#x} at {at}");
        }
    }
}
