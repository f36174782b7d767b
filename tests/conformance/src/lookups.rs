//! Line 1, the price: an extent costs at most one table look-up.

use crate::{Noise, Outcome, broken, require};
use format_core::{DenyAll, Extent, Format, LayerContext, MemStorage, Result, Storage};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// One look-up may read a table of each level that is not in memory yet, no more.
const CALLS: u64 = 4;

/// Counts the calls that a layer makes.
struct Counted {
    bytes: MemStorage,
    calls: AtomicU64,
}

impl Storage for Counted {
    fn size(&self) -> u64 {
        self.bytes.size()
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.bytes.read_exact_at(offset, buf)
    }

    fn data_at(&self, offset: u64) -> Result<Extent> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.bytes.data_at(offset)
    }
}

/// Opens `image` and counts what single extents cost, asked at places all over the disk.
///
/// # Errors
/// The violation of line 1.
pub fn check_lookups(format: &Format, image: Vec<u8>) -> Outcome {
    let storage = Arc::new(Counted { bytes: MemStorage(image), calls: AtomicU64::new(0) });
    let open = format.open_layer.ok_or_else(|| broken(1, "no reader"))?;
    let context = LayerContext::new(Arc::new(DenyAll));
    let layer =
        open(Arc::clone(&storage) as Arc<dyn Storage>, &context).map_err(|e| broken(1, e.to_string()))?;
    let mut noise = Noise(8);
    for _ in 0..200 {
        let at = noise.below(layer.virtual_size());
        let before = storage.calls.load(Ordering::Relaxed);
        layer.extent_at(at).map_err(|e| broken(1, e.to_string()))?;
        let calls = storage.calls.load(Ordering::Relaxed) - before;
        require(1, calls <= CALLS, || format!("the extent at {at:#x} cost {calls} reads"))?;
    }
    Ok(())
}
