//! Good bytes with one thing broken: each fault is named with its numbers.

use crate::maker::{CLUSTER, COMPRESSED, L1, Maker, open, open_with};
use format_core::ErrorKind::{self, Corrupt, Limit, NeedsPerson, Unsupported};
use format_core::{ExtentKind, MemStorage, ParentRef, Score};
use format_qcow1::FORMAT;
use std::sync::Arc;

const SIZE: u64 = 1 << 20;

/// L2 table at 0x600, plain cluster at 0x400, compressed one at 0x800.
fn good() -> Maker {
    let mut maker = Maker::new(SIZE);
    maker.data(0, &[7; CLUSTER]);
    maker.compressed(3, &[8; CLUSTER]);
    maker
}

fn broken(kind: ErrorKind, text: &str, change: impl FnOnce(&mut Maker)) {
    let mut maker = good();
    change(&mut maker);
    let error = maker.read().expect_err(text);
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains("qcow1: "), "{error}");
    assert!(error.to_string().contains(text), "wanted {text:?} in: {error}");
}

#[test]
fn the_hand_made_image_is_good() {
    let maker = good();
    let bytes = maker.read().unwrap();
    assert_eq!((bytes[0], bytes[CLUSTER - 1], bytes[CLUSTER], bytes[3 * CLUSTER]), (7, 7, 0, 8));
    let layer = open(Arc::new(MemStorage(maker.bytes.clone()))).unwrap();
    let kinds: Vec<_> = [0, 512, 1536, 2048]
        .iter()
        .map(|at| layer.extent_at(*at).unwrap())
        .map(|e| (e.kind, e.len))
        .collect();
    assert_eq!(
        kinds,
        [
            (ExtentKind::Data, 512),
            (ExtentKind::Unallocated, 1024),
            (ExtentKind::Data, 512),
            (ExtentKind::Unallocated, 0x8000 - 2048)
        ]
    );
    assert_eq!(layer.extent_at(0x8000).unwrap().len, SIZE - 0x8000, "all tables that are not there at once");
    assert!(layer.is_compressed_at(1536) && !layer.is_compressed_at(0) && !layer.is_compressed_at(SIZE));
    assert!(layer.host_range(0).is_some_and(|range| range.offset == 0x400));
    assert!(layer.host_range(1536).is_none());
    assert!(layer.warnings().is_empty() && layer.parent().is_none());
    assert_eq!(layer.details()["cluster-size"], 512);
    let report = maker.check().unwrap();
    assert!(report.is_clean(), "{report:?}");
    assert_eq!((report.total_chunks, report.allocated_chunks, report.compressed_chunks), (2048, 2, 1));
    assert_eq!(report.image_end, maker.bytes.len() as u64);
}

#[test]
fn only_the_first_version_is_recognised() {
    let mut head = good().bytes;
    assert_eq!((FORMAT.probe)(&head, &[]), Score::Magic);
    for version in [0, 2, 3] {
        head[7] = version;
        assert_eq!((FORMAT.probe)(&head, &[]), Score::No);
    }
    assert_eq!((FORMAT.probe)(b"QFI\xfb", &[]), Score::No);
}

#[test]
fn every_fault_of_the_header_is_named() {
    broken(Corrupt, "the file has 0x2f bytes", |i| i.bytes.truncate(47));
    broken(Corrupt, "the magic is [51, 46, 49, 00]", |i| i.bytes[3] = 0);
    broken(Unsupported, "version 2 is not the first", |i| i.bytes[7] = 2);
    for bits in [0, 8, 17, 255] {
        broken(Corrupt, &format!("cluster_bits is {bits}, possible are 9 to 16"), |i| i.bytes[32] = bits);
    }
    for bits in [0, 5, 14, 255] {
        broken(Corrupt, &format!("l2_bits is {bits}, possible are 6 to 13"), |i| i.bytes[33] = bits);
    }
    broken(Unsupported, "crypt_method is 2", |i| i.bytes[39] = 2);
    broken(NeedsPerson, "the image is encrypted with AES", |i| i.bytes[39] = 1);
    broken(Corrupt, "the L1 table of 0x100 bytes is at 0x2f", |i| {
        i.u64(40, 0x2f);
    });
    broken(Corrupt, "the L1 table of 0x100 bytes is at 0xffffffffffffffff", |i| {
        i.u64(40, u64::MAX);
    });
    broken(Limit, "the L1 table has 0x10000000000000 bytes", |i| {
        i.u64(24, u64::MAX);
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
    broken(Corrupt, "the backing file name has 1024 bytes", |i| {
        i.backing(b"a").u32(16, 1024);
    });
    broken(Corrupt, "the backing file name of 1 bytes is at 0x20", |i| {
        i.backing(b"a").u64(8, 0x20);
    });
    broken(Corrupt, "the backing file name of 1 bytes is at 0xffffffffffffffff", |i| {
        i.backing(b"a").u64(8, u64::MAX);
    });
    broken(Corrupt, "the backing file name is not UTF-8 (at 0x80)", |i| {
        i.backing(b"\xff");
    });
}

#[test]
fn every_fault_of_an_entry_is_named() {
    broken(Corrupt, "L1 entry 0: the L2 table is at 0x1, inside the header (at 0x200)", |i| {
        i.u64(L1, 1);
    });
    broken(Corrupt, "L1 entry 0: the L2 table is at 0x8000000000000600+0x200, the file ends at", |i| {
        i.u64(L1, COMPRESSED | 0x600);
    });
    broken(
        Corrupt,
        "L2 entry 5 of the table at 0x600: the cluster is at 0x401, no multiple of 0x200 (at 0x628)",
        |i| {
            i.entry(5, 0x401);
        },
    );
    broken(
        Corrupt,
        "L2 entry 5 of the table at 0x600: the cluster is at 0x800+0x200, the file ends at",
        |i| {
            i.entry(5, 0x800);
        },
    );
    broken(Corrupt, "L2 entry 5 of the table at 0x600: the cluster is at 0x10, inside the header", |i| {
        i.entry(5, COMPRESSED | 0x10);
    });
    broken(Corrupt, "the cluster is at 0x800+0x1ff, the file ends at", |i| {
        i.entry(5, COMPRESSED | 0x1ff << 54 | 0x800);
    });
    broken(Corrupt, "the compressed cluster of 0x0 bytes does not give 0x200 bytes: ", |i| {
        i.entry(5, COMPRESSED | 0x800);
    });
    broken(Corrupt, "does not give 0x200 bytes: the stream ends after 0x1ff bytes (at 0x800)", |i| {
        i.bytes.truncate(0x800);
        i.compressed(3, &[8; CLUSTER - 1]);
    });
    broken(Corrupt, "does not give 0x200 bytes", |i| {
        i.bytes.truncate(0x800);
        i.compressed(3, &[8; CLUSTER + 1]);
    });
}

#[test]
fn parents_and_their_time_are_told() {
    let mut maker = good();
    maker.backing(b"base\0xx").u32(20, 77);
    let layer = open(Arc::new(MemStorage(maker.bytes))).unwrap();
    let wanted = ParentRef { names: vec!["base".into()], format: None, identity: None };
    assert_eq!(layer.parent(), Some(&wanted));
    assert_eq!(layer.details()["backing-file-mtime"], 77);
}

#[test]
fn a_key_that_nobody_can_prove_is_warned_of() {
    let mut maker = good();
    maker.bytes[39] = 1;
    let open = |key: &[u8]| open_with(Arc::new(MemStorage(maker.bytes.clone())), key).unwrap();
    let layer = open(b"passw");
    assert_eq!(layer.warnings()[0].code, "qcow1-aes-key");
    assert!(!layer.warnings()[0].message.contains("newline"));
    assert!(layer.host_range(0).is_none(), "ciphertext is not the disk's");
    assert!(open(b"passw\n").warnings()[0].message.contains("newline"));
    assert!(
        !open(b"0123456789abcdef\n").warnings()[0].message.contains("newline"),
        "17 bytes: it does not count"
    );
}

#[test]
fn sizes_are_kept_to_the_byte() {
    let mut maker = Maker::new(1000);
    maker.data(0, &[1; CLUSTER]);
    maker.data(1, &[2; CLUSTER]);
    let bytes = maker.read().unwrap();
    assert_eq!((bytes.len(), bytes[511], bytes[512], bytes[999]), (1000, 1, 2, 2));
    // Only as much of the last cluster as the disk uses has to be there, in sectors.
    maker.put(32, &[12, 9]).u64(L1, 0x2000).bytes.truncate(0x400);
    maker.bytes.resize(0x3400, 9);
    maker.bytes[0x2000..0x3000].fill(0);
    maker.u64(0x2000, 0x3000);
    assert_eq!(maker.read().unwrap(), vec![9; 1000]);
    maker.bytes.pop();
    assert!(
        maker
            .read()
            .unwrap_err()
            .to_string()
            .contains("the cluster is at 0x3000+0x400, the file ends at 0x33ff")
    );
    assert!(Maker::new(0).read().unwrap().is_empty());
}

#[test]
fn the_check_finds_what_reading_would_not() {
    let finding = |change: &dyn Fn(&mut Maker), text: &str, counts: (u64, u64)| {
        let mut maker = good();
        change(&mut maker);
        let report = maker.check().unwrap();
        assert_eq!((report.errors, report.leaks), counts, "{report:?}");
        assert!(text.is_empty() || report.findings.iter().any(|f| f.message.contains(text)), "{report:?}");
    };
    finding(
        &|i| {
            i.entry(9, 0x400);
        },
        "L2 entry 9 of the table at 0x600 at 0x400 is used by something",
        (1, 0),
    );
    finding(
        &|i| {
            i.entry(9, 0x200);
        },
        "at 0x200 is used by something else",
        (1, 0),
    );
    finding(
        &|i| {
            i.u64(L1 + 8, 0x600);
        },
        "the L2 table of L1 entry 1 at 0x600 is used",
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
            i.u64(L1 + 16, 5);
        },
        "L1 entry 2: the L2 table is at 0x5, inside the header",
        (1, 0),
    );
    finding(
        &|i| {
            i.append(&[]);
            i.append(&[]);
        },
        "2 clusters of 0x200 bytes are used by nothing",
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
            i.entry(0, 0x400);
            i.compressed(5, &[1; CLUSTER]);
            i.compressed(70, &[2; CLUSTER]);
        },
        "",
        (0, 0),
    );
    // A compressed cluster that says it is as long as two others.
    finding(
        &|i| {
            i.append(&[]);
            i.append(&[]);
            i.entry(9, COMPRESSED | (0x1ff << 54) | 0x300);
        },
        "",
        (0, 2),
    );
}
