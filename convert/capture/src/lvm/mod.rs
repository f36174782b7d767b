//! Snapshots of logical volumes (`lvmthin(7)` calls these "thick"; `lvcreate(8)`, `--snapshot`): a volume as it was at one moment, for as long as
//! a copy takes, while its file system goes on.
//!
//! LVM itself holds the file system for the moment of the creation: "fsfreeze is unnecessary for device-mapper devices" (`fsfreeze(8)`), and
//! one that is held already would keep LVM from it. What is written to the volume meanwhile goes through the snapshot; when its room is full, the
//! kernel drops it, and reading it fails. So a copy of it is right or none.
//!
//! Snapshots are always removed: by who took them, or, when that was killed, by the [keeper](Keeper).

mod far;
mod keeper;
mod volume;

pub use far::{FarSnapshots, serve_snapshots};

use crate::Side;
use format_core::{Error, HashLevel, RangeSet, Remote, Result};
use keeper::Keeper;
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use volume::Volume;

/// What the names of our snapshots begin with.
const PREFIX: &str = "rehome-";
/// How long a device that is still open is waited for before the keeper gets it.
const BUSY: Duration = Duration::from_secs(15);

/// A snapshot that was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The volume's device, as it was named.
    pub origin: String,
    /// `VG/NAME` of the snapshot.
    pub name: String,
    /// Its device.
    pub path: String,
}

/// Snapshots that are there until they are ended or dropped.
pub trait Snapshots: Send + Sync + std::fmt::Debug {
    /// All of them.
    fn all(&self) -> &[Snapshot];

    /// What a person should know: snapshots that an earlier run left.
    fn notes(&self) -> &[String];

    /// Whether all of them still are what the volumes were.
    ///
    /// # Errors
    /// `Temporary` when one had too little room for what was written meanwhile, or is gone.
    fn check(&self) -> Result<()>;

    /// Removes them. Who has them open has to close them before.
    ///
    /// # Errors
    /// `Temporary` with the names of those that could not be removed yet; the keeper goes on trying for some minutes.
    fn end(&self) -> Result<()>;
}

/// Snapshots of volumes of this machine.
#[derive(Debug)]
pub struct LvmSnapshots {
    taken: Vec<Snapshot>,
    notes: Vec<String>,
    keeper: Mutex<Option<Keeper>>,
}

impl LvmSnapshots {
    /// Takes a snapshot of each of these volumes, one right after the other, with room for `size` bytes that are written to it meanwhile,
    /// or for a fifth of the volume.
    ///
    /// # Errors
    /// `Unsupported` for what is no logical volume, and when LVM refuses; none is left then.
    pub fn take(volumes: &[PathBuf], size: Option<u64>) -> Result<Self> {
        let mut planned = Vec::new();
        let mut notes = Vec::new();
        for path in volumes {
            let volume = Volume::of(path)?;
            let left = volume::left_behind(&volume.group)?;
            notes.extend(left.into_iter().filter(|note| !notes.contains(note)).collect::<Vec<_>>());
            planned.push((path, format!("{}/{PREFIX}{}", volume.group, unique()?), volume));
        }
        // From here on, whatever ends this process, there is somebody who removes them.
        let keeper = Keeper::start(planned.iter().map(|(_, name, _)| name.as_str()))?;
        let mut set = Self { taken: Vec::new(), notes, keeper: Mutex::new(Some(keeper)) };
        for (path, name, volume) in &planned {
            // It counts before it is there, so that it is removed whatever happens on the way.
            let origin = path.display().to_string();
            set.taken.push(Snapshot { origin, name: name.clone(), path: String::new() });
            volume::create(name, volume, size)?;
            let device = volume::device(name)?;
            set.taken.iter_mut().filter(|one| one.name == *name).for_each(|one| one.path.clone_from(&device));
        }
        Ok(set)
    }
}

impl Snapshots for LvmSnapshots {
    fn all(&self) -> &[Snapshot] {
        &self.taken
    }

    fn notes(&self) -> &[String] {
        &self.notes
    }

    fn check(&self) -> Result<()> {
        self.taken.iter().try_for_each(|one| volume::check(&one.name, &one.origin))
    }

    fn end(&self) -> Result<()> {
        let Some(keeper) = self.keeper.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            return Ok(());
        };
        let until = Instant::now() + BUSY;
        let mut left = Vec::new();
        for one in &self.taken {
            if let Err(error) = volume::remove(&one.name, until) {
                left.push(format!("{}: {error}", one.name));
            }
        }
        if left.is_empty() {
            keeper.dismiss();
            return Ok(());
        }
        // Dropping it sets it to work.
        drop(keeper);
        let text = format!("snapshots could not be removed yet ({})", left.join("; "));
        Err(Error::new(format_core::ErrorKind::Temporary, text)
            .hint("a process goes on trying for some minutes; see 'lvs' then, and remove them by 'lvremove'"))
    }
}

impl Drop for LvmSnapshots {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

/// 16 hexadecimal digits that nobody else has.
fn unique() -> Result<String> {
    use std::io::Read;
    let mut bytes = [0; 8];
    let read = std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    read.map_err(|e| Error::io("cannot read /dev/urandom", e))?;
    Ok(format!("{:016x}", u64::from_le_bytes(bytes)))
}

/// The side of a disk that is read through its snapshot.
#[derive(Debug)]
pub struct SnapshotSide {
    side: Arc<dyn Side>,
    snapshots: Arc<dyn Snapshots>,
    identity: String,
}

impl SnapshotSide {
    /// `side` is the snapshot's, `identity` that of the volume: a copy goes on with the next snapshot.
    #[must_use]
    pub fn new(side: Arc<dyn Side>, snapshots: Arc<dyn Snapshots>, identity: String) -> Self {
        Self { side, snapshots, identity }
    }
}

impl Remote for SnapshotSide {
    fn identity(&self) -> Option<String> {
        Some(self.identity.clone())
    }

    fn can_hash(&self) -> bool {
        self.side.can_hash()
    }

    fn hashes(
        &self,
        level: HashLevel,
        pieces: &[Range<u64>],
        each: &mut dyn FnMut(u64, [u8; 32]) -> Result<()>,
    ) -> Result<()> {
        self.side.hashes(level, pieces, each)
    }
}

impl Side for SnapshotSide {
    fn freeze(&self, _: &[String], _: u64) -> Result<()> {
        Err(Error::usage("a snapshot needs no file system to be held"))
    }

    fn thaw(&self) -> Result<()> {
        Ok(())
    }

    fn free(&self) -> Result<RangeSet> {
        self.side.free()
    }

    fn confirm(&self) -> Result<()> {
        self.snapshots.check()
    }
}
