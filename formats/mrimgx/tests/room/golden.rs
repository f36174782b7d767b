//! Good backups of one file.

use crate::builder::*;
use format_core::{ExtentKind, Score};
use format_mrimgx::FORMAT;

#[test]
fn a_full_backup_is_the_disk() {
    for is_packed in [true, false] {
        let plan = Plan { is_packed, ..Plan::sample() };
        let bytes = plan.build();
        assert_eq!((FORMAT.probe)(&bytes, &bytes), Score::Magic);
        let container = open_bytes(&bytes).unwrap();
        assert_eq!(container.disks()[0].name, "disk3");
        assert_eq!(container.details()["image-id"], "D684BA87241263E2");
        let disk = disk(&container, 0).unwrap();
        let wanted = plan.content(0);
        assert!(content(&disk).unwrap() == wanted, "packed {is_packed}");
        let base = 1 << 20;
        for (at, len) in [
            (0, 1),
            (500, 2000),
            (base - 7, 20),
            (base + 4090, 12),
            (base + 10_000, 9000),
            (wanted.len() - 3, 3),
        ] {
            let mut part = vec![0; len];
            disk.read_exact_at(at as u64, &mut part).unwrap();
            assert!(part == wanted[at..at + len], "{at}+{len}");
        }
        assert_eq!(container.completeness().unwrap(), []);
        let report = container.check(&|_| Ok(())).unwrap();
        assert!(report.is_clean(), "{report:?}");
        assert_eq!((report.total_chunks, report.allocated_chunks), (11, 8));
    }
}

#[test]
fn what_is_not_stored_is_known_as_zeros() {
    let disk = disk(&open_bytes(&Plan::sample().build()).unwrap(), 0).unwrap();
    let extents: Vec<_> = disk.extents(0, u64::MAX).map(Result::unwrap).collect();
    let zeros: Vec<_> =
        extents.iter().filter(|extent| extent.kind == ExtentKind::Zero).map(|e| (e.offset, e.len)).collect();
    let (mib, block) = (1 << 20, BLOCK as u64);
    let part = mib;
    let logical = 2 * mib + 64 * 512;
    assert_eq!(zeros[0], (2048, mib - 2048));
    assert_eq!(zeros[1], (part + 2 * block, block));
    assert_eq!(zeros[2], (part + 4 * block, 2 * block));
    assert_eq!(zeros.last().unwrap(), &(logical + 2 * block + 1024, 4 * mib - logical - 2 * block - 1024));
}

#[test]
fn reserved_sectors_lie_before_the_blocks() {
    let mut plan = Plan::sample();
    let disk = &mut plan.disks[0];
    disk.size = 16 << 20;
    disk.partitions.truncate(1);
    disk.partitions[0].start = 5 << 20;
    disk.partitions[0].reserved = sample(RESERVED + 3 * 512, 12);
    disk.partitions[0].length = (RESERVED + 3 * 512 + 8 * BLOCK) as u64;
    disk.extended.clear();
    disk.track0 = boot_record(&[(0x0b, 10240, 8192)]);
    assert!(read_bytes(&plan.build()).unwrap() == plan.content(0));
    // An empty block before others has no place that anybody documented.
    let written = plan.write();
    let index = written.header("$INDEX") + 32;
    let mut bytes = written.bytes.clone();
    bytes[index + 4 + 24..index + 4 + 28].fill(0);
    reseal(&mut bytes, written.header("$INDEX"));
    let error = read_bytes(&bytes).unwrap_err();
    assert_eq!(error.kind(), format_core::ErrorKind::Unsupported, "{error}");
}

/// Puts the MD5 of a metadata block right.
pub(crate) fn reseal(bytes: &mut [u8], header: usize) {
    use md5::Digest;
    let len = u32::from_le_bytes(bytes[header + 8..header + 12].try_into().unwrap()) as usize;
    let sum = md5::Md5::digest(&bytes[header + 32..header + 32 + len]);
    bytes[header + 12..header + 28].copy_from_slice(&sum);
}

#[test]
fn several_disks_are_apart() {
    let mut plan = Plan::sample();
    let mut second = plan.disks[0].clone();
    second.number = 7;
    second.track0 = boot_record(&[(7, 2048, 64)]);
    second.extended.clear();
    second.partitions.truncate(1);
    second.partitions[0].blocks[0].1 = Source::Here(sample(BLOCK, 4711));
    plan.disks.push(second);
    let container = open_bytes(&plan.build()).unwrap();
    let names: Vec<_> = container.disks().iter().map(|disk| disk.name.as_str()).collect();
    assert_eq!(names, ["disk3", "disk7"]);
    for index in 0..2 {
        assert!(content(&disk(&container, index).unwrap()).unwrap() == plan.content(index), "{index}");
    }
}

#[test]
fn partitions_that_were_left_out_are_told() {
    let mut plan = Plan::sample();
    let told = |plan: &Plan| {
        let container = open_bytes(&plan.build()).unwrap();
        let warnings = container.open_disk(0).unwrap().warnings;
        warnings.into_iter().map(|warning| (warning.code, warning.message)).collect::<Vec<_>>()
    };
    assert_eq!(told(&plan), []);
    plan.disks[0].partitions.truncate(1);
    let warnings = told(&plan);
    assert_eq!(warnings[0].0, "mrimgx-partitions-left-out");
    assert!(warnings[0].1.contains("at 0x208000"), "{warnings:?}");
    // A GPT with two partitions, one of which is held.
    let track0 = &mut plan.disks[0].track0;
    *track0 = boot_record(&[(0xee, 1, 8191)]);
    let mut header = b"EFI PART".to_vec();
    header.resize(72, 0);
    header.extend_from_slice(&2_u64.to_le_bytes());
    header.extend_from_slice(&128_u32.to_le_bytes());
    header.extend_from_slice(&128_u32.to_le_bytes());
    header.resize(512, 0);
    track0.extend(header);
    for start in [2048_u64, 6000] {
        let mut entry = vec![1; 32];
        entry.extend_from_slice(&start.to_le_bytes());
        entry.resize(128, 0);
        track0.extend(entry);
    }
    track0.resize(16384, 0);
    plan.disks[0].extended.clear();
    let warnings = told(&plan);
    assert!(warnings[0].1.contains("at 0x2ee000:"), "{warnings:?}");
    assert_eq!(warnings[1].0, "mrimgx-no-second-gpt");
}
