//! Numbers in bytes that are known to be long enough or not: reading returns, never panics.

use crate::error::{Fault, Result};

pub(crate) fn le16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

pub(crate) fn le32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

pub(crate) fn le64(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// Overwrites bytes in place. `false`: they do not lie within.
#[must_use]
pub(crate) fn put(bytes: &mut [u8], at: usize, new: &[u8]) -> bool {
    let end = at.checked_add(new.len());
    match end.and_then(|end| bytes.get_mut(at..end)) {
        Some(old) => {
            old.copy_from_slice(new);
            true
        }
        None => false,
    }
}

/// UTF-16LE as code units; an odd last byte is left out.
pub(crate) fn units(bytes: &[u8]) -> impl Iterator<Item = u16> + '_ {
    bytes.as_chunks::<2>().0.iter().map(|pair| u16::from_le_bytes(*pair))
}

/// The data of a cell.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record<'a> {
    pub(crate) cell: u32,
    pub(crate) bytes: &'a [u8],
}

impl<'a> Record<'a> {
    fn short(&self, at: usize, len: usize) -> Fault {
        Fault::Short { cell: self.cell, at, len, room: self.bytes.len() }
    }

    pub(crate) fn u16(&self, at: usize) -> Result<u16> {
        le16(self.bytes, at).ok_or_else(|| self.short(at, 2))
    }

    pub(crate) fn u32(&self, at: usize) -> Result<u32> {
        le32(self.bytes, at).ok_or_else(|| self.short(at, 4))
    }

    pub(crate) fn u64(&self, at: usize) -> Result<u64> {
        le64(self.bytes, at).ok_or_else(|| self.short(at, 8))
    }

    pub(crate) fn slice(&self, at: usize, len: usize) -> Result<&'a [u8]> {
        let end = at.checked_add(len);
        end.and_then(|end| self.bytes.get(at..end)).ok_or_else(|| self.short(at, len))
    }

    /// The first two bytes, which say what most cells are.
    pub(crate) fn signature(&self) -> [u8; 2] {
        self.bytes.first_chunk().copied().unwrap_or_default()
    }
}
