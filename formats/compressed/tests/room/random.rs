//! Reading at any place.

use crate::tools::{MIB, at, disk, through, whole};
use format_compressed::{GZIP, XZ, ZSTD};
use format_core::{ExtentKind, Format, Storage, is_zero};
use std::sync::Arc;

fn check(what: &str, storage: &Arc<dyn Storage>, disk: &[u8]) {
    assert_eq!(storage.size(), disk.len() as u64, "{what}");
    let mut number = 12345u64;
    let mut places = Vec::new();
    for _ in 0..120 {
        number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let from = (number >> 20) as usize % disk.len();
        let len = [1, 512, 4096, 70_000, 3 * MIB][(number >> 10) as usize % 5].min(disk.len() - from);
        places.push((from, len));
    }
    std::thread::scope(|scope| {
        for part in places.chunks(30) {
            scope.spawn(move || {
                for &(from, len) in part {
                    let mut buf = vec![0xee; len];
                    storage.read_exact_at(from as u64, &mut buf).unwrap();
                    assert!(buf == disk[from..from + len], "{what}: {len} bytes from {from}");
                }
            });
        }
    });
    assert!(storage.read_exact_at(disk.len() as u64, &mut [0]).is_err());
    assert!(storage.read_exact_at(u64::MAX, &mut [0; 2]).is_err());
    let mut from = 0;
    while from < disk.len() {
        let extent = storage.data_at(from as u64).unwrap();
        assert!(extent.len > 0 && extent.offset == from as u64, "{what}");
        let content = &disk[from..extent.end() as usize];
        assert!(extent.kind == ExtentKind::Data || is_zero(content), "{what} at {from}");
        from = extent.end() as usize;
    }
    assert!(storage.data_at(disk.len() as u64).is_err());
    assert!(whole(storage.as_ref()).unwrap() == disk, "{what}");
}

#[test]
fn every_place_reads_the_same() {
    let mut disk = disk(9 * MIB + 321);
    disk[2 * MIB..6 * MIB].fill(0);
    let ours = |format: &'static Format| crate::writing::write(format, &disk, &[]);
    for (what, format, packed) in [
        ("bgzip", &GZIP, through("tabix", "bgzip -c", &disk)),
        ("xz", &XZ, through("xz-utils", "xz -c -1 --block-size=700KiB", &disk)),
        ("xz in one", &XZ, through("xz-utils", "xz -c -1", &disk)),
        ("our gzip", &GZIP, ours(&GZIP)),
        ("our zstd", &ZSTD, ours(&ZSTD)),
    ] {
        let storage = at(format, &packed).unwrap().unwrap_or_else(|| panic!("{what} has no index"));
        check(what, &storage, &disk);
    }
}

#[test]
fn streams_of_different_checks_are_read_each_by_its_own() {
    let (first, second) = (disk(700_000), disk(500_000));
    let pack = |check: &str, disk: &[u8]| {
        through("xz-utils", &format!("xz -c -1 --block-size=100KiB --check={check}"), disk)
    };
    let mut packed = pack("sha256", &first);
    packed.extend([0; 12]);
    packed.extend(pack("none", &[]));
    packed.extend(pack("crc32", &second));
    packed.extend([0; 8]);
    let storage = at(&XZ, &packed).unwrap().unwrap();
    check("several streams", &storage, &[first, second].concat());
}

#[test]
fn large_blocks_are_shared_by_threads_and_too_large_ones_are_none() {
    let disk = disk(40 * MIB);
    let packed = through("xz-utils", "xz -c -0 --block-size=16MiB", &disk);
    check("large blocks", &at(&XZ, &packed).unwrap().unwrap(), &disk);
    let packed = through("xz-utils", "head -c 68000000 /dev/zero | xz -c -0", &[]);
    assert!(at(&XZ, &packed).unwrap().is_none());
}

#[test]
fn zeros_are_known_as_zeros() {
    let mut disk = vec![0; 64 * MIB];
    disk[30 * MIB + 5] = 1;
    for format in [&GZIP, &ZSTD] {
        let packed = crate::writing::write(format, &disk, &[]);
        let storage = at(format, &packed).unwrap().unwrap();
        let mut data = 0;
        let mut from = 0;
        while from < storage.size() {
            let extent = storage.data_at(from).unwrap();
            data += if extent.kind == ExtentKind::Data { extent.len } else { 0 };
            from = extent.end();
        }
        assert_eq!(data, MIB as u64, "{}", format.name);
    }
}
