//! Whether a volume was left in order: its flags, its log, and a Windows that sleeps in it.

use crate::boot::Backup;
use crate::bytes::{u16_at, u32_at, u64_at};
use crate::error::{NtfsError, as_obstacle};
use crate::hibernation::Sleeper;
use crate::layout::{
    LOG_FILE, VOLUME, VOLUME_CHKDSK, VOLUME_DELETE_USN, VOLUME_DIRTY, VOLUME_INFORMATION, VOLUME_NAME,
    VOLUME_REPAIR_IDS, VOLUME_RESIZE_LOG, VOLUME_UPGRADE,
};
use crate::mft::Reader;
use crate::record::{Attribute, Body};
use format_core::Result;

/// Flags of a volume that Windows would work on at its next start.
const NOT_CLEAN: u16 =
    VOLUME_DIRTY | VOLUME_RESIZE_LOG | VOLUME_UPGRADE | VOLUME_DELETE_USN | VOLUME_REPAIR_IDS | VOLUME_CHKDSK;
/// A restart page's size is 4096 bytes in all versions of Windows on this architecture.
const LOG_PAGE: u64 = 4096;
/// `RESTART_VOLUME_IS_CLEAN`
const LOG_IS_CLEAN: u16 = 2;
/// Nobody uses the log.
const NO_CLIENT: u16 = 0xffff;

/// What `$Volume` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VolumeInfo {
    pub(crate) label: String,
    pub(crate) major: u8,
    pub(crate) minor: u8,
    pub(crate) flags: u16,
}

impl VolumeInfo {
    pub(crate) fn load(reader: &Reader) -> Result<Self> {
        let inode = reader.inode(VOLUME)?;
        let value = |kind| inode.stream(kind, &[]).and_then(Attribute::resident);
        let raw = value(VOLUME_INFORMATION).filter(|raw| raw.len() >= 12);
        let raw = raw.ok_or_else(|| Reader::broken("$Volume does not tell the version"))?;
        let label: Vec<u16> = value(VOLUME_NAME)
            .unwrap_or_default()
            .chunks_exact(2)
            .filter_map(|unit| u16_at(unit, 0))
            .collect();
        let byte = |at: usize| raw.get(at).copied().unwrap_or_default();
        Ok(Self {
            label: String::from_utf16_lossy(&label),
            major: byte(8),
            minor: byte(9),
            flags: u16_at(raw, 10).unwrap_or_default(),
        })
    }
}

impl VolumeInfo {
    /// Windows would check or change the volume at its next start.
    pub(crate) fn is_dirty(&self) -> bool {
        self.flags & NOT_CLEAN != 0
    }
}

/// What stands in the way of editing a volume, as it was left. Returns a Windows that sleeps in it when it is to be
/// given up (`discard`), and nothing else stands in the way.
///
/// # Errors
/// The reason, with the remedy; or what the volume reports.
pub(crate) fn check(reader: &Reader, info: &VolumeInfo, discard: bool) -> Result<Option<Sleeper>> {
    if !matches!((info.major, info.minor), (3, 0 | 1)) {
        return Err(NtfsError::Version { major: info.major, minor: info.minor }.into());
    }
    let left = check_left(reader, info);
    let Some(sleeper) = Sleeper::find(reader)? else { return left.map(|()| None) };
    // Windows that sleeps often has the log in use, too, and then giving it up would not help.
    let also = as_obstacle(left)?.map(|obstacle| obstacle.to_error().message().to_owned());
    if also.is_none() && discard {
        return Ok(Some(sleeper));
    }
    Err(NtfsError::Hibernated { what: sleeper.what(), also }.into())
}

fn check_left(reader: &Reader, info: &VolumeInfo) -> Result<()> {
    check_log(reader)?;
    if info.is_dirty() {
        return Err(NtfsError::Dirty(info.flags).into());
    }
    if reader.boot.backup(&reader.io)? == Backup::Different {
        let what = "the copy of the boot sector in the last sector gives another geometry";
        return Err(NtfsError::Damaged(what.into()).into());
    }
    Ok(())
}

/// A restart page of the log.
struct RestartPage {
    lsn: u64,
    major: u16,
    minor: u16,
    clients: u16,
    flags: u16,
}

fn check_log(reader: &Reader) -> Result<()> {
    let unclear = |what: &str| NtfsError::Unclean(format!("$LogFile {what}"));
    let inode = reader.inode(LOG_FILE)?;
    let log = inode.data().filter(|log| matches!(log.body, Body::Mapped(_)) && log.size() >= 4 * LOG_PAGE);
    let log = log.ok_or_else(|| unclear("is too short"))?;
    let (mut pages, mut empty) = (Vec::new(), 0);
    for at in [0, LOG_PAGE] {
        let mut raw = vec![0; LOG_PAGE as usize];
        reader.read(log, at, &mut raw)?;
        match raw.get(..4) {
            Some([0xff, 0xff, 0xff, 0xff]) => empty += 1,
            _ => pages.extend(restart_page(raw)),
        }
    }
    if empty == 2 {
        // mkntfs and ntfs-3g leave it so: Windows starts a new one.
        return Ok(());
    }
    let newest = pages.iter().max_by_key(|page| page.lsn);
    let page = newest.ok_or_else(|| unclear("has no restart page that can be read"))?;
    if (page.major, page.minor) == (2, 0) {
        return Err(unclear("is of version 2.0: Windows keeps metadata in its cache").into());
    }
    if page.major > 2 || page.major == 0 && page.minor != 0 {
        return Err(unclear(&format!("is of version {}.{}", page.major, page.minor)).into());
    }
    if page.clients != NO_CLIENT && page.flags & LOG_IS_CLEAN == 0 {
        return Err(unclear("is in use").into());
    }
    Ok(())
}

fn restart_page(mut raw: Vec<u8>) -> Option<RestartPage> {
    let signature = *raw.first_chunk::<4>()?;
    if !matches!(&signature, b"RSTR" | b"CHKD") || u32_at(&raw, 16)? != LOG_PAGE as u32 {
        return None;
    }
    crate::record::unprotect(&mut raw, signature).ok()?;
    let area = usize::from(u16_at(&raw, 24)?);
    Some(RestartPage {
        lsn: u64_at(&raw, area)?,
        minor: u16_at(&raw, 26)?,
        major: u16_at(&raw, 28)?,
        clients: u16_at(&raw, area + 12)?,
        flags: u16_at(&raw, area + 14)?,
    })
}
