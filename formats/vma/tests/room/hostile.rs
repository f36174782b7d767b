//! Numbers that are meant to harm.

use crate::builder::{Plan, context, flow, header_end, open, reseal};
use format_core::ErrorKind;
use format_vma::FORMAT;
use std::time::{Duration, Instant};

/// Any error is right, fast.
fn survives(file: &[u8]) {
    let start = Instant::now();
    for error in [open(file).err(), flow(file, Some("drive-scsi0")).err()].into_iter().flatten() {
        assert_ne!(error.kind(), ErrorKind::Contract, "{error}");
    }
    // Milliseconds; hosts that run other things at once are slower.
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

#[test]
fn every_number_of_the_header_at_its_limits() {
    let file = Plan::sample().build();
    let words = [48, 52, 56, 2044, 3068, 4096, 4128, 4136, 4140, 4160, 4168, 4172];
    for at in words {
        for value in [0, 1, 0x7fff_ffff, 0x8000_0000, u32::MAX, 0x1_0000, 12800] {
            let mut file = file.clone();
            file[at..at + 4].copy_from_slice(&value.to_be_bytes());
            if header_end(&file) >= 12288 {
                reseal(&mut file);
            }
            survives(&file);
        }
    }
}

#[test]
fn every_slot_of_an_extent_at_its_limits() {
    let file = Plan::sample().build();
    let head = header_end(&file);
    for slot in [0, 4, 5, 58] {
        for word in [0, u64::MAX, 1 << 63, 0xffff_0001_0000_0000, 0x0001_0001_ffff_ffff, 0x0002_0000_0000] {
            let mut file = file.clone();
            let at = head + 40 + slot * 8;
            file[at..at + 8].copy_from_slice(&word.to_be_bytes());
            reseal(&mut file);
            survives(&file);
        }
    }
}

#[test]
fn a_small_file_of_huge_devices_takes_no_memory() {
    let mut file = Plan::sample().build();
    for device in 1..3 {
        let at = 4096 + device * 32 + 8;
        file[at..at + 8].copy_from_slice(&(1_u64 << 48).to_be_bytes());
    }
    reseal(&mut file);
    let error = open(&file).err().unwrap();
    assert!(error.to_string().contains("truncated: the devices have 8589934592 clusters"), "{error}");
    // A stream says so before the target gets that size.
    let from = Box::new(std::io::Cursor::new(file.clone()));
    let error = FORMAT.open_stream.unwrap()(from, &context(Some("drive-scsi0"))).err().unwrap();
    assert!(error.kind() == ErrorKind::Corrupt && error.to_string().contains("not believed"), "{error}");
    survives(&file);
}
