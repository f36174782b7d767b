//! Each way a file can lie: good bytes, one thing broken.

use crate::maker::{
    BAT, BLOCK_SIZE, BLOCKS, DATA_OFFSET, ENTRIES, HEADER, HEADER_VERSION, LOCATORS, MIB, Maker,
    TABLE_OFFSET, TYPE, VERSION, content, open_file, utf16_le,
};
use format_core::Error;
use format_core::ErrorKind::{self, Corrupt, Unsupported};

/// Three blocks of 1 MiB, the second filled with 5s.
fn good() -> Maker {
    let mut maker = Maker::dynamic(3 * MIB as u64, MIB as u32);
    maker.block(1, |_| true, &[5; MIB]);
    maker
}

fn child() -> Maker {
    let mut maker = Maker::differencing(3 * MIB as u64, MIB as u32, &[(b"W2ru", utf16_le(r".\p.vhd"))]);
    maker.block(1, |_| true, &[5; MIB]);
    maker
}

fn is(error: &Error, what: &str, kind: ErrorKind) {
    assert!(error.to_string().contains(what), "{what}: {error}");
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains("vhd: "), "{error}");
}

/// What opening says after `break_it`, with the checksums made right again.
fn check(what: &str, kind: ErrorKind, mut maker: Maker, break_it: impl FnOnce(&mut Maker)) {
    break_it(&mut maker);
    is(&maker.open_error(), what, kind);
}

/// What reading block 1 says.
fn check_block(what: &str, entry: u32) {
    let mut maker = good();
    maker.entry(1, entry);
    let layer = maker.open().unwrap();
    is(&layer.extent_at(MIB as u64).unwrap_err(), what, Corrupt);
    is(&layer.read_exact_at(MIB as u64 - 1, &mut [0; 2]).unwrap_err(), what, Corrupt);
    assert_eq!(layer.extent_at(0).unwrap().len, MIB as u64, "its neighbours can be read");
    assert!(layer.host_range(MIB as u64).is_none());
}

#[test]
fn the_good_images_are_good() {
    let bytes = content(good().open().unwrap());
    assert!(bytes[..MIB].iter().chain(&bytes[2 * MIB..]).all(|byte| *byte == 0));
    assert!(bytes[MIB..2 * MIB].iter().all(|byte| *byte == 5));
    assert!(good().open().unwrap().warnings().is_empty());
    assert!(child().open().unwrap().warnings().is_empty());
}

#[test]
fn footers() {
    is(&open_file(vec![0; 510]).err().unwrap(), "has 0x1fe bytes, a footer alone", Corrupt);
    is(&open_file(vec![0; 4096]).err().unwrap(), "no footer: neither", Corrupt);
    let mut file = good().file();
    let end = file.len();
    file[end - 1] ^= 1;
    file[511] ^= 1;
    is(&open_file(file).err().unwrap(), "the footer's checksum is 0xff", Corrupt);
    let mut file = Maker::fixed(&[1; 4096]).file();
    file[4096 + 100] ^= 1;
    is(&open_file(file).err().unwrap(), "the footer's checksum is 0xff", Corrupt);
    check("footer has version 0x20000", Unsupported, good(), |m| m.footer[VERSION + 1] = 2);
    check("disk type is 6, only", Unsupported, good(), |m| m.footer[TYPE + 3] = 6);
}

#[test]
fn a_fixed_disk_that_was_cut_off() {
    check("has 0x1000 bytes, the file has 0xfff for them", Corrupt, Maker::fixed(&[1; 4096]), |m| {
        m.bytes.pop();
    });
}

#[test]
fn dynamic_headers() {
    let at = "not behind the footer's copy";
    check(at, Corrupt, good(), |m| m.footer[DATA_OFFSET..DATA_OFFSET + 8].fill(0xff));
    check(at, Corrupt, good(), |m| m.footer[DATA_OFFSET + 6] = 0);
    check("cookie is [43, 78", Corrupt, good(), |m| m.put(HEADER, b"C"));
    let mut file = good().file();
    file[HEADER + 1023] ^= 1;
    is(&open_file(file).err().unwrap(), "the dynamic header's checksum is 0xff", Corrupt);
    check("header has version 0x30000", Unsupported, good(), |m| m.put(HEADER + HEADER_VERSION + 1, &[3]));
    for size in [0u32, 256, 3 * MIB as u32, 512 * MIB as u32] {
        let put = |m: &mut Maker| m.put(HEADER + BLOCK_SIZE, &size.to_be_bytes());
        check(&format!("block size is {size:#x}, not"), Corrupt, good(), put);
    }
    check("BAT has 0x2 entries, the disk has 0x3", Corrupt, good(), |m| {
        m.put(HEADER + ENTRIES, &[0, 0, 0, 2])
    });
    let table = |at: u64| move |m: &mut Maker| m.put(HEADER + TABLE_OFFSET, &at.to_be_bytes());
    check("the BAT is at 0xffffffffffffffff+0xc", Corrupt, good(), table(u64::MAX));
    check("the BAT is at 0x101800+0xc", Corrupt, good(), table(0x10_1800));
    check("the areas at 0x0 and 0x1f8 overlap", Corrupt, good(), table(0x1f8));
    check("the areas at 0x200 and 0x5fc overlap", Corrupt, good(), table(0x5fc));
}

#[test]
fn hostile_sizes_cost_nothing() {
    check("the disk has 0xfffffffff blocks", Corrupt, good(), |m| {
        m.footer[48..56].copy_from_slice(&[0, 0xff, 0xff, 0xff, 0xff, 0xf0, 0, 0])
    });
    check("the BAT is at 0x600+0x3fffffffc", Corrupt, good(), |m| {
        m.put(HEADER + ENTRIES, &[0xff; 4]);
        m.footer[48..56].copy_from_slice(&((u32::MAX as u64) << 20).to_be_bytes());
    });
}

#[test]
fn parent_locators() {
    let entry = HEADER + LOCATORS;
    check("locator W2ru is at 0xffffffffffffffff+0xe", Corrupt, child(), |m| m.put(entry + 16, &[0xff; 8]));
    check("locator W2ru has 0x100000e bytes", Corrupt, child(), |m| m.put(entry + 8, &[1]));
    check("names none", Corrupt, child(), |m| m.put(entry, b"Wi2k"));
}

#[test]
fn blocks() {
    let first = (BLOCKS / 512) as u32;
    check_block("block 1 is at 0x1800, needs 0x100200 bytes there, the file has 0x101800", first + 1);
    check_block("block 1 is at 0x1fffffffc00", u32::MAX - 1);
    check_block("overlaps the headers or the BAT at 0x0", 0);
    check_block("overlaps the headers or the BAT at 0x200", 1);
    check_block("overlaps the headers or the BAT at 0x600", (BAT / 512) as u32);
}

#[test]
fn what_lies_outside_the_disk_is_a_usage_error() {
    let layer = good().open().unwrap();
    for error in [
        layer.extent_at(3 * MIB as u64).unwrap_err(),
        layer.extent_at(u64::MAX).unwrap_err(),
        layer.read_exact_at(3 * MIB as u64 - 1, &mut [0; 2]).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Usage);
    }
}
