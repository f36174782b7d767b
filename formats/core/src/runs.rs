//! Guest bytes that lie plain in the file, run by run: what most rooms' `Layer` is made of.

use crate::{Error, ExtentKind, Result, Storage};

/// A run of guest bytes with one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Data, zeros, or not here.
    pub kind: ExtentKind,
    /// Guest bytes.
    pub len: u64,
    /// Where a Data run lies in the file.
    pub host: u64,
}

/// Refuses what leaves a disk of `size` bytes.
///
/// # Errors
/// `Usage` with the numbers.
pub fn check_guest_range(size: u64, offset: u64, len: u64) -> Result<()> {
    if offset.checked_add(len).is_some_and(|end| end <= size) {
        return Ok(());
    }
    Err(Error::usage(format!("{len:#x} bytes wanted at {offset:#x} of a disk of {size:#x} bytes")))
}

/// Fills `buf` from guest offset `offset`, asking `run_at` for one run after the other.
///
/// # Errors
/// What `run_at` and the storage report; `Contract` when a run is empty.
pub fn read_runs(
    storage: &dyn Storage,
    offset: u64,
    mut buf: &mut [u8],
    mut run_at: impl FnMut(u64) -> Result<Run>,
) -> Result<()> {
    let mut at = offset;
    while !buf.is_empty() {
        let run = run_at(at)?;
        let len = usize::try_from(run.len).unwrap_or(usize::MAX).min(buf.len());
        if len == 0 {
            return Err(Error::contract(format!("an empty run at {at:#x}")));
        }
        let (now, rest) = buf.split_at_mut(len);
        match run.kind {
            ExtentKind::Data => storage.read_exact_at(run.host, now)?,
            ExtentKind::Zero | ExtentKind::Unallocated => now.fill(0),
        }
        buf = rest;
        at += len as u64;
    }
    Ok(())
}

/// The run of equal bits from `first`; `bit` tells the value of a bit of a byte by its place.
fn run_of_bits(bitmap: &[u8], first: usize, end: usize, bit: impl Fn(u8, usize) -> bool) -> (bool, usize) {
    let bit = |at: usize| bitmap.get(at / 8).is_some_and(|byte| bit(*byte, at % 8));
    let value = bit(first);
    let same = if value { 0xff } else { 0 };
    let mut at = first;
    while at < end && bit(at) == value {
        at += if at.is_multiple_of(8) && bitmap.get(at / 8) == Some(&same) { 8 } else { 1 };
    }
    (value, at.min(end).saturating_sub(first))
}

/// The value of bit `first` and how many bits from there have it, looking at `end` bits at most; the most significant
/// bit of a byte is its first (VHD).
#[must_use]
pub fn bit_run_msb(bitmap: &[u8], first: usize, end: usize) -> (bool, usize) {
    run_of_bits(bitmap, first, end, |byte, at| byte << at & 0x80 != 0)
}

/// As [`bit_run_msb`] where the least significant bit of a byte is its first (VHDX).
#[must_use]
pub fn bit_run_lsb(bitmap: &[u8], first: usize, end: usize) -> (bool, usize) {
    run_of_bits(bitmap, first, end, |byte, at| byte >> at & 1 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bit_runs_end_where_the_bits_change() {
        let bitmap = [0xff, 0xff, 0xe0, 0, 0, 0x01];
        assert_eq!(bit_run_msb(&bitmap, 0, 48), (true, 19));
        assert_eq!(bit_run_msb(&bitmap, 3, 10), (true, 7));
        assert_eq!(bit_run_msb(&bitmap, 19, 48), (false, 28));
        assert_eq!(bit_run_msb(&bitmap, 47, 48), (true, 1));
        let mirrored = bitmap.map(u8::reverse_bits);
        assert_eq!(bit_run_lsb(&mirrored, 0, 48), (true, 19));
        assert_eq!(bit_run_lsb(&mirrored, 47, 48), (true, 1));
    }
}
