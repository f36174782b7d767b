//! Questions to a disk that the copy asks: how much data, where next, and the bytes of a block.

use crate::observer::Control;
use format_core::{Disk, ExtentKind, Result};

/// Bytes of data in the disk, holes not counted.
pub(crate) fn data_bytes(disk: &Disk, control: Control<'_>) -> Result<u64> {
    let mut total = 0u64;
    for extent in disk.extents(0, disk.virtual_size()) {
        control.check()?;
        let extent = extent?;
        if extent.kind == ExtentKind::Data {
            total = total.saturating_add(extent.len);
        }
    }
    Ok(total)
}

/// Reads the data ranges into the block and clears what lies between them.
pub(crate) fn fill(disk: &Disk, block: &mut [u8], start: u64, data: &[(u64, u64)]) -> Result<u64> {
    let (mut done, mut read) = (0, 0);
    for &(offset, len) in data {
        let (from, to) = ((offset - start) as usize, (offset - start + len) as usize);
        block[done..from].fill(0);
        disk.read_exact_at(offset, &mut block[from..to])?;
        (done, read) = (to, read + len);
    }
    block[done..].fill(0);
    Ok(read)
}

/// Where the next data of `disk` begin, before `end`. It looks no further: how far they go would be asked again from
/// their every block.
pub(crate) fn next_data(disk: &Disk, start: u64, end: u64) -> Result<Option<u64>> {
    let end = end.min(disk.virtual_size());
    let mut at = start;
    while at < end {
        let extent = disk.extent_at(at)?;
        if extent.kind == ExtentKind::Data {
            return Ok(Some(at));
        }
        at = extent.end();
    }
    Ok(None)
}
