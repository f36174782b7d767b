//! Files that are whole or not there.

use format_core::{Error, ErrorKind, Result, printable_json};
use rustix::fs::OFlags;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// No file of the state is longer; the tasks of 100,000 jobs fit.
const MAX_FILE: u64 = 256 << 20;

/// How much a file may lose when the power fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// It is there, with its name, when this returns.
    Durable,
    /// It is the old one or the new one.
    Whole,
    /// It can be made again.
    Fleeting,
}

/// Writes `path` through a temporary file and a rename.
pub(crate) fn write(path: &Path, bytes: &[u8], durability: Durability) -> Result<()> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let failed = |e| destination(format!("cannot write {}", path.display()), e);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let mut name = std::ffi::OsString::from(".tmp.");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}.{number}", std::process::id()));
    let temporary = path.with_file_name(name);
    let written = create_new(&temporary).and_then(|mut file| {
        file.write_all(bytes)?;
        if durability == Durability::Fleeting { Ok(()) } else { file.sync_data() }
    });
    let named = written.and_then(|()| std::fs::rename(&temporary, path));
    if named.is_err() {
        // Best effort: it is in the way of nothing.
        let _ = std::fs::remove_file(&temporary);
    }
    named.map_err(failed)?;
    if durability == Durability::Durable {
        let folder = path.parent().unwrap_or(Path::new("."));
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
    }
    Ok(())
}

/// A new file: never what somebody put under that name. In a container the next run can have the number of one that was killed.
fn create_new(path: &Path) -> std::io::Result<File> {
    match File::create_new(path) {
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {
            std::fs::remove_file(path)?;
            File::create_new(path)
        }
        other => other,
    }
}

/// Removes what killed runs left of files that were being made. What is younger may be of a run that lives.
pub(crate) fn sweep(folder: &Path) {
    const OLD: Duration = Duration::from_secs(3600);
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let is_temporary =
            name.to_str().is_some_and(|name| name.starts_with(".tmp.") || name.starts_with(".new."));
        let age = || entry.metadata().ok()?.modified().ok()?.elapsed().ok();
        if is_temporary && age().is_some_and(|age| age > OLD) {
            // Best effort: it is in the way of nothing.
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// As [`write()`] for a value as JSON.
pub(crate) fn write_json<T: Serialize>(path: &Path, value: &T, durability: Durability) -> Result<()> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|e| Error::contract(format!("{} as JSON", path.display())).with_source(e))?;
    write(path, (printable_json(&text) + "\n").as_bytes(), durability)
}

/// A regular file. Whoever can write to the folder can have put a pipe under its name, which would be waited for.
fn open_plain(path: &Path) -> std::io::Result<File> {
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits() as i32;
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, "it is no regular file")),
    }
}

/// The whole file; `None` when there is none.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    let failed = |e| Error::io(format!("cannot read {}", path.display()), e);
    let file = match open_plain(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        // Somebody put it there.
        Err(e) if e.kind() == std::io::ErrorKind::InvalidInput => {
            return Err(failed(e).with_kind(ErrorKind::Destination));
        }
        other => other.map_err(failed)?,
    };
    let mut bytes = Vec::new();
    file.take(MAX_FILE).read_to_end(&mut bytes).map_err(failed)?;
    Ok(Some(bytes))
}

/// As [`read`] for JSON.
///
/// # Errors
/// `Corrupt` when it is something else.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let Some(bytes) = read(path)? else { return Ok(None) };
    serde_json::from_slice(&bytes)
        .map(Some)
        .map_err(|e| Error::corrupt(format!("{} is damaged", path.display())).with_source(e))
}

/// An error of the destination: what is missing there is no missing source.
pub(crate) fn destination(what: String, error: std::io::Error) -> Error {
    let error = Error::io(what, error);
    match error.kind() {
        ErrorKind::SourceMissing | ErrorKind::Usage => error.with_kind(ErrorKind::Destination),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_old_files_of_killed_runs_are_swept() {
        let folder = tempfile::tempdir().unwrap();
        for (name, hours) in [(".tmp.a.json.1.2", 2), (".new.abc", 2), (".tmp.b.json.1.2", 0), ("web.1", 2)] {
            let file = File::create(folder.path().join(name)).unwrap();
            file.set_modified(std::time::SystemTime::now() - Duration::from_secs(hours * 3600)).unwrap();
        }
        sweep(folder.path());
        let mut names: Vec<_> =
            std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, [".tmp.b.json.1.2", "web.1"]);
    }
}
