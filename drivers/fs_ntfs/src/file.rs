//! A file that is read piece by piece.

use crate::error::NtfsError;
use crate::fs::{Found, NtfsFs, elsewhere};
use crate::layout::ENCRYPTED;
use crate::mft::Reader;
use crate::record::Attribute;
use crate::reparse;
use crate::wof::Packed;
use driver_core::{GuestFile, check_range};
use format_core::Result;

/// An open file: its stream of content, `None` when it has none.
struct NtfsFile<'fs> {
    reader: &'fs Reader,
    data: Option<Attribute>,
}

impl GuestFile for NtfsFile<'_> {
    fn size(&self) -> u64 {
        self.data.as_ref().map_or(0, Attribute::size)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        check_range(self.size(), offset, buf.len())?;
        self.data.as_ref().map_or(Ok(()), |data| self.reader.read(data, offset, buf))
    }
}

impl NtfsFs {
    /// Opens what was found.
    ///
    /// # Errors
    /// `NeedsPerson` for an encrypted file; `Unsupported` when its content is kept elsewhere; `Corrupt`.
    pub(crate) fn open_found(&self, found: &Found) -> Result<Box<dyn GuestFile + '_>> {
        let data = found.inode.data();
        let size = data.map_or(0, Attribute::size);
        if data.is_some_and(|data| data.flags & ENCRYPTED != 0) {
            return Err(NtfsError::Encrypted("the file".into()).into());
        }
        match (&found.reparse, data) {
            // A packed file without a byte needs no stream.
            (Some(reparse), _) if reparse.tag == reparse::WOF && size == 0 => {
                Ok(Box::new(NtfsFile { reader: &self.reader, data: data.cloned() }))
            }
            (None, _) => Ok(Box::new(NtfsFile { reader: &self.reader, data: data.cloned() })),
            (Some(reparse), _) if reparse.tag == reparse::WOF => {
                Ok(Box::new(Packed::open(&self.reader, &found.inode, reparse, size)?))
            }
            (Some(reparse), _) => Err(elsewhere("the file", reparse.tag)),
        }
    }
}
