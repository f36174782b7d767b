//! Good bytes with one thing broken, or numbers at their ends, are refused with the reason, at once.

use crate::builder::{DATA, Plan, check, open, read, stream};
use format_core::ErrorKind::{self, Corrupt, Unsupported};
use format_core::Score;
use format_ntfsclone::FORMAT;
use std::time::{Duration, Instant};

/// Where, what is put there, and what must come of it.
type Broken = (usize, &'static [u8], ErrorKind, &'static str);

const BROKEN: &[Broken] = &[
    (1, b"N", Corrupt, "does not begin as an image of ntfsclone"),
    (16, &[9], Unsupported, "the image's version is 9.1"),
    (17, &[2], Unsupported, "the image's version is 10.2"),
    (18, &[0, 3], Unsupported, "a cluster has 0x300 bytes"),
    (18, &[0; 4], Unsupported, "a cluster has 0x0 bytes"),
    (18, &[0, 0, 0x40, 0], Unsupported, "a cluster has 0x400000 bytes"),
    (22, &[0xff; 8], Corrupt, "more than 2^63"),
    (30, &[0xff; 8], Corrupt, "more than 2^63"),
    (22, &[0; 8], Corrupt, "cluster 0x1 lies behind the device's end at 0x0"),
    (46, &[49, 0, 0, 0], Corrupt, "the clusters begin at 0x31"),
    (46, &[0xff; 4], Corrupt, "the clusters begin at 0xffffffff"),
    (DATA, &[2], Corrupt, "0x02 stands before cluster 0x0"),
    (DATA + 2 * 1025, &[7], Corrupt, "0x07 stands before cluster 0x2"),
    (DATA + 2 * 1025 + 1, &[0; 8], Corrupt, "0 clusters are left out from cluster 0x2"),
    (DATA + 2 * 1025 + 1, &[0xff; 8], Corrupt, "-1 clusters are left out"),
    (DATA + 2 * 1025 + 1, &[12], Corrupt, "12 clusters are left out from cluster 0x2 on, there are 0xd"),
    (30, &[0, 1], Corrupt, "the image ends at"),
];

#[test]
fn each_broken_field_is_refused_with_its_reason() {
    for &(at, value, kind, reason) in BROKEN {
        let mut bytes = Plan::sample().build().bytes;
        bytes[at..at + value.len()].copy_from_slice(value);
        for error in [open(&bytes).err(), stream(&bytes).err()] {
            let error = error.unwrap_or_else(|| panic!("{value:x?} at {at}"));
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.to_string().contains(reason) || value == [0; 8], "{error}");
        }
    }
}

#[test]
fn every_cut_is_noticed_and_what_follows_the_end_is_told() {
    let good = Plan::sample().build();
    let tail = good.bytes.len() - 701;
    for end in 0..good.bytes.len() {
        let cut = &good.bytes[..end];
        // A missing copy of the boot sector is no damage: old programs saved none.
        assert_eq!(open(cut).is_ok(), end == tail, "cut at {end} of {tail}");
        assert_eq!(stream(cut).is_ok(), end == tail, "cut at {end}");
    }
    let mut bytes = good.bytes;
    bytes.extend([1; 90]);
    assert_eq!(check(&bytes).unwrap().leaked_bytes, 90);
    assert!(stream(&bytes).unwrap() == (good.content, 1));
}

#[test]
fn no_number_makes_it_slow_or_large() {
    let good = Plan::sample().build();
    let started = Instant::now();
    let gap = DATA + 2 * 1025 + 1;
    for (at, len) in [(16, 1), (17, 1), (18, 4), (22, 8), (30, 8), (38, 8), (46, 4), (gap, 8)] {
        for value in [
            0u64,
            1,
            0x7f,
            0x80,
            0xff,
            512,
            1 << 20,
            0x7fff_ffff,
            1 << 53,
            u64::MAX / 2,
            u64::MAX / 1024,
            u64::MAX,
        ] {
            let mut bytes = good.bytes.clone();
            bytes[at..at + len].copy_from_slice(&value.to_le_bytes()[..len]);
            if let Ok(layer) = open(&bytes) {
                let size = layer.virtual_size();
                assert!(size == 0 || layer.extent_at(size - 1).unwrap().len == 1);
                if size < 1 << 20 {
                    read(&bytes).unwrap();
                }
            }
            let _ = (stream(&bytes), check(&bytes));
        }
    }
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

#[test]
fn a_device_that_the_clusters_contradict_is_told() {
    let good = Plan { has_tail: false, behind: 0, ..Plan::sample() }.build();
    assert!(open(&good.bytes).unwrap().warnings().is_empty());
    for device in [12u64 << 10 | 1 << 30, 14 << 10, (12 << 10) - 1] {
        let mut bytes = good.bytes.clone();
        bytes[22..30].copy_from_slice(&device.to_le_bytes());
        let layer = open(&bytes).unwrap();
        assert_eq!(layer.warnings()[0].code, "ntfsclone-size", "{device:#x}");
        let report = check(&bytes).unwrap();
        assert_eq!(report.errors, 1, "{report:?}");
        assert!(report.findings.iter().any(|finding| finding.message.contains("which end at 0x3000")));
    }
    assert_eq!(stream(&[&good.bytes[..23], &[0x38], &good.bytes[24..]].concat()).unwrap().1, 1);
}

#[test]
fn one_wrong_byte_of_the_magic_is_another_file() {
    let good = Plan::sample().build().bytes;
    assert_eq!((FORMAT.probe)(&good, &[]), Score::Magic);
    for at in 0..b"\0ntfsclone-image".len() {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        assert_eq!((FORMAT.probe)(&bytes, &[]), Score::No, "{at}");
        assert_eq!((FORMAT.probe)(&good[..at], &[]), Score::No, "{at}");
    }
}
