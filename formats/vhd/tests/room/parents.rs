//! Differencing images: who the parent is, and which sectors are its.

use crate::maker::{CURRENT_SIZE, HEADER, ID, LOCATORS, MIB, Maker, NAME, PARENT, PARENT_ID, utf16_le};
use format_core::ExtentKind::{Data, Unallocated};
use format_core::{Disk, ErrorKind, Format, Layer, OpenOptions, ParentRef, is_zero, open_image};
use format_vhd::FORMAT;
use proptest::prelude::*;
use std::sync::Arc;

static FORMATS: &[&Format] = &[&FORMAT];

fn child(locators: &[(&[u8; 4], Vec<u8>)]) -> Maker {
    Maker::differencing(2 * MIB as u64, MIB as u32, locators)
}

fn named(maker: &mut Maker, name: &str) {
    let name: Vec<u8> = name.encode_utf16().flat_map(u16::to_be_bytes).collect();
    maker.put(HEADER + NAME, &name);
}

fn names(maker: &Maker) -> Vec<String> {
    maker.open().unwrap().parent().unwrap().names.clone()
}

#[test]
fn the_parent_is_named_and_identified() {
    let absolute = (b"W2ku", utf16_le("C:\\vm\\base.vhd"));
    let mut maker =
        child(&[absolute.clone(), (b"W2ru", utf16_le(".\\base.vhd\0")), (b"Wi2r", b"old.vhd".to_vec())]);
    named(&mut maker, "C:\\vm\\base.vhd");
    let layer = maker.open().unwrap();
    let wanted = ParentRef {
        names: vec!["base.vhd".into()],
        format: Some("vhd".into()),
        identity: Some("bbbbbbbb-bbbb-bbbb-bbbb-bbbbbbbbbbbb".into()),
    };
    assert_eq!(layer.parent(), Some(&wanted));
    assert_eq!(layer.identity(), Some("aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa"));

    let xen = child(&[
        (b"MacX", b"file://./b%C3%A4se.vhd".to_vec()),
        (b"W2ku", utf16_le(".\\bäse.vhd")),
        (b"W2ru", utf16_le(".\\bäse.vhd")),
    ]);
    assert_eq!(names(&xen), ["bäse.vhd"]);
    assert_eq!(names(&child(&[(b"W2ru", utf16_le("..\\a\\p.vhd"))])), ["../a/p.vhd"]);
    assert_eq!(
        names(&child(&[absolute, (b"MacX", b"file:///vm/b.vhd".to_vec())])),
        ["/vm/b.vhd", "C:/vm/base.vhd"]
    );
    let mut maker = child(&[]);
    named(&mut maker, "only.vhd");
    assert_eq!(names(&maker), ["only.vhd"]);
    named(&mut maker, &"x".repeat(256));
    assert_eq!(names(&maker), ["x".repeat(256)], "a name that fills its field");
}

#[test]
fn the_chain_takes_only_the_right_parent() {
    let folder = tempfile::tempdir().unwrap();
    let options = OpenOptions::new(FORMATS, None);
    let mut base = Maker::dynamic(2 * MIB as u64, MIB as u32);
    base.block(0, |_| true, &[7; MIB]);
    base.footer[68..84].copy_from_slice(&PARENT_ID);
    let mut top = child(&[(b"W2ru", utf16_le(".\\base.vhd"))]);
    top.block(0, |sector| sector == 9, &[8; MIB]);
    std::fs::write(folder.path().join("top.avhd"), top.file()).unwrap();
    let open = || open_image(&folder.path().join("top.avhd"), &options);
    assert_eq!(open().err().unwrap().kind(), ErrorKind::SourceMissing, "never zeros for a missing parent");
    std::fs::write(folder.path().join("base.vhd"), base.file()).unwrap();
    let image = open().unwrap();
    let mut bytes = vec![0; 12 * 512];
    image.disk.read_exact_at(0, &mut bytes).unwrap();
    assert_eq!(image.chain.len(), 2);
    assert!((0..12).all(|sector| bytes[sector * 512] == if sector == 9 { 8 } else { 7 }));
    base.footer[68..84].copy_from_slice(&ID);
    std::fs::write(folder.path().join("base.vhd"), base.file()).unwrap();
    let error = open().err().unwrap();
    assert!(
        error.kind() == ErrorKind::Corrupt && error.to_string().contains("wants the parent bbbbbbbb"),
        "{error}"
    );
}

#[test]
fn a_parent_without_identity_is_told() {
    let mut maker = child(&[(b"W2ru", utf16_le(".\\base.raw"))]);
    maker.put(HEADER + PARENT, &[0; 16]);
    let layer = maker.open().unwrap();
    let parent = layer.parent().unwrap();
    assert_eq!((parent.format.as_deref(), parent.identity.as_deref()), (None, None));
    assert_eq!(layer.warnings()[0].code, "vhd-parent-unproven");
}

#[test]
fn a_block_of_the_child_hides_only_its_sectors() {
    let mut maker = child(&[(b"W2ru", utf16_le("p"))]);
    maker.block(1, |sector| (3..700).contains(&sector) || sector == 2047, &[9; MIB]);
    let layer = maker.open().unwrap();
    let found = |at: usize| layer.extent_at(at as u64).map(|e| (e.kind, e.len)).unwrap();
    assert_eq!(found(100), (Unallocated, MIB as u64 - 100));
    assert_eq!(found(MIB), (Unallocated, 1536));
    assert_eq!(found(MIB + 1536 + 5), (Data, 697 * 512 - 5));
    assert_eq!(found(2 * MIB - 1024), (Unallocated, 512));
    assert_eq!(found(2 * MIB - 512), (Data, 512));
    assert!(layer.host_range(MIB as u64).is_none());
    assert_eq!(layer.host_range((MIB + 1536) as u64).unwrap().len, 697 * 512);
}

#[test]
fn the_locators_of_a_dynamic_disk_mean_nothing() {
    let mut maker = Maker::dynamic(MIB as u64, MIB as u32);
    maker.put(HEADER + LOCATORS, b"W2ru\xff\xff\xff\xff\xff\xff\xff\xff");
    assert!(maker.open().unwrap().parent().is_none());
}

/// What a block of the child is; runs are in sectors.
#[derive(Clone, Debug)]
enum Kind {
    Absent,
    Partial(Vec<(usize, usize)>),
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        Just(Kind::Absent),
        Just(Kind::Partial(vec![(0, 2048)])),
        prop::collection::vec((0..2048usize, 1..700usize), 0..6).prop_map(Kind::Partial),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn a_chain_reads_as_the_specification_says(
        kinds in prop::collection::vec(kind(), 3..=3),
        tail in 1..2048usize,
        reads in prop::collection::vec((0..3 * MIB, 1..2 * MIB), 8..=8),
    ) {
        let size = 2 * MIB + tail * 512;
        let mut expected: Vec<u8> = (0..size).map(|at| (at / 512 % 100) as u8 + 1).collect();
        let base = Maker::fixed(&expected);
        let mut child = child(&[(b"W2ru", utf16_le("p"))]);
        child.footer[CURRENT_SIZE..CURRENT_SIZE + 8].copy_from_slice(&(size as u64).to_be_bytes());
        for (block, kind) in kinds.iter().enumerate() {
            let Kind::Partial(runs) = kind else { continue };
            let here = |sector: usize| runs.iter().any(|(start, len)| (*start..start + len).contains(&sector));
            child.block(block, here, &[0xdd; MIB]);
            for sector in (0..2048).filter(|sector| here(*sector)) {
                let at = block * MIB + sector * 512;
                if at < size {
                    expected[at..at + 512].fill(0xdd);
                }
            }
        }
        let layers: Vec<Arc<dyn Layer>> = vec![child.open().unwrap().into(), base.open().unwrap().into()];
        let disk = Disk::new(layers).unwrap();
        let mut found = vec![0xee; size];
        disk.read_exact_at(0, &mut found).unwrap();
        prop_assert!(found == expected);
        for (start, len) in reads {
            let start = start.min(size - 1);
            let len = len.min(size - start);
            let mut found = vec![0xee; len];
            disk.read_exact_at(start as u64, &mut found).unwrap();
            prop_assert!(found == expected[start..start + len], "{} {}", start, len);
        }
        for extent in disk.extents(0, size as u64) {
            let extent = extent.unwrap();
            let bytes = &expected[extent.offset as usize..extent.end() as usize];
            prop_assert_eq!(is_zero(bytes), extent.kind == format_core::ExtentKind::Zero);
        }
    }
}
