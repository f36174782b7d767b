//! What was taken out of reach, kept in a folder of the caller's, so that a later run can undo it whatever became of this one.
//!
//! A record is written, durably, *before* the first step that it undoes, and removed after the last thing is back. Restoring looks at
//! what is really there and does what is missing, so it does not matter at which step the run before it died.

use crate::escapes::{decoded, encoded};
use crate::interface::Interface;
use crate::isolation::Isolation;
use crate::mounts::Mount;
use crate::volume::Volume;
use format_core::{Error, ErrorKind, Result};
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// The version of this form.
const VERSION: u32 = 1;

/// A program that a killed run was about to start can hold its lock for a moment.
const LOCK: Duration = Duration::from_secs(2);

/// How files begin that are not records yet.
const UNFINISHED: &str = ".isolated-";

/// How far the isolation came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Phase {
    /// It was begun.
    Leaving,
    /// It was done and verified.
    Left,
}

/// A mount to be made again.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Remembered {
    /// As mountinfo had it.
    line: String,
    pub(crate) volume: Volume,
}

impl Remembered {
    pub(crate) fn new(mount: &Mount, volume: Volume) -> Self {
        Self { line: mount.line(), volume }
    }

    pub(crate) fn mount(&self) -> Result<Mount> {
        Mount::parse(self.line.as_bytes()).ok_or_else(|| Error::new(ErrorKind::Io, "a record names no mount"))
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    version: u32,
    pub(crate) phase: Phase,
    pub(crate) isolation: Isolation,
    /// The destination as it was named, and without links; with octal escapes.
    folder: String,
    real: String,
    pub(crate) marker: Option<Uuid>,
    pub(crate) mounts: Vec<Remembered>,
    /// Why the link has to come up again, and how it was.
    pub(crate) interface: Option<Interface>,
    /// The whole disk that was detached, for people.
    pub(crate) disk: Option<String>,
    /// When it was begun, in UTC.
    pub(crate) begun: String,
}

impl Record {
    pub(crate) fn new(isolation: Isolation, folder: &Path, real: &Path, marker: Option<Uuid>) -> Self {
        Self {
            version: VERSION,
            phase: Phase::Leaving,
            isolation,
            folder: encoded(folder.as_os_str()),
            real: encoded(real.as_os_str()),
            marker,
            mounts: Vec::new(),
            interface: None,
            disk: None,
            begun: humantime::format_rfc3339_seconds(std::time::SystemTime::now()).to_string(),
        }
    }

    /// Whether `folder`, as named and as far as its links lead somewhere, is what was taken out of reach.
    fn is_about(&self, names: &[PathBuf]) -> bool {
        let own = [&self.folder, &self.real].map(|text| PathBuf::from(decoded(text.as_bytes())));
        let points = self.points();
        names.iter().any(|name| own.contains(name) || points.iter().any(|point| name.starts_with(point)))
    }

    /// The places of its mounts.
    pub(crate) fn points(&self) -> Vec<PathBuf> {
        self.mounts.iter().filter_map(|remembered| Some(remembered.mount().ok()?.point)).collect()
    }

    fn file_name(&self) -> String {
        let hash = blake3::hash(self.real.as_bytes()).to_hex();
        format!("isolated-{}.json", hash.get(..16).unwrap_or_default())
    }
}

/// The folder of records, locked for this process.
pub(crate) struct Records {
    folder: PathBuf,
    _lock: File,
}

impl Records {
    /// Opens the folder, which is made where it is missing, for its owner alone: who can write there decides what is mounted.
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        let failed = |e| Error::io(format!("cannot use the folder {} for the state", folder.display()), e);
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let lock = rustix::fs::open(folder, flags, Mode::empty()).map_err(|e| failed(e.into()))?;
        belongs_to_us(folder, &lock)?;
        let end = Instant::now() + LOCK;
        loop {
            match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => break,
                Err(Errno::WOULDBLOCK) if Instant::now() < end => {
                    std::thread::sleep(Duration::from_millis(20))
                }
                Err(Errno::WOULDBLOCK) => {
                    let text =
                        format!("another run isolates or restores with the state in {}", folder.display());
                    return Err(
                        Error::new(ErrorKind::Temporary, text).hint("wait for its end, and try again")
                    );
                }
                Err(e) => return Err(failed(e.into())),
            }
        }
        let records = Self { folder: folder.to_path_buf(), _lock: lock.into() };
        records.tidy().map_err(failed)?;
        Ok(records)
    }

    /// Removes what runs left that were killed while they wrote. Nobody else writes now.
    fn tidy(&self) -> std::io::Result<()> {
        for entry in std::fs::read_dir(&self.folder)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
                std::fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    /// The record about `folder`, if there is one.
    pub(crate) fn find(&self, folder: &Path) -> Result<Option<Record>> {
        let absolute =
            std::path::absolute(folder).map_err(|e| Error::io("cannot name the current folder", e))?;
        let names = [real_path(&absolute), absolute];
        let failed = |e| Error::io(format!("cannot read the folder {}", self.folder.display()), e);
        for entry in std::fs::read_dir(&self.folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if !(name.starts_with("isolated-") && name.ends_with(".json")) {
                continue;
            }
            let record = read(&entry.path())?;
            if record.is_about(&names) {
                return Ok(Some(record));
            }
        }
        Ok(None)
    }

    /// Writes the record; it is durable when this returns.
    pub(crate) fn save(&self, record: &Record) -> Result<()> {
        let path = self.folder.join(record.file_name());
        let failed = |e| Error::io(format!("cannot write {}", path.display()), e);
        let text = serde_json::to_vec_pretty(record)
            .map_err(|e| Error::contract("a record cannot be written as JSON").with_source(e))?;
        let mut file =
            tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(&self.folder).map_err(failed)?;
        file.write_all(&text).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
        file.persist(&path).map_err(|e| failed(e.error))?;
        self.make_durable()
    }

    /// Everything is back.
    pub(crate) fn remove(&self, record: &Record) -> Result<()> {
        let path = self.folder.join(record.file_name());
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::io(format!("cannot remove {}", path.display()), e))
            }
            _ => self.make_durable(),
        }
    }

    fn make_durable(&self) -> Result<()> {
        let failed = |e| Error::io(format!("cannot write to the folder {}", self.folder.display()), e);
        File::open(&self.folder).and_then(|folder| folder.sync_all()).map_err(failed)
    }
}

/// Nobody else may write there: root would mount what a record says.
fn belongs_to_us(folder: &Path, opened: &impl std::os::fd::AsFd) -> Result<()> {
    let facts = rustix::fs::fstat(opened)
        .map_err(|e| Error::io("cannot look at the folder for the state", e.into()))?;
    let own = facts.st_uid == 0 || facts.st_uid == rustix::process::geteuid().as_raw();
    if own && facts.st_mode & 0o022 == 0 {
        return Ok(());
    }
    let text = format!("others can write to the folder {}, which says what is mounted", folder.display());
    Err(Error::new(ErrorKind::Denied, text).hint("use a folder of its own: it is made where it is missing"))
}

fn read(path: &Path) -> Result<Record> {
    let unreadable = |e| Error::io(format!("cannot read {}", path.display()), e);
    let bytes = std::fs::read(path).map_err(unreadable)?;
    let broken = |text: String| {
        let hint = "look with 'cat' what it says was unmounted or taken down, undo that, and remove the file";
        Error::needs_person(text).hint(hint)
    };
    let record: Record = serde_json::from_slice(&bytes)
        .map_err(|e| broken(format!("{} is no record of an isolation", path.display())).with_source(e))?;
    if record.version != VERSION {
        return Err(broken(format!("{} was written by another version of this program", path.display())));
    }
    Ok(record)
}

/// The folder for records of a caller that has none of its own: `/var/lib/rehome/destinations` for root, else a folder of the
/// user's (XDG base directories).
#[must_use]
pub fn state_folder() -> PathBuf {
    if rustix::process::geteuid().is_root() {
        return "/var/lib/rehome/destinations".into();
    }
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || absolute("HOME").unwrap_or_else(|| "/".into()).join(".local/state");
    absolute("XDG_STATE_HOME").unwrap_or_else(home).join("rehome/destinations")
}

/// `path` without links, as far as it exists; what is behind that stays as it is named.
pub(crate) fn real_path(path: &Path) -> PathBuf {
    for ancestor in path.ancestors() {
        if let Ok(real) = std::fs::canonicalize(ancestor) {
            return match path.strip_prefix(ancestor) {
                Ok(rest) if !rest.as_os_str().is_empty() => real.join(rest),
                _ => real,
            };
        }
    }
    path.to_path_buf()
}
