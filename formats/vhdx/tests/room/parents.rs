//! Differencing images: who the parent is, and which sectors are its.

use crate::maker::{DATA_WRITE, MIB, Maker};
use format_core::{
    Disk, FolderGate, Layer, LayerContext, MemStorage, OpenOptions, ParentRef, is_zero, open_image,
};
use format_vhdx::FORMAT;
use proptest::prelude::*;
use std::sync::Arc;

const OTHER: &str = "{83ED0EC3-24C8-49A6-A959-5E4BF1288BFB}";
static FORMATS: &[&format_core::Format] = &[&FORMAT];

fn braced() -> String {
    format!("{{{DATA_WRITE}}}")
}

fn child(pairs: &[(&str, &str)]) -> Maker {
    Maker::new(2 * MIB as u64, MIB as u32, 512).with_parent(pairs)
}

#[test]
fn the_parent_is_named_and_identified() {
    let pairs = [
        ("parent_linkage", OTHER),
        ("absolute_win32_path", r"C:\vm\base.vhdx"),
        ("relative_path", r".\base.vhdx"),
        ("volume_path", r"\\?\Volume{9cdf8dfa-0000-0000-0000-501f00000000}\vm\base.vhdx"),
    ];
    let wanted = ParentRef {
        names: vec!["base.vhdx".into()],
        format: Some("vhdx".into()),
        identity: Some("83ed0ec3-24c8-49a6-a959-5e4bf1288bfb".into()),
    };
    let layer = child(&pairs).open().unwrap();
    assert_eq!(layer.parent(), Some(&wanted));
    assert_eq!(layer.identity(), Some(DATA_WRITE.to_string().as_str()));
    let alone = Maker::new(0, MIB as u32, 512).open().unwrap();
    assert_eq!((alone.parent(), alone.virtual_size()), (None, 0));
}

#[test]
fn either_linkage_finds_the_parent() {
    let folder = tempfile::tempdir().unwrap();
    let mut base = Maker::new(2 * MIB as u64, MIB as u32, 512);
    let at = base.append(&[7; MIB]);
    base.entry(1, 6, at);
    std::fs::write(folder.path().join("base.vhdx"), &base.bytes).unwrap();
    let path = folder.path().join("child.vhdx");
    let options = OpenOptions::new(FORMATS, None);
    let nil = "{00000000-0000-0000-0000-000000000000}";
    for (first, second, fits) in
        [(&*braced(), OTHER, true), (OTHER, &*braced(), true), (&*braced(), nil, true), (OTHER, nil, false)]
    {
        let pairs =
            [("parent_linkage", first), ("parent_linkage2", second), ("relative_path", r".\base.vhdx")];
        std::fs::write(&path, child(&pairs).bytes).unwrap();
        match open_image(&path, &options) {
            Ok(image) => {
                assert!(fits, "{first} {second}");
                let mut bytes = [0; 2];
                image.disk.read_exact_at(MIB as u64 - 1, &mut bytes).unwrap();
                assert_eq!((bytes, image.chain.len()), ([0, 7], 2));
            }
            Err(error) => {
                assert!(!fits, "{error}");
                assert!(error.to_string().contains("83ed0ec3"), "{error}");
            }
        }
    }
    let gate = Arc::new(FolderGate::new(folder.path().join("elsewhere"), Arc::new([])));
    let pairs = [("parent_linkage", OTHER), ("parent_linkage2", &braced()), ("relative_path", "base.vhdx")];
    let storage = Arc::new(MemStorage(child(&pairs).bytes));
    let layer = FORMAT.open_layer.unwrap()(storage, &LayerContext::new(gate)).unwrap();
    let identity = layer.parent().unwrap().identity.as_deref();
    assert_eq!(
        identity,
        Some("83ed0ec3-24c8-49a6-a959-5e4bf1288bfb"),
        "a missing parent is the chain's to report"
    );
}

#[test]
fn large_sectors_have_larger_chunks() {
    let pairs = [("parent_linkage", OTHER), ("relative_path", "p")];
    let mut maker = Maker::new(2 * MIB as u64, MIB as u32, 4096).with_parent(&pairs);
    let at = maker.append(&[9; MIB]);
    maker.entry(1, 7, at);
    // Bits 256 to 511 are those of block 1.
    let mut bitmap = vec![0; MIB];
    bitmap[32] = 0b110;
    let at = maker.append(&bitmap);
    maker.entry(32768, 6, at);
    let layer = maker.open().unwrap();
    let found = |at: usize| layer.extent_at((MIB + at) as u64).map(|e| (e.kind, e.len)).unwrap();
    use format_core::ExtentKind::{Data, Unallocated};
    assert_eq!(found(0), (Unallocated, 4096));
    assert_eq!(found(5000), (Data, 8192 - 904));
    assert_eq!(found(3 * 4096), (Unallocated, (253 * 4096) as u64));
}

/// What a block of the child is; runs are in sectors of 512 bytes.
#[derive(Clone, Debug)]
enum Kind {
    State(u64),
    Full,
    Partial(Vec<(usize, usize)>),
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        (0..4u64).prop_map(Kind::State),
        Just(Kind::Full),
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
        let parent: Vec<u8> = (0..size).map(|at| (at / 512 % 100) as u8 + 1).collect();
        let mut base = Maker::new(size as u64, MIB as u32, 512);
        for (block, bytes) in parent.chunks(MIB).enumerate() {
            let at = base.append(bytes);
            base.entry(block, 6, at);
        }
        let mut child = child(&[("parent_linkage", &braced()), ("relative_path", "p")]);
        child.put(crate::maker::item_at(1), &(size as u64).to_le_bytes());
        let mut expected = parent.clone();
        let mut bitmap = vec![0u8; MIB];
        for (block, kind) in kinds.iter().enumerate() {
            let range = block * MIB..((block + 1) * MIB).min(size);
            match kind {
                Kind::State(state) => {
                    child.entry(block, *state, 0);
                    if *state > 0 {
                        expected[range].fill(0);
                    }
                }
                Kind::Full => {
                    let at = child.append(&[0xcc; MIB]);
                    child.entry(block, 6, at);
                    expected[range].fill(0xcc);
                }
                Kind::Partial(runs) => {
                    let at = child.append(&[0xdd; MIB]);
                    child.entry(block, 7, at);
                    for sector in runs.iter().flat_map(|(start, len)| *start..(start + len).min(2048)) {
                        let bit = block * 2048 + sector;
                        bitmap[bit / 8] |= 1 << (bit % 8);
                        let (from, to) = (bit * 512, ((bit + 1) * 512).min(size));
                        if from < to {
                            expected[from..to].fill(0xdd);
                        }
                    }
                }
            }
        }
        let at = child.append(&bitmap);
        child.entry(4096, 6, at);
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
