//! A good image reads as it was built; the same with one thing broken is refused with the reason.

use crate::builder::{Plan, SECTOR, at, check, open, read};
use format_core::ErrorKind::{self, Corrupt, Unsupported};
use format_core::ExtentKind;

#[test]
fn what_was_built_is_read() {
    for ext in [false, true] {
        let image = Plan::sample(ext).build();
        assert!(read(&image.bytes).unwrap() == image.content);
        let report = check(&image.bytes).unwrap();
        assert!(report.is_clean(), "{report:?}");
        assert_eq!((report.total_chunks, report.allocated_chunks, report.fragmented_chunks), (10, 6, 1));
    }
}

#[test]
fn extents_and_places_are_told() {
    let layer = open(&Plan::sample(false).build().bytes).unwrap();
    let (mut at, mut found) = (0, Vec::new());
    while at < layer.virtual_size() {
        let extent = layer.extent_at(at).unwrap();
        found.push((extent.len / SECTOR as u64, extent.kind));
        at = extent.end();
    }
    use ExtentKind::{Data, Unallocated};
    assert_eq!(
        found,
        [(6, Data), (3, Unallocated), (3, Data), (6, Unallocated), (6, Data), (3, Unallocated), (1, Data)]
    );
    // The first two clusters are neighbours in the file.
    let range = |at: u64| layer.host_range(at).map(|range| (range.offset, range.len));
    assert_eq!(range(5), Some((512 + 1536 + 5, 2 * 1536 - 5)));
    assert_eq!(range(6 * 1536), Some((512 + 3 * 1536, 1536)));
    assert_eq!(range(2 * 1536), None);
    assert!(layer.identity().is_none() && layer.parent().is_none());
}

/// A field of the header, what is put there, and what must come of it.
type Broken = (usize, u32, ErrorKind, &'static str);

const BROKEN: &[Broken] = &[
    (0, 0x6874_6958, Corrupt, "neither the header of an expanding image"),
    (at::VERSION, 1, Unsupported, "the version is 1"),
    (at::TRACKS, 0, Corrupt, "a cluster has 0x0 sectors"),
    (at::TRACKS, 0x80001, Corrupt, "a cluster has 0x80001 sectors"),
    (at::TRACKS, 2, Corrupt, "the disk has 0xe clusters"),
    (at::BAT_ENTRIES, 9, Corrupt, "the BAT has 0x9 entries"),
    (at::BAT_ENTRIES, 0xffff_ffff, Corrupt, "the BAT ends at 0x40000003c of a file of"),
    (at::SECTORS, 31, Corrupt, "the disk has 0xb clusters"),
    (at::SECTORS + 4, 1, Corrupt, "0x10000001c sectors, the form of the image allows 32 bits"),
    (at::SECTORS + 4, 0xffff_ffff, Corrupt, "the form of the image allows 32 bits"),
];

#[test]
fn each_broken_field_is_refused_with_its_reason() {
    let good = Plan::sample(false).build();
    for &(at, value, kind, reason) in BROKEN {
        let mut image = good.clone();
        image.put(at, value);
        let error = open(&image.bytes).err().unwrap_or_else(|| panic!("{value:#x} at {at:#x}"));
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(reason), "{error}");
    }
    let error = open(&good.bytes[..63]).err().unwrap();
    assert!(error.to_string().contains("the file has 0x3f bytes"), "{error}");
    // The later form has 64 bits for the size.
    let mut large = Plan::sample(true).build();
    large.put(at::SECTORS + 4, 1);
    assert!(open(&large.bytes).err().unwrap().to_string().contains("the BAT has 0xa entries"));
}

#[test]
fn a_cluster_outside_is_corrupt_when_it_is_read_and_nothing_else_suffers() {
    let good = Plan::sample(true).build();
    for (entry, reason) in
        [(8, "cluster 3 is at 0x3000, needs 0x600"), (u32::MAX, "cluster 3 is at 0x5fffffffa00")]
    {
        let mut image = good.clone();
        image.put(at::BAT + 3 * 4, entry);
        let layer = open(&image.bytes).unwrap();
        let error = layer.extent_at(3 * 1536).unwrap_err();
        assert_eq!((error.kind(), error.offset()), (Corrupt, Some(76)), "{error}");
        assert!(error.to_string().contains(reason), "{error}");
        assert!(layer.read_exact_at(3 * 1536 + 5, &mut [0; 1]).is_err());
        let mut before = vec![0; 3 * 1536];
        layer.read_exact_at(0, &mut before).unwrap();
        assert!(before == image.content[..3 * 1536]);
        let report = check(&image.bytes).unwrap();
        assert_eq!((report.errors, report.leaks), (1, 1), "{report:?}");
    }
    // The BAT goes on into the second sector.
    let mut early = Plan { tracks: 1, sectors: 200, map: (1..=200).collect(), ..Plan::sample(false) }.build();
    early.put(at::BAT, 1);
    let error = open(&early.bytes).unwrap().extent_at(0).unwrap_err();
    assert!(error.to_string().contains("in the header or the BAT, which end at 0x360"), "{error}");
}

#[test]
fn an_image_that_was_not_closed_is_remarked() {
    let mut image = Plan::sample(true).build();
    image.put(at::IN_USE, 0x746f_6e59);
    let layer = open(&image.bytes).unwrap();
    assert_eq!(layer.warnings()[0].code, "parallels-in-use");
    assert_eq!(layer.details()["dirty-flag"], true);
    assert!(read(&image.bytes).unwrap() == image.content);
    assert_eq!(check(&image.bytes).unwrap().errors, 1);
}

#[test]
fn the_check_finds_what_reading_does_not() {
    let good = Plan::sample(false).build();
    let errors = |at: usize, value: u32| {
        let mut image = good.clone();
        image.put(at, value);
        let report = check(&image.bytes).unwrap();
        (report.errors, report.leaks, report.findings.first().map(|finding| finding.message.clone()))
    };
    let (count, leaks, message) = errors(at::BAT, 7);
    assert_eq!((count, leaks), (1, 1));
    assert!(message.unwrap().contains("cluster 1 shares its place 0xe00"));
    let (count, leaks, message) = errors(at::BAT, 8);
    assert_eq!((count, leaks), (1, 1));
    assert!(message.unwrap().contains("is no whole number of clusters"));
    let (count, _, message) = errors(at::DATA_OFF, 0x7fff_ffff);
    assert_eq!(count, 1);
    assert!(message.unwrap().contains("data_off"));
    let (count, _, message) = errors(at::DATA_OFF, 4);
    assert_eq!(count, 1);
    assert!(message.unwrap().contains("cluster 3 is at 0x200, before the data at 0x800"));
    // The first form may leave it out.
    assert_eq!(errors(at::DATA_OFF, 0), (0, 0, None));
    let mut longer = good.clone();
    longer.bytes.extend([0; 2000]);
    let report = check(&longer.bytes).unwrap();
    assert_eq!((report.errors, report.leaks, report.leaked_bytes), (0, 2, 2 * 1536));
    let (count, _, message) = errors(at::SECTORS, 27);
    assert_eq!(count, 1);
    assert!(message.unwrap().contains("cluster 9 is in the file, the disk has 9"));
    // A format extension uses clusters of its own.
    longer.put(at::EXT_OFF, (512 + 6 * 1536) / 512);
    assert!(check(&longer.bytes).unwrap().is_clean());
    assert!(read(&longer.bytes).unwrap() == longer.content);
}
