//! What is free, judged by fsck.fat and mtools after all of it was overwritten with noise.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod images;

use driver_core::GuestFs;
use driver_fs_fat::open;
use images::{Image, MemoryVolume, pattern, text, tool};
use std::ops::Range;

/// Many files, of which half are deleted again, and what is left of them.
fn fill(image: &Image) -> Vec<(String, Vec<u8>)> {
    image.mmd("EFI");
    image.mmd("EFI/deep");
    let mut files = Vec::new();
    for number in 0..40usize {
        let path = format!("EFI/deep/file{number}");
        let content = pattern(number * 7919 % 60_000);
        image.mcopy_in(&path, &content);
        files.push((path, content));
    }
    for (path, _) in files.iter().skip(1).step_by(2) {
        let done = tool("mdel", &["-i", image.path.to_str().unwrap(), &format!("::{path}")]);
        assert!(done.status.success(), "{}", text(&done));
    }
    let content = pattern(300_000);
    image.mcopy_in("EFI/large", &content);
    let mut left: Vec<_> = files.into_iter().step_by(2).collect();
    left.push(("EFI/large".into(), content));
    left
}

fn total(ranges: &[Range<u64>]) -> u64 {
    ranges.iter().map(|range| range.end - range.start).sum()
}

#[test]
fn nothing_is_lost_with_what_is_free() {
    for kind in [
        ("12", 4 << 10, "512", "8"),
        ("16", 40 << 10, "512", "8"),
        ("32", 64 << 10, "512", "1"),
        ("32", 300 << 10, "4096", "1"),
    ] {
        let image = Image::make(kind);
        let files = fill(&image);
        let found = open(image.volume()).unwrap().free_ranges().unwrap().unwrap();
        // "x: 47 files, 1234/9876 clusters"
        let told = text(&tool("fsck.fat", &["-n", image.path.to_str().unwrap()]));
        let (used, all) = told.rsplit_once(" files, ").unwrap().1.split_once('/').unwrap();
        let all = all.split_whitespace().next().unwrap();
        let free = all.parse::<u64>().unwrap() - used.parse::<u64>().unwrap();
        let cluster = kind.2.parse::<u64>().unwrap() * kind.3.parse::<u64>().unwrap();
        // Up to a short hole for each file.
        let (most, least) = (free * cluster, (free * cluster).saturating_sub(45 * (64 << 10)));
        assert!((least..=most).contains(&total(&found)), "{kind:?}: {found:x?} of {most:#x}");
        let mut bytes = image.bytes();
        for range in &found {
            bytes[range.start as usize..range.end as usize].fill(0xa5);
        }
        std::fs::write(&image.path, bytes).unwrap();
        image.assert_clean(&format!("{kind:?}"));
        for (path, content) in files {
            assert!(image.mcopy_out(&path) == content, "{kind:?}: {path}");
        }
    }
}

/// With single files between, every hole of 64 KiB and more is found, and no other.
#[test]
fn holes_are_where_files_were() {
    let image = Image::make(("16", 40 << 10, "512", "8"));
    for number in 0..10usize {
        image.mcopy_in(&format!("file{number}"), &pattern(40_960 * (1 + number % 2)));
    }
    let before = open(image.volume()).unwrap().free_ranges().unwrap().unwrap();
    assert_eq!(before.len(), 1);
    for number in [1, 2, 5] {
        let done = tool("mdel", &["-i", image.path.to_str().unwrap(), &format!("::file{number}")]);
        assert!(done.status.success(), "{}", text(&done));
    }
    let after = open(image.volume()).unwrap().free_ranges().unwrap().unwrap();
    // Files 1 and 2 are neighbours of 80 and 40 KiB, 5 has 80.
    let sizes: Vec<u64> = after.iter().map(|range| range.end - range.start).collect();
    assert_eq!(sizes[..2], [3 * 40_960, 2 * 40_960]);
    assert_eq!(after[2..], before[..]);
}

#[test]
fn a_table_that_lies_is_an_error() {
    let image = Image::make(("16", 40 << 10, "512", "8"));
    image.mcopy_in("file", &pattern(40_000));
    let good = image.bytes();
    let answer = |bytes: Vec<u8>| open(MemoryVolume::new(bytes)).unwrap().free_ranges();
    assert!(answer(good.clone()).unwrap().is_some());
    let table = 512 * usize::from(u16::from_le_bytes([good[14], good[15]]));
    // The file's first cluster marked free, in one copy, and in both.
    let copy = table + 512 * usize::from(u16::from_le_bytes([good[22], good[23]]));
    assert_ne!(good[table + 4], 0);
    let mut bytes = good;
    for at in [table + 4, copy + 4] {
        bytes[at] = 0;
        bytes[at + 1] = 0;
        assert!(answer(bytes.clone()).is_err(), "{at:#x}");
    }
}
