//! The rule of the destination, asked before the first byte is written: `PATH_NOT_FOUND (-403)`.
//!
//! A volume that is not mounted leaves an empty folder, and a backup into that folder fills the disk that the host runs from. So
//! a destination has to show that its volume is there: by being a folder *below* the mount point, which can be there only
//! when the volume is, or by holding the marker that was written to it once.

use crate::drift;
use crate::escapes::shell_word;
use crate::host::Host;
use crate::marker::{Marker, open_folder, other_volume, read, unreachable_folder};
use crate::mounts::{Mount, mounts, unmounted_place};
use crate::volume::{Volume, VolumeKind, number_of};
use format_core::{Error, ErrorKind, Result, codes};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// The sign by which people know this error from backup products.
pub const CODE: &str = "PATH_NOT_FOUND (-403)";

/// What the folder has to show.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Required {
    /// That it is there. A marker it holds has to be right all the same.
    Exists,
    /// That it is a folder below the mount point of a volume other than the root disk, or marked.
    SubfolderOfVolume,
    /// That it holds a marker: this one, or any.
    Marked(Option<Uuid>),
}

/// The device that a destination is expected on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Device {
    /// The file system's UUID or serial number, as blkid(8) prints it.
    Uuid(String),
    /// A device node, which may be a link such as `/dev/disk/by-label/BACKUP`, or the source of a network mount.
    Source(PathBuf),
}

/// A destination as a job declares it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Destination {
    /// The folder that the images go to.
    pub folder: PathBuf,
    /// What it has to show.
    pub required: Required,
    /// Where its volume has to be mounted.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub mount_point: Option<PathBuf>,
    /// What has to be mounted there.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub device: Option<Device>,
}

/// A destination that is what it should be.
#[derive(Clone, Debug, Serialize)]
pub struct Place {
    /// The folder without links.
    #[serde(serialize_with = "shown")]
    pub folder: PathBuf,
    /// The volume it lies on.
    pub volume: Volume,
    /// Whether that is the volume this host runs from.
    pub on_root_disk: bool,
    /// Its marker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub marker: Option<Marker>,
    /// Room for users who are not root, in bytes.
    pub free_bytes: u64,
    /// The size of the volume, in bytes.
    pub total_bytes: u64,
}

/// A path that is no UTF-8 has no other way into JSON.
fn shown<S: serde::Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}

/// An error of the rule.
pub(crate) fn not_found(message: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Destination, format!("{CODE}: {message}"))
}

impl Destination {
    /// A destination without expectations about where it is mounted from.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>, required: Required) -> Self {
        Self { folder: folder.into(), required, mount_point: None, device: None }
    }

    /// Whether the destination may be written to. Nothing is.
    ///
    /// # Errors
    /// Kind `Destination` (exit 73) with [`CODE`] in the message where it may not; others where the system fails.
    pub fn check(&self, host: &Host) -> Result<Place> {
        self.look(host).map_err(|error| match error.kind() {
            ErrorKind::Destination => drift::named(host, self, error),
            _ => error,
        })
    }

    fn look(&self, host: &Host) -> Result<Place> {
        let folder = std::fs::canonicalize(&self.folder).map_err(|e| unreachable_folder(&self.folder, e))?;
        let (opened, mount) = open_folder(host, &folder)?;
        let volume = Volume::of(host, &mount);
        self.is_where_expected(&mount)?;
        self.is_on_expected(&mount, &volume)?;
        let marker = read(&opened).map_err(|e| e.context(self.folder.display().to_string()))?;
        if let Some(marker) = &marker
            && !marker.volume.may_be(&volume)
        {
            return Err(other_volume(&self.folder, marker, &volume));
        }
        let on_root_disk = is_root_disk(host, &mount)?;
        self.shows_what_is_required(host, &folder, &mount, marker.as_ref(), on_root_disk)?;
        if mount.has("ro") {
            let point = mount.point.display();
            return Err(Error::new(
                ErrorKind::Destination,
                format!("the volume at {point} is mounted read-only"),
            )
            .hint(format!(
                "look for its errors in dmesg, then: mount -o remount,rw {}",
                shell_word(&mount.point)
            )));
        }
        let room =
            rustix::fs::fstatvfs(&opened).map_err(|e| Error::io("cannot ask for free space", e.into()))?;
        Ok(Place {
            folder,
            volume,
            on_root_disk,
            marker,
            free_bytes: room.f_bavail.saturating_mul(room.f_frsize),
            total_bytes: room.f_blocks.saturating_mul(room.f_frsize),
        })
    }

    fn is_where_expected(&self, mount: &Mount) -> Result<()> {
        let Some(expected) = &self.mount_point else { return Ok(()) };
        let point = std::fs::canonicalize(expected).unwrap_or_else(|_| expected.clone());
        if mount.point == point {
            return Ok(());
        }
        Err(not_mounted(expected, &self.folder, mount))
    }

    fn is_on_expected(&self, mount: &Mount, volume: &Volume) -> Result<()> {
        let is_it = match &self.device {
            None => true,
            Some(Device::Uuid(uuid)) => volume.uuid.as_ref().is_some_and(|it| it.eq_ignore_ascii_case(uuid)),
            Some(Device::Source(source)) => {
                let number = number_of(source);
                let same_node = number.is_some() && number == number_of(Path::new(&mount.source));
                source.as_os_str() == mount.source || number == Some(mount.device) || same_node
            }
        };
        if is_it {
            return Ok(());
        }
        let expected = match &self.device {
            Some(Device::Uuid(uuid)) => uuid.clone(),
            Some(Device::Source(source)) => source.display().to_string(),
            None => String::new(),
        };
        let (folder, there) = (self.folder.display(), volume.told());
        Err(not_found(format!("{folder} lies on {there}, not on {expected}"))
            .hint("mount the right volume, or correct what is expected of the destination"))
    }

    fn shows_what_is_required(
        &self,
        host: &Host,
        folder: &Path,
        mount: &Mount,
        marker: Option<&Marker>,
        on_root_disk: bool,
    ) -> Result<()> {
        let name = self.folder.display();
        let init = format!(
            "mount its volume; or, when it is meant to be there: rehome destination init {}",
            shell_word(&self.folder)
        );
        match (&self.required, marker) {
            (Required::Exists, _) | (Required::Marked(None), Some(_)) => Ok(()),
            (Required::Marked(Some(wanted)), Some(marker)) if marker.id != *wanted => {
                Err(not_found(format!("{name} is marked as the destination {}, not {wanted}", marker.id))
                    .hint("mount the right volume, or correct the id that is expected of the destination"))
            }
            (Required::Marked(_), None) => {
                Err(not_found(format!("{name} holds no marker of a destination")).hint(init))
            }
            (Required::Marked(_) | Required::SubfolderOfVolume, Some(_)) => Ok(()),
            (Required::SubfolderOfVolume, None) => {
                if let Some(entry) = unmounted_place(host, folder, mount) {
                    return Err(not_mounted(&entry.point, &self.folder, mount));
                }
                if on_root_disk {
                    let text = format!(
                        "{name} lies on the disk that this host runs from: its volume is not mounted"
                    );
                    return Err(not_found(text).hint(init));
                }
                let volume = Volume::of(host, mount);
                if volume.kind == VolumeKind::Memory {
                    let fs = volume.fs_type;
                    return Err(not_found(format!(
                        "{name} lies in memory ({fs}): its volume is not mounted"
                    ))
                    .hint(init));
                }
                if folder == mount.point {
                    let text = format!(
                        "{name} is a mount point, and not a folder below one: it would be there without its volume, too"
                    );
                    let word = shell_word(&self.folder);
                    return Err(not_found(text).hint(format!(
                        "make a folder for the images: mkdir {word}/images; or mark it: rehome destination init {word}"
                    )));
                }
                Ok(())
            }
        }
    }
}

fn not_mounted(point: &Path, folder: &Path, mount: &Mount) -> Error {
    not_found(format!(
        "no volume is mounted at {}: {} lies on what is mounted at {}",
        point.display(),
        folder.display(),
        mount.point.display()
    ))
    .hint(format!("mount it: mount {}", shell_word(point)))
    .with_code(&codes::DESTINATION_NOT_MOUNTED)
}

/// Whether `mount` shows the file system that the host runs from. Bind mounts and subvolumes of it are it, too: they fill it.
pub(crate) fn is_root_disk(host: &Host, mount: &Mount) -> Result<bool> {
    let all = mounts(host)?;
    // The last that lies on top of all others.
    let root = all.iter().rfind(|other| other.point == Path::new("/"));
    Ok(root.is_some_and(|root| root.device == mount.device))
}
