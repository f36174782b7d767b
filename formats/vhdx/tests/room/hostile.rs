//! Damaged files: an error or an answer, soon, and never a panic.

use crate::maker::{
    BAT, Change, FIRST_BLOCK, HEADERS, LOG, METADATA, MIB, Maker, REGION_TABLES, item_at, log_entry, open,
};
use format_core::{DenyAll, Disk, LayerContext, Result, Storage};
use format_vhdx::FORMAT;
use proptest::prelude::*;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

/// A differencing image with every kind of block and a log.
fn image() -> Maker {
    let pairs =
        [("parent_linkage", "{83ed0ec3-24c8-49a6-a959-5e4bf1288bfb}"), ("relative_path", r".\p.vhdx")];
    let mut maker = Maker::new(8 * MIB as u64 - 512, MIB as u32, 512).with_parent(&pairs);
    let at = maker.append(&[5; MIB]);
    let bitmap = maker.append(&[0xff; MIB]);
    maker.put(bitmap + 5 * 256, &[0x5a; 16]);
    maker.put(bitmap + 8 * 256 - 16, &[0x5a; 16]);
    for (block, state) in [0, 1, 2, 3, 6, 7].into_iter().enumerate() {
        maker.entry(block, state, if state < 6 { 0 } else { at });
    }
    maker.entry(7, 7, at);
    maker.entry(4096, 6, bitmap);
    maker.open_log();
    let size = maker.bytes.len() as u64;
    let sector = [6; 4096];
    let changes = [Change::Data(FIRST_BLOCK as u64, &sector), Change::Zero(FIRST_BLOCK as u64 + 4096, 8192)];
    maker.put_log(0, &log_entry(1, 0, size, size, &changes));
    maker.put_log(8192, &log_entry(2, 0, size, size, &changes));
    maker
}

/// The good bytes with some replaced, cut to a length.
struct Damaged {
    good: Arc<Maker>,
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
        buf.copy_from_slice(&self.good.bytes[range.clone()]);
        for (at, bytes) in &self.patches {
            let (from, to) = (range.start.max(*at), range.end.min(at + bytes.len()));
            if from < to {
                buf[from - range.start..to - range.start].copy_from_slice(&bytes[from - at..to - at]);
            }
        }
        Ok(())
    }
}

/// Opens it and looks at the first and the last MiB.
fn look(storage: Damaged) -> bool {
    let start = Instant::now();
    let storage = Arc::new(storage);
    let mut context = LayerContext::new(Arc::new(DenyAll));
    let checked = FORMAT.check.unwrap()(Arc::clone(&storage) as Arc<dyn Storage>, &context);
    context.access.ignore_checksums = true;
    let ignored = FORMAT.open_layer.unwrap()(Arc::clone(&storage) as Arc<dyn Storage>, &context);
    let Ok(layer) = open(storage) else { return false };
    assert!(checked.is_ok() && ignored.is_ok(), "what opens can be checked");
    let disk = Disk::new(vec![layer.into()]).unwrap();
    let size = disk.virtual_size();
    let mut buf = vec![0; MIB];
    for (from, to) in [(0, size.min(MIB as u64)), (size.saturating_sub(MIB as u64), size)] {
        for extent in disk.extents(from, to) {
            let Ok(extent) = extent else { break };
            let _ = disk.read_exact_at(extent.offset, &mut buf[..extent.len as usize]);
        }
    }
    assert!(start.elapsed().as_secs() < 1);
    true
}

#[test]
fn every_cut_is_noticed_or_harmless() {
    let good = Arc::new(image());
    let len = good.bytes.len();
    let mut cuts: Vec<usize> = (0..len).step_by(64 << 10).flat_map(|at| [at, at + 1, at + 4095]).collect();
    cuts.extend(0..64);
    for size in cuts {
        let opened = look(Damaged { good: Arc::clone(&good), patches: vec![], size });
        assert!(!opened, "cut to {size:#x}: the log says how long the file was");
    }
    assert!(look(Damaged { good, patches: vec![], size: len }));
}

/// Flips each bit of `range`; `seal` says which structure's checksum is made right again.
fn flip(range: Range<usize>, seal: Option<Range<usize>>) {
    let good = Arc::new(image());
    for (at, bit) in range.flat_map(|at| (0..8).map(move |bit| (at, bit))) {
        let mut patches = vec![(at, vec![good.bytes[at] ^ 1 << bit])];
        if let Some(seal) = &seal {
            let mut bytes = good.bytes[seal.clone()].to_vec();
            bytes[at - seal.start] ^= 1 << bit;
            if at - seal.start < 4 || at - seal.start >= 8 {
                bytes[4..8].fill(0);
                let sum = crc32c::crc32c(&bytes).to_le_bytes();
                bytes[4..8].copy_from_slice(&sum);
            }
            patches = vec![(seal.start, bytes)];
        }
        look(Damaged { good: Arc::clone(&good), patches, size: good.bytes.len() });
    }
}

#[test]
fn flipped_bits_in_headers() {
    flip(0..8, None);
    for at in HEADERS {
        flip(at..at + 80, None);
        flip(at..at + 80, Some(at..at + 4096));
    }
}

#[test]
fn flipped_bits_in_region_tables() {
    for at in REGION_TABLES {
        flip(at..at + 80, Some(at..at + 0x10000));
    }
}

#[test]
fn flipped_bits_in_metadata() {
    flip(METADATA..METADATA + 224, None);
    for index in 0..5 {
        flip(item_at(index)..item_at(index) + 8, None);
    }
    flip(item_at(5)..item_at(5) + 80, None);
}

#[test]
fn flipped_bits_in_tables_and_log() {
    flip(BAT..BAT + 64, None);
    flip(BAT + 4096 * 8..BAT + 4097 * 8, None);
    flip(LOG..LOG + 128, None);
    flip(LOG + 8192..LOG + 8192 + 128, Some(LOG + 8192..LOG + 16384));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn scrambled_structures_with_right_checksums(
        changes in prop::collection::vec((0..9usize, 0..224usize, any::<u8>()), 1..6),
    ) {
        let places = [
            HEADERS[0], HEADERS[1], REGION_TABLES[0], REGION_TABLES[1], METADATA, item_at(0), item_at(5), BAT, LOG,
        ];
        let mut maker = image();
        for (place, at, value) in changes {
            maker.put(places[place] + at, &[value]);
        }
        maker.seal();
        let entry: Vec<u8> = maker.bytes[LOG..LOG + 8192].to_vec();
        maker.put_log(0, &crate::maker::sealed_entry(entry));
        let size = maker.bytes.len();
        look(Damaged { good: Arc::new(maker), patches: vec![], size });
    }
}
