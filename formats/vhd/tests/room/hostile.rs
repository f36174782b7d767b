//! Damaged files: an error or an answer, soon, and never a panic.

use crate::maker::{BAT, HEADER, LOCATORS, MIB, Maker, NAME, open, sealed, utf16_le};
use format_core::{DenyAll, Disk, Layer, LayerContext, Result, Storage};
use format_vhd::FORMAT;
use proptest::prelude::*;
use std::sync::Arc;
use std::time::Instant;

/// A differencing image with every kind of block.
fn image() -> Maker {
    let mut maker = Maker::differencing(
        8 * MIB as u64 - 512,
        MIB as u32,
        &[(b"W2ru", utf16_le(r".\p.vhd")), (b"MacX", b"file://./p.vhd".to_vec())],
    );
    maker.put(HEADER + NAME, &[0, b'p']);
    maker.block(1, |sector| sector % 16 < 9, &[5; MIB]);
    maker.block(7, |sector| sector < 1000, &[6; MIB]);
    maker
}

/// The good bytes with some replaced, cut to a length.
struct Damaged {
    good: Arc<Vec<u8>>,
    patches: Vec<(usize, Vec<u8>)>,
    size: usize,
}

impl Storage for Damaged {
    fn size(&self) -> u64 {
        self.size as u64
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let outside = || format_core::Error::corrupt("outside");
        let end =
            offset.checked_add(buf.len() as u64).filter(|end| *end <= self.size()).ok_or_else(outside)?;
        let range = offset as usize..end as usize;
        buf.copy_from_slice(&self.good[range.clone()]);
        for (at, bytes) in &self.patches {
            let (from, to) = (range.start.max(*at), range.end.min(at + bytes.len()));
            if from < to {
                buf[from - range.start..to - range.start].copy_from_slice(&bytes[from - at..to - at]);
            }
        }
        Ok(())
    }
}

/// Opens it and looks at the first and the last MiB; the layer and whether all that could be read.
fn look(storage: Damaged) -> Option<(Arc<dyn Layer>, bool)> {
    let start = Instant::now();
    let storage = Arc::new(storage);
    let mut context = LayerContext::new(Arc::new(DenyAll));
    let checked = FORMAT.check.unwrap()(Arc::clone(&storage) as Arc<dyn Storage>, &context);
    context.access.ignore_checksums = true;
    let ignored = FORMAT.open_layer.unwrap()(Arc::clone(&storage) as Arc<dyn Storage>, &context);
    let layer: Arc<dyn Layer> = open(storage).ok()?.into();
    assert!(checked.is_ok() && ignored.is_ok(), "what opens can be checked");
    let disk = Disk::new(vec![Arc::clone(&layer)]).unwrap();
    let size = disk.virtual_size();
    let (mut buf, mut whole) = (vec![0; 2 * MIB], true);
    for (from, to) in [(0, size.min(2 * MIB as u64)), (size.saturating_sub(MIB as u64), size)] {
        for extent in disk.extents(from, to) {
            let Ok(extent) = extent else {
                whole = false;
                break;
            };
            whole &= disk.read_exact_at(extent.offset, &mut buf[..extent.len as usize]).is_ok();
        }
    }
    assert!(start.elapsed().as_secs() < 1);
    Some((layer, whole))
}

#[test]
fn every_cut_is_an_error_a_warning_or_both() {
    let good = Arc::new(image().file());
    let len = good.len();
    let mut cuts: Vec<usize> = (0..len).step_by(16 << 10).flat_map(|at| [at, at + 1, at + 511]).collect();
    cuts.extend((0..0x2000).step_by(7).chain(len - 1100..len - 1));
    for size in cuts.into_iter().filter(|size| *size < len - 1) {
        let Some((layer, whole)) = look(Damaged { good: Arc::clone(&good), patches: vec![], size }) else {
            continue;
        };
        assert_eq!(layer.warnings()[0].code, "vhd-footer-damaged", "cut to {size:#x}");
        // Block 7 ends the disk a sector before its own end.
        assert_eq!(whole, size >= len - 1024, "cut to {size:#x}: block 7 is the last in the file");
    }
    let (layer, whole) = look(Damaged { good, patches: vec![], size: len }).unwrap();
    assert!(whole && layer.warnings().is_empty());
}

/// Flips each bit of `len` bytes at `at`, once as it is and once with the checksum at `field` made right.
fn flip(at: usize, len: usize, structure: usize, field: usize) {
    let good = Arc::new(image().file());
    let size = good.len();
    for (byte, bit) in (0..len).flat_map(|byte| (0..8).map(move |bit| (byte, bit))) {
        let patches = vec![(at + byte, vec![good[at + byte] ^ 1 << bit])];
        look(Damaged { good: Arc::clone(&good), patches, size });
        if structure > 0 {
            let mut bytes = good[at..at + structure].to_vec();
            bytes[byte] ^= 1 << bit;
            let patches = vec![(at, sealed(&bytes, field..field + 4))];
            look(Damaged { good: Arc::clone(&good), patches, size });
        }
    }
}

#[test]
fn flipped_bits_in_footers() {
    let end = image().file().len();
    flip(0, 96, 512, 64);
    flip(end - 512, 96, 512, 64);
}

#[test]
fn flipped_bits_in_the_dynamic_header() {
    flip(HEADER, 72, 1024, 36);
    let good = image();
    for (at, bit) in (LOCATORS..LOCATORS + 48).flat_map(|at| (0..8).map(move |bit| (HEADER + at, bit))) {
        let mut maker = good.clone();
        maker.bytes[at] ^= 1 << bit;
        let file = maker.file();
        look(Damaged { size: file.len(), good: Arc::new(file), patches: vec![] });
    }
}

#[test]
fn flipped_bits_in_tables() {
    flip(BAT, 64, 0, 0);
    flip(0x1600, 64, 0, 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn scrambled_structures_with_right_checksums(
        changes in prop::collection::vec((0..4usize, 0..96usize, any::<u8>()), 1..6),
    ) {
        let mut maker = image();
        for (place, at, value) in changes {
            match place {
                0 => maker.footer[at] = value,
                1 => maker.bytes[HEADER + at % 64] = value,
                2 => maker.bytes[HEADER + LOCATORS + at] = value,
                _ => maker.bytes[BAT + at] = value,
            }
        }
        let file = maker.file();
        look(Damaged { size: file.len(), good: Arc::new(file), patches: vec![] });
    }
}
