//! What tells a file from another, and from itself after somebody wrote to it.

use rustix::fs::FileType;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

/// What the host says of a regular file at one moment. Two that are equal mean that nobody wrote in between: a program can set
/// the time of modification back, but not that of the last change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileStamp {
    /// Device and inode number.
    pub file_id: (u64, u64),
    /// Size in bytes.
    pub size: u64,
    /// When it was written last: seconds and nanoseconds since 1970. Programs can set it.
    pub modified: (i64, i64),
    /// When content, name, owner or mode changed last. Only the system sets it.
    pub changed: (i64, i64),
}

impl FileStamp {
    /// The stamp of a regular file; what is none leaves no trace of being written.
    #[must_use]
    pub fn of(found: &Metadata) -> Option<Self> {
        (FileType::from_raw_mode(found.mode()) == FileType::RegularFile).then(|| Self {
            file_id: (found.dev(), found.ino()),
            size: found.len(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        })
    }
}
