//! A good image reads as it was built; the same with one thing broken is refused with the reason.

use crate::builder::{FREE, Plan, ZERO, at, check, open, read};
use format_core::ErrorKind::{self, Corrupt, Unsupported};
use format_core::ExtentKind;

#[test]
fn what_was_built_is_read() {
    for plan in [Plan::sample(), Plan::extra(), Plan { kind: 2, map: (0..10).collect(), ..Plan::sample() }] {
        let image = plan.build();
        assert!(read(&image.bytes).unwrap() == image.content, "{plan:?}");
        let report = check(&image.bytes).unwrap();
        assert!(report.is_clean(), "{plan:?}: {report:?}");
        assert_eq!(report.total_chunks, 10);
    }
}

#[test]
fn extents_tell_free_zero_and_data_apart() {
    let layer = open(&Plan::sample().build().bytes).unwrap();
    let (mut at, mut found) = (0, Vec::new());
    while at < layer.virtual_size() {
        let extent = layer.extent_at(at).unwrap();
        found.push((extent.len, extent.kind));
        at = extent.end();
    }
    use ExtentKind::{Data, Unallocated, Zero};
    let kib = |n: u64| n * 1024;
    let expected = [
        (kib(2), Data),
        (kib(1), Unallocated),
        (kib(1), Data),
        (kib(2), Zero),
        (kib(2), Unallocated),
        (kib(1) + 300, Data),
    ];
    assert_eq!(found, expected);
    // Blocks 0 and 1 are neighbours in the file, 8 and 9 are not.
    let range = |at: u64| layer.host_range(at).map(|range| (range.offset, range.len));
    assert_eq!(range(100), Some((0x400 + 2 * 1024 + 100, 2 * 1024 - 100)));
    assert_eq!(range(8 * 1024), Some((0x400 + 1024, 1024)));
    assert_eq!(range(2 * 1024), None);
    assert_eq!(layer.identity(), Some("01010101-0101-0101-0101-010101010101"));
    assert_eq!(layer.details()["image-type"], "dynamic");
    assert!(layer.parent().is_none());
}

/// A field of the header, what is put there, and what must come of it.
type Broken = (usize, u32, ErrorKind, &'static str);

const BROKEN: &[Broken] = &[
    (at::SIGNATURE, 0xbeda_1070, Corrupt, "the signature is 0xbeda1070"),
    (at::VERSION, 1, Unsupported, "the version is 0.1"),
    (at::VERSION, 0x0001_0002, Unsupported, "the version is 1.2"),
    (at::HEADER_SIZE, 0x17f, Corrupt, "says that it has 0x17f bytes"),
    (at::TYPE, 3, Unsupported, "the image type is 3"),
    (at::TYPE, 4, Corrupt, "the parent's UUID is nil"),
    (at::SECTOR_SIZE, 4096, Unsupported, "the sector size is 0x1000"),
    (at::BLOCK_SIZE, 256, Corrupt, "the block size is 0x100"),
    (at::BLOCK_SIZE, 1025, Corrupt, "the block size is 0x401"),
    (at::BLOCK_SIZE, 0, Corrupt, "the block size is 0x0"),
    (at::BLOCK_SIZE, 1 << 29, Corrupt, "the block size is 0x20000000"),
    (at::BLOCK_EXTRA, 1025, Corrupt, "0x401 extra bytes"),
    (at::BLOCKS, 9, Corrupt, "0x9 blocks of 0x400 bytes hold less"),
    (at::DISK_SIZE, 10 * 1024 + 1, Corrupt, "the disk has 0x2801 bytes"),
    (at::ALLOCATED, 11, Corrupt, "0xb blocks are said to be allocated"),
    (at::OFF_BLOCKS, 0x1d7, Corrupt, "the header ends at 0x1d8"),
    (at::OFF_DATA, 0x227, Corrupt, "the blocks begin at 0x227"),
    (at::BLOCKS, 0xffff_ffff, Corrupt, "the block map is at 0x200+0x3fffffffc"),
];

#[test]
fn each_broken_field_is_refused_with_its_reason() {
    let good = Plan::sample().build();
    for &(at, value, kind, reason) in BROKEN {
        let mut image = good.clone();
        image.put(at, value);
        let error = open(&image.bytes).err().unwrap_or_else(|| panic!("{value:#x} at {at:#x}"));
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(reason), "{error}");
    }
    let error = open(&good.bytes[..0x1c7]).err().unwrap();
    assert!(error.to_string().contains("the file has 0x1c7 bytes"), "{error}");
    let mut image = good;
    image.put(at::OFF_BLOCKS, 0x8000);
    image.put(at::OFF_DATA, 0x10000);
    let error = open(&image.bytes).err().unwrap();
    assert!(error.to_string().contains("at 0x8000+0x28 of a file of"), "{error}");
}

#[test]
fn a_block_outside_is_corrupt_when_it_is_read_and_nothing_else_suffers() {
    let good = Plan::sample().build();
    for (entry, reason) in
        [(10, "block 3 is said to be block 10 of the file"), (9, "block 3 is at 0x2800, needs 0x400")]
    {
        let mut image = good.clone();
        image.put(0x200 + 3 * 4, entry);
        let layer = open(&image.bytes).unwrap();
        let error = layer.extent_at(3 * 1024).unwrap_err();
        assert_eq!((error.kind(), error.offset()), (Corrupt, Some(0x20c)), "{error}");
        assert!(error.to_string().contains(reason), "{error}");
        assert!(layer.read_exact_at(3 * 1024 + 5, &mut [0; 1]).is_err());
        let mut before = vec![0; 3 * 1024];
        layer.read_exact_at(0, &mut before).unwrap();
        assert!(before == image.content[..3 * 1024]);
        assert!(layer.extent_at(2 * 1024).unwrap().len == 1024);
        let report = check(&image.bytes).unwrap();
        // The entry, the wrong count, and the block that nothing refers to any more.
        assert_eq!((report.errors, report.leaks), (2, 1), "{report:?}");
    }
}

#[test]
fn the_check_finds_what_reading_does_not() {
    let good = Plan::sample().build();
    let mut shared = good.clone();
    shared.put(0x200 + 4, 2);
    let report = check(&shared.bytes).unwrap();
    assert_eq!((report.errors, report.leaks, report.leaked_bytes), (1, 1, 1024), "{report:?}");
    assert!(report.findings[0].message.contains("block 1 shares block 2"), "{report:?}");
    assert_eq!(report.findings[1].at, Some(0x400 + 3 * 1024));
    let mut counted = good.clone();
    counted.put(at::ALLOCATED, 4);
    assert_eq!(check(&counted.bytes).unwrap().errors, 1);
    let mut longer = good;
    longer.bytes.extend([0; 2000]);
    let report = check(&longer.bytes).unwrap();
    assert_eq!((report.errors, report.leaks, report.leaked_bytes), (0, 2, 2048), "{report:?}");
    assert_eq!(report.fragmented_chunks, 1);
}

#[test]
fn entries_behind_the_disk_are_checked_but_not_read() {
    let mut plan = Plan::sample();
    plan.map.extend([FREE, ZERO, 5]);
    let image = plan.build();
    assert!(read(&image.bytes).unwrap() == image.content);
    let report = check(&image.bytes).unwrap();
    assert_eq!((report.allocated_chunks, report.errors), (6, 1), "{report:?}");
    assert!(report.findings[0].message.contains("the disk has 0x"), "{report:?}");
}

#[test]
fn an_area_within_a_sector_is_read_and_found_by_the_check() {
    let image = Plan { off_data: 0x433, ..Plan::sample() }.build();
    assert!(read(&image.bytes).unwrap() == image.content);
    let report = check(&image.bytes).unwrap();
    assert_eq!(report.errors, 1, "{report:?}");
    assert!(report.findings[0].message.contains("the data area is at 0x433"), "{report:?}");
}
