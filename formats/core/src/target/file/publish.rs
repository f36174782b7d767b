//! Giving a file its final name by the file that is open, and not by the name that it had.
//!
//! A process that is stopped between its last look and a rename would rename whatever has the old name when it goes on:
//! the half-written file of the run that took over.

use super::{is_named, rename_new};
use rustix::fs::{AtFlags, CWD};
use rustix::io::Errno;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

/// Makes `path` a name of `file`, whose name is `partial` until then.
pub(super) fn name_own(file: &File, partial: &Path, path: &Path, replace: bool) -> Result<(), Errno> {
    // Replacing takes a rename, and a rename a name that nobody else uses.
    let link = if replace { beside(path) } else { path.to_owned() };
    match link_open_file(file, &link, replace) {
        Ok(()) => {}
        Err(error @ (Errno::EXIST | Errno::NOSPC | Errno::DQUOT | Errno::IO | Errno::ROFS)) => {
            return Err(error);
        }
        // It lost its name to the run that took over.
        Err(error) if rustix::fs::fstat(file).is_ok_and(|found| found.st_nlink == 0) => return Err(error),
        // No hard links here, or no /proc.
        Err(_) if replace => return rustix::fs::renameat(CWD, partial, CWD, path),
        Err(_) => return rename_new(partial, path),
    }
    if replace {
        rustix::fs::renameat(CWD, &link, CWD, path)?;
    }
    if is_named(file, partial) {
        // Where that fails, the next run removes it.
        let _ = rustix::fs::unlink(partial);
    }
    Ok(())
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".partial.named");
    path.with_file_name(name)
}

fn link_open_file(file: &File, link: &Path, replace: bool) -> Result<(), Errno> {
    let own = format!("/proc/self/fd/{}", file.as_raw_fd());
    let make = || rustix::fs::linkat(CWD, own.as_str(), CWD, link, AtFlags::SYMLINK_FOLLOW);
    match make() {
        // A run that was killed left it.
        Err(Errno::EXIST) if replace => {
            rustix::fs::unlink(link)?;
            make()
        }
        // The reply of a network file system was lost, not the link.
        Err(Errno::EXIST) if is_named(file, link) => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn the_open_file_gets_the_name_whatever_has_its_old_one() {
        let folder = tempfile::tempdir().unwrap();
        let (partial, path) = (folder.path().join("a.partial"), folder.path().join("a"));
        fs::write(&partial, b"old").unwrap();
        let old = File::open(&partial).unwrap();
        fs::remove_file(&partial).unwrap();
        fs::write(&partial, b"new, half").unwrap();
        for replace in [false, true] {
            name_own(&old, &partial, &path, replace).unwrap_err();
            assert!(!path.exists(), "neither the old run's file, which has no name left, nor the new one's");
        }
        let new = File::open(&partial).unwrap();
        name_own(&new, &partial, &path, false).unwrap();
        assert!(!partial.exists());
        fs::write(&partial, b"newer").unwrap();
        let newer = File::open(&partial).unwrap();
        assert_eq!(name_own(&newer, &partial, &path, false).unwrap_err(), Errno::EXIST);
        fs::write(beside(&path), b"of a killed run").unwrap();
        name_own(&newer, &partial, &path, true).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"newer");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
