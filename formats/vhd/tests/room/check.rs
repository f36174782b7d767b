//! The check finds what was broken, and nothing else; wrong checksums can be ignored.

use crate::maker::{BAT, BLOCKS, ENTRIES, HEADER, MIB, Maker, TYPE, content, utf16_le};
use format_core::{
    Access, CheckReport, CreateRequest, DenyAll, Error, ErrorKind, Layer, LayerContext, MemStorage,
    MemTarget, Packed, Result,
};
use format_vhd::FORMAT;
use std::sync::Arc;

/// Three blocks of 1 MiB, the first and the last allocated.
fn good() -> Maker {
    let mut maker = Maker::dynamic(3 * MIB as u64, MIB as u32);
    maker.block(0, |_| true, &[5; MIB]);
    maker.block(2, |_| true, &[6; MIB]);
    maker
}

fn check_file(file: Vec<u8>) -> Result<CheckReport> {
    FORMAT.check.unwrap()(Arc::new(MemStorage(file)), &LayerContext::new(Arc::new(DenyAll)))
}

fn ignoring(file: Vec<u8>) -> Result<Box<dyn Layer>> {
    let mut context = LayerContext::new(Arc::new(DenyAll));
    context.access = Access { ignore_checksums: true, ..Access::default() };
    FORMAT.open_layer.unwrap()(Arc::new(MemStorage(file)), &context)
}

/// The findings of a file that has as many errors and leaks as said.
fn findings(file: Vec<u8>, errors: u64, leaks: u64) -> String {
    let report = check_file(file).unwrap();
    let text = report.findings.iter().map(|finding| finding.message.as_str()).collect::<Vec<_>>().join("; ");
    assert_eq!((report.errors, report.leaks), (errors, leaks), "{text}");
    text
}

#[test]
fn good_images_are_clean() {
    let report = check_file(good().file()).unwrap();
    assert!(report.is_clean() && report.findings.is_empty(), "{report:?}");
    assert_eq!((report.total_chunks, report.allocated_chunks, report.fragmented_chunks), (3, 2, 0));
    assert_eq!(report.image_end as usize, good().file().len());
    let report = check_file(Maker::fixed(&[1; 4096]).file()).unwrap();
    assert!(report.is_clean() && report.image_end == 4096 + 512, "{report:?}");
    for options in [("subformat", "dynamic"), ("subformat", "fixed")] {
        let target = MemTarget::default();
        let options = [(options.0.into(), options.1.into())].into();
        let request = CreateRequest { virtual_size: 40 << 20, options, parent: None };
        let sink = FORMAT.create.unwrap()(Box::new(target.clone()), &request).unwrap();
        sink.write_at(7 << 20, Packed::Plain(&vec![3; 9 << 20])).unwrap();
        sink.finish().unwrap();
        let report = check_file(target.committed_bytes().unwrap()).unwrap();
        assert!(report.is_clean() && report.findings.is_empty(), "{report:?}");
    }
}

#[test]
fn footers_and_checksums() {
    let broken = |at: usize| {
        let mut file = good().file();
        file[at] ^= 0x10;
        file
    };
    let end = good().file().len() - 512;
    assert!(findings(broken(300), 1, 0).contains("the copy of the footer"));
    assert!(findings(broken(end + 300), 1, 0).contains("the end of the file has no footer"));
    let mut both = broken(300);
    both[end + 300] ^= 0x10;
    assert!(findings(both.clone(), 1, 0).contains("the footer's checksum is"));
    assert!(findings(broken(HEADER + 900), 1, 0).contains("the dynamic header's checksum is"));
    assert!(check_file(vec![0; 4096]).is_err(), "no footer at all");
    let mut saved = good();
    saved.footer[84] = 1;
    assert!(findings(saved.file(), 0, 0).contains("was saved"));

    for file in [both, broken(HEADER + 900)] {
        let strict = crate::maker::open_file(file.clone()).err().unwrap();
        assert_eq!(strict.kind(), ErrorKind::Corrupt);
        assert!(strict.hint_text().unwrap().contains("--ignore-checksum"), "{strict}");
        let layer = ignoring(file).unwrap();
        assert_eq!(layer.warnings()[0].code, "vhd-checksum-ignored");
        assert!(content(layer)[..MIB] == [5; MIB]);
    }
    let mut fixed = Maker::fixed(&[9; 4096]).file();
    fixed[4096 + 300] ^= 1;
    assert!(findings(fixed.clone(), 1, 0).contains("checksum"));
    assert!(content(ignoring(fixed).unwrap()) == [9; 4096]);
    assert!(ignoring(good().file()).unwrap().warnings().is_empty(), "nothing had to be ignored");
}

#[test]
fn places_of_blocks() {
    let first = (BLOCKS / 512) as u32;
    let mut shared = good();
    shared.entry(2, first);
    let text = findings(shared.file(), 1, 1);
    assert!(text.contains("block 2 at 0x1600 lies in the room of block 0"), "{text}");
    let mut overlapping = good();
    overlapping.entry(1, first + 9);
    assert!(findings(overlapping.file(), 2, 0).contains("block 1 at 0x2800 lies in the room of block 0"));
    let mut outside = good();
    outside.entry(1, 0x1000_0000);
    assert!(findings(outside.file(), 1, 0).contains("block 1 is at 0x2000000000"));
    let mut lost = good();
    lost.entry(0, u32::MAX);
    let text = findings(lost.file(), 0, 1);
    assert!(text.contains("0x100200 bytes that no block uses"), "{text}");
    let mut turned = good();
    let second = first + (MIB as u32 + 512) / 512;
    turned.entry(0, second);
    turned.entry(2, first);
    assert_eq!(check_file(turned.file()).unwrap().fragmented_chunks, 1);
    let mut cut = Maker::fixed(&[1; 4096]);
    cut.bytes.truncate(4095);
    assert!(findings(cut.file(), 1, 0).contains("it was cut off"));
    let mut long = Maker::fixed(&[1; 4096]);
    long.bytes.extend([0; 512]);
    assert!(findings(long.file(), 0, 1).contains("0x200 bytes between the disk and the footer"));
}

#[test]
fn a_block_over_a_locator() {
    let mut child = Maker::differencing(3 * MIB as u64, MIB as u32, &[(b"W2ru", utf16_le(r".\p.vhd"))]);
    child.block(1, |_| true, &[5; MIB]);
    assert_eq!(findings(child.file(), 0, 0), "");
    child.entry(1, (BLOCKS / 512) as u32);
    let text = findings(child.file(), 1, 0);
    assert!(text.contains("block 1 at 0x1600 lies in the room of a parent locator"), "{text}");
    child.put(HEADER + 576 + 16, &[0xff]);
    assert!(findings(child.file(), 1, 0).contains("the parent locator W2ru is at"));
}

/// As vhd-util lays it out: a header behind the BAT, then a bit for each block.
#[test]
fn the_batmap_of_xenserver() {
    let make = |bits: u8, checksum: u32, here: usize| {
        let mut maker = Maker::dynamic(3 * MIB as u64, MIB as u32);
        maker.footer[28..32].copy_from_slice(b"tap\0");
        let header = maker.append(b"tdbatmap");
        maker.put(header + 8, &(header as u64 + 512).to_be_bytes());
        maker.put(header + 16, &[0, 0, 0, 1, 0, 1, 0, 2]);
        maker.put(header + 24, &checksum.to_be_bytes());
        maker.append(&[bits]);
        maker.block(1, |sector| sector != here, &[5; MIB]);
        maker.file()
    };
    assert_eq!(findings(make(0, !0, 7), 0, 0), "");
    assert_eq!(findings(make(0x40, !0x40, usize::MAX), 0, 0), "");
    assert!(
        findings(make(0x40, !0x40, 7), 1, 0).contains("the batmap says that block 1 has all its sectors")
    );
    assert!(findings(make(0x40, 0, usize::MAX), 1, 0).contains("the batmap's checksum is 0x00000000"));
}

#[test]
fn a_hostile_bat_costs_little() {
    let refused = |change: &dyn Fn(&mut Maker)| -> Error {
        let mut maker = good();
        change(&mut maker);
        check_file(maker.file()).unwrap_err()
    };
    let many = refused(&|maker| {
        maker.bytes = vec![0; 1 << 20];
        maker.bytes[..BLOCKS].copy_from_slice(&good().bytes[..BLOCKS]);
        maker.bytes[BAT..].fill(0);
        maker.put(HEADER + ENTRIES, &[0, 3, 0, 0]);
        maker.footer[48..56].copy_from_slice(&(0x2_0000u64 << 20).to_be_bytes());
    });
    assert!(many.to_string().contains("more wrong entries than a BAT can have"), "{many}");
    struct Endless(Vec<u8>);
    impl format_core::Storage for Endless {
        fn size(&self) -> u64 {
            1 << 40
        }
        fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
            buf.fill(0xff);
            let tail = self.size() - 512;
            for (at, byte) in (offset..).zip(buf.iter_mut()) {
                let at = if at >= tail { at - tail } else { at };
                if let Some(found) = self.0.get(at as usize) {
                    *byte = *found;
                }
            }
            Ok(())
        }
    }
    let mut maker = good();
    maker.put(HEADER + ENTRIES, &[0xff; 4]);
    maker.footer[48..56].copy_from_slice(&(0x1000_0000u64 << 20).to_be_bytes());
    let head = maker.file()[..BAT].to_vec();
    let context = LayerContext::new(Arc::new(DenyAll));
    let error = FORMAT.check.unwrap()(Arc::new(Endless(head)), &context).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
}

#[test]
fn details_say_what_is_particular() {
    let details = good().open().unwrap().details();
    for (key, value) in [
        ("disk-type", "dynamic"),
        ("creator", "win"),
        ("size-convention", "current-size"),
        ("unique-id", "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa"),
    ] {
        assert_eq!(details[key], value, "{key}");
    }
    assert_eq!(details["block-size"], MIB);
    let mut by_geometry = good();
    by_geometry.footer[28..32].copy_from_slice(b"vpc ");
    by_geometry.footer[56..60].copy_from_slice(&[0, 90, 4, 17]);
    let layer = by_geometry.open().unwrap();
    assert_eq!(
        (layer.virtual_size(), &layer.details()["size-convention"]),
        (90 * 4 * 17 * 512, &"geometry".into())
    );
    assert_eq!(by_geometry.footer[TYPE + 3], 3);
}
