//! A block device whose bytes are those of the medium, not of the page cache.

use crate::{AlignedBuffer, DIRECT_ALIGNMENT, Error, ErrorKind, Result, Storage};
use rustix::fs::{FileType, OFlags, SeekFrom};
use rustix::io::Errno;
use std::cell::RefCell;
use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

/// What is read at a time; also the memory of a thread that reads.
const PIECE: usize = 1 << 20;

/// A block device that may be in use. The cache of a device does not know what a file system on it writes: pages that were read
/// before would be stale. So it is passed by (`O_DIRECT`, open(2)); the kernel writes out first what is dirty there.
#[derive(Debug)]
pub struct DirectDevice {
    file: File,
    size: u64,
    sector_size: u32,
}

thread_local! {
    static BUFFER: RefCell<Option<AlignedBuffer>> = const { RefCell::new(None) };
}

impl DirectDevice {
    /// Opens the device at `path` for reading.
    ///
    /// # Errors
    /// `SourceMissing`, `Denied`, `Io`; `Unsupported` for what is no block device.
    pub fn open(path: &Path) -> Result<Self> {
        let failed = |e| Error::io(format!("cannot open {}", path.display()), e);
        let flags = OFlags::DIRECT | OFlags::NONBLOCK;
        let file = File::options().read(true).custom_flags(flags.bits() as i32).open(path).map_err(failed)?;
        let mode = file.metadata().map_err(failed)?.mode();
        if FileType::from_raw_mode(mode) != FileType::BlockDevice {
            return Err(Error::unsupported(format!("{} is no block device", path.display())));
        }
        let size = rustix::fs::seek(&file, SeekFrom::End(0)).map_err(|e| failed(e.into()))?;
        let sector_size = rustix::fs::ioctl_blksszget(&file).map_err(|e| failed(e.into()))?;
        if !sector_size.is_power_of_two() || sector_size as usize > DIRECT_ALIGNMENT {
            let text = format!("{} has sectors of {sector_size} bytes", path.display());
            return Err(Error::unsupported(text));
        }
        Ok(Self { file, size, sector_size })
    }

    fn read_piece(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let sector = u64::from(self.sector_size);
        let start = offset - offset % sector;
        let end =
            (offset + buf.len() as u64).next_multiple_of(sector).min(self.size.next_multiple_of(sector));
        let (skip, len) = ((offset - start) as usize, (end - start) as usize);
        BUFFER.with_borrow_mut(|buffer| {
            let buffer = buffer.get_or_insert_with(|| AlignedBuffer::zeroed(PIECE + 2 * DIRECT_ALIGNMENT));
            let mut done = 0;
            while done < skip + buf.len() {
                let piece = buffer.get_mut(done..len).unwrap_or_default();
                match self.file.read_at(piece, start + done as u64) {
                    Ok(0) => {
                        let text = format!("the device ends at {:#x}", start + done as u64);
                        return Err(Error::new(ErrorKind::Io, text));
                    }
                    Ok(read) => done += read,
                    Err(e) if e.raw_os_error() == Some(Errno::INTR.raw_os_error()) => {}
                    Err(e) => return Err(Error::io("read the device", e).at(offset)),
                }
            }
            buf.copy_from_slice(buffer.get(skip..skip + buf.len()).unwrap_or_default());
            Ok(())
        })
    }
}

impl Storage for DirectDevice {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        if offset.checked_add(buf.len() as u64).is_none_or(|end| end > self.size) {
            let (len, size) = (buf.len(), self.size);
            let text = format!("{len:#x} bytes wanted at {offset:#x}, the device ends at {size:#x}");
            return Err(Error::corrupt(text).at(offset));
        }
        let pieces = (offset..).step_by(PIECE).zip(buf.chunks_mut(PIECE));
        pieces.into_iter().try_for_each(|(at, piece)| self.read_piece(at, piece))
    }

    fn sector_size(&self) -> Option<u32> {
        Some(self.sector_size)
    }
}
