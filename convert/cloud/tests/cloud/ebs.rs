//! Snapshots, against a service that keeps all rules that AWS writes down, and against ones that break them.

mod rules;

use super::options;
use super::stub::noise;
use convert_cloud::{CloudOptions, EbsSnapshot, EbsTarget, Environment};
use format_core::units::GIB;
use format_core::{ErrorKind, ExtentKind, Storage, TargetStorage};
use test_cloud_servers::ebs::{BLOCK, Fake, Fault};

const OLD: &str = "snap-00000000000000001";
const NEW: &str = "snap-00000000000000002";

fn with(fake: &Fake) -> CloudOptions {
    let url = fake.url();
    let variables = [
        ("AWS_ENDPOINT_URL", url.as_str()),
        ("AWS_ACCESS_KEY_ID", super::signed::ID),
        ("AWS_SECRET_ACCESS_KEY", super::signed::KEY),
        ("AWS_REGION", "eu-west-1"),
    ];
    CloudOptions { environment: Environment::only(variables), ..options() }
}

/// A volume of a GiB with blocks here and there.
fn sparse() -> Vec<(u64, Vec<u8>)> {
    let numbers = [0u64, 1, 2, 7, 8, 100, 101, 102, 103, 104, 105, 106, 107, 2046, 2047];
    let all = noise(BLOCK * numbers.len());
    numbers.into_iter().zip(all.chunks(BLOCK).map(<[u8]>::to_vec)).collect()
}

fn open(fake: &Fake) -> format_core::Result<EbsSnapshot> {
    EbsSnapshot::open(NEW, None, &with(fake))
}

/// What the snapshot holds where something was written, and that all else is told to be zeros.
fn compare(snapshot: &EbsSnapshot, wanted: &[(u64, Vec<u8>)]) {
    let (mut at, mut found) = (0, Vec::new());
    while at < snapshot.size() {
        let extent = snapshot.data_at(at).unwrap();
        assert!(extent.offset == at && extent.len > 0 && extent.len <= snapshot.size() - at);
        if extent.kind == ExtentKind::Data {
            let mut bytes = vec![0; extent.len as usize];
            snapshot.read_exact_at(at, &mut bytes).unwrap();
            found.extend(
                bytes.chunks(BLOCK).enumerate().map(|(i, b)| (at / BLOCK as u64 + i as u64, b.to_vec())),
            );
        }
        at += extent.len;
    }
    assert!(found == wanted, "{:?}", found.iter().map(|(index, _)| *index).collect::<Vec<_>>());
}

#[test]
fn a_snapshot_is_read_with_its_holes() {
    let fake = Fake::new();
    fake.put(NEW, 1, sparse());
    let snapshot = open(&fake).unwrap();
    assert_eq!((snapshot.size(), snapshot.identity().value.as_str()), (GIB, NEW));
    compare(&snapshot, &sparse());
    // Parts of blocks, over borders of written and unwritten ones.
    let mut part = vec![1; 3 * BLOCK];
    snapshot.read_exact_at(2 * BLOCK as u64 + 100, &mut part).unwrap();
    assert!(part[..BLOCK - 100] == sparse()[2].1[100..] && part[BLOCK - 100..].iter().all(|byte| *byte == 0));
    let before = fake.count("block");
    for at in (0..BLOCK as u64).step_by(4096) {
        snapshot.read_exact_at(at, &mut [0; 4096]).unwrap();
    }
    assert_eq!(fake.count("block"), before + 1, "small reads share a block");
    assert_eq!(snapshot.read_exact_at(GIB - 1, &mut [0; 2]).unwrap_err().kind(), ErrorKind::Corrupt);
    assert!(snapshot.data_at(GIB).is_err());
}

#[test]
fn pages_empty_pages_and_ended_tokens_change_nothing() {
    for fault in [
        Fault::None,
        Fault::EmptyPages,
        Fault::PageTokensEnd,
        Fault::BlockTokensEnd,
        Fault::Throttled,
        Fault::ThrottledFor,
        Fault::CutBlock,
    ] {
        let fake = Fake::new();
        fake.put(NEW, 1, sparse());
        fake.set(fault, 2);
        compare(&open(&fake).unwrap(), &sparse());
        let refused = if matches!(fault, Fault::None | Fault::EmptyPages) { 0 } else { 2 };
        assert_eq!(fake.count("refused"), refused, "{fault:?}");
    }
}

#[test]
fn a_large_volume_is_read_without_its_list_in_memory() {
    let fake = Fake::new();
    let block = noise(BLOCK);
    let last = 16 * 1024 * 2048 - 1;
    fake.put(NEW, 16 * 1024, vec![(0, block.clone()), (last, block.clone())]);
    let snapshot = open(&fake).unwrap();
    compare(&snapshot, &[(0, block.clone()), (last, block)]);
}

#[test]
fn what_changed_since_is_told() {
    let fake = Fake::new();
    let mut blocks = sparse();
    fake.put(OLD, 1, blocks.clone());
    // One is changed, one is new, one is gone.
    blocks[3].1[5] ^= 1;
    blocks.remove(5);
    blocks.push((500, noise(BLOCK)));
    fake.put(NEW, 1, blocks);
    let block = BLOCK as u64;
    for fault in [Fault::None, Fault::EmptyPages, Fault::PageTokensEnd] {
        fake.set(fault, 1);
        let changed: Vec<_> = open(&fake).unwrap().changed_since(OLD).unwrap().iter().collect();
        assert_eq!(changed, [(7 * block, block), (100 * block, block), (500 * block, block)], "{fault:?}");
    }
    assert_eq!(open(&fake).unwrap().changed_since("snap-x").unwrap_err().kind(), ErrorKind::Usage);
    assert_eq!(
        open(&fake).unwrap().changed_since("snap-00000000000000009").unwrap_err().kind(),
        ErrorKind::SourceMissing
    );
}

#[test]
fn a_snapshot_is_written_and_read_again() {
    let fake = Fake::new();
    let target = EbsTarget::start(1, None, None, &with(&fake)).unwrap();
    let id = target.id().to_owned();
    assert!(target.is_blank() && !target.is_sequential());
    target.set_len(GIB).unwrap();
    assert_eq!(target.set_len(GIB + 1).unwrap_err().kind(), ErrorKind::Destination);
    let mut wanted = sparse();
    std::thread::scope(|scope| {
        for (index, block) in &wanted[..12] {
            let target = &target;
            scope.spawn(move || target.write_all_at(index * BLOCK as u64, block).unwrap());
        }
    });
    // In parts, and one that is never whole.
    for part in [3, 1, 0, 2] {
        let at = part * BLOCK / 4;
        target
            .write_all_at(wanted[12].0 * BLOCK as u64 + at as u64, &wanted[12].1[at..at + BLOCK / 4])
            .unwrap();
    }
    target.write_all_at(2046 * BLOCK as u64 + 10, &[7; 5]).unwrap();
    wanted.truncate(13);
    let mut last = vec![0; BLOCK];
    last[10..15].fill(7);
    wanted.push((2046, last));
    Box::new(target).commit().unwrap();
    compare(&EbsSnapshot::open(&id, None, &with(&fake)).unwrap(), &wanted);
    assert!(fake.count("state") >= 1, "completed is asked for, not assumed");
}

#[test]
fn a_snapshot_with_a_parent_gets_what_differs() {
    let fake = Fake::new();
    fake.put(OLD, 1, sparse());
    let target = EbsTarget::start(1, Some(OLD), None, &with(&fake)).unwrap();
    let id = target.id().to_owned();
    assert!(!target.is_blank());
    target.zero_range(BLOCK as u64, BLOCK as u64).unwrap();
    target.write_all_at(7 * BLOCK as u64, &vec![9; BLOCK]).unwrap();
    Box::new(target).commit().unwrap();
    let mut wanted = sparse();
    wanted[1].1.fill(0);
    wanted[3].1.fill(9);
    compare(&EbsSnapshot::open(&id, None, &with(&fake)).unwrap(), &wanted);

    let target = EbsTarget::start(1, Some(OLD), None, &with(&fake)).unwrap();
    target.write_all_at(10, &[1]).unwrap();
    assert_eq!(Box::new(target).commit().unwrap_err().kind(), ErrorKind::Unsupported);
    // What is not complete is not left behind.
    drop(EbsTarget::start(1, None, None, &with(&fake)).unwrap());
    assert_eq!(fake.count("deleted"), 2);
}
