//! Damaged files: an error or an answer, soon, and never a panic.

use crate::maker::{CLUSTER, L1, Maker, check, disk};
use format_core::{Error, ErrorKind, Extent, ExtentKind, MemStorage, Result, Storage};
use proptest::prelude::*;
use std::sync::Arc;
use std::time::Instant;

fn image() -> Maker {
    let mut maker = Maker::new(6 << 20);
    maker.backing(b"base");
    for cluster in [0, 1, 2, 5, 1023, 1024, 1025, 1535] {
        maker.data(cluster, &[cluster as u8; CLUSTER]);
    }
    maker.entry(3, 1);
    maker
}

/// Opens it and reads the first and the last MiB; whether all of that worked.
fn look(bytes: Vec<u8>) -> bool {
    let start = Instant::now();
    let storage: Arc<dyn Storage> = Arc::new(MemStorage(bytes));
    let not_ours = |e: &Error| assert_ne!(e.kind(), ErrorKind::Contract, "{e}");
    check(Arc::clone(&storage)).inspect_err(not_ours).ok();
    let whole = disk(storage).and_then(|disk| {
        let size = disk.virtual_size();
        let mut buf = vec![0; 1 << 20];
        for (from, to) in [(0, size.min(1 << 20)), (size.saturating_sub(1 << 20), size)] {
            for extent in disk.extents(from, to) {
                let extent = extent?;
                disk.read_exact_at(extent.offset, &mut buf[..extent.len as usize])?;
            }
        }
        Ok(())
    });
    assert!(start.elapsed().as_secs() < 1);
    whole.inspect_err(not_ours).is_ok()
}

#[test]
fn every_cut_is_an_error() {
    let good = image().bytes;
    for size in (0..0x1200).chain((0x1200..good.len()).step_by(97)) {
        assert!(!look(good[..size].to_vec()), "cut to {size:#x}");
    }
    assert!(look(good));
}

#[test]
fn flipped_bits_of_header_and_tables() {
    let good = image().bytes;
    let l2 = Maker { bytes: good.clone() }.number(L1) as usize;
    for place in (0..0x110).chain(L1..L1 + 64).chain(l2..l2 + 64) {
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
    let mut maker = Maker::new(1 << 62);
    maker.u32(4, 64 << 20).u32(8, 16).u64(40, 64 << 20);
    let start = Instant::now();
    let storage: Arc<dyn Storage> = Arc::new(Endless(maker.bytes.clone(), 1 << 62));
    let disk = disk(Arc::clone(&storage)).unwrap();
    for at in [0, 1 << 60, (1 << 62) - 512] {
        disk.read_exact_at(at, &mut [1; 512]).unwrap();
        assert!(disk.extents(at, 1 << 62).next().unwrap().is_ok());
    }
    let report = check(storage).unwrap();
    assert_eq!(report.errors, 0);
    assert_eq!(report.leaks, (1 << 36) - 17);
    // A header that takes the whole file, cluster for cluster.
    maker.u32(4, 4096).u32(8, 1).u32(12, u32::MAX).u64(40, 0xffff_ffff << 12).u64(48, 0);
    let report = check(Arc::new(Endless(maker.bytes, 1 << 60)));
    assert_eq!(report.unwrap_err().kind(), ErrorKind::Limit);
    assert!(start.elapsed().as_secs() < 5, "{:?}", start.elapsed());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn scrambled_tables(changes in prop::collection::vec((0..3usize, 0..64usize, any::<u64>(), 0..8u32), 1..8)) {
        let mut maker = image();
        let l2 = maker.number(L1) as usize;
        for (table, index, value, kind) in changes {
            let value = if kind < 6 { value % 24 * CLUSTER as u64 } else { value };
            maker.u64([L1, l2, 16][table] + index * 8, value);
        }
        look(maker.bytes);
    }
}
