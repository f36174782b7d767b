//! Good bytes with one thing broken: each fault is named with its numbers.

use crate::maker::{CLUSTER, L1, Maker, open};
use format_core::ErrorKind::{self, Corrupt, Unsupported};
use format_core::{ExtentKind, MemStorage, ParentRef};
use std::sync::Arc;

const SIZE: u64 = 1 << 20;

fn good() -> Maker {
    let mut maker = Maker::new(SIZE);
    maker.data(0, &[7; CLUSTER]);
    maker.entry(1, 1);
    maker.data(255, &[9; CLUSTER]);
    maker
}

fn broken(kind: ErrorKind, text: &str, change: impl FnOnce(&mut Maker)) {
    let mut maker = good();
    change(&mut maker);
    let error = maker.read().expect_err(text);
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains("qed: "), "{error}");
    assert!(error.to_string().contains(text), "wanted {text:?} in: {error}");
}

#[test]
fn the_hand_made_image_is_good() {
    let maker = good();
    let bytes = maker.read().unwrap();
    assert_eq!((bytes[0], bytes[CLUSTER - 1], bytes[CLUSTER], bytes[SIZE as usize - 1]), (7, 7, 0, 9));
    let layer = open(Arc::new(MemStorage(maker.bytes.clone()))).unwrap();
    let kinds: Vec<_> =
        [0, 4096, 8192].iter().map(|at| layer.extent_at(*at).unwrap()).map(|e| (e.kind, e.len)).collect();
    assert_eq!(
        kinds,
        [
            (ExtentKind::Data, 4096),
            (ExtentKind::Zero, 4096),
            (ExtentKind::Unallocated, SIZE - 3 * CLUSTER as u64)
        ]
    );
    assert!(layer.warnings().is_empty() && layer.parent().is_none());
    assert_eq!(layer.details()["cluster-size"], 4096);
    let report = maker.check().unwrap();
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(
        (report.total_chunks, report.allocated_chunks, report.fragmented_chunks),
        (256, 2, 1),
        "the L2 table lies between the two clusters"
    );
    assert_eq!(report.image_end, maker.bytes.len() as u64);
}

#[test]
fn every_fault_of_the_header_is_named() {
    broken(Corrupt, "the file has 0x3f bytes", |i| i.bytes.truncate(63));
    broken(Corrupt, "the magic is [51, 45, 44, 01]", |i| i.bytes[3] = 1);
    for size in [0, 2048, 4097, 128 << 20] {
        broken(Corrupt, &format!("cluster_size is {size:#x}, not a power"), |i| {
            i.u32(4, size);
        });
    }
    for size in [0, 3, 32] {
        broken(Corrupt, &format!("table_size is {size} clusters"), |i| {
            i.u32(8, size);
        });
    }
    for size in [0, 100, u32::MAX] {
        broken(Corrupt, &format!("header_size is {size} clusters"), |i| {
            i.u32(12, size);
        });
    }
    broken(Unsupported, "the features 0x8 are not supported", |i| {
        i.u64(16, 8);
    });
    broken(Corrupt, "image_size is 0x100001", |i| {
        i.u64(48, SIZE + 1);
    });
    broken(Corrupt, "image_size is 0x100000200, the tables reach to 0x100000000", |i| {
        i.u64(48, (1 << 32) + 512);
    });
    broken(Corrupt, "the L1 table is at 0x1001, no multiple", |i| {
        i.u64(40, 4097);
    });
    broken(Corrupt, "the L1 table is at 0x0, inside the header, which ends at 0x1000", |i| {
        i.u64(40, 0);
    });
    broken(Corrupt, "the L1 table is at 0xfffffffffffff000+0x2000, the file ends at 0x7000", |i| {
        i.u64(40, !0xfff);
    });
}

#[test]
fn every_fault_of_the_backing_file_is_named() {
    broken(Corrupt, "the backing file name has 0 bytes", |i| {
        i.backing(b"");
    });
    broken(Corrupt, "the backing file name has 0 bytes", |i| {
        i.backing(b"\0a");
    });
    broken(Corrupt, "the backing file name has 4096 bytes", |i| {
        i.backing(b"a").u32(60, 4096);
    });
    broken(Corrupt, "the backing file name is at 0xfff+0x2, the header ends at 0x1000", |i| {
        i.backing(b"ab").u32(56, 0xfff);
    });
    broken(Corrupt, "the backing file name is not UTF-8 (at 0x100)", |i| {
        i.backing(b"\xff");
    });
}

#[test]
fn every_fault_of_an_entry_is_named() {
    broken(
        Corrupt,
        "L1 entry 0: the L2 table is at 0x1, no multiple of the cluster size 0x1000 (at 0x1000)",
        |i| {
            i.u64(L1, 1);
        },
    );
    broken(Corrupt, "L1 entry 0: the L2 table is at 0x6000+0x2000, the file ends at 0x7000", |i| {
        i.u64(L1, 0x6000);
    });
    broken(Corrupt, "L2 entry 3 of the table at 0x4000: the cluster is at 0x2, no multiple", |i| {
        i.entry(3, 2);
    });
    broken(Corrupt, "L2 entry 3 of the table at 0x4000: the cluster is at 0x8000000000000000+0x1000", |i| {
        i.entry(3, 1 << 63);
    });
    // The file lost its last byte, and with it a cluster.
    broken(Corrupt, "the cluster is at 0x6000+0x1000, the file ends at 0x6fff", |i| {
        i.bytes.pop();
    });
}

#[test]
fn flags_and_parents_are_told() {
    let mut maker = good();
    maker.backing(b"base\0xx").u64(16, 7).u64(24, !0).u64(32, !0);
    let layer = open(Arc::new(MemStorage(maker.bytes.clone()))).unwrap();
    assert_eq!(layer.warnings()[0].code, "qed-needs-check");
    assert_eq!(layer.details()["dirty-flag"], true);
    let wanted = ParentRef { names: vec!["base".into()], format: Some("raw".into()), identity: None };
    assert_eq!(layer.parent(), Some(&wanted));
    maker.u64(16, 1);
    let layer = open(Arc::new(MemStorage(maker.bytes))).unwrap();
    assert_eq!(layer.parent().unwrap().format, None);
    assert!(layer.warnings().is_empty());
}

#[test]
fn the_check_finds_what_reading_would_not() {
    let finding = |change: &dyn Fn(&mut Maker), text: &str, counts: (u64, u64)| {
        let mut maker = good();
        change(&mut maker);
        let report = maker.check().unwrap();
        assert_eq!((report.errors, report.leaks), counts, "{report:?}");
        assert!(report.findings.iter().any(|f| f.message.contains(text)), "{report:?}");
    };
    finding(
        &|i| {
            i.entry(9, 0x3000);
        },
        "L2 entry 9 of the table at 0x4000 at 0x3000 is used by something",
        (1, 0),
    );
    finding(
        &|i| {
            i.entry(9, 0x1000);
        },
        "at 0x1000 is used by something else",
        (1, 0),
    );
    finding(
        &|i| {
            i.u64(L1 + 8, 0x4000);
        },
        "the L2 table of L1 entry 1 at 0x4000 is used",
        (1, 0),
    );
    finding(
        &|i| {
            i.entry(9, 3);
        },
        "the cluster is at 0x3, no multiple",
        (1, 0),
    );
    finding(
        &|i| {
            i.u64(L1 + 0x800, 5);
        },
        "L1 entry 256: the L2 table is at 0x5",
        (1, 0),
    );
    finding(
        &|i| {
            i.append(&[]);
            i.append(&[]);
        },
        "2 clusters of 0x1000 bytes are used by nothing",
        (0, 2),
    );
    finding(
        &|i| {
            i.entry(0, 0);
        },
        "1 clusters",
        (0, 1),
    );
    finding(
        &|i| {
            i.u64(16, 2);
        },
        "was not closed",
        (0, 0),
    );
}
