//! Good bytes with one thing broken are refused with the reason.

use crate::builder::{Built, Plan, check, context, open, read, stream};
use format_core::ErrorKind::{self, Corrupt, Unsupported};
use format_core::{MemStorage, Score};
use format_partclone::FORMAT;
use std::sync::Arc;

/// Where in the header, what is put there, and what must come of it.
type Broken = (usize, &'static [u8], ErrorKind, &'static str);

const BROKEN: &[Broken] = &[
    (0, b"q", Corrupt, "does not begin with partclone-image"),
    (30, b"0003", Unsupported, "the image's version is \"0003\""),
    (34, &[0xc0, 0xde], Unsupported, "big-endian"),
    (34, &[0, 0], Corrupt, "the mark of the byte order is 0x0000"),
    (92, &[3, 0], Unsupported, "names version 0x3"),
    (84, &[0, 1, 0, 0], Unsupported, "a block has 0x100 bytes"),
    (84, &[1, 0, 0x40, 0], Unsupported, "a block has 0x400001 bytes"),
    (60, &[0xff; 8], Corrupt, "more than 2^63"),
    (52, &[0xff; 8], Corrupt, "more than 2^63"),
    (96, &[0x21, 0], Unsupported, "the checksum mode is 0x21"),
    (98, &[8, 0], Corrupt, "a checksum of mode 0x20 has 8 bytes, not 4"),
    (100, &[0; 4], Corrupt, "a checksum for every 0 blocks"),
    (105, &[2], Unsupported, "the bitmap mode is 0x2"),
    (105, &[8], Corrupt, "not followed by BiTmAgIc"),
    (105, &[0], Corrupt, "blocks are in use and end at"),
    (60, &[0, 0, 1], Corrupt, "the bitmap of 0x2000 bytes ends beyond the file"),
];

#[test]
fn each_broken_field_is_refused_with_its_reason() {
    let good = Plan::sample().build();
    for &(at, value, kind, reason) in BROKEN {
        let mut built = good.clone();
        built.put(at, value);
        let error = open(&built.bytes).err().unwrap_or_else(|| panic!("{value:x?} at {at}"));
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(reason), "{error}");
        let error = stream(&built.bytes).err().unwrap_or_else(|| panic!("{value:x?} at {at} as a stream"));
        assert!(matches!(error.kind(), Corrupt | Unsupported), "{error}");
    }
}

#[test]
fn checksums_of_header_and_map_are_compared_unless_they_are_to_be_ignored() {
    let good = Plan::sample().build();
    // The unused field for the bits of the processor, and a bit of the map.
    for (at, reason) in [(94, "the header's checksum"), (111, "the bitmap's checksum")] {
        let mut bytes = good.bytes.clone();
        bytes[at] ^= if at == 94 { 0x20 } else { 0x40 };
        let error = open(&bytes).err().unwrap();
        assert!(error.kind() == Corrupt && error.to_string().contains(reason), "{error}");
        assert!(stream(&bytes).err().unwrap().to_string().contains(reason));
        let mut context = context();
        context.access.ignore_checksums = true;
        let layer = FORMAT.open_layer.unwrap()(Arc::new(MemStorage(bytes)), &context).unwrap();
        assert_eq!(layer.warnings().len(), 1);
    }
}

/// Every bit of the data is covered: a flip is found by a read of its blocks, by the stream and by the check.
#[test]
fn a_flipped_bit_is_found_where_there_are_checksums() {
    for mode in [0x20, 0x30, 0x31] {
        let good = Plan { mode, ..Plan::sample() }.build();
        for at in (good.data..good.bytes.len()).step_by(37) {
            let mut bytes = good.bytes.clone();
            bytes[at] ^= 4;
            let error = read(&bytes).err().unwrap_or_else(|| panic!("mode {mode:#x}, {at:#x}"));
            assert!(error.kind() == Corrupt && error.to_string().contains("the checksum of"), "{error}");
            assert_eq!(stream(&bytes).err().unwrap().kind(), Corrupt);
            assert_eq!(check(&bytes).unwrap().errors, 1);
        }
    }
}

#[test]
fn a_wrong_block_does_not_hide_the_others() {
    let plan = Plan { map: vec![true; 4096], per_sum: 512, ..Plan::sample() };
    let mut built = plan.build();
    built.bytes[built.data + 512 * 512 + 4 + 9] ^= 1;
    let layer = open(&built.bytes).unwrap();
    let mut sectors = vec![0; 512 * 512];
    layer.read_exact_at(0, &mut sectors).unwrap();
    assert!(sectors == built.content[..512 * 512]);
    let error = layer.read_exact_at(600 * 512, &mut sectors[..1]).unwrap_err();
    assert!(error.to_string().contains("0x200 blocks from number 0x200"), "{error}");
    layer.read_exact_at(1024 * 512, &mut sectors).unwrap();
    assert_eq!(check(&built.bytes).unwrap().errors, 1);
}

#[test]
fn sums_that_go_on_from_each_other_are_compared_too() {
    let plan = Plan { map: vec![true; 3000], per_sum: 100, reseed: false, ..Plan::sample() };
    let good = plan.build();
    let mut bytes = good.bytes.clone();
    let at = good.data + 1500 * 512 + 15 * 4 + 77;
    bytes[at] ^= 0x80;
    assert_eq!(read(&bytes).err().unwrap().kind(), Corrupt);
    assert_eq!(stream(&bytes).err().unwrap().kind(), Corrupt);
    assert_eq!(check(&bytes).unwrap().errors, 1, "one, not all that follow");
    // XXH64 cannot go on from a stored sum: the check and the stream compare it.
    let hashed = Plan { mode: 0x30, ..plan }.build();
    let layer = open(&hashed.bytes).unwrap();
    assert_eq!(layer.warnings()[0].code, "partclone-sums-not-compared");
    let mut bytes = hashed.bytes;
    bytes[hashed.data + 5] ^= 1;
    assert!(stream(&bytes).is_err() && !check(&bytes).unwrap().is_clean());
}

#[test]
fn every_cut_is_noticed_and_what_follows_the_end_is_told() {
    let good = Plan::sample().build();
    for end in (0..good.bytes.len()).filter(|end| *end < 200 || end % 61 == 0) {
        let cut = &good.bytes[..end];
        assert_eq!(open(cut).err().map(|e| e.kind()), Some(Corrupt), "cut at {end}");
        assert_eq!(stream(cut).err().map(|e| e.kind()), Some(Corrupt), "cut at {end}");
    }
    let Built { mut bytes, content, .. } = good;
    bytes.extend([0; 900]);
    let report = check(&bytes).unwrap();
    assert_eq!((report.errors, report.leaked_bytes), (0, 900));
    assert!(stream(&bytes).unwrap() == (content, 1));
}

#[test]
fn one_wrong_byte_of_the_magic_is_another_file() {
    let good = Plan::sample().build().bytes;
    assert_eq!((FORMAT.probe)(&good, &[]), Score::Magic);
    for at in 0..b"partclone-image".len() {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        assert_eq!((FORMAT.probe)(&bytes, &[]), Score::No, "{at}");
        assert_eq!((FORMAT.probe)(&good[..at], &[]), Score::No, "{at}");
    }
}
