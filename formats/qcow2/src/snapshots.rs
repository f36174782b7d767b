//! The table of internal snapshots.

use crate::details::shown;
use crate::error::Qcow2Error;
use crate::layout::*;
use crate::parse::Header;
use binrw::BinRead;
use format_core::units::align_up;
use format_core::{Bytes, Details, Error, Result, Storage};
use serde_json::Value;
use std::io::Cursor;

/// One internal snapshot: an L1 table and what a person calls it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Snapshot {
    id: Box<[u8]>,
    name: Box<[u8]>,
    pub l1_table_offset: u64,
    pub l1_size: u32,
    /// Size of the disk, where it is recorded.
    pub disk_size: Option<u64>,
    date: (u32, u32),
    vm_clock_nsec: u64,
    vm_state_size: u64,
    icount: Option<u64>,
}

/// The snapshots of an image and how long their table is.
#[derive(Clone, Debug, Default)]
pub(crate) struct SnapshotTable {
    pub snapshots: Vec<Snapshot>,
    pub len: u64,
}

/// Entries are of any length, so the table is read in pieces up to where its last entry ends.
pub(crate) fn load(storage: &dyn Storage, header: &Header) -> Result<SnapshotTable> {
    let (count, start) = (header.v2.nb_snapshots, header.v2.snapshots_offset);
    if count > MAX_SNAPSHOTS {
        return Err(Qcow2Error::Snapshots { count }.into());
    }
    let file_size = header.geometry.file_size;
    let mut found = SnapshotTable::default();
    for index in 0..count {
        let begin = align_up(found.len, 8).unwrap_or(u64::MAX);
        let at = start.saturating_add(begin);
        let outside = || Qcow2Error::SnapshotOutside { index, count, at, file_size };
        let piece = |skip: u64, len: usize| -> Result<Vec<u8>> {
            let from = at.checked_add(skip).ok_or_else(outside)?;
            let end = from.checked_add(len as u64).ok_or_else(outside)?;
            if end > file_size || end - start > MAX_SNAPSHOT_TABLE {
                return Err(outside().into());
            }
            let mut bytes = vec![0; len];
            storage.read_exact_at(from, &mut bytes)?;
            Ok(bytes)
        };
        let fixed = piece(0, SNAPSHOT_HEADER_LENGTH)?;
        let fixed = SnapshotHeader::read(&mut Cursor::new(fixed)).map_err(|_| outside())?;
        let texts = usize::from(fixed.id_str_size) + usize::from(fixed.name_size);
        let extra = fixed.extra_data_size as usize;
        let rest = piece(SNAPSHOT_HEADER_LENGTH as u64, extra.saturating_add(texts))?;
        found.snapshots.push(snapshot(&fixed, &rest)?);
        // The last entry is not padded.
        found.len = begin.saturating_add(SNAPSHOT_HEADER_LENGTH as u64 + rest.len() as u64);
    }
    Ok(found)
}

fn snapshot(fixed: &SnapshotHeader, rest: &[u8]) -> Result<Snapshot> {
    let bytes = Bytes::new(rest, 0);
    let extra = Bytes::new(bytes.slice(0, fixed.extra_data_size as usize)?, 0);
    let id_at = fixed.extra_data_size as usize;
    let name_at = id_at + usize::from(fixed.id_str_size);
    let text = |at, len: u16| -> Result<Box<[u8]>> { Ok(bytes.slice(at, len.into())?.into()) };
    Ok(Snapshot {
        id: text(id_at, fixed.id_str_size)?,
        name: text(name_at, fixed.name_size)?,
        l1_table_offset: fixed.l1_table_offset,
        l1_size: fixed.l1_size,
        disk_size: extra.u64_be(8).ok(),
        date: (fixed.date_sec, fixed.date_nsec),
        vm_clock_nsec: fixed.vm_clock_nsec,
        // Extra data repeats the size with all its bits.
        vm_state_size: extra.u64_be(0).unwrap_or(fixed.vm_state_size.into()),
        icount: extra.u64_be(16).ok().filter(|&count| count != u64::MAX),
    })
}

impl SnapshotTable {
    /// The snapshot that an operator means: by its id, or else by its name, as QEMU's tools look for it; `snapshot.id=` and `snapshot.name=`
    /// before it say which is meant.
    pub(crate) fn find(&self, wanted: &str) -> Result<&Snapshot> {
        let all = &self.snapshots;
        let is = |text: &[u8], wanted: &str| String::from_utf8_lossy(text) == wanted;
        let by_id = |wanted: &str| all.iter().find(|one| is(&one.id, wanted));
        let by_name = |wanted: &str| all.iter().find(|one| is(&one.name, wanted));
        let found = match (wanted.strip_prefix("snapshot.id="), wanted.strip_prefix("snapshot.name=")) {
            (Some(id), _) => by_id(id),
            (None, Some(name)) => by_name(name),
            (None, None) => by_id(wanted).or_else(|| by_name(wanted)),
        };
        found.ok_or_else(|| {
            let hint = match all.len() {
                0 => "the image has no snapshots".to_owned(),
                _ => format!("the image has {}", self.names()),
            };
            Error::usage(format!("there is no snapshot {wanted:?}")).in_format(crate::FORMAT.name).hint(hint)
        })
    }

    /// The names, of very many the first.
    pub(crate) fn names(&self) -> String {
        crate::details::list(self.snapshots.iter().map(|one| &*one.name))
    }
}

impl Snapshot {
    pub(crate) fn details(&self) -> Value {
        const SECOND: u64 = 1_000_000_000;
        let mut details = Details::new();
        details.insert("id".into(), shown(&self.id).into());
        details.insert("name".into(), shown(&self.name).into());
        details.insert("vm-state-size".into(), self.vm_state_size.into());
        details.insert("date-sec".into(), self.date.0.into());
        details.insert("date-nsec".into(), self.date.1.into());
        details.insert("vm-clock-sec".into(), (self.vm_clock_nsec / SECOND).into());
        details.insert("vm-clock-nsec".into(), (self.vm_clock_nsec % SECOND).into());
        if let Some(icount) = self.icount {
            details.insert("icount".into(), icount.into());
        }
        details.into()
    }
}
