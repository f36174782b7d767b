//! A file that is read piece by piece.

use crate::fs::ExtFs;
use driver_core::{GuestFile, check_range};
use format_core::Result;

/// An open regular file: the library looks its blocks up for each read.
pub(crate) struct ExtFile<'fs> {
    pub(crate) fs: &'fs ExtFs,
    pub(crate) ino: u32,
    pub(crate) size: u64,
}

impl GuestFile for ExtFile<'_> {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        check_range(self.size, offset, buf.len())?;
        self.fs.read_piece(self.ino, offset, buf)
    }
}
