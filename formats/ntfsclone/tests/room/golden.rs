//! What was built is read: as a layer and through a pipe.

use crate::builder::{DATA, Plan, check, open, read, read_in, stream};

#[test]
fn what_was_built_is_read_in_every_way() {
    let sample = Plan::sample();
    let many = |step: usize, count: usize| (0..count).map(|at| at % step < step / 2).collect::<Vec<_>>();
    for plan in [
        sample.clone(),
        Plan { has_tail: false, behind: 0, ..sample.clone() },
        Plan { has_tail: false, minor: 0, behind: 0, ..sample.clone() },
        Plan { behind: 0, ..sample.clone() },
        Plan { map: (0..50).map(|at| at == 0).collect(), has_tail: false, behind: 0, ..sample.clone() },
        Plan { map: Vec::new(), has_tail: false, behind: 0, ..sample.clone() },
        // More runs than a page of the index has, and runs longer than what is read at once.
        Plan { map: many(2, 12_000), cluster_size: 512, ..sample.clone() },
        Plan { map: many(6000, 20_000), cluster_size: 512, ..sample.clone() },
        Plan { map: many(3, 9), cluster_size: 2 << 20, behind: 512, ..sample.clone() },
    ] {
        let built = plan.build();
        let what = Plan { map: Vec::new(), ..plan };
        for piece in [3 << 20, 70_001] {
            assert!(read_in(&built.bytes, piece).unwrap() == built.content, "{what:?}");
        }
        assert!(stream(&built.bytes).unwrap() == (built.content, 0), "{what:?}");
        let report = check(&built.bytes).unwrap();
        assert!(report.is_clean(), "{what:?}: {report:?}");
        assert_eq!(report.image_end, built.bytes.len() as u64);
    }
}

#[test]
fn a_missing_copy_of_the_boot_sector_is_made() {
    let mut built = Plan { has_tail: false, behind: 512, ..Plan::sample() }.build();
    let sector = &mut built.bytes[DATA + 1..DATA + 1 + 512];
    sector[3..11].copy_from_slice(b"NTFS    ");
    sector[0x0b..0x0d].copy_from_slice(&512u16.to_le_bytes());
    sector[0x28..0x30].copy_from_slice(&24u64.to_le_bytes());
    let sector = sector.to_vec();
    let content = read(&built.bytes).unwrap();
    assert!(content[..512] == sector && content[24 * 512..] == sector);
    assert!(stream(&built.bytes).unwrap().0 == content);
}

#[test]
fn clusters_lie_plain_one_by_one() {
    let built = Plan::sample().build();
    let layer = open(&built.bytes).unwrap();
    let range = layer.host_range(1024 + 10).unwrap();
    assert_eq!((range.offset, range.len), (DATA as u64 + 1025 + 1 + 10, 1014));
    assert!(layer.host_range(2048).is_none());
    assert_eq!(layer.extent_at(0).unwrap().len, 2048);
    assert_eq!(layer.details()["image-version"], "10.1");
    assert_eq!(layer.details()["clusters-used"], 7);
}
