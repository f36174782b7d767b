//! Whether this process still may give files their final names.
//!
//! A run that a batch started works under a lease: a file `JOB.EPOCH` in a folder at the destination, whose path is in
//! `REHOME_LEASE`. Whoever takes the job over makes a file with a higher epoch and removes the lower ones. A process that
//! was stopped meanwhile, or cut off, looks here before it gives a file its name, and finds that the job is no longer its
//! own.

use crate::{Error, ErrorKind, Result};
use serde::Deserialize;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// A lease is a few hundred bytes.
const MAX_LEASE: u64 = 64 << 10;

/// The lease that a process works under, as it was when the process began.
#[derive(Debug)]
pub struct Fence {
    path: PathBuf,
    folder: PathBuf,
    job: String,
    epoch: u64,
    token: String,
    fresh: bool,
}

/// The part of a lease that says whose it is.
#[derive(Deserialize)]
struct Body {
    token: String,
}

/// A file that was given its final name, as the batch finds it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, serde::Serialize)]
pub struct PublishedFile {
    /// Inode number.
    pub ino: u64,
    /// Size in bytes.
    pub size: u64,
    /// When it was written last: seconds and nanoseconds since 1970.
    pub modified: (i64, i64),
}

impl PublishedFile {
    /// What is known of a file.
    #[must_use]
    pub fn of(found: &std::fs::Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        Self { ino: found.ino(), size: found.size(), modified: (found.mtime(), found.mtime_nsec()) }
    }
}

impl Fence {
    /// The variable that holds the path of the lease.
    pub const LEASE: &'static str = "REHOME_LEASE";
    /// The variable that is `1` where another run may still write to the files that it left: they are not gone on with.
    pub const FRESH: &'static str = "REHOME_LEASE_FRESH";

    /// The lease of this process; `None` where it works under none. It is read once: call this first when the process
    /// begins.
    ///
    /// # Errors
    /// `Temporary` when the lease is not there any more.
    pub fn of_process() -> Result<Option<&'static Self>> {
        static OWN: OnceLock<std::result::Result<Option<Fence>, String>> = OnceLock::new();
        let own = OWN.get_or_init(|| {
            let Some(path) = std::env::var_os(Self::LEASE) else { return Ok(None) };
            let fresh = std::env::var_os(Self::FRESH).is_some_and(|value| value == "1");
            Self::open(Path::new(&path), fresh).map(Some).map_err(|e| e.to_string())
        });
        match own {
            Ok(fence) => Ok(fence.as_ref()),
            Err(text) => Err(Error::new(ErrorKind::Temporary, text.as_str())),
        }
    }

    /// The lease at `path`; `fresh` as in [`Fence::FRESH`].
    ///
    /// # Errors
    /// `Usage` when the name is none of a lease, `Temporary` when there is none.
    pub fn open(path: &Path, fresh: bool) -> Result<Self> {
        let none = || Error::usage(format!("{} is not the name of a lease", path.display()));
        let name = path.file_name().and_then(|name| name.to_str()).ok_or_else(none)?;
        let (job, epoch) = split_name(name).ok_or_else(none)?;
        let folder = path.parent().ok_or_else(none)?.to_owned();
        let token = token_at(path).ok_or_else(|| taken_over(job))?;
        Ok(Self { path: path.to_owned(), folder, job: job.to_owned(), epoch, token, fresh })
    }

    /// Whether files that another run left may still be written by it.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.fresh
    }

    /// Whether the job is still this process's own.
    ///
    /// # Errors
    /// `Temporary` when another run has taken over, or when nobody can tell.
    pub fn check(&self) -> Result<()> {
        // Opening asks a network file system's server, which listing a folder may not.
        if token_at(&self.path).as_ref() != Some(&self.token) {
            return Err(taken_over(&self.job));
        }
        let unknown = |e| {
            let text = format!("cannot look for other leases in {}", self.folder.display());
            Error::io(text, e).with_kind(ErrorKind::Temporary)
        };
        for entry in std::fs::read_dir(&self.folder).map_err(unknown)? {
            let name = entry.map_err(unknown)?.file_name();
            if let Some((job, epoch)) = name.to_str().and_then(split_name)
                && job == self.job
                && epoch > self.epoch
            {
                return Err(taken_over(&self.job));
            }
        }
        Ok(())
    }

    /// Notes that `file` is about to get its final name: a batch that dies before it knows finds out by that that the file
    /// is its own.
    ///
    /// # Errors
    /// As [`Fence::check`], which it does first; `Io` when the note cannot be written.
    pub fn publish(&self, file: PublishedFile) -> Result<()> {
        self.check()?;
        let path = Self::published_path(&self.folder, &self.job);
        let mut line = serde_json::to_vec(&file)
            .map_err(|e| Error::contract("a published file as JSON").with_source(e))?;
        line.push(b'\n');
        let mut note = crate::open_at_end(&path)?;
        let written = note.write_all(&line).and_then(|()| note.sync_data());
        written.map_err(|e| Error::io(format!("cannot write {}", path.display()), e))
    }

    /// Where the runs of `job` note which files they gave final names, a JSON object a line.
    #[must_use]
    pub fn published_path(folder: &Path, job: &str) -> PathBuf {
        folder.join(format!("{job}.published"))
    }
}

/// Job and epoch of a lease's file name.
#[must_use]
pub(crate) fn split_name(name: &str) -> Option<(&str, u64)> {
    let (job, epoch) = name.rsplit_once('.')?;
    let is_number = !epoch.is_empty() && epoch.bytes().all(|byte| byte.is_ascii_digit());
    if job.is_empty() || !is_number { None } else { Some((job, epoch.parse().ok()?)) }
}

fn token_at(path: &Path) -> Option<String> {
    use std::io::Read;
    let mut bytes = Vec::new();
    std::fs::File::open(path).ok()?.take(MAX_LEASE).read_to_end(&mut bytes).ok()?;
    serde_json::from_slice::<Body>(&bytes).ok().map(|body| body.token)
}

fn taken_over(job: &str) -> Error {
    Error::new(ErrorKind::Temporary, format!("another run has taken over {job}"))
        .with_code(&crate::codes::LEASE_LOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(folder: &Path, name: &str, token: &str) -> PathBuf {
        let path = folder.join(name);
        std::fs::write(&path, format!("{{\"token\":\"{token}\",\"renewals\":3}}")).unwrap();
        path
    }

    #[test]
    fn the_highest_epoch_owns_and_a_number_that_comes_again_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let own = lease(folder, "web.1.2", "a");
        let fence = Fence::open(&own, false).unwrap();
        fence.check().unwrap();
        // Of other jobs, and no leases at all.
        for name in ["web.7", "web.1.1", "web.1.1.9", "web.1.published", "web.1.x3", ".tmp.5"] {
            lease(folder, name, "b");
            fence.check().unwrap();
        }
        let higher = lease(folder, "web.1.3", "b");
        let error = fence.check().unwrap_err();
        assert_eq!(
            (error.kind(), error.message()),
            (ErrorKind::Temporary, "another run has taken over web.1")
        );
        std::fs::remove_file(&higher).unwrap();
        fence.check().unwrap();
        lease(folder, "web.1.2", "b");
        fence.check().unwrap_err();
        std::fs::remove_file(&own).unwrap();
        fence.check().unwrap_err();
        assert_eq!(Fence::open(&own, false).unwrap_err().kind(), ErrorKind::Temporary);
        assert_eq!(Fence::open(&folder.join("web"), false).unwrap_err().kind(), ErrorKind::Usage);
    }

    #[test]
    fn a_file_is_noted_before_it_has_its_name_and_not_without_the_lease() {
        let folder = tempfile::tempdir().unwrap();
        let own = lease(folder.path(), "web.1", "a");
        let fence = Fence::open(&own, false).unwrap();
        let file = PublishedFile { ino: 5, size: 6, modified: (7, 8) };
        fence.publish(file).unwrap();
        fence.publish(file).unwrap();
        let note = Fence::published_path(folder.path(), "web");
        let text = std::fs::read_to_string(&note).unwrap();
        let lines: Vec<PublishedFile> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines, [file, file]);
        std::fs::remove_file(own).unwrap();
        fence.publish(file).unwrap_err();
        assert_eq!(std::fs::read_to_string(&note).unwrap(), text);
    }
}
