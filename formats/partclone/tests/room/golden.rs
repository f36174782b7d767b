//! What was built is read: as a layer, through a pipe, and with a clean check.

use crate::builder::{Plan, check, open, read, stream};
use format_core::ExtentKind::{Data, Unallocated};

fn plans() -> Vec<Plan> {
    let sample = Plan::sample();
    let mut plans = Vec::new();
    for (mode, per_sum) in [(0, 0), (0x20, 1), (0x20, 3), (0x20, 4096), (0x30, 3), (0x31, 2)] {
        for bitmap in [0, 1, 8] {
            for reseed in [true, false] {
                plans.push(Plan { mode, per_sum, bitmap, reseed, ..sample.clone() });
            }
        }
    }
    plans.push(Plan { map: Vec::new(), ..sample.clone() });
    plans.push(Plan { map: vec![false; 100], behind: 0, ..sample.clone() });
    // More than a page of the map, and groups of checksums.
    let map = (0..600_000u32).map(|at| at.is_multiple_of(3) || at % 1000 < 500).collect::<Vec<_>>();
    plans.push(Plan { map: map[..20_000].to_vec(), per_sum: 7, bitmap: 8, ..sample.clone() });
    plans.push(Plan { block_size: 4096, map: map[..3000].to_vec(), per_sum: 256, behind: 0, ..sample });
    plans
}

#[test]
fn what_was_built_is_read_in_every_way() {
    for plan in plans() {
        let built = plan.build();
        let what = Plan { map: Vec::new(), ..plan.clone() };
        assert!(read(&built.bytes).unwrap() == built.content, "{what:?}");
        let (content, warnings) = stream(&built.bytes).unwrap();
        assert!(content == built.content && warnings == 0, "{what:?}");
        let report = check(&built.bytes).unwrap();
        assert!(report.is_clean(), "{what:?}: {report:?}");
        assert_eq!(report.image_end, built.bytes.len() as u64);
    }
}

#[test]
fn a_map_of_many_pages_counts_right() {
    // A bit for each of 600,000 blocks: 75 KB, two pages; the data are few.
    let map: Vec<bool> = (0..600_000u32).map(|at| at % 9001 < 2).collect();
    let built = Plan { map, per_sum: 100, ..Plan::sample() }.build();
    let layer = open(&built.bytes).unwrap();
    for block in [0usize, 9001, 524_287, 530_000, 9001 * 60, 9001 * 66 + 1] {
        let mut sector = [0; 512];
        layer.read_exact_at(block as u64 * 512, &mut sector).unwrap();
        assert!(sector[..] == built.content[block * 512..(block + 1) * 512], "{block}");
    }
}

#[test]
fn extents_tell_what_is_in_the_image() {
    let layer = open(&Plan::sample().build().bytes).unwrap();
    let (mut at, mut found) = (0, Vec::new());
    while at < layer.virtual_size() {
        let extent = layer.extent_at(at).unwrap();
        found.push((extent.len, extent.kind));
        at = extent.end();
    }
    let b = |blocks: u64| blocks * 512;
    let expected = [
        (b(2), Data),
        (b(1), Unallocated),
        (b(1), Data),
        (b(3), Unallocated),
        (b(4), Data),
        (b(1), Unallocated),
        (b(1), Data),
        (700, Unallocated),
    ];
    assert_eq!(found, expected);
    assert!(layer.host_range(0).is_none(), "bytes with checksums are read through them");
    let plain = open(&Plan { mode: 0, per_sum: 0, ..Plan::sample() }.build().bytes).unwrap();
    let host = plain.host_range(512 * 3 + 5).unwrap();
    assert_eq!((host.offset, host.len), (110 + 2 + 4 + 2 * 512 + 5, 507));
    assert_eq!(plain.details()["checksum"], "none");
    assert_eq!(layer.details()["blocks-used"], 8);
    assert_eq!(layer.details()["partclone-version"], "9.9.9");
}
