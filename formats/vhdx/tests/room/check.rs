//! The check finds what was broken, and nothing else; wrong checksums can be ignored.

use crate::maker::{BAT, FIRST_BLOCK, HEADERS, LOG, MIB, Maker, REGION_TABLES, content, log_entry};
use format_core::{
    Access, CheckReport, CreateRequest, DenyAll, ErrorKind, Layer, LayerContext, MemStorage, MemTarget,
    Packed, Result,
};
use format_vhdx::FORMAT;
use std::sync::Arc;

const LINKAGE: (&str, &str) = ("parent_linkage", "{83ed0ec3-24c8-49a6-a959-5e4bf1288bfb}");

/// Three blocks of 1 MiB, the first and the last allocated.
fn good() -> Maker {
    let mut maker = Maker::new(3 * MIB as u64, MIB as u32, 512);
    for (block, value) in [(0, 5), (2, 6)] {
        let at = maker.append(&[value; MIB]);
        maker.entry(block, 6, at);
    }
    maker
}

/// A difference with one partially present block and its bitmap.
fn child() -> Maker {
    let mut maker = good().with_parent(&[LINKAGE, ("relative_path", r".\p.vhdx")]);
    let at = maker.append(&[7; MIB]);
    maker.entry(1, 7, at);
    let bitmap = maker.append(&[0; MIB]);
    maker.entry(4096, 6, bitmap);
    maker.seal();
    maker
}

fn check(maker: &Maker) -> Result<CheckReport> {
    let storage = Arc::new(MemStorage(maker.bytes.clone()));
    FORMAT.check.unwrap()(storage, &LayerContext::new(Arc::new(DenyAll)))
}

fn ignoring(maker: &Maker) -> Result<Box<dyn Layer>> {
    let mut context = LayerContext::new(Arc::new(DenyAll));
    context.access = Access { ignore_checksums: true, ..Access::default() };
    FORMAT.open_layer.unwrap()(Arc::new(MemStorage(maker.bytes.clone())), &context)
}

/// The findings of a file that has as many errors and leaks as said.
fn findings(maker: &Maker, errors: u64, leaks: u64) -> String {
    let report = check(maker).unwrap();
    let text = report.findings.iter().map(|finding| finding.message.as_str()).collect::<Vec<_>>().join("; ");
    assert_eq!((report.errors, report.leaks), (errors, leaks), "{text}");
    text
}

#[test]
fn good_images_are_clean() {
    let report = check(&good()).unwrap();
    assert!(report.is_clean() && report.findings.is_empty(), "{report:?}");
    assert_eq!((report.total_chunks, report.allocated_chunks, report.fragmented_chunks), (3, 2, 0));
    assert_eq!(report.image_end as usize, good().bytes.len());
    assert_eq!(findings(&child(), 0, 0), "");
    for subformat in ["dynamic", "fixed"] {
        let target = MemTarget::default();
        let options = [("subformat".into(), subformat.into())].into();
        let request = CreateRequest { virtual_size: 40 << 20, options, parent: None };
        let sink = FORMAT.create.unwrap()(Box::new(target.clone()), &request).unwrap();
        sink.write_at(7 << 20, Packed::Plain(&vec![3; 9 << 20])).unwrap();
        sink.finish().unwrap();
        assert_eq!(findings(&Maker { bytes: target.committed_bytes().unwrap() }, 0, 0), "");
    }
}

#[test]
fn wrong_checksums_are_found_and_can_be_ignored() {
    let broken = |places: &[usize]| {
        let mut maker = good();
        places.iter().for_each(|at| maker.bytes[*at] ^= 0x10);
        maker
    };
    let [first, second] = HEADERS.map(|at| at + 4000);
    let [table, copy] = REGION_TABLES.map(|at| at + 60_000);
    assert!(findings(&broken(&[first]), 0, 0).contains("the first header is not valid"));
    assert!(findings(&broken(&[table]), 1, 0).contains("this copy of the region table"));
    assert!(findings(&broken(&[copy]), 1, 0).contains("this copy of the region table"));
    assert!(findings(&broken(&[first, second]), 1, 0).contains("neither header has its checksum"));
    findings(&broken(&[table, copy]), 2, 0);
    let mut differ = good();
    differ.bytes[copy] ^= 1;
    differ.seal();
    assert!(findings(&differ, 1, 0).contains("the two copies of the region table differ"));
    for maker in [broken(&[first, second]), broken(&[table, copy])] {
        let strict = maker.open_error();
        assert_eq!(strict.kind(), ErrorKind::Corrupt);
        assert!(strict.hint_text().unwrap().contains("--ignore-checksum"), "{strict}");
        let layer = ignoring(&maker).unwrap();
        assert_eq!(layer.warnings()[0].code, "vhdx-checksum-ignored");
        assert!(content(layer)[..MIB] == [5; MIB]);
    }
    assert!(ignoring(&good()).unwrap().warnings().is_empty(), "nothing had to be ignored");
}

#[test]
fn logs() {
    let mut maker = good();
    maker.open_log();
    assert!(findings(&maker, 0, 0).contains("its log holds no writes"));
    let size = maker.bytes.len() as u64;
    // Block 1 gets its place by the log alone.
    let at = maker.append(&[9; MIB]);
    let mut page = [0; 4096];
    page.copy_from_slice(&maker.bytes[BAT..BAT + 4096]);
    page[8..16].copy_from_slice(&(at as u64 + 6).to_le_bytes());
    let entry = log_entry(1, 0, size, size, &[crate::maker::Change::Data(BAT as u64, &page)]);
    maker.put_log(0, &entry);
    let text = findings(&maker, 0, 0);
    assert!(text.contains("1 log entries with 1 changes were replayed in memory"), "{text}");
    assert_eq!(maker.open().unwrap().details()["log-replayed"], true);
    maker.bytes[LOG + 4] ^= 1;
    assert!(findings(&maker, 1, 0).contains("the checksums of the log are wrong"));
    assert_eq!(maker.open_error().kind(), ErrorKind::Corrupt);
    let layer = ignoring(&maker).unwrap();
    assert_eq!(layer.warnings()[0].code, "vhdx-checksum-ignored");
    assert!(content(layer)[MIB..2 * MIB] == [9; MIB]);
    maker.bytes[LOG + 16] ^= 1;
    assert_eq!(ignoring(&maker).err().unwrap().kind(), ErrorKind::Corrupt, "more is wrong than a checksum");
}

#[test]
fn places_of_blocks() {
    let broken = |index: usize, state: u64, offset: usize| {
        let mut maker = good();
        maker.entry(index, state, offset);
        maker
    };
    assert!(findings(&broken(1, 6, FIRST_BLOCK), 1, 0).contains("block 1 at 0x400000 shares 1 MiB"));
    assert!(findings(&broken(1, 6, LOG), 1, 0).contains("block 1 at 0x100000 shares 1 MiB"));
    assert!(findings(&broken(1, 6, 99 * MIB), 1, 0).contains("block 1 is at 0x6300000"));
    assert!(findings(&broken(1, 5, 0), 1, 0).contains("block 1 has the state 5"));
    assert!(findings(&broken(1, 7, 0), 1, 0).contains("but the image has no parent"));
    assert!(findings(&broken(2, 0, 0), 0, 0).contains("0x100000 bytes behind the last block"));
    assert!(findings(&broken(0, 0, 0), 0, 0).contains("1 MiB in front of the blocks"));
    let mut between = good();
    let at = between.append(&[1; 2 * MIB]);
    between.entry(1, 6, at + MIB);
    assert!(findings(&between, 0, 1).contains("1 MiB that nothing uses"));
    assert_eq!(check(&between).unwrap().fragmented_chunks, 2);
}

#[test]
fn sector_bitmaps() {
    let broken = |state: u64, offset: usize| {
        let mut maker = child();
        maker.entry(4096, state, offset);
        maker
    };
    assert!(findings(&broken(0, 0), 1, 0).contains("block 1 is partially present, but the sector bitmap"));
    assert!(
        findings(&broken(6, FIRST_BLOCK), 1, 0).contains("the sector bitmap of chunk 0 at 0x400000 shares")
    );
    assert!(findings(&broken(6, 99 * MIB), 1, 0).contains("the sector bitmap of block 1 is at 0x6300000"));
    let mut none = good();
    none.put(item_size(), &(5u64 << 30).to_le_bytes());
    none.entry(4096, 6, FIRST_BLOCK);
    assert!(findings(&none, 0, 0).contains("chunk 0 has a sector bitmap, and the image no parent"));
}

/// Where the virtual disk size is.
fn item_size() -> usize {
    crate::maker::item_at(1)
}

#[test]
fn a_bat_of_nonsense_is_refused_soon() {
    let mut maker = Maker::new(100_000 << 20, MIB as u32, 512);
    maker.bytes[BAT..BAT + MIB].fill(5);
    let error = check(&maker).unwrap_err();
    assert!(error.to_string().contains("more wrong entries than a BAT can have"), "{error}");
    let mut same = Maker::new(100_000 << 20, MIB as u32, 512);
    let at = same.append(&[1; MIB]);
    (0..100_000).for_each(|index| same.entry(index, 6, at));
    let error = check(&same).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
}
