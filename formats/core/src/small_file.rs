//! Files of text and keys that are read whole: never more of them than wanted, and never waiting for somebody who does not come.

use crate::{Error, ErrorKind, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, OFlags};
use std::fs::File;
use std::io::{ErrorKind as IoKind, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

/// How long a pipe may give nothing, or its bytes one by one.
const PATIENCE: Duration = Duration::from_secs(30);

/// Reads the file at `path`, which has at most `most` bytes. A pipe is read, too (shells make some of `<(command)`): one that nobody
/// writes into is empty, and one that stays silent for 30 s is an error.
///
/// # Errors
/// `SourceMissing`, `Denied`, `Io`; `Limit` for a longer file; `Unsupported` for what is neither a file nor a pipe; `Temporary` for a
/// silent pipe.
pub fn read_small_file(path: &Path, most: u64) -> Result<Vec<u8>> {
    let failed = |e| Error::io(format!("cannot read {}", path.display()), e);
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits() as i32;
    let mut file = File::options().read(true).custom_flags(flags).open(path).map_err(failed)?;
    let kind = FileType::from_raw_mode(file.metadata().map_err(failed)?.mode());
    let mut bytes = Vec::new();
    match kind {
        FileType::RegularFile => {
            file.by_ref().take(most.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
        }
        FileType::Fifo => read_pipe(path, &mut file, most, &mut bytes)?,
        FileType::Directory => return Err(Error::unsupported(format!("{} is a folder", path.display()))),
        _ => {
            let text = format!("{} is neither a file nor a pipe", path.display());
            return Err(Error::unsupported(text));
        }
    }
    if bytes.len() as u64 > most {
        let text = format!("{} has more than {most} bytes", path.display());
        return Err(Error::new(ErrorKind::Limit, text));
    }
    Ok(bytes)
}

fn read_pipe(path: &Path, file: &mut File, most: u64, bytes: &mut Vec<u8>) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    let mut piece = [0; 4096];
    while bytes.len() as u64 <= most {
        match file.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(read) => bytes.extend_from_slice(piece.get(..read).unwrap_or_default()),
            Err(e) if e.kind() == IoKind::Interrupted => {}
            Err(e) if e.kind() == IoKind::WouldBlock => {
                let left = end.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    let text = format!("the pipe {} stays silent", path.display());
                    return Err(Error::new(ErrorKind::Temporary, text));
                }
                let left = Timespec::try_from(left).unwrap_or_default();
                // Whether it ends by time or by a signal, the next look tells.
                let _ = poll(&mut [PollFd::new(file, PollFlags::IN)], Some(&left));
            }
            Err(e) => return Err(Error::io(format!("cannot read {}", path.display()), e)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn pipe() -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &path, FileType::Fifo, 0o600.into(), 0).unwrap();
        (folder, path)
    }

    #[test]
    fn a_pipe_without_a_writer_is_empty_and_one_with_a_writer_is_read() {
        let (_folder, path) = pipe();
        assert_eq!(read_small_file(&path, 10).unwrap(), b"");
        let reader =
            File::options().read(true).custom_flags(OFlags::NONBLOCK.bits() as i32).open(&path).unwrap();
        let mut writer = File::options().write(true).open(&path).unwrap();
        let writing = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(100));
            writer.write_all(b"slow").unwrap();
        });
        assert_eq!(read_small_file(&path, 10).unwrap(), b"slow");
        writing.join().unwrap();
        drop(reader);
    }

    #[test]
    fn what_is_too_long_or_no_file_is_refused() {
        let (folder, _) = pipe();
        let path = folder.path().join("file");
        std::fs::write(&path, [7; 11]).unwrap();
        assert_eq!(read_small_file(&path, 11).unwrap().len(), 11);
        assert_eq!(read_small_file(&path, 10).unwrap_err().kind(), ErrorKind::Limit);
        assert_eq!(read_small_file(folder.path(), 10).unwrap_err().kind(), ErrorKind::Unsupported);
        assert_eq!(read_small_file(Path::new("/dev/zero"), 10).unwrap_err().kind(), ErrorKind::Unsupported);
    }
}
