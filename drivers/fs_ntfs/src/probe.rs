//! Is there an NTFS volume, and what does it say of itself?

use crate::boot::Boot;
use crate::fs::open;
use crate::state::VolumeInfo;
use driver_core::{FsFacts, Volume};
use format_core::{ErrorKind, Result};
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
        }
    }
}

/// The facts of the NTFS volume on `volume` for the guest's description, `None` when there is no NTFS. A volume that is
/// encrypted with BitLocker has another signature, and is none.
///
/// Tries whether it can be edited, which leaves no trace on it.
///
/// # Errors
/// What the volume reports. A damaged NTFS volume is no error: the facts say that it cannot be edited.
pub fn probe(volume: &Arc<dyn Volume>) -> Result<Option<FsFacts>> {
    let mut start = [0; 11];
    if volume.size() < 512 {
        return Ok(None);
    }
    volume.read_exact_at(0, &mut start)?;
    if !Boot::is_ntfs(&start) {
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
    let not_editable = fs.editable().err().map(|error| match error.hint_text() {
        Some(hint) => format!("{}; {hint}", error.message()),
        None => error.message().to_owned(),
    });
    let found = fs.facts();
    Ok(Some(FsFacts {
        uuid: Some(found.uuid.clone()),
        label: Some(found.label.clone()).filter(|label| !label.is_empty()),
        state: Some(if found.dirty { "dirty" } else { "clean" }.into()),
        not_editable,
        ..facts
    }))
}
