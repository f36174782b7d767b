//! A reader over untrusted bytes that returns instead of panicking.

use crate::{Error, Result};

/// Bytes with a host offset: every access is checked, every error says where in the file it was.
#[derive(Clone, Copy, Debug)]
pub struct Bytes<'a> {
    bytes: &'a [u8],
    base: u64,
}

macro_rules! getter {
    ($name:ident, $type:ty, $from:ident, $doc:literal) => {
        #[doc = $doc]
        ///
        /// # Errors
        /// `Corrupt` when the bytes end before it.
        pub fn $name(&self, at: usize) -> Result<$type> {
            Ok(<$type>::$from(self.array(at)?))
        }
    };
}

impl<'a> Bytes<'a> {
    /// Bytes that were read at host offset `base`.
    #[must_use]
    pub fn new(bytes: &'a [u8], base: u64) -> Self {
        Self { bytes, base }
    }

    /// How many bytes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// `len` bytes from `at`.
    ///
    /// # Errors
    /// `Corrupt` when they are not all there.
    pub fn slice(&self, at: usize, len: usize) -> Result<&'a [u8]> {
        at.checked_add(len).and_then(|end| self.bytes.get(at..end)).ok_or_else(|| {
            Error::corrupt(format!(
                "{len} bytes wanted at {at:#x} of a structure of {:#x} bytes",
                self.bytes.len()
            ))
            .at(self.base.saturating_add(at as u64))
        })
    }

    /// A fixed number of bytes from `at`.
    ///
    /// # Errors
    /// `Corrupt` when they are not all there.
    pub fn array<const N: usize>(&self, at: usize) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.slice(at, N)?);
        Ok(array)
    }

    /// The byte at `at`.
    ///
    /// # Errors
    /// `Corrupt` when the bytes end before it.
    pub fn u8(&self, at: usize) -> Result<u8> {
        Ok(self.array::<1>(at)?[0])
    }

    getter!(u16_le, u16, from_le_bytes, "The little-endian 16-bit number at `at`.");
    getter!(u32_le, u32, from_le_bytes, "The little-endian 32-bit number at `at`.");
    getter!(u64_le, u64, from_le_bytes, "The little-endian 64-bit number at `at`.");
    getter!(u16_be, u16, from_be_bytes, "The big-endian 16-bit number at `at`.");
    getter!(u32_be, u32, from_be_bytes, "The big-endian 32-bit number at `at`.");
    getter!(u64_be, u64, from_be_bytes, "The big-endian 64-bit number at `at`.");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_inside_and_names_the_place_outside() {
        let bytes = Bytes::new(&[1, 2, 3, 4], 0x100);
        assert_eq!(bytes.u16_le(1).unwrap(), 0x0302);
        assert_eq!(bytes.u32_be(0).unwrap(), 0x0102_0304);
        assert_eq!(bytes.u32_le(1).unwrap_err().offset(), Some(0x101));
        assert!(bytes.slice(usize::MAX, 2).is_err());
    }
}
