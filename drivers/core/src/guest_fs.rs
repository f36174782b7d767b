//! A file system inside the guest, whoever does the work.

use crate::guest_file::{GuestFile, MAX_WHOLE, WholeFile};
use format_core::Result;
use serde::Serialize;
use std::any::Any;
use std::ops::Range;

/// What kind of thing a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FileKind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Link,
    /// A device node, pipe or socket.
    Other,
}

/// Facts of one inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileMeta {
    /// What it is.
    pub kind: FileKind,
    /// Size in bytes.
    pub size: u64,
    /// Permission bits, including set-uid, set-gid and sticky (`0o7777`).
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Inode number: equal for hard links of one file.
    pub inode: u64,
}

/// One name in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    /// The name. Bytes that are no UTF-8 are shown as U+FFFD; such an entry cannot be opened.
    pub name: String,
    /// What it names.
    pub kind: FileKind,
}

/// Permissions and owner of something new.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Ownership {
    /// Permission bits (`0o7777`).
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

impl Ownership {
    /// An ordinary configuration file of root: 0644.
    pub const ROOT_FILE: Self = Self { mode: 0o644, uid: 0, gid: 0 };
    /// An ordinary folder of root: 0755.
    pub const ROOT_FOLDER: Self = Self { mode: 0o755, uid: 0, gid: 0 };
}

/// A change that may or may not be possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The content of an existing file becomes one of `size` bytes.
    Content {
        /// Its size in bytes afterwards.
        size: u64,
    },
    /// An existing file is extended.
    Append {
        /// By so many bytes.
        bytes: u64,
    },
    /// A new name.
    Create,
    /// A name goes.
    Remove,
}

/// A file system of the guest, editable over an overlay.
///
/// Paths are absolute within *this* file system, `/`-separated, without `.` and `..`. No method follows a symbolic
/// link, neither in the middle nor at the end of a path: a link in the middle is "no such folder".
/// [`crate::GuestTree`] resolves links and mount points.
///
/// Content of a file is always replaced or extended as a whole; owner, mode and extended attributes stay.
pub trait GuestFs {
    /// The kind: `ext4`, `vfat`, …
    fn kind(&self) -> &'static str;

    /// Facts of the inode that `path` names, `None` when there is none.
    ///
    /// # Errors
    /// `Corrupt` or `Io` when the file system cannot be read there; likewise for every method.
    fn metadata(&self, path: &str) -> Result<Option<FileMeta>>;

    /// The names in the folder `path`, without `.` and `..`, in no particular order.
    ///
    /// # Errors
    /// `Usage` when it is no folder.
    fn read_dir(&self, path: &str) -> Result<Vec<DirEntry>>;

    /// The content of the regular file `path`.
    ///
    /// # Errors
    /// `Usage` when it is no regular file, `Limit` when it is larger than `limit` bytes.
    fn read_file(&self, path: &str, limit: u64) -> Result<Vec<u8>>;

    /// Opens the regular file `path` to be read piece by piece, in memory that does not depend on its size. A file system that
    /// does not say how reads it as a whole, up to 64 MiB.
    ///
    /// # Errors
    /// As [`GuestFs::read_file`].
    fn open_file<'fs>(&'fs self, path: &str) -> Result<Box<dyn GuestFile + 'fs>> {
        Ok(Box::new(WholeFile(self.read_file(path, MAX_WHOLE)?)))
    }

    /// Where the symbolic link `path` points.
    ///
    /// # Errors
    /// `Usage` when it is no link, `Corrupt` when the target is no UTF-8.
    fn read_link(&self, path: &str) -> Result<String>;

    /// Whether `change` of `path` is one that this kind of file system can be given here, as far as that can be told
    /// before. Most take any; one that is edited in place only does not.
    ///
    /// # Errors
    /// `NeedsPerson` with the reason why not.
    fn allows(&self, _path: &str, _change: Change) -> Result<()> {
        Ok(())
    }

    /// The editor itself, for who has to know which it is.
    fn as_any(&self) -> Option<&dyn Any> {
        None
    }

    /// The same file system once more, for another mount point. `None` where it can be there once only.
    ///
    /// # Errors
    /// As [`GuestFs::metadata`].
    fn reopen(&self) -> Result<Option<Box<dyn GuestFs>>> {
        Ok(None)
    }

    /// The subvolumes of a file system that has such, as paths within its top level: `@`, `@/.snapshots/1/snapshot`. Empty
    /// for all others.
    ///
    /// # Errors
    /// As [`GuestFs::metadata`].
    fn subvolumes(&self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    /// Opens a subvolume as a file system of its own: `path` as [`GuestFs::subvolumes`] has it, empty for the top level.
    /// `None` when there is no such.
    ///
    /// # Errors
    /// As [`GuestFs::metadata`].
    fn open_subvolume(&self, _path: &str) -> Result<Option<Box<dyn GuestFs>>> {
        Ok(None)
    }

    /// Bytes of the volume that hold nothing, as the file system itself says: ascending, apart from each other, and none
    /// shorter than 64 KiB. What is not among them may be in use. `None` where a file system does not say, or no longer does
    /// because it was edited.
    ///
    /// # Errors
    /// Why what it says is not believed: `NeedsPerson` for the state it was left in, `Corrupt` where it contradicts itself,
    /// `Unsupported` for features; what the volume reports.
    fn free_ranges(&self) -> Result<Option<Vec<Range<u64>>>> {
        Ok(None)
    }

    /// Replaces the content of an existing regular file.
    ///
    /// # Errors
    /// `NeedsPerson` when there is no space for it or the file system is not editable; `Usage` when there is no such file.
    fn replace_file(&mut self, path: &str, content: &[u8]) -> Result<()>;

    /// Extends an existing regular file.
    ///
    /// # Errors
    /// As [`GuestFs::replace_file`].
    fn append_file(&mut self, path: &str, bytes: &[u8]) -> Result<()>;

    /// Creates a regular file in an existing folder.
    ///
    /// # Errors
    /// As [`GuestFs::replace_file`]; `Usage` when the path exists.
    fn create_file(&mut self, path: &str, content: &[u8], ownership: Ownership) -> Result<()>;

    /// Creates a folder in an existing folder.
    ///
    /// # Errors
    /// As [`GuestFs::create_file`].
    fn create_folder(&mut self, path: &str, ownership: Ownership) -> Result<()>;

    /// Creates a symbolic link to `target` in an existing folder.
    ///
    /// # Errors
    /// As [`GuestFs::create_file`].
    fn create_link(&mut self, path: &str, target: &str) -> Result<()>;

    /// Gives the inode that `from` names the name `to`, which must not exist.
    ///
    /// # Errors
    /// As [`GuestFs::create_file`].
    fn rename(&mut self, from: &str, to: &str) -> Result<()>;

    /// Removes a file or link, or an empty folder.
    ///
    /// # Errors
    /// As [`GuestFs::replace_file`].
    fn remove(&mut self, path: &str) -> Result<()>;

    /// Writes everything that is still in memory to the volume. Call it once after the last edit.
    ///
    /// # Errors
    /// `Corrupt` or `Io`.
    fn finish(&mut self) -> Result<()>;
}
