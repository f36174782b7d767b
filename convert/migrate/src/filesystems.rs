//! What lies in a volume, and opening it when it is a file system that can be read.

use crate::block_device::BlockDevice;
use crate::inspect::Opening;
use crate::microvm::MicroVm;
use crate::stack::Candidate;
use crate::windows::with_step;
use driver_core::{FsFacts, GuestFs, Volume, VolumeId};
use driver_fs_fat::FatState;
use driver_partitions::{identify, needed_size};
use format_core::{Error, ErrorKind, Result};
use std::ops::Range;
use std::sync::Arc;

/// What a person should know of the volumes, one sentence each.
#[derive(Default)]
pub(crate) struct Notes {
    /// What opening a file system changed.
    pub(crate) replays: Vec<String>,
    /// File systems that are larger than their volumes.
    pub(crate) too_large: Vec<(VolumeId, String)>,
    /// What only the micro-VM opens, with the reason.
    pub(crate) for_microvm: Vec<String>,
    /// Bytes of physical volumes that no logical volume has.
    pub(crate) unused: Vec<(Arc<BlockDevice>, Range<u64>)>,
}

impl Notes {
    fn compare(&mut self, candidate: &Candidate, kind: &str, needed: u64) {
        let size = candidate.volume.size();
        if needed > size {
            let text = format!("the {kind} of {needed:#x} bytes does not fit its volume of {size:#x} bytes");
            self.too_large.push((candidate.id, text));
        }
    }
}

/// Recognises what lies in the volume and opens it when it is a file system that can be read.
pub(crate) fn open_volume(
    candidate: &Candidate,
    wanted: &Opening,
    file_system: &mut Option<FsFacts>,
    notes: &mut Notes,
) -> Result<Option<Box<dyn GuestFs>>> {
    let volume = &candidate.volume;
    // One kind of it looks like FAT.
    if let Some(facts) = driver_fs_ntfs::bitlocker(volume.as_ref())? {
        *file_system = Some(facts);
        return Ok(None);
    }
    if let Some(facts) = driver_fs_ext::probe(volume.as_ref())? {
        notes.compare(candidate, facts.kind, facts.size);
        *file_system = Some(FsFacts { not_editable: candidate.read_only.clone(), ..ext_facts(&facts) });
        if let Some(found) = by_microvm(candidate, wanted) {
            return found.open(facts.kind, facts.needs_recovery, notes);
        }
        let fs = driver_fs_ext::open(Arc::clone(volume)).inspect_err(|error| {
            // A log or a feature that is beyond this program is not beyond a kernel.
            if matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::NeedsPerson) {
                notes.for_microvm.push(format!("{}: {error}", facts.kind));
            }
        })?;
        let (opening, not_editable) = (fs.opening(), fs.editable().err().map(|error| error.to_string()));
        if opening != driver_fs_ext::Opening::default() {
            notes.replays.push(format!(
                "replayed {} transactions ({} blocks), freed {} deleted files, completed {} cut files",
                opening.transactions, opening.blocks, opening.orphans_deleted, opening.orphans_cut
            ));
        }
        if let Some(found) = file_system {
            found.not_editable = found.not_editable.take().or(not_editable);
        }
        return Ok(Some(Box::new(fs)));
    }
    if let Some(facts) = driver_fs_xfs::probe(volume.as_ref())? {
        notes.compare(candidate, "xfs", facts.size);
        if let Some(found) = by_microvm(candidate, wanted) {
            *file_system = Some(FsFacts { not_editable: candidate.read_only.clone(), ..xfs_facts(&facts) });
            // What this program cannot open is for the kernel to judge.
            let own = driver_fs_xfs::open(Arc::clone(volume)).ok();
            let is_dirty = own.is_some_and(|fs| fs.opening().dirty_log.is_some());
            return found.open("xfs", is_dirty, notes);
        }
        return open_xfs(candidate, &facts, file_system, notes).map(Some);
    }
    if let Some(facts) = driver_fs_fat::probe(volume.as_ref())? {
        let found = file_system.insert(fat_facts(&facts));
        if let Some(by_microvm) = by_microvm(candidate, wanted) {
            found.not_editable.clone_from(&candidate.read_only);
            return by_microvm.open("vfat", false, notes);
        }
        let fs = driver_fs_fat::open(Arc::clone(volume))?;
        let not_editable = match fs.editable() {
            Err(error) if error.kind() != ErrorKind::NeedsPerson => return Err(error),
            other => other.err().map(|error| error.to_string()),
        };
        found.state = Some(fat_state(fs.state()).into());
        found.not_editable = candidate.read_only.clone().or(not_editable);
        return Ok(Some(Box::new(fs)));
    }
    *file_system = identify(volume.as_ref())?;
    if file_system.as_ref().is_some_and(|found| found.kind == "ntfs") {
        return open_ntfs(candidate, wanted, file_system, notes).map(Some);
    }
    if let Some(found) = file_system
        && let Some(needed) = needed_size(volume.as_ref(), &found.kind)?
    {
        notes.compare(candidate, &found.kind, needed);
    }
    let Some(found) = file_system.as_mut().filter(|found| found.kind == "btrfs") else { return Ok(None) };
    if let Some(by_microvm) = by_microvm(candidate, wanted) {
        found.not_editable.clone_from(&candidate.read_only);
        let is_dirty = btrfs_number(volume.as_ref(), BTRFS_LOG_ROOT)? != 0;
        let devices = btrfs_number(volume.as_ref(), BTRFS_DEVICES)?;
        if devices > 1 {
            return Err(Error::unsupported(format!(
                "this btrfs lies on {devices} devices, which are not put together"
            )));
        }
        return by_microvm.open("btrfs", is_dirty, notes);
    }
    notes.for_microvm.push("btrfs is opened by the micro-VM only".into());
    Ok(None)
}

/// Places in the superblock of btrfs, which lies at 64 KiB (btrfs on-disk format, "Superblock").
const BTRFS_LOG_ROOT: u64 = 0x1_0060;
const BTRFS_DEVICES: u64 = 0x1_0088;

fn btrfs_number(volume: &dyn Volume, at: u64) -> Result<u64> {
    let mut bytes = [0; 8];
    volume.read_exact_at(at, &mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

/// A volume that the micro-VM opens.
struct ByMicroVm<'a> {
    microvm: &'a MicroVm,
    device: &'a Arc<BlockDevice>,
    /// Whether it may be written; else nothing of it changes, its log stays as it is.
    is_writable: bool,
    is_survey: bool,
}

impl ByMicroVm<'_> {
    /// `None` for what is known to be none of the guest's: a loader may be on an EFI system partition that nobody mounts.
    fn open(&self, kind: &str, is_dirty: bool, notes: &mut Notes) -> Result<Option<Box<dyn GuestFs>>> {
        if !self.is_writable && !self.is_survey && kind != "vfat" {
            return Ok(None);
        }
        let options = match (self.is_writable, kind) {
            (true, _) => "",
            (false, "xfs") => "ro,norecovery",
            (false, "ext3" | "ext4") => "ro,noload",
            (false, "btrfs") => "ro,rescue=nologreplay",
            (false, _) => "ro",
        };
        let fs = self.microvm.open(self.device, kind, options)?;
        if self.is_writable && is_dirty {
            notes.replays.push("its log was replayed by the micro-VM's kernel".into());
        }
        Ok(Some(Box::new(fs)))
    }
}

/// The micro-VM with the device that it has for this, where it opens Linux's file systems.
fn by_microvm<'a>(candidate: &'a Candidate, wanted: &'a Opening) -> Option<ByMicroVm<'a>> {
    Some(ByMicroVm {
        microvm: wanted.microvm.as_deref()?,
        device: candidate.device.as_ref()?,
        is_survey: wanted.is_survey,
        is_writable: wanted.writable.as_ref().is_none_or(|writable| writable.contains(&candidate.id)),
    })
}

/// An XFS that cannot be read as it is (its log is dirty) is an error, but its facts are kept.
fn open_xfs(
    candidate: &Candidate,
    facts: &driver_fs_xfs::XfsFacts,
    file_system: &mut Option<FsFacts>,
    notes: &mut Notes,
) -> Result<Box<dyn GuestFs>> {
    let found = file_system.insert(xfs_facts(facts));
    let fs = driver_fs_xfs::open(Arc::clone(&candidate.volume))?;
    let state = if fs.opening().dirty_log.is_some() { "log to be replayed by the guest" } else { "clean" };
    found.state = Some(state.into());
    found.not_editable = candidate.read_only.clone().or_else(|| fs.editable().err().as_ref().map(with_step));
    fs.readable().map_err(|error| {
        notes.for_microvm.push(format!("xfs: {error}"));
        Error::needs_person(with_step(&error))
    })?;
    Ok(Box::new(fs))
}

/// An NTFS that cannot be opened is an error, but its facts are kept.
fn open_ntfs(
    candidate: &Candidate,
    wanted: &Opening,
    file_system: &mut Option<FsFacts>,
    notes: &mut Notes,
) -> Result<Box<dyn GuestFs>> {
    let options = driver_fs_ntfs::Options { discard_hibernation: wanted.discard_hibernation };
    let opened = driver_fs_ntfs::open_with(Arc::clone(&candidate.volume), options);
    let found = file_system.get_or_insert_default();
    let fs = opened.inspect_err(|_| found.state = Some("damaged".into()))?;
    notes.compare(candidate, "ntfs", fs.facts().size);
    let description = fs.description();
    *found =
        FsFacts { not_editable: candidate.read_only.clone().or(description.not_editable), ..description };
    let discarded = fs.opening().hibernation;
    notes.replays.extend(discarded.map(|what| what.to_string()));
    Ok(Box::new(fs))
}

fn xfs_facts(facts: &driver_fs_xfs::XfsFacts) -> FsFacts {
    FsFacts {
        kind: "xfs".into(),
        uuid: Some(facts.uuid.clone()),
        label: Some(facts.label.clone()).filter(|label| !label.is_empty()),
        ..FsFacts::default()
    }
}

fn ext_facts(facts: &driver_fs_ext::ExtFacts) -> FsFacts {
    let state = match (facts.has_errors, facts.needs_recovery, facts.clean) {
        (true, ..) => "errors were found by the guest",
        (_, true, _) => "journal to be replayed",
        (.., true) => "clean",
        _ => "not cleanly unmounted",
    };
    FsFacts {
        kind: facts.kind.into(),
        uuid: Some(facts.uuid.clone()),
        label: Some(facts.label.clone()).filter(|label| !label.is_empty()),
        state: Some(state.into()),
        not_editable: None,
    }
}

fn fat_facts(facts: &driver_fs_fat::FatFacts) -> FsFacts {
    FsFacts {
        kind: "vfat".into(),
        uuid: Some(facts.uuid.clone()),
        label: facts.label.clone(),
        ..FsFacts::default()
    }
}

fn fat_state(state: FatState) -> &'static str {
    match state {
        FatState::Clean => "clean",
        FatState::InUse => "not cleanly unmounted",
        FatState::Errors => "errors were found by the guest",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Sector([u8; 512]);

    impl Volume for Sector {
        fn size(&self) -> u64 {
            512
        }
        fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
            let at = offset as usize;
            buf.copy_from_slice(self.0.get(at..at + buf.len()).ok_or_else(|| Error::usage("outside"))?);
            Ok(())
        }
        fn write_all_at(&self, _: u64, _: &[u8]) -> Result<()> {
            Err(Error::contract("nothing is written"))
        }
    }

    #[test]
    fn a_volume_of_bitlocker_that_looks_like_fat_is_not_opened() {
        let mut sector = [0; 512];
        sector[..11].copy_from_slice(b"\xeb\x58\x90MSWIN4.1");
        sector[424..440].copy_from_slice(b"\x3b\xd6\x67\x49\x29\x2e\xd8\x4a\x83\x99\xf6\xa3\x39\xe3\xd0\x01");
        sector[510..].copy_from_slice(&[0x55, 0xaa]);
        let volume = Arc::new(Sector(sector));
        let candidate = Candidate { id: (0, 1).into(), volume, device: None, read_only: None };
        let mut found = None;
        let opened = open_volume(&candidate, &Opening::default(), &mut found, &mut Notes::default());
        assert!(opened.unwrap().is_none());
        assert_eq!(found.unwrap().kind, "BitLocker");
    }
}
