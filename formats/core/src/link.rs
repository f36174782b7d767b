//! What is known of one image of a chain.

use crate::{FileStamp, Format, PartFile, Remote};
use std::path::PathBuf;
use std::sync::Arc;

/// One image of an opened chain.
#[derive(Clone, Debug)]
pub struct ChainLink {
    /// Where it lies.
    pub path: PathBuf,
    /// Its format.
    pub format: &'static Format,
    /// Size of the file in bytes.
    pub file_size: u64,
    /// Bytes that the file occupies on the host.
    pub allocated_size: u64,
    /// Size of the disk in bytes.
    pub virtual_size: u64,
    /// Allocation granularity in bytes.
    pub chunk_size: u64,
    /// Device and inode number of the file.
    pub file_id: (u64, u64),
    /// What the host said of the file when it was opened; `None` for a device, and for a folder.
    pub stamp: Option<FileStamp>,
    /// Other files of the same image: extent files, data files, further parts.
    pub parts: Vec<PartFile>,
    /// The other side, where it is no file of this host.
    pub remote: Option<Arc<dyn Remote>>,
}

impl ChainLink {
    /// Device and inode numbers of all files of the image.
    pub fn file_ids(&self) -> impl Iterator<Item = (u64, u64)> {
        std::iter::once(self.file_id).chain(self.parts.iter().map(|part| part.file_id))
    }
}
