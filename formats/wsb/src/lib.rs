//! What Windows Server Backup and "system image" write: a folder with one VHD or VHDX for each volume.
//!
//! ```text
//!  WindowsImageBackup/
//!    HOST/
//!      MediaId
//!      Catalog/GlobalCatalog
//!      Backup 2019-02-22 124351/            a point in time, in UTC
//!        06fedb78-0000-0000-0000-500600000000.vhdx      a volume: a disk with one partition
//!        BackupSpecs.xml, GUID_Components.xml, GUID_Writer….xml
//! ```
//!
//! The operator names any of these folders. The images are opened by their own rooms; this one knows the folders and their
//! names. The XML files have no published schema, and the disks that the volumes lay on are not put together from
//! them: each volume is a disk, as the backup has it. `SPEC.md` tells what is known and what could not be verified.

mod container;
mod error;
mod layout;
mod name;
mod tree;

use format_core::Format;

/// Folders of Windows Server Backup.
#[allow(clippy::needless_update, reason = "a new ability of formats should not touch this room")]
pub static FORMAT: Format = Format {
    name: "wsb",
    aliases: &["windowsimagebackup"],
    description: "Windows Server Backup and system images (WindowsImageBackup): a disk for each volume",
    probe_folder: tree::probe,
    open_container: Some(container::open),
    has_points: true,
    ..Format::NONE
};
