//! Damaged files: an error or an answer, soon, and never a panic.

use crate::maker::{CLUSTER, L1, Maker, check, disk, open_with};
use format_core::{Disk, Error, ErrorKind, Extent, ExtentKind, MemStorage, Result, Storage};
use proptest::prelude::*;
use std::sync::Arc;
use std::time::Instant;

fn image() -> Maker {
    let mut maker = Maker::new(0x1_0000 + 100);
    maker.backing(b"base");
    for cluster in [0, 1, 2, 5, 63, 64, 128] {
        maker.data(cluster, &[cluster as u8 + 1; CLUSTER]);
    }
    for cluster in [7, 9, 65, 100] {
        maker.compressed(cluster, &[cluster as u8; CLUSTER]);
    }
    maker
}

fn walk(disk: &Disk) -> Result<()> {
    let size = disk.virtual_size();
    let mut buf = vec![0; 1 << 17];
    for (from, to) in [(0, size.min(1 << 17)), (size.saturating_sub(1 << 17), size)] {
        for extent in disk.extents(from, to) {
            let extent = extent?;
            disk.read_exact_at(extent.offset, &mut buf[..extent.len as usize])?;
        }
    }
    Ok(())
}

/// Opens it and reads its ends; whether all of that worked.
fn look(bytes: Vec<u8>) -> bool {
    let start = Instant::now();
    let storage: Arc<dyn Storage> = Arc::new(MemStorage(bytes));
    let not_ours = |e: &Error| assert_ne!(e.kind(), ErrorKind::Contract, "{e}");
    check(Arc::clone(&storage)).inspect_err(not_ours).ok();
    if let Ok(layer) = open_with(Arc::clone(&storage), b"key") {
        walk(&Disk::new(vec![layer]).unwrap()).inspect_err(not_ours).ok();
    }
    let whole = disk(storage).and_then(|disk| walk(&disk));
    assert!(start.elapsed().as_secs() < 1);
    whole.inspect_err(not_ours).is_ok()
}

#[test]
fn every_cut_is_an_error() {
    let good = image().bytes;
    for size in 0..good.len() {
        assert!(!look(good[..size].to_vec()), "cut to {size:#x}");
    }
    assert!(look(good));
}

#[test]
fn flipped_bits_everywhere() {
    let good = image().bytes;
    for place in (0..0x110).chain((0x110..good.len()).step_by(5)) {
        for bit in 0..8 {
            let mut bytes = good.clone();
            bytes[place] ^= 1 << bit;
            look(bytes);
        }
    }
}

/// A header before nothing but holes, exabytes of them.
struct Endless(Vec<u8>, u64);

impl Storage for Endless {
    fn size(&self) -> u64 {
        self.1
    }
    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        buf.fill(0);
        if let Some(there) = self.0.get(offset as usize..) {
            let len = there.len().min(buf.len());
            buf[..len].copy_from_slice(&there[..len]);
        }
        Ok(())
    }
    fn data_at(&self, offset: u64) -> Result<Extent> {
        let data = self.0.len() as u64;
        let (kind, end) = if offset < data { (ExtentKind::Data, data) } else { (ExtentKind::Zero, self.1) };
        Ok(Extent { offset, len: end - offset, kind })
    }
}

#[test]
fn the_largest_numbers_cost_nothing() {
    let start = Instant::now();
    // The L1 tables of 2 GiB each, and one entry more.
    for (cluster_bits, l2_bits) in [(9, 6), (16, 13)] {
        let size = 1 << (28 + cluster_bits + l2_bits);
        let mut maker = Maker::new(size);
        maker.put(32, &[cluster_bits, l2_bits]).bytes.resize(0x3000, 0);
        maker.u64(L1, 0x1000).u64(0x1000, 0x2000);
        let storage: Arc<dyn Storage> = Arc::new(Endless(maker.bytes.clone(), 1 << 62));
        let disk = disk(Arc::clone(&storage)).unwrap();
        for at in [0, size / 2, size - 512] {
            disk.read_exact_at(at, &mut [1; 512]).unwrap();
            assert!(disk.extents(at, at + (1 << 40)).next().unwrap().is_ok());
        }
        let report = check(storage);
        assert!(report.is_ok_and(|report| report.leaks > 0));
        maker.u64(24, size + 1);
        let error = check(Arc::new(Endless(maker.bytes, 1 << 62))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Limit);
    }
    assert!(start.elapsed().as_secs() < 5, "{:?}", start.elapsed());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn scrambled_tables(changes in prop::collection::vec((0..3usize, 0..64usize, any::<u64>(), 0..8u32), 1..8)) {
        let mut maker = image();
        let l2 = maker.number(L1) as usize;
        for (table, index, value, kind) in changes {
            let value = match kind {
                0..5 => value % 24 * CLUSTER as u64,
                5..7 => (1 << 63) | ((value % 512) << 54) | (value % 8000),
                _ => value,
            };
            maker.u64([L1, l2, 8][table] + index % (if table == 2 { 4 } else { 64 }) * 8, value);
        }
        look(maker.bytes);
    }
}
