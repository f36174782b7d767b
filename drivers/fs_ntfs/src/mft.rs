//! An open volume as the reader sees it: records by number, files with all their pieces, bytes of attributes.

use crate::boot::Boot;
use crate::bytes::{part, u16_at, u64_at};
use crate::error::NtfsError;
use crate::inode::Inode;
use crate::layout::{ATTRIBUTE_LIST, DATA, MFT, number_of, sequence_of};
use crate::record::{Attribute, Body, Mapping, Record};
use crate::upcase::Upcase;
use driver_core::CachedVolume;
use format_core::{Error, Result};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Windows keeps no longer list of attributes.
const MAX_LIST: u64 = 256 << 10;
/// Records that extend one file, at most.
const MAX_EXTENSIONS: usize = 1 << 12;
/// Rounds in which `$MFT` is found, at most: Windows keeps its extensions in the first records.
const MAX_ROUNDS: usize = 32;

/// An open volume.
pub(crate) struct Reader {
    pub(crate) io: Arc<CachedVolume>,
    pub(crate) boot: Boot,
    /// The content of `$MFT`.
    mft: Attribute,
    pub(crate) upcase: Upcase,
}

impl Reader {
    /// Opens the volume: finds all of `$MFT`, and the table of upper case.
    pub(crate) fn open(io: Arc<CachedVolume>) -> Result<Self> {
        let boot = Boot::load(&io)?;
        let empty =
            Attribute { kind: DATA, name: Vec::new(), flags: 0, body: Body::Mapped(Mapping::default()) };
        let mut reader = Self { io, boot, mft: empty, upcase: Upcase::default() };
        reader.load_mft()?;
        reader.upcase = Upcase::load(&reader)?;
        Ok(reader)
    }

    /// Reads where `$MFT` lies. Its own record is found through the boot sector, and each extension of that through
    /// what is known of the place so far.
    pub(crate) fn load_mft(&mut self) -> Result<()> {
        let mut raw = vec![0; self.boot.record];
        self.io.read(self.boot.mft_lcn * self.boot.cluster, &mut raw)?;
        let base = Record::parse(raw, MFT, self.boot.clusters)?;
        let first = base.attributes.iter().find(|attribute| attribute.is(DATA, &[]));
        let first = first.filter(|first| base.is_in_use() && matches!(first.body, Body::Mapped(_)));
        let first = first.ok_or_else(|| NtfsError::structure("$MFT has no content in clusters"))?;
        self.mft = first.clone();
        if base.attributes.iter().any(|attribute| attribute.kind == ATTRIBUTE_LIST) {
            let mut known = 0;
            // Each round knows at least one piece more, or it is the last.
            for _ in 0..MAX_ROUNDS {
                let Some(content) = self.gather(&base, true)?.stream(DATA, &[]).cloned() else { break };
                let Body::Mapped(mapping) = &content.body else { break };
                let reached = mapping.end;
                self.mft = content;
                if reached == known {
                    break;
                }
                known = reached;
            }
        }
        let Body::Mapped(mapping) = &self.mft.body else { return Ok(()) };
        if mapping.end.saturating_mul(self.boot.cluster) < mapping.size {
            return Err(NtfsError::structure("the pieces of $MFT do not reach its end").into());
        }
        Ok(())
    }

    /// Records that there are.
    pub(crate) fn records(&self) -> u64 {
        match &self.mft.body {
            Body::Mapped(mapping) => mapping.initialized / self.boot.record as u64,
            Body::Resident(_) => 0,
        }
    }

    pub(crate) fn record(&self, number: u64) -> Result<Record> {
        if number >= self.records() {
            let what = format!("there is no such record, $MFT has {:#x}", self.records());
            return Err(NtfsError::Record { record: number, what }.into());
        }
        let mut raw = vec![0; self.boot.record];
        self.read(&self.mft, number * self.boot.record as u64, &mut raw)?;
        Ok(Record::parse(raw, number, self.boot.clusters)?)
    }

    /// The file or folder that `reference` names. A sequence number of 0 fits any.
    pub(crate) fn inode(&self, reference: u64) -> Result<Inode> {
        let (number, sequence) = (number_of(reference), sequence_of(reference));
        let record = self.record(number)?;
        let what = if !record.is_in_use() {
            "it is not in use, although a name leads to it".to_owned()
        } else if sequence != 0 && record.sequence != sequence {
            format!("its sequence number is {:#x}, a name says {sequence:#x}", record.sequence)
        } else if record.base != 0 {
            format!("it extends record {:#x}", number_of(record.base))
        } else {
            return self.gather(&record, false);
        };
        Err(NtfsError::Record { record: number, what }.into())
    }

    /// Puts a file's pieces together. While `$MFT` itself is looked for, what cannot be reached yet is left out.
    fn gather(&self, base: &Record, partial: bool) -> Result<Inode> {
        let mut inode = Inode::of(base);
        let mut others = BTreeSet::new();
        let list = base.attributes.iter().find(|attribute| attribute.kind == ATTRIBUTE_LIST);
        if let Some(list) = list {
            let raw = self.whole(list, MAX_LIST)?;
            others = extensions(&raw, base.number)
                .map_err(|what| NtfsError::Record { record: base.number, what })?;
        }
        if others.len() > MAX_EXTENSIONS {
            return Err(
                NtfsError::Limit { what: "a file", limit: MAX_EXTENSIONS as u64, of: "records" }.into()
            );
        }
        for reference in others {
            let number = number_of(reference);
            if partial && !self.is_known(number) {
                continue;
            }
            let record = self.record(number)?;
            let fits = record.is_in_use()
                && record.sequence == sequence_of(reference)
                && number_of(record.base) == base.number;
            if !fits {
                let what = format!("it should extend record {:#x}, and does not", base.number);
                return Err(NtfsError::Record { record: number, what }.into());
            }
            inode.add(&record);
        }
        inode.join().map_err(|what| NtfsError::Record { record: base.number, what })?;
        Ok(inode)
    }

    /// Whether the record's place follows from what is known of `$MFT`.
    fn is_known(&self, number: u64) -> bool {
        let Body::Mapped(mapping) = &self.mft.body else { return false };
        let end = (number + 1).saturating_mul(self.boot.record as u64);
        end <= mapping.end.saturating_mul(self.boot.cluster) && number < self.records()
    }

    /// All bytes of an attribute that is to be small.
    pub(crate) fn whole(&self, attribute: &Attribute, limit: u64) -> Result<Vec<u8>> {
        let size = attribute.size();
        let len = usize::try_from(size).ok().filter(|_| size <= limit);
        let len = len.ok_or(NtfsError::Limit { what: "an attribute", limit, of: "bytes" })?;
        let mut content = vec![0; len];
        self.read(attribute, 0, &mut content)?;
        Ok(content)
    }

    /// An error of the structure as one of this volume.
    pub(crate) fn broken(what: impl Into<String>) -> Error {
        NtfsError::structure(what).into()
    }
}

/// The records other than `own` that a list of attributes names.
fn extensions(list: &[u8], own: u64) -> Result<BTreeSet<u64>, String> {
    let (mut found, mut at) = (BTreeSet::new(), 0);
    while at < list.len() {
        let len = usize::from(u16_at(list, at + 4).unwrap_or_default());
        let entry = part(list, at, len).filter(|_| len >= 26 && len.is_multiple_of(8));
        let entry = entry.ok_or_else(|| format!("its list of attributes has {len:#x} bytes at {at:#x}"))?;
        let reference = u64_at(entry, 16).unwrap_or_default();
        if number_of(reference) != own {
            found.insert(reference);
        }
        at += len;
    }
    Ok(found)
}
