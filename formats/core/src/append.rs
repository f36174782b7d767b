//! Files that only grow: logs and notes.

use crate::{Error, ErrorKind, Result};
use rustix::fs::OFlags;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// Opens the file at `path` to be read and written at its end, and makes it where there is none. Whoever can write to the folder
/// can have put something else under the name: a link is not followed, a file that has other names is not written, and
/// nothing is waited for.
///
/// # Errors
/// `Destination` when the name is that of something else, or its folder is missing; `Denied`, `Io` from the host.
pub fn open_at_end(path: &Path) -> Result<File> {
    let failed = |e: std::io::Error| {
        let missing = e.kind() == std::io::ErrorKind::NotFound;
        let error = Error::io(format!("cannot write {}", path.display()), e);
        if missing { error.with_kind(ErrorKind::Destination) } else { error }
    };
    let other = |what: &str| {
        Error::new(ErrorKind::Destination, format!("{} {what}: it is not written", path.display()))
            .hint("look who put it there, and move it away")
    };
    // Before it is opened: opening a device can do something.
    match path.symlink_metadata() {
        Ok(found) if !found.is_file() => return Err(other("is a link, or no file")),
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(failed(e)),
        _ => {}
    }
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .custom_flags(flags.bits() as i32)
        .open(path)
        .map_err(failed)?;
    let found = file.metadata().map_err(failed)?;
    if !found.is_file() {
        return Err(other("is a link, or no file"));
    }
    if found.nlink() > 1 {
        return Err(other("has other names (hard links), which would grow too"));
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_log_grows_and_nothing_else_does() {
        let folder = tempfile::tempdir().unwrap();
        let (log, victim) = (folder.path().join("log"), folder.path().join("victim"));
        for line in ["a\n", "b\n"] {
            open_at_end(&log).unwrap().write_all(line.as_bytes()).unwrap();
        }
        assert_eq!(std::fs::read(&log).unwrap(), b"a\nb\n");
        std::fs::write(&victim, b"precious").unwrap();
        let plant = |act: &dyn Fn()| {
            std::fs::remove_file(&log).unwrap();
            act();
            let error = open_at_end(&log).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Destination, "{error}");
            assert_eq!(std::fs::read(&victim).unwrap(), b"precious");
        };
        plant(&|| std::os::unix::fs::symlink("victim", &log).unwrap());
        plant(&|| std::os::unix::fs::symlink("nothing", &log).unwrap());
        assert!(!folder.path().join("nothing").exists());
        plant(&|| std::fs::hard_link(&victim, &log).unwrap());
        let fifo = rustix::fs::FileType::Fifo;
        plant(&|| rustix::fs::mknodat(rustix::fs::CWD, &log, fifo, 0o600.into(), 0).unwrap());
        assert_eq!(open_at_end(&folder.path().join("no/log")).unwrap_err().kind(), ErrorKind::Destination);
    }
}
