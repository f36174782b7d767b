//! Each way a file can lie: good bytes, one thing broken.

use crate::maker::{
    BAT, FIRST_BLOCK, HEADERS, LOG, METADATA, MIB, Maker, REGION_TABLES, content, item_at, item_entry_at,
};
use format_core::ErrorKind::{self, Corrupt, Limit, Unsupported};

const LINKAGE: (&str, &str) = ("parent_linkage", "{83ed0ec3-24c8-49a6-a959-5e4bf1288bfb}");

/// Three blocks of 1 MiB: not present, present and filled with 5s, zero.
fn good() -> Maker {
    let mut maker = Maker::new(3 * MIB as u64, MIB as u32, 512);
    let at = maker.append(&[5; MIB]);
    maker.entry(1, 6, at);
    maker.entry(2, 2, 0);
    maker
}

fn child() -> Maker {
    let mut maker = good().with_parent(&[LINKAGE, ("relative_path", r".\p.vhdx")]);
    maker.entry(0, 7, FIRST_BLOCK);
    maker
}

/// What opening says after `break_it`, with the checksums made right again.
fn check(what: &str, kind: ErrorKind, break_it: impl FnOnce(&mut Maker)) {
    let mut maker = good();
    break_it(&mut maker);
    maker.seal();
    let error = maker.open_error();
    assert!(error.to_string().contains(what), "{what}: {error}");
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains("vhdx: "), "{error}");
}

#[test]
fn the_good_image_is_good() {
    let bytes = content(good().open().unwrap());
    assert!(bytes[..MIB].iter().chain(&bytes[2 * MIB..]).all(|byte| *byte == 0));
    assert!(bytes[MIB..2 * MIB].iter().all(|byte| *byte == 5));
    assert!(child().open().is_ok());
}

#[test]
fn file_type_and_headers() {
    check("not \"vhdxfile\"", Corrupt, |m| m.put(7, b"f"));
    check("neither header", Corrupt, |m| HEADERS.iter().for_each(|at| m.put(*at, b"Head")));
    check("sequence number 0x2 but differ", Corrupt, |m| {
        m.put(HEADERS[0] + 8, &[2]);
        m.put(HEADERS[0] + 16, &[1]);
    });
    check("version 2", Unsupported, |m| m.put(HEADERS[1] + 66, &[2]));
}

#[test]
fn a_file_of_headers_only() {
    let mut maker = good();
    maker.bytes.truncate(MIB - 1);
    assert!(maker.open_error().to_string().contains("has 0xfffff bytes, the header section alone"));
}

#[test]
fn a_damaged_or_older_header_does_not_count() {
    let mut damaged = good();
    damaged.put(HEADERS[1] + 100, &[1]);
    assert!(damaged.open().is_ok(), "the first is whole");
    let mut older = good();
    older.put(HEADERS[0] + 66, &[9]);
    older.seal();
    assert!(older.open().is_ok(), "the first is older");
    let mut equal = good();
    equal.put(HEADERS[0] + 8, &[2]);
    equal.seal();
    assert!(equal.open().is_ok(), "the two are the same");
}

#[test]
fn place_of_the_log() {
    let open = |m: &mut Maker, version: u8, offset: u64, length: u32| {
        m.open_log();
        m.put(HEADERS[1] + 64, &[version]);
        m.put(HEADERS[1] + 68, &length.to_le_bytes());
        m.put(HEADERS[1] + 72, &offset.to_le_bytes());
    };
    let mib = MIB as u32;
    check("the log has version 1", Unsupported, |m| open(m, 1, LOG as u64, mib));
    for (offset, length) in [
        (0, mib),
        (LOG as u64 + 1, mib),
        (LOG as u64, 0),
        (LOG as u64, mib + 4096),
        (6 << 20, mib),
        (u64::MAX << 20, mib),
    ] {
        check("the log is at", Corrupt, |m| open(m, 0, offset, length));
    }
    check("at most 0x2000000 are replayed", Limit, |m| {
        m.bytes.resize(40 * MIB, 0);
        open(m, 0, 5 << 20, 33 << 20);
    });
    check("overlap", Corrupt, |m| open(m, 0, METADATA as u64, mib));
}

#[test]
fn region_tables() {
    check("neither region table", Corrupt, |m| REGION_TABLES.iter().for_each(|at| m.put(*at, b"REGI")));
    let both = |m: &mut Maker, at: usize, bytes: &[u8]| {
        REGION_TABLES.iter().for_each(|table| m.put(table + at, bytes));
    };
    check("region table counts 2048", Corrupt, |m| both(m, 8, &2048u32.to_le_bytes()));
    check("no metadata region", Corrupt, |m| both(m, 8, &[1]));
    check("no BAT region", Corrupt, |m| both(m, 8, &[0]));
    check("is required to understand the file", Unsupported, |m| both(m, 16, &[0]));
    check("no BAT region", Corrupt, |m| {
        both(m, 16, &[0]);
        both(m, 44, &[0]);
    });
    check("is listed twice", Corrupt, |m| {
        let entry = m.bytes[REGION_TABLES[0] + 16..][..32].to_vec();
        both(m, 48, &entry);
    });
    for (at, bytes) in [(32, 1u64), (32, 0), (32, 1 << 40), (32, u64::MAX << 20)] {
        check("not whole MiB", Corrupt, |m| both(m, at, &bytes.to_le_bytes()));
    }
    check("not whole MiB", Corrupt, |m| both(m, 40, &[0; 4]));
    check("overlap", Corrupt, |m| both(m, 32, &(METADATA as u64).to_le_bytes()));
    let mut damaged = good();
    damaged.put(REGION_TABLES[0] + 20, &[1]);
    assert_eq!(damaged.open().unwrap().warnings()[0].code, "vhdx-region-table-damaged");
}

#[test]
fn metadata_table() {
    check("not \"metadata\"", Corrupt, |m| m.put(METADATA, b"M"));
    check("metadata table counts 2048", Corrupt, |m| m.put(METADATA + 10, &2048u16.to_le_bytes()));
    check("required to understand the disk", Unsupported, |m| m.put(item_entry_at(2), &[0]));
    check("is listed twice", Corrupt, |m| {
        let id = m.bytes[item_entry_at(0)..][..16].to_vec();
        m.put(item_entry_at(2), &id);
    });
    check("of a region of", Corrupt, |m| m.put(item_entry_at(1) + 16, &0xfffcu32.to_le_bytes()));
    check("of a region of", Corrupt, |m| m.put(item_entry_at(1) + 16, &(MIB as u32).to_le_bytes()));
    check("of a region of", Corrupt, |m| m.put(item_entry_at(1) + 20, &u32::MAX.to_le_bytes()));
    check("has no physical", Corrupt, |m| m.put(METADATA + 10, &[4]));
    check("virtual disk size has 7 bytes, not 8", Corrupt, |m| m.put(item_entry_at(1) + 20, &[7]));
}

#[test]
fn metadata_items() {
    for size in [0u32, 512 << 10, 3 << 20, 512 << 20] {
        check("the block size is", Corrupt, |m| m.put(item_at(0), &size.to_le_bytes()));
    }
    check("logical sector size is 520", Corrupt, |m| m.put(item_at(3), &520u32.to_le_bytes()));
    check("physical sector size is 0", Corrupt, |m| m.put(item_at(4), &[0; 4]));
    for size in [MIB as u64 + 1, (64 << 40) + 512, u64::MAX] {
        check("the virtual disk size is", Corrupt, |m| m.put(item_at(1), &size.to_le_bytes()));
    }
    check("the BAT needs", Corrupt, |m| m.put(item_at(1), &(1u64 << 40).to_le_bytes()));
    check("has no parent locator", Corrupt, |m| m.put(item_at(0) + 4, &[2]));
}

#[test]
fn parent_locator() {
    let refused = |pairs: &[(&str, &str)], what: &str| {
        let error = good().with_parent(pairs).open_error().to_string();
        assert!(error.contains(what), "{error}");
    };
    refused(&[LINKAGE], "has no path");
    refused(&[("relative_path", "p")], "has no parent_linkage");
    refused(&[("parent_linkage", "x"), ("relative_path", "p")], "not a GUID");
    let mut typed = child();
    typed.put(item_at(5), &[0]);
    assert_eq!(typed.open_error().kind(), Unsupported);
    let mut outside = child();
    outside.put(item_at(5) + 20, &[0xff; 4]);
    assert!(outside.open_error().to_string().contains("entry 0 leaves its item"));
    let mut short = child();
    short.put(item_entry_at(5) + 20, &[30, 0]);
    assert!(short.open_error().to_string().contains("does not fit"));
}

/// What asking for the extent and the bytes of a block says after `break_it`.
fn check_block(maker: Maker, block: u64, what: &str, break_it: impl FnOnce(&mut Maker)) {
    let mut maker = maker;
    break_it(&mut maker);
    let layer = maker.open().unwrap();
    let at = block * MIB as u64;
    let errors = [layer.extent_at(at).unwrap_err(), layer.read_exact_at(at, &mut [0; 9]).unwrap_err()];
    for error in errors {
        assert!(error.to_string().contains(what), "{what}: {error}");
        assert_eq!(error.kind(), Corrupt, "{error}");
        assert!(error.offset().is_some(), "{error}");
    }
    assert!(layer.host_range(at).is_none());
    if block > 0 {
        assert!(layer.extent_at(0).unwrap().end() <= at, "what lies before it is fine");
    }
}

#[test]
fn blocks() {
    for state in [4, 5] {
        check_block(good(), 1, "which is reserved", |m| m.entry(1, state, FIRST_BLOCK));
    }
    check_block(good(), 1, "has no parent", |m| m.entry(1, 7, FIRST_BLOCK));
    check_block(good(), 1, "needs 0x100000 bytes there", |m| m.entry(1, 6, FIRST_BLOCK + MIB));
    check_block(good(), 1, "needs 0x100000 bytes there", |m| {
        m.put(BAT + 8, &(u64::MAX << 20 | 6).to_le_bytes())
    });
    for area in [0, METADATA, BAT] {
        check_block(good(), 1, "overlaps the headers", |m| m.entry(1, 6, area));
    }
    let ratio = 4096;
    check_block(child(), 0, "sector bitmap of its chunk has the state 0", |m| m.entry(ratio, 0, 0));
    check_block(child(), 0, "the sector bitmap of block 0 is at", |m| m.entry(ratio, 6, FIRST_BLOCK + MIB));
    check_block(child(), 0, "the sector bitmap of block 0 is at", |m| m.entry(ratio, 6, 0));
}

#[test]
fn a_last_block_may_end_with_the_disk() {
    let mut maker = Maker::new(MIB as u64 + 512, MIB as u32, 512);
    maker.put(FIRST_BLOCK, &[9; 512]);
    maker.entry(1, 6, FIRST_BLOCK);
    assert_eq!(content(maker.open().unwrap())[MIB..], [9; 512]);
    maker.bytes.pop();
    assert!(maker.open().unwrap().read_exact_at(MIB as u64, &mut [0]).is_err());
}

#[test]
fn nothing_outside_the_disk() {
    let layer = good().open().unwrap();
    let end = 3 * MIB as u64;
    for error in [
        layer.extent_at(end).unwrap_err(),
        layer.extent_at(u64::MAX).unwrap_err(),
        layer.read_exact_at(end - 1, &mut [0; 2]).unwrap_err(),
        layer.read_exact_at(u64::MAX, &mut [0; 2]).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Usage);
    }
    assert!(layer.host_range(end).is_none());
    layer.read_exact_at(end, &mut []).unwrap();
}
