//! Files and folders that hold several disks, or a disk and more: backups, archives, packages.

use crate::{CheckReport, Details, Disk, Finding, Format, Result, SourceFolder, Storage, Warning};
use std::sync::Arc;

/// What a container is opened from.
#[derive(Clone)]
pub enum Origin {
    /// A file, unpacked where it was compressed.
    File(Arc<dyn Storage>),
    /// A folder that the operator named.
    Folder(Arc<SourceFolder>),
}

/// A backup, archive or package with the disks of a machine, and perhaps what else belongs to it.
///
/// Opening one reads its index and no data. It stays open as long as one of its disks is.
pub trait Container: Send + Sync {
    /// The format's name as in its [`Format`].
    fn format(&self) -> &'static str;

    /// Its disks at the point in time that was asked for, the boot disk first where that is known.
    fn disks(&self) -> &[DiskEntry];

    /// Opens the disk with this index in [`Container::disks`].
    ///
    /// # Errors
    /// `Corrupt`, `Unsupported`, `SourceMissing`, `Io` from the file; `NeedsPerson` when it is encrypted.
    fn open_disk(&self, index: usize) -> Result<InnerImage>;

    /// Files that describe the machine, as they are: one of the dialects of `drivers/machine`, told by its content.
    ///
    /// # Errors
    /// As [`Container::open_disk`].
    fn machine_files(&self) -> Result<Vec<MachineFile>> {
        Ok(Vec::new())
    }

    /// The points in time that it holds, oldest first; empty where there is only one.
    fn points(&self) -> &[Point] {
        &[]
    }

    /// What is particular to it, for `info`.
    fn details(&self) -> Details {
        Details::new()
    }

    /// What a person should know about it.
    fn warnings(&self) -> &[Warning] {
        &[]
    }

    /// What is missing in it, as far as that shows without reading the data: segments, chunks, members.
    ///
    /// # Errors
    /// `Io` when the host cannot tell.
    fn completeness(&self) -> Result<Vec<Finding>> {
        Ok(Vec::new())
    }

    /// Reads everything and compares it with every checksum that the format has.
    ///
    /// # Errors
    /// `Io` from the host, and what `tick` returns. What is wrong with the content is in the report.
    fn check(&self, tick: Tick<'_>) -> Result<CheckReport>;

    /// The checksums that cover the disk with this index and are not compared while it is read; `None` when there are
    /// none. A copy runs them beside its own work.
    fn proof(&self, _index: usize) -> Option<SourceProof> {
        None
    }
}

/// Is told how many bytes were read since the last call; an error ends the work.
pub type Tick<'a> = &'a (dyn Fn(u64) -> Result<()> + Sync);

/// Compares a source with its own checksums: `Mismatch` when it is not what they say.
pub type SourceProof = Box<dyn FnOnce(Tick<'_>) -> Result<()> + Send>;

/// A disk of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskEntry {
    /// What the container calls it: the operator picks it by that, or by its number from 0.
    pub name: String,
    /// Size of the disk in bytes, where that is known without opening it.
    pub virtual_size: Option<u64>,
}

/// A file with a description of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachineFile {
    /// Its name in the container.
    pub name: String,
    /// Its content.
    pub bytes: Vec<u8>,
}

/// A point in time of a container that holds several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Point {
    /// What the operator picks it by, besides its number from the oldest, 0, and its time.
    pub id: String,
    /// Seconds since 1970, UTC.
    pub time: Option<i64>,
    /// Size of its disks together, in bytes.
    pub virtual_size: Option<u64>,
    /// Whether it is the one that [`Container::disks`] tells about.
    pub is_chosen: bool,
}

/// An image inside a container.
pub struct InnerImage {
    /// The guest's disk, over its parents inside.
    pub disk: Disk,
    /// Its own format, where it is an image file of its own.
    pub format: Option<&'static Format>,
    /// What a person should know about it.
    pub warnings: Vec<Warning>,
}

impl InnerImage {
    /// A disk whose bytes the container itself holds.
    #[must_use]
    pub fn plain(disk: Disk) -> Self {
        Self { disk, format: None, warnings: Vec::new() }
    }
}

impl Point {
    /// The index in `points` of the one that the operator calls `wanted`: its number, its id or the beginning of that,
    /// or the newest that is not later than a time (`2026-11-29`, `2026-11-29T10:00:00Z`); without a wish the newest.
    ///
    /// # Errors
    /// `Usage` when none is it, or several are.
    pub fn choose(points: &[Self], wanted: Option<&str>) -> Result<usize> {
        crate::points::choose(points, wanted)
    }

    /// Seconds since 1970 of a time as RFC 3339 writes it, with fraction and zone or without; UTC without a zone. `None` for
    /// anything else.
    #[must_use]
    pub fn time_of(text: &str) -> Option<i64> {
        crate::points::time_of(text)
    }
}
