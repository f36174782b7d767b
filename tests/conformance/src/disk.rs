//! Lines 2, 4 and 5: what a chain makes of its layers.

use crate::{Outcome, broken, first_difference, require};
use format_core::{Disk, ErrorKind, Extent, ExtentKind, Layer, Result};
use std::sync::Arc;

/// More answers than any disk of the tests has.
const ENDLESS: usize = 1 << 20;

/// A parent of one byte value, shorter or longer than its child.
struct Painted {
    size: u64,
    value: u8,
}

impl Layer for Painted {
    fn format(&self) -> &'static str {
        "painted"
    }

    fn virtual_size(&self) -> u64 {
        self.size
    }

    fn chunk_size(&self) -> u64 {
        1
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        match self.size.checked_sub(offset) {
            None | Some(0) => Err(format_core::Error::usage("outside the painted layer")),
            Some(len) => Ok(Extent { offset, len, kind: ExtentKind::Data }),
        }
    }

    fn read_exact_at(&self, _: u64, buf: &mut [u8]) -> Result<()> {
        buf.fill(self.value);
        Ok(())
    }
}

/// What a chain of a child and its parent reads as; [`flatten`] is ours.
pub type Flatten<'a> = &'a dyn Fn(Arc<dyn Layer>, Arc<dyn Layer>) -> Result<Vec<u8>>;

/// Reads a child over its parent through [`Disk`].
///
/// # Errors
/// What the disk reports.
pub fn flatten(child: Arc<dyn Layer>, parent: Arc<dyn Layer>) -> Result<Vec<u8>> {
    let disk = Disk::new(vec![child, parent])?;
    let mut bytes = vec![0xee; disk.virtual_size() as usize];
    disk.read_exact_at(0, &mut bytes)?;
    Ok(bytes)
}

/// Puts the layer on a parent of 0xff bytes and checks that Zero hides it, Unallocated shows it, and that a parent
/// that is too short ends in zeros. `expected` is what the layer reads as alone.
///
/// # Errors
/// The violation of line 1, 2 or 4.
pub fn check_over_parent(layer: &Arc<dyn Layer>, expected: &[u8], flatten: Flatten<'_>) -> Outcome {
    let size = layer.virtual_size();
    for parent_size in [size, size / 2, size + 4096] {
        let mut wanted = expected.to_vec();
        let mut at = 0;
        while at < size {
            let extent = layer.extent_at(at).map_err(|e| broken(1, e.to_string()))?;
            require(1, extent.len > 0, || format!("an empty extent at {at:#x}"))?;
            if extent.kind == ExtentKind::Unallocated && at < parent_size {
                wanted[at as usize..extent.end().min(parent_size) as usize].fill(0xff);
            }
            at = extent.end();
        }
        let parent = Arc::new(Painted { size: parent_size, value: 0xff });
        let found = flatten(Arc::clone(layer), parent).map_err(|e| broken(2, e.to_string()))?;
        if let Some(place) = first_difference(&found, &wanted) {
            let line = if place as u64 >= parent_size { 4 } else { 2 };
            return Err(broken(line, format!("{place:#x} over a parent of {parent_size:#x} bytes")));
        }
    }
    Ok(())
}

/// Checks the extents of a whole disk of `size` bytes: Data and Zero, ascending, contiguous, coalesced, to the end.
///
/// # Errors
/// The violation of line 5.
pub fn check_flat(extents: impl Iterator<Item = Result<Extent>>, size: u64) -> Outcome {
    let (mut at, mut before) = (0, None);
    for extent in extents.take(ENDLESS) {
        let extent = extent.map_err(|e| broken(5, e.to_string()))?;
        require(5, extent.offset == at && extent.len > 0, || {
            format!("{:#x}+{:#x} where {at:#x} comes next", extent.offset, extent.len)
        })?;
        require(5, extent.kind != ExtentKind::Unallocated, || format!("Unallocated at {at:#x} of a disk"))?;
        require(5, before != Some(extent.kind), || format!("two extents of one kind meet at {at:#x}"))?;
        (at, before) = (extent.end(), Some(extent.kind));
    }
    require(5, at == size, || format!("the extents end at {at:#x} of {size:#x}"))
}

/// Checks that a disk over a layer that lies about its extents ends in a `Contract` error.
///
/// # Errors
/// The violation of line 5.
pub fn check_refused(layer: Arc<dyn Layer>) -> Outcome {
    let size = layer.virtual_size();
    let disk = Disk::new(vec![layer]).map_err(|e| broken(5, e.to_string()))?;
    let kinds: Vec<ErrorKind> =
        disk.extents(0, size).take(ENDLESS).filter_map(Result::err).map(|e| e.kind()).collect();
    require(5, kinds == [ErrorKind::Contract], || format!("a lying layer gave the errors {kinds:?}"))?;
    let read = disk.read_exact_at(0, &mut vec![0; size as usize]).map_err(|e| e.kind());
    require(5, read == Err(ErrorKind::Contract), || format!("reading a lying layer gave {read:?}"))
}
