//! Hive bins and their cells, one after the other.
//!
//! Source: specification, "Hive bin" and "Cell": bins lie without gaps, cells fill a bin without gaps, a cell's size is
//! negative when it is allocated.

use crate::error::{Fault, Result, shown};
use crate::fields::le32;
use crate::layout::{BIN_HEADER, CELL_ALIGN, PAGE, bin};

/// A cell as its bin lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CellSpan {
    /// Offset in the hive bins data.
    pub(crate) at: u32,
    /// Size with its header.
    pub(crate) size: u32,
    pub(crate) is_allocated: bool,
    /// Offset of the bin.
    pub(crate) bin: u32,
    /// End of the bin.
    pub(crate) bin_end: u32,
}

/// Calls `see` for every cell of `bins`, the whole hive bins data.
pub(crate) fn for_each_cell(bins: &[u8], mut see: impl FnMut(CellSpan)) -> Result<()> {
    let end = u32::try_from(bins.len()).map_err(|_| Fault::hive_size(bins.len() as u64))?;
    let mut at = 0;
    while at < end {
        let size = bin_size(bins, at, end)?;
        cells_of(bins, at, at + size, &mut see)?;
        at += size;
    }
    Ok(())
}

/// The size of the bin at `at`, which lies within the hive bins data that end at `end`.
fn bin_size(bins: &[u8], at: u32, end: u32) -> Result<u32> {
    let fault = |what: String| Fault::Bin { bin: at, what };
    let start = at as usize;
    let found = bins.get(start..start + 4).unwrap_or_default();
    if found != bin::SIGNATURE {
        return Err(fault(format!("it starts with {}, expected is hbin", shown(found))));
    }
    let (own, size) = (le32(bins, start + bin::OFFSET), le32(bins, start + bin::SIZE).unwrap_or_default());
    if own != Some(at) {
        return Err(fault(format!("it says that it lies at {:#x}", own.unwrap_or_default())));
    }
    if size == 0 || !size.is_multiple_of(PAGE) || size > end - at {
        return Err(fault(format!("its size is {size:#x}, {:#x} bytes are left", end - at)));
    }
    Ok(size)
}

fn cells_of(bins: &[u8], bin: u32, bin_end: u32, see: &mut impl FnMut(CellSpan)) -> Result<()> {
    let mut at = bin + BIN_HEADER;
    while at < bin_end {
        let raw = le32(bins, at as usize).unwrap_or_default().cast_signed();
        let size = raw.unsigned_abs();
        if size == 0 || !size.is_multiple_of(CELL_ALIGN) || size > bin_end - at {
            let what = format!("the cell at {at:#x} has size {raw}, {} bytes are left", bin_end - at);
            return Err(Fault::Bin { bin, what });
        }
        see(CellSpan { at, size, is_allocated: raw < 0, bin, bin_end });
        at += size;
    }
    Ok(())
}
