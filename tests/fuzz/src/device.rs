//! A device below volumes that are put together.

use driver_core::Volume;
use format_core::{Error, Result};
use std::ops::Range;
use std::sync::Mutex;

/// A device in memory with places that nobody may write.
pub struct Device {
    bytes: Mutex<Vec<u8>>,
    forbidden: Vec<Range<usize>>,
}

impl Device {
    /// A device with these bytes.
    #[must_use]
    pub fn new(bytes: Vec<u8>, forbidden: Vec<Range<usize>>) -> Self {
        Self { bytes: Mutex::new(bytes), forbidden }
    }
}

impl Volume for Device {
    fn size(&self) -> u64 {
        self.bytes.lock().expect("nobody panicked").len() as u64
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let bytes = self.bytes.lock().expect("nobody panicked");
        let end = (offset as usize).checked_add(buf.len());
        let found = end.and_then(|end| bytes.get(offset as usize..end)).ok_or_else(|| Error::usage("outside"))?;
        buf.copy_from_slice(found);
        Ok(())
    }

    fn write_all_at(&self, offset: u64, from: &[u8]) -> Result<()> {
        let mut bytes = self.bytes.lock().expect("nobody panicked");
        let (start, end) = (offset as usize, offset as usize + from.len());
        let hit = self.forbidden.iter().find(|range| range.start < end && start < range.end);
        assert!(hit.is_none(), "{start:#x}+{:#x} is written, which holds metadata", from.len());
        bytes.get_mut(start..end).ok_or_else(|| Error::usage("outside"))?.copy_from_slice(from);
        Ok(())
    }
}

/// Writes and reads a volume that was put together, at its start, its middle and its end.
///
/// # Panics
/// When a place inside cannot be used, when what was written does not read back, or when a place outside can be used.
pub fn walk_volume(volume: &dyn Volume, size: u64, is_read_only: bool) {
    assert_eq!(volume.size(), size);
    let len = size.min(9000) as usize;
    for at in [0, (size - len as u64) / 2, size - len as u64] {
        let mut found = vec![0; len];
        volume.read_exact_at(at, &mut found).expect("a place inside");
        let new: Vec<u8> = found.iter().map(|byte| byte ^ 0x5a).collect();
        assert_eq!(volume.write_all_at(at, &new).is_err(), is_read_only);
        if !is_read_only {
            volume.read_exact_at(at, &mut found).expect("a place inside");
            assert!(found == new, "what was written at {at:#x} does not read back");
        }
    }
    assert!(volume.read_exact_at(size, &mut [0]).is_err() && volume.write_all_at(size, &[0]).is_err());
}
