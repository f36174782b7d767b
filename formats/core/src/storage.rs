//! Host bytes that can be read at any place.

use crate::uncached::UncachedReads;
use crate::{Error, Extent, ExtentKind, FileStamp, Result};
use rustix::fs::{FileType, OFlags, SeekFrom};
use std::fs::File;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// What pieces of a read begin at multiples of, in bytes.
pub const PIECE_STEP: u64 = 64 << 10;

/// Who looks at pieces while the rest of a read goes on: where a piece begins in the buffer, and its bytes.
pub type Seen<'a> = dyn FnMut(usize, &[u8]) -> Result<()> + 'a;

/// Host bytes: a file, a device, a member of an archive. Never written through this trait.
pub trait Storage: Send + Sync {
    /// Size in bytes.
    fn size(&self) -> u64;

    /// Fills `buf` from `offset`; no shared cursor, safe from many threads.
    ///
    /// # Errors
    /// `Corrupt` when the range leaves the storage (a structure pointed outside), `Io` when the host fails.
    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()>;

    /// Fills `buf` as [`Storage::read_exact_at`] does, and shows each piece of it to `seen`, with where in `buf` it begins, as soon as it
    /// is there and while others may still be on their way: in any order, no byte twice, and all of them before this returns well.
    /// Pieces begin at multiples of [`PIECE_STEP`], and all but the last one of `buf` end there.
    ///
    /// # Errors
    /// As [`Storage::read_exact_at`], and what `seen` reports.
    fn read_pieces_at(&self, offset: u64, buf: &mut [u8], seen: &mut Seen<'_>) -> Result<()> {
        self.read_exact_at(offset, buf)?;
        seen(0, buf)
    }

    /// The run of `Data` or `Zero` (a hole) that starts at `offset`; all data when the host cannot tell.
    ///
    /// # Errors
    /// `Usage` at or beyond the end, `Io` when the host fails.
    fn data_at(&self, offset: u64) -> Result<Extent> {
        check_inside(offset, self.size())?;
        Ok(Extent { offset, len: self.size() - offset, kind: ExtentKind::Data })
    }

    /// The logical sector size in bytes where it is a block device.
    fn sector_size(&self) -> Option<u32> {
        None
    }

    /// The file, where the bytes are those of a regular file at the same offsets: another file can share them.
    fn as_file(&self) -> Option<&File> {
        None
    }
}

fn check_inside(offset: u64, size: u64) -> Result<()> {
    if offset < size {
        return Ok(());
    }
    Err(Error::usage(format!("extent asked for at {offset:#x} of a storage of {size:#x} bytes")))
}

fn check_range(offset: u64, len: usize, size: u64) -> Result<()> {
    match offset.checked_add(len as u64) {
        Some(end) if end <= size => Ok(()),
        _ => Err(Error::corrupt(format!("{len:#x} bytes wanted at {offset:#x}, the file ends at {size:#x}"))
            .at(offset)),
    }
}

/// A regular file or block device, opened read-only.
#[derive(Debug)]
pub struct FileStorage {
    file: File,
    path: PathBuf,
    size: u64,
    is_device: bool,
    sector_size: Option<u32>,
    stamp: Option<FileStamp>,
    uncached: UncachedReads,
    /// Start and end of the run of data that was found last. Some hosts (tmpfs) walk a run page by page to find its
    /// end, so it is asked for once. Holes are not remembered: one that is filled meanwhile must not read as zeros.
    data_run: Mutex<(u64, u64)>,
}

impl FileStorage {
    /// Opens `path` for reading. Pipes, sockets and character devices are refused instead of hanging on them.
    ///
    /// # Errors
    /// `SourceMissing`, `Denied`, `Io`, or `Unsupported` for what is neither a file nor a block device.
    pub fn open(path: &Path) -> Result<Self> {
        let file = std::fs::OpenOptions::new()
            .read(true)
            .custom_flags(OFlags::NONBLOCK.bits() as i32)
            .open(path)
            .map_err(|e| Error::io(format!("cannot open {}", path.display()), e))?;
        Self::from_file(file, path)
    }

    /// Takes a file that was opened elsewhere; `path` is what messages call it.
    ///
    /// # Errors
    /// As [`FileStorage::open`].
    pub fn from_file(file: File, path: &Path) -> Result<Self> {
        let failed = |e| Error::io(format!("cannot examine {}", path.display()), e);
        let metadata = file.metadata().map_err(failed)?;
        let (size, is_device) = match FileType::from_raw_mode(metadata.mode()) {
            FileType::RegularFile => (metadata.len(), false),
            FileType::BlockDevice => {
                (rustix::fs::seek(&file, SeekFrom::End(0)).map_err(|e| failed(e.into()))?, true)
            }
            FileType::Directory => {
                return Err(Error::unsupported(format!("{} is a folder, not a disk image", path.display())));
            }
            _ => {
                return Err(Error::unsupported(format!(
                    "{} is neither a file nor a block device",
                    path.display()
                )));
            }
        };
        // What only looks like a device to us, inside a sandbox perhaps, has no sector size.
        let sector_size = is_device.then(|| rustix::fs::ioctl_blksszget(&file).ok()).flatten();
        let (path, uncached) = (path.to_owned(), UncachedReads::default());
        let stamp = FileStamp::of(&metadata);
        Ok(Self { file, path, size, is_device, sector_size, stamp, uncached, data_run: Mutex::default() })
    }

    /// What messages call it.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is a block device.
    #[must_use]
    pub fn is_device(&self) -> bool {
        self.is_device
    }

    /// Device and inode number: the same for every name of one file.
    ///
    /// # Errors
    /// `Io` when the host cannot tell.
    pub fn file_id(&self) -> Result<(u64, u64)> {
        let metadata = self.file.metadata().map_err(|e| Error::io("cannot examine the file", e))?;
        Ok((metadata.dev(), metadata.ino()))
    }

    /// What the host said of the file when it was opened; `None` for a device.
    #[must_use]
    pub fn stamp(&self) -> Option<FileStamp> {
        self.stamp
    }

    /// Bytes that the file occupies on the host, holes not counted.
    ///
    /// # Errors
    /// `Io` when the host cannot tell.
    pub fn allocated_size(&self) -> Result<u64> {
        let metadata = self.file.metadata().map_err(|e| Error::io("cannot examine the file", e))?;
        Ok(if self.is_device { self.size } else { metadata.blocks().saturating_mul(512) })
    }
}

impl Storage for FileStorage {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        check_range(offset, buf.len(), self.size)?;
        self.uncached.read_exact_at(&self.file, buf, offset).map_err(|e| {
            Error::io(format!("cannot read {:#x} bytes of {}", buf.len(), self.path.display()), e).at(offset)
        })
    }

    fn data_at(&self, offset: u64) -> Result<Extent> {
        check_inside(offset, self.size)?;
        let rest = Extent { offset, len: self.size - offset, kind: ExtentKind::Data };
        if self.is_device {
            return Ok(rest);
        }
        let hole_len = |end: u64| Extent {
            len: end.min(self.size).saturating_sub(offset),
            kind: ExtentKind::Zero,
            ..rest
        };
        let mut run = self.data_run.lock().unwrap_or_else(PoisonError::into_inner);
        if (run.0..run.1).contains(&offset) {
            return Ok(Extent { len: run.1 - offset, ..rest });
        }
        match rustix::fs::seek(&self.file, SeekFrom::Data(offset)) {
            Ok(data) if data > offset => Ok(hole_len(data)),
            Ok(_) => match rustix::fs::seek(&self.file, SeekFrom::Hole(offset)) {
                Ok(hole) if hole > offset => {
                    *run = (offset, hole.min(self.size));
                    Ok(Extent { len: run.1 - offset, ..rest })
                }
                _ => Ok(rest),
            },
            // ENXIO: no data from here to the end. Anything else: the host cannot tell, so all is data.
            Err(rustix::io::Errno::NXIO) => Ok(hole_len(self.size)),
            Err(_) => Ok(rest),
        }
    }

    fn sector_size(&self) -> Option<u32> {
        self.sector_size
    }

    fn as_file(&self) -> Option<&File> {
        (!self.is_device).then_some(&self.file)
    }
}

/// Bytes in memory, for small embedded parts and for tests.
#[derive(Clone, Debug, Default)]
pub struct MemStorage(pub Vec<u8>);

impl Storage for MemStorage {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        check_range(offset, buf.len(), self.size())?;
        let start = offset as usize;
        buf.copy_from_slice(&self.0[start..start + buf.len()]);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use crate::units::MIB;
    use std::os::unix::fs::FileExt;

    #[test]
    fn holes_and_data_alternate() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.raw");
        let file = File::create(&path).unwrap();
        file.set_len(4 * MIB).unwrap();
        file.write_all_at(&[7; 4096], 2 * MIB).unwrap();
        let storage = FileStorage::open(&path).unwrap();
        let first = storage.data_at(0).unwrap();
        assert_eq!((first.kind, first.len), (ExtentKind::Zero, 2 * MIB));
        assert_eq!(storage.data_at(2 * MIB).unwrap().kind, ExtentKind::Data);
        assert_eq!(storage.data_at(3 * MIB).unwrap().kind, ExtentKind::Zero);
        assert!(storage.data_at(4 * MIB).is_err());
    }

    #[test]
    fn what_is_no_disk_is_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, FileType::Fifo, 0o600.into(), 0).unwrap();
        assert_eq!(FileStorage::open(&pipe).unwrap_err().kind(), ErrorKind::Unsupported);
        assert_eq!(FileStorage::open(folder.path()).unwrap_err().kind(), ErrorKind::Unsupported);
        assert_eq!(
            FileStorage::open(&folder.path().join("no")).unwrap_err().kind(),
            ErrorKind::SourceMissing
        );
    }

    #[test]
    fn reading_past_the_end_is_corrupt_not_short() {
        let storage = MemStorage(vec![1; 10]);
        assert_eq!(storage.read_exact_at(8, &mut [0; 3]).unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(storage.read_exact_at(u64::MAX, &mut [0; 3]).unwrap_err().kind(), ErrorKind::Corrupt);
    }
}
