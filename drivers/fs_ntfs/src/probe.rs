//! Is there an NTFS volume, and what does it say of itself?

use crate::boot::Boot;
use crate::error::NtfsError;
use crate::fs::{NtfsFs, open};
use crate::state::VolumeInfo;
use driver_core::{FsFacts, Volume};
use format_core::{Error, ErrorKind, Result};
use std::sync::Arc;

/// Facts of a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NtfsFacts {
    /// The serial number as udev shows it: 16 hexadecimal digits.
    pub uuid: String,
    /// The label, empty when there is none.
    pub label: String,
    /// Bytes per sector.
    pub sector_size: u64,
    /// Bytes per cluster.
    pub cluster_size: u64,
    /// Size of the file system in bytes.
    pub size: u64,
    /// Version of NTFS: 3.1 from Windows XP on.
    pub version: (u8, u8),
    /// The volume's flags say that Windows would check or change it at its next start.
    pub dirty: bool,
    /// Windows sleeps in it, by hibernation or Fast Startup; as found, also when it was given up since.
    pub hibernated: bool,
}

impl NtfsFacts {
    pub(crate) fn of(boot: &Boot, info: &VolumeInfo) -> Self {
        Self {
            uuid: format!("{:016X}", boot.serial),
            label: info.label.clone(),
            sector_size: boot.sector,
            cluster_size: boot.cluster,
            size: boot.size,
            version: (info.major, info.minor),
            dirty: info.is_dirty(),
            hibernated: false,
        }
    }
}

/// The facts of a volume that BitLocker encrypts, with the remedy; `None` for any other. BitLocker To Go looks like FAT, so ask here before
/// FAT is looked for.
///
/// # Errors
/// What the volume reports.
pub fn bitlocker(volume: &dyn Volume) -> Result<Option<FsFacts>> {
    Ok(boot_sector(volume)?.filter(|start| Boot::is_bitlocker(start)).map(|_| {
        let not_editable = Some(with_step(&NtfsError::BitLocker.into()));
        FsFacts { kind: "BitLocker".into(), not_editable, ..FsFacts::default() }
    }))
}

fn boot_sector(volume: &dyn Volume) -> Result<Option<[u8; 512]>> {
    let mut start = [0; 512];
    if volume.size() < 512 {
        return Ok(None);
    }
    volume.read_exact_at(0, &mut start)?;
    Ok(Some(start))
}

/// The facts of the NTFS volume on `volume` for the guest's description, `None` when there is no NTFS. One that is
/// encrypted with BitLocker has the kind that blkid gives it, and the remedy; BitLocker To Go looks like FAT, so ask here
/// before FAT is looked for.
///
/// Tries whether it can be edited, which leaves no trace on it.
///
/// # Errors
/// What the volume reports. A damaged NTFS volume is no error: the facts say that it cannot be edited.
pub fn probe(volume: &Arc<dyn Volume>) -> Result<Option<FsFacts>> {
    if let Some(facts) = bitlocker(volume.as_ref())? {
        return Ok(Some(facts));
    }
    if boot_sector(volume.as_ref())?.is_none_or(|start| !Boot::is_ntfs(&start)) {
        return Ok(None);
    }
    let facts = FsFacts { kind: "ntfs".into(), ..FsFacts::default() };
    let fs = match open(Arc::clone(volume)) {
        Ok(fs) => fs,
        Err(error) if matches!(error.kind(), ErrorKind::Io | ErrorKind::Temporary | ErrorKind::Contract) => {
            return Err(error);
        }
        Err(error) => {
            let why = error.to_string();
            return Ok(Some(FsFacts { state: Some("damaged".into()), not_editable: Some(why), ..facts }));
        }
    };
    Ok(Some(fs.description()))
}

impl NtfsFs {
    /// The volume for the guest's description, with why it cannot be edited, if it cannot.
    #[must_use]
    pub fn description(&self) -> FsFacts {
        let found = self.facts();
        let state = match (found.hibernated, found.dirty) {
            (true, _) => "hibernated or shut down with Fast Startup",
            (_, true) => "dirty",
            _ => "clean",
        };
        FsFacts {
            kind: "ntfs".into(),
            uuid: Some(found.uuid.clone()),
            label: Some(found.label.clone()).filter(|label| !label.is_empty()),
            state: Some(state.into()),
            not_editable: self.editable().err().map(|error| with_step(&error)),
        }
    }
}

/// Obstacles are sentences: what a person can do belongs into them.
fn with_step(error: &Error) -> String {
    error
        .hint_text()
        .map_or_else(|| error.message().to_owned(), |step| format!("{}; {step}", error.message()))
}
