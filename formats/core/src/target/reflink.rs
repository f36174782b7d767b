//! Files that share their bytes with others: reflinks.

use crate::DIRECT_ALIGNMENT;
use rustix::io::Errno;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::sync::OnceLock;

/// Magic numbers (statfs(2)) of the file systems that share extents between files.
const SHARING: [u64; 3] = [0x5846_5342, 0x9123_683e, 0xca45_1a4e];

/// What is known of a file's ability to share: its device where it can.
#[derive(Debug, Default)]
pub(super) struct Reflinks(OnceLock<Option<u64>>);

impl Reflinks {
    /// Makes `len` bytes of `source` at `from` appear in `target` at `to`. False where they have to be written.
    pub(super) fn share(
        &self,
        (source, from): (&File, u64),
        (target, to): (&File, u64),
        len: u64,
    ) -> std::io::Result<bool> {
        let aligned = |at: u64| at.is_multiple_of(DIRECT_ALIGNMENT as u64);
        // A file system shares whole blocks; others it would copy, which is better done by us.
        if !aligned(from) || !aligned(to) || !aligned(len) || !self.can_share(source, target)? {
            return Ok(false);
        }
        let (mut from, mut to, end) = (from, to, from + len);
        while from < end {
            let left = (end - from).min(1 << 30) as usize;
            match rustix::fs::copy_file_range(source, Some(&mut from), target, Some(&mut to), left) {
                // The source ends here.
                Ok(0) => return Ok(false),
                Ok(_) | Err(Errno::INTR) => {}
                Err(Errno::XDEV | Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS | Errno::TXTBSY) => {
                    return Ok(false);
                }
                Err(other) => return Err(other.into()),
            }
        }
        Ok(true)
    }

    fn can_share(&self, source: &File, target: &File) -> std::io::Result<bool> {
        let device = self.0.get_or_init(|| {
            let magic = rustix::fs::fstatfs(target).ok()?.f_type as u64;
            if SHARING.contains(&magic) { target.metadata().ok().map(|found| found.dev()) } else { None }
        });
        Ok(device.is_some() && *device == Some(source.metadata()?.dev()))
    }
}
