//! A file of the guest that is read piece by piece, so that its size does not matter.

use format_core::{Error, Result};

/// The largest file that [`crate::GuestFs::open_file`] reads as a whole where a file system has nothing better.
pub(crate) const MAX_WHOLE: u64 = 64 << 20;

/// An open regular file of a guest's file system, which cannot be changed meanwhile.
pub trait GuestFile {
    /// Size in bytes.
    fn size(&self) -> u64;

    /// Fills `buf` from `offset`. Holes are zeros.
    ///
    /// # Errors
    /// `Usage` when the range leaves the file; `Corrupt` or `Io` when the file system cannot be read there.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()>;
}

/// Checks that `len` bytes at `offset` lie in a file of `size` bytes: how every [`GuestFile`] starts to read.
///
/// # Errors
/// `Usage` when they do not.
pub fn check_range(size: u64, offset: u64, len: usize) -> Result<()> {
    match offset.checked_add(len as u64) {
        Some(end) if end <= size => Ok(()),
        _ => Err(Error::usage(format!("{len:#x} bytes at {offset:#x} leave the file of {size:#x} bytes"))),
    }
}

/// A file that is in memory as a whole.
pub(crate) struct WholeFile(pub(crate) Vec<u8>);

impl GuestFile for WholeFile {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        check_range(self.size(), offset, buf.len())?;
        let from = self.0.get(offset as usize..).and_then(|rest| rest.get(..buf.len()));
        buf.copy_from_slice(from.unwrap_or_default());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::{GuestFs, GuestTree, MemFs};

    #[test]
    fn a_file_is_read_in_pieces_and_not_behind_its_end() {
        let mut tree = GuestTree::new();
        tree.mount("/", Box::new(MemFs::new().with_file("/a", "0123456789").with_link("/l", "a")));
        let file = tree.open_file("/l").unwrap();
        assert_eq!(file.size(), 10);
        let mut buf = [0; 4];
        file.read_at(6, &mut buf).unwrap();
        assert_eq!(&buf, b"6789");
        file.read_at(10, &mut []).unwrap();
        for offset in [7, 11, u64::MAX - 1] {
            assert!(file.read_at(offset, &mut buf).is_err());
        }
        assert!(tree.open_file("/").is_err() && tree.open_file("/none").is_err());
        assert!(MemFs::new().open_file("/").is_err());
    }
}
