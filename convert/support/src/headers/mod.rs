//! The structures of an image that are worth sending, and nothing else of it.
//!
//! An image is not to be believed: a header can say that its tables lie where the guest's data are. So a table is taken only when every entry
//! of it could be one: places inside of the file, in whole clusters, with no stray bit. Sectors of a disk would not pass for that.

mod disks;
mod tables;

use std::fs::File;
use std::os::unix::fs::FileExt;

/// Bytes of one structure at most; of a longer table its beginning is taken.
const MOST: u64 = 256 << 10;

/// A structure of an image.
pub(crate) struct Structure {
    /// For the file name.
    pub(crate) name: &'static str,
    /// Where in the file it begins.
    pub(crate) offset: u64,
    pub(crate) bytes: Vec<u8>,
}

/// The structures that were found, and what was left out.
#[derive(Default)]
pub(crate) struct Found {
    pub(crate) format: &'static str,
    pub(crate) structures: Vec<Structure>,
    pub(crate) left_out: Vec<String>,
}

/// Looks at a file's magic numbers and takes what is known to be no content.
pub(crate) fn of(file: &File, size: u64) -> std::io::Result<Found> {
    let image = Image { file, size };
    let head = image.read(0, 4096)?;
    let mut found = Found::default();
    if head.starts_with(b"QFI\xfb") {
        tables::qcow(&image, &head, &mut found)?;
    } else if head.starts_with(b"KDMV") || head.starts_with(b"COWD") {
        tables::vmdk(&image, &head, &mut found)?;
    } else if head.starts_with(b"# Disk DescriptorFile") {
        tables::descriptor(&image, 0, 64 << 10, &mut found)?;
    } else if head.starts_with(b"vhdxfile") {
        tables::vhdx(&image, &mut found)?;
    } else if head.get(0x40..0x44) == Some(&[0x7f, 0x10, 0xda, 0xbe]) {
        tables::vdi(&image, &head, &mut found)?;
    } else if !tables::vhd(&image, &mut found)? {
        disks::partitions(&image, &head, &mut found)?;
    }
    Ok(found)
}

/// A file that is read here and there.
pub(crate) struct Image<'a> {
    file: &'a File,
    pub(crate) size: u64,
}

impl Image<'_> {
    /// As much of `len` bytes at `offset` as the file has.
    pub(crate) fn read(&self, offset: u64, len: u64) -> std::io::Result<Vec<u8>> {
        let len = len.min(MOST).min(self.size.saturating_sub(offset));
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
        self.file.read_exact_at(&mut bytes, offset)?;
        Ok(bytes)
    }
}

impl Found {
    pub(crate) fn add(&mut self, name: &'static str, offset: u64, bytes: Vec<u8>) {
        if !bytes.is_empty() {
            self.structures.push(Structure { name, offset, bytes });
        }
    }

    pub(crate) fn leave(&mut self, why: impl Into<String>) {
        self.left_out.push(why.into());
    }
}

/// The number of `N` bytes at `at`, the first byte the highest.
pub(crate) fn be<const N: usize>(bytes: &[u8], at: usize) -> Option<u64> {
    let part: &[u8; N] = bytes.get(at..)?.first_chunk()?;
    Some(part.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
}

/// The number of `N` bytes at `at`, the first byte the lowest.
pub(crate) fn le<const N: usize>(bytes: &[u8], at: usize) -> Option<u64> {
    let part: &[u8; N] = bytes.get(at..)?.first_chunk()?;
    Some(part.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
}
