//! The marker: a small file that says "this folder is a destination, and it lies on that volume".

use crate::escapes::shell_word;
use crate::mounts::{Mount, mount_of, unmounted_place};
use crate::rule::not_found;
use crate::volume::Volume;
use crate::{Host, VolumeKind};
use format_core::{Error, ErrorKind, Result, Warning};
use rustix::fs::{Mode, OFlags, openat};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::time::SystemTime;
use uuid::Uuid;

/// Its name.
pub const MARKER: &str = ".rehome-destination";

/// A marker has some hundred bytes.
const MAX_MARKER: u64 = 64 << 10;

/// What the marker says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marker {
    /// The destination's own id, which a job file can ask for.
    pub id: Uuid,
    /// When it was written, in UTC (RFC 3339).
    pub created: String,
    /// The volume that the folder lay on.
    pub volume: Volume,
}

/// Marks `folder` as a destination on the volume that it lies on. What is marked already stays as it is.
///
/// # Errors
/// The folder is missing, cannot be written, lies where fstab has a volume that is not mounted, or holds another volume's marker.
pub fn init(host: &Host, folder: &Path) -> Result<(Marker, Vec<Warning>)> {
    let (opened, mount) = open_folder(host, folder)?;
    let canonical = std::fs::canonicalize(folder).map_err(|e| unreachable_folder(folder, e))?;
    if let Some(entry) = unmounted_place(host, &canonical, &mount) {
        return Err(not_found(format!(
            "the volume of {} is not mounted at {}",
            folder.display(),
            entry.point.display()
        ))
        .hint(format!("mount it first: mount {}", shell_word(&entry.point))));
    }
    let volume = Volume::of(host, &mount);
    let warnings = warnings(host, folder, &mount, &volume)?;
    if let Some(marker) = read(&opened)? {
        return match marker.volume.may_be(&volume) {
            false => Err(other_volume(folder, &marker, &volume)),
            true => Ok((marker, warnings)),
        };
    }
    let created = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let marker = Marker { id: Uuid::new_v4(), created, volume };
    write(folder, &opened, &marker)?;
    // Another process may have been first: what is there now counts.
    let marker = read(&opened)?.unwrap_or(marker);
    Ok((marker, warnings))
}

/// What a person should know who marks this folder.
fn warnings(host: &Host, folder: &Path, mount: &Mount, volume: &Volume) -> Result<Vec<Warning>> {
    let mut warnings = Vec::new();
    let mut warn = |code, message| warnings.push(Warning::new(code, message));
    if crate::rule::is_root_disk(host, mount)? {
        warn(
            "destination-on-root",
            format!(
                "{} lies on the disk that this host runs from: a full destination can stop it",
                folder.display()
            ),
        );
    }
    if volume.kind == VolumeKind::Memory {
        warn("destination-in-memory", format!("{} lies in memory ({})", folder.display(), volume.fs_type));
    }
    Ok(warnings)
}

/// The folder, opened so that what lies behind an automounter is mounted, and its mount.
pub(crate) fn open_folder(host: &Host, folder: &Path) -> Result<(File, Mount)> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let opened = rustix::fs::open(folder, flags, Mode::empty());
    let opened = File::from(opened.map_err(|e| unreachable_folder(folder, e.into()))?);
    let mount = mount_of(host, &opened)?;
    Ok((opened, mount))
}

/// A folder that cannot be opened: missing is the operator's business, an error of the disk or server is worth a retry.
pub(crate) fn unreachable_folder(folder: &Path, error: std::io::Error) -> Error {
    use std::io::ErrorKind as Os;
    let name = folder.display();
    match error.kind() {
        Os::NotFound => not_found(format!("the destination {name} does not exist"))
            .hint("mount its volume, or make the folder on it with mkdir"),
        Os::NotADirectory => not_found(format!("the destination {name} is not a folder"))
            .hint("name the folder that the images go to"),
        _ => Error::io(format!("the destination {name} cannot be opened"), error),
    }
}

/// The marker of an opened folder, if it has one. Links are not followed, and only plain files are read.
pub(crate) fn read(folder: &File) -> Result<Option<Marker>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match openat(folder, MARKER, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(rustix::io::Errno::NOENT) => return Ok(None),
        Err(rustix::io::Errno::LOOP) => return Err(broken("is a link")),
        Err(e) => return Err(Error::io(format!("cannot open {MARKER}"), e.into())),
    };
    let failed = |e| Error::io(format!("cannot read {MARKER}"), e);
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(broken("is not a plain file"));
    }
    let mut bytes = Vec::new();
    file.take(MAX_MARKER + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_MARKER {
        return Err(broken("is too long"));
    }
    serde_json::from_slice(&bytes).map(Some).map_err(|e| broken("is none of ours").with_source(e))
}

fn broken(how: &str) -> Error {
    Error::new(ErrorKind::Destination, format!("the marker {MARKER} {how}")).hint(
        "when the folder is the right one, remove the file and run 'rehome destination init' for the folder",
    )
}

/// The marker's name appears with its whole content, durable, and only where there is none yet.
fn write(path: &Path, folder: &File, marker: &Marker) -> Result<()> {
    let failed = |e| Error::io(format!("cannot write {MARKER} in {}", path.display()), e);
    let text = serde_json::to_vec_pretty(marker)
        .map_err(|e| Error::contract("a marker cannot be written as JSON").with_source(e))?;
    let mut file =
        tempfile::Builder::new().prefix(".rehome-destination-").tempfile_in(path).map_err(failed)?;
    file.write_all(&text).and_then(|()| file.write_all(b"\n")).map_err(failed)?;
    // Others than the owner may check the destination.
    rustix::fs::fchmod(file.as_file(), Mode::from_raw_mode(0o644)).map_err(|e| failed(e.into()))?;
    file.as_file().sync_all().map_err(failed)?;
    match file.persist_noclobber(path.join(MARKER)) {
        Err(e) if e.error.kind() != std::io::ErrorKind::AlreadyExists => return Err(failed(e.error)),
        _ => {}
    }
    folder.sync_all().map_err(failed)
}

pub(crate) fn other_volume(folder: &Path, marker: &Marker, volume: &Volume) -> Error {
    not_found(format!(
        "{} holds the marker of another volume ({}, at {} when it was marked), and lies on {}",
        folder.display(),
        marker.volume.told(),
        marker.volume.place().display(),
        volume.told()
    ))
    .hint(format!(
        "mount the right volume; or, when this is it: rm {0}/{MARKER} && rehome destination init {0}",
        shell_word(folder)
    ))
}
