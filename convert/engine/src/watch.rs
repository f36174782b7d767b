//! The files of a source while they are read: a copy of what changed meanwhile is a copy of nothing that ever was.

use crate::digest::BlockList;
use crate::observer::Control;
use crate::pipeline::digest_disk;
use crate::sources::SourceFile;
use format_core::{Disk, Error, ErrorKind, FileStamp, Result, codes};
use std::io::ErrorKind::NotFound;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The clock of a file system ticks every few milliseconds, and two writes within a tick leave one time.
const TICK: Duration = Duration::from_millis(20);
/// File systems in programs: some give the time of the question for that of the last write.
const FUSE: rustix::fs::FsWord = 0x6573_5546;

/// The files of a source as they were when they were opened. Devices are not among them: they have no such times.
#[derive(Debug)]
pub(crate) struct Watch {
    files: Vec<(PathBuf, FileStamp)>,
}

/// What a look at the files tells.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Unchanged,
    /// Only times that do not have to mean a write: a link was made, the mode was changed, or a write was hidden.
    Touched(PathBuf),
    /// Which file, and what happened to it.
    Changed(PathBuf, String),
}

impl Watch {
    /// Watches these files from now on.
    ///
    /// # Errors
    /// `Temporary` when one of them changed since it was opened.
    pub(crate) fn begin<'a>(files: impl IntoIterator<Item = &'a SourceFile>) -> Result<Self> {
        // What came through a pipe lies in a file without a name, which nobody else can reach.
        let has_name = |path: &Path| !std::fs::symlink_metadata(path).is_err_and(|e| e.kind() == NotFound);
        let stamped =
            |file: &SourceFile| Some((file.path.clone(), file.stamp?)).filter(|(path, _)| has_name(path));
        let watch = Self { files: files.into_iter().filter_map(stamped).collect() };
        if watch.files.iter().any(|(_, stamp)| is_young(stamp)) {
            std::thread::sleep(TICK);
        }
        match watch.look() {
            Seen::Changed(path, what) => Err(changed(&path, &what)),
            // What was read so far is a few tables; the look at the end decides.
            Seen::Touched(_) | Seen::Unchanged => Ok(watch),
        }
    }

    /// Does the `work` of reading the files. Where times changed that do not have to mean a write, `is_same` decides whether the
    /// source still reads as what was done.
    ///
    /// # Errors
    /// Those of `work` and `is_same`; `Temporary` when a file was replaced, cut or written.
    pub(crate) fn over<T>(
        &self,
        work: impl FnOnce() -> Result<T>,
        is_same: impl FnOnce(&T) -> Result<bool>,
    ) -> Result<T> {
        let done = match work() {
            // Whoever read past the end of a file that was cut, or tables that are half new, does not know why.
            Err(error) if is_of_source(error.kind()) => {
                return Err(match self.look() {
                    Seen::Changed(path, what) => changed(&path, &what).with_source(error),
                    Seen::Touched(_) | Seen::Unchanged => error,
                });
            }
            other => other?,
        };
        match self.look() {
            Seen::Unchanged => Ok(done),
            Seen::Touched(_) if is_same(&done)? => Ok(done),
            Seen::Touched(path) => {
                Err(changed(&path, "was written to, or its mode, owner or links were changed"))
            }
            Seen::Changed(path, what) => Err(changed(&path, &what)),
        }
    }

    fn look(&self) -> Seen {
        let mut seen = Seen::Unchanged;
        for (path, then) in &self.files {
            match compared(path, then) {
                Seen::Unchanged => {}
                touched @ Seen::Touched(_) => seen = touched,
                changed @ Seen::Changed(..) => return changed,
            }
        }
        seen
    }
}

/// Whether the disk still reads as what was copied.
///
/// # Errors
/// What the disk reports.
pub(crate) fn reads_as(copied: &BlockList, disk: &Disk, control: Control<'_>) -> Result<bool> {
    Ok(copied.digest()? == digest_disk(disk, "read source again", control)?.blocks.digest()?)
}

/// Whether the error is that of `changed`.
pub(crate) fn is_source_changed(error: &Error) -> bool {
    error.code().id == codes::SOURCE_CHANGED.id
}

fn compared(path: &Path, then: &FileStamp) -> Seen {
    let changed = |what: String| Seen::Changed(path.to_owned(), what);
    let found = match std::fs::metadata(path) {
        Ok(found) => found,
        Err(error) => return changed(format!("cannot be found any more ({error})")),
    };
    let Some(now) = FileStamp::of(&found).filter(|now| now.file_id == then.file_id) else {
        return changed("was replaced by another file".into());
    };
    if now.size != then.size {
        return changed(format!("had {} bytes when it was opened and has {} now", then.size, now.size));
    }
    if now.modified != then.modified && !is_fuse(path) {
        return changed("was written to".into());
    }
    if now == *then { Seen::Unchanged } else { Seen::Touched(path.to_owned()) }
}

fn is_of_source(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Io | ErrorKind::Corrupt | ErrorKind::Mismatch | ErrorKind::Limit)
}

fn is_fuse(path: &Path) -> bool {
    rustix::fs::statfs(path).is_ok_and(|found| found.f_type == FUSE)
}

/// Whether the file could be changed once more without another time.
fn is_young(stamp: &FileStamp) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let (seconds, nanoseconds) = stamp.changed;
    let then = u64::try_from(seconds).ok().zip(u32::try_from(nanoseconds).ok());
    then.is_none_or(|(seconds, nanoseconds)| now < Duration::new(seconds, nanoseconds).saturating_add(TICK))
}

fn changed(path: &Path, what: &str) -> Error {
    let text = format!("the source changed while it was read: {} {what}", path.display());
    Error::new(ErrorKind::Temporary, text)
        .with_code(&codes::SOURCE_CHANGED)
        .hint("shut the machine that uses it down or take a snapshot, and run the command again")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{File, FileTimes};
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;

    fn watch(path: &Path) -> Watch {
        let stamp = format_core::FileStorage::open(path).unwrap().stamp();
        Watch::begin([&SourceFile { path: path.to_owned(), file_id: stamp.unwrap().file_id, stamp }]).unwrap()
    }

    /// What a run that reads the file says, when `act` happens during it.
    fn during(act: impl FnOnce(&Path), is_same: bool) -> Result<u8> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk.raw");
        std::fs::write(&path, b"before").unwrap();
        watch(&path).over(
            || {
                act(&path);
                Ok(7)
            },
            |_| Ok(is_same),
        )
    }

    /// Writes a byte in place and puts the time back.
    fn hidden(path: &Path) {
        let times = std::fs::metadata(path).unwrap();
        let mut file = File::options().write(true).open(path).unwrap();
        file.write_all(b"B").unwrap();
        file.set_times(FileTimes::new().set_modified(times.modified().unwrap())).unwrap();
    }

    #[test]
    fn every_way_to_change_a_file_is_seen() {
        let replaced = |path: &Path| {
            std::fs::write(path.with_extension("new"), b"before").unwrap();
            std::fs::rename(path.with_extension("new"), path).unwrap();
        };
        let says = |act: &dyn Fn(&Path)| {
            let error = during(act, false).unwrap_err();
            assert_eq!((error.kind(), is_source_changed(&error)), (ErrorKind::Temporary, true), "{error}");
            error.to_string()
        };
        assert!(says(&replaced).ends_with("was replaced by another file"));
        assert!(says(&|path| std::fs::remove_file(path).unwrap()).contains("cannot be found any more"));
        assert!(says(&|path| std::fs::write(path, b"befor").unwrap()).contains("had 6 bytes"));
        assert!(says(&|path| std::fs::write(path, b"Before").unwrap()).ends_with("was written to"));
        assert!(says(&hidden).contains("was written to, or its mode"));
    }

    #[test]
    fn reading_leaves_no_trace_and_what_need_not_be_a_write_is_looked_into() {
        assert_eq!(during(|path| drop(std::fs::read(path).unwrap()), false).unwrap(), 7);
        let link = |path: &Path| std::fs::hard_link(path, path.with_extension("kept")).unwrap();
        let mode = |path: &Path| std::fs::set_permissions(path, PermissionsExt::from_mode(0o600)).unwrap();
        assert_eq!(during(link, true).unwrap(), 7);
        assert_eq!(during(mode, true).unwrap(), 7);
        during(link, false).unwrap_err();
    }

    #[test]
    fn an_error_of_reading_is_told_as_what_it_comes_from() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk.raw");
        let failing = |kind, act: &dyn Fn()| {
            std::fs::write(&path, b"before").unwrap();
            let watch = watch(&path);
            let work = || -> Result<()> {
                act();
                Err(Error::new(kind, "of the reader"))
            };
            watch.over(work, |()| Ok(true)).unwrap_err()
        };
        let cut = || File::options().write(true).open(&path).unwrap().set_len(3).unwrap();
        assert!(is_source_changed(&failing(ErrorKind::Io, &cut)));
        assert!(!is_source_changed(&failing(ErrorKind::Io, &|| {})));
        // Who stopped the run knows that.
        assert!(!is_source_changed(&failing(ErrorKind::Temporary, &cut)));
    }

    #[test]
    fn what_changed_before_the_run_began_is_seen_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk.raw");
        std::fs::write(&path, b"before").unwrap();
        let stamp = format_core::FileStorage::open(&path).unwrap().stamp();
        std::fs::write(&path, b"longer than before").unwrap();
        let file = SourceFile { path, file_id: stamp.unwrap().file_id, stamp };
        assert!(is_source_changed(&Watch::begin([&file]).unwrap_err()));
    }
}
