//! Bytes of an attribute: resident, in clusters, with holes, or compressed.

use crate::error::NtfsError;
use crate::layout::{COMPRESSED, ENCRYPTED};
use crate::lznt1;
use crate::mft::Reader;
use crate::record::{Attribute, Body, Mapping};
use format_core::{Error, Result};

/// Bytes of a unit that are compressed together, at most; Windows compresses with clusters up to 4 KiB, 16 at a time.
const MAX_UNIT: u64 = 1 << 20;

impl Reader {
    /// Fills `buf` from `offset` of the attribute; the range must lie inside its size.
    pub(crate) fn read(&self, attribute: &Attribute, offset: u64, buf: &mut [u8]) -> Result<()> {
        let end = offset.checked_add(buf.len() as u64).filter(|end| *end <= attribute.size());
        let end = end.ok_or_else(|| Self::broken(format!("a read at {offset:#x} leaves an attribute")))?;
        let mapping = match &attribute.body {
            Body::Resident(bytes) => {
                let from = bytes.get(offset as usize..end as usize).unwrap_or_default();
                buf.copy_from_slice(from);
                return Ok(());
            }
            Body::Mapped(mapping) => mapping,
        };
        if attribute.flags & ENCRYPTED != 0 {
            return Err(NtfsError::Encrypted("the file".into()).into());
        }
        // What was never written reads as zeros, whatever the clusters hold.
        let written = mapping.initialized.saturating_sub(offset).min(buf.len() as u64) as usize;
        let (written, rest) = buf.split_at_mut(written);
        rest.fill(0);
        if attribute.flags & COMPRESSED != 0 {
            return self.read_units(mapping, offset, written);
        }
        self.read_clusters(mapping, offset, written)
    }

    fn read_clusters(&self, mapping: &Mapping, mut offset: u64, buf: &mut [u8]) -> Result<()> {
        let cluster = self.boot.cluster;
        let first = mapping.runs.partition_point(|run| (run.vcn + run.len).saturating_mul(cluster) <= offset);
        let mut rest = buf;
        for run in mapping.runs.iter().skip(first) {
            if rest.is_empty() {
                return Ok(());
            }
            let (start, len) = (run.vcn.saturating_mul(cluster), run.len.saturating_mul(cluster));
            let inside = offset - start;
            let now = (len - inside).min(rest.len() as u64) as usize;
            let (part, more) = rest.split_at_mut(now);
            match run.lcn {
                Some(lcn) => self.io.read(lcn * cluster + inside, part)?,
                None => part.fill(0),
            }
            rest = more;
            offset += now as u64;
        }
        if rest.is_empty() {
            return Ok(());
        }
        Err(Self::broken(format!("an attribute has no clusters at {offset:#x}")))
    }

    /// Reads a compressed attribute, a unit at a time.
    fn read_units(&self, mapping: &Mapping, mut offset: u64, buf: &mut [u8]) -> Result<()> {
        let unit = self.boot.cluster << mapping.unit;
        if mapping.unit == 0 || unit > MAX_UNIT {
            return Err(Self::broken(format!("an attribute is compressed in units of {unit:#x} bytes")));
        }
        let mut content = vec![0; unit as usize];
        let mut rest = buf;
        while !rest.is_empty() {
            let inside = (offset % unit) as usize;
            self.read_unit(mapping, offset / unit, &mut content)?;
            let from = content.get(inside..).unwrap_or_default();
            let now = from.len().min(rest.len());
            let (part, more) = rest.split_at_mut(now);
            part.copy_from_slice(from.get(..now).unwrap_or_default());
            rest = more;
            offset += now as u64;
        }
        Ok(())
    }

    /// A unit with all its clusters is plain, one with none is zeros, and one with some holds packed bytes in them.
    fn read_unit(&self, mapping: &Mapping, number: u64, content: &mut [u8]) -> Result<()> {
        let clusters = 1 << mapping.unit;
        let (first, cluster) = (number.saturating_mul(clusters), self.boot.cluster);
        let present = present(mapping, first, clusters)?;
        if present == 0 {
            content.fill(0);
            return Ok(());
        }
        let at = first.saturating_mul(cluster);
        if present == clusters {
            // The last unit may end with the attribute.
            let len = mapping.end.saturating_mul(cluster).saturating_sub(at).min(content.len() as u64);
            let (there, rest) = content.split_at_mut(len as usize);
            rest.fill(0);
            return self.read_clusters(mapping, at, there);
        }
        let mut packed = vec![0; (present * cluster) as usize];
        self.read_clusters(mapping, at, &mut packed)?;
        content.fill(0);
        let unpacked = lznt1::unpack(&packed, content);
        unpacked.map_err(|what| Self::broken(format!("the compressed bytes at {at:#x} of a file: {what}")))
    }
}

/// How many of a unit's clusters there are: they come first, the hole behind them.
fn present(mapping: &Mapping, first: u64, clusters: u64) -> Result<u64, Error> {
    let end = first.saturating_add(clusters);
    let start = mapping.runs.partition_point(|run| run.vcn + run.len <= first);
    let (mut present, mut hole) = (0, false);
    for run in mapping.runs.iter().skip(start).take_while(|run| run.vcn < end) {
        let len = end.min(run.vcn + run.len) - first.max(run.vcn);
        match run.lcn {
            None => hole = true,
            Some(_) if hole => {
                return Err(Reader::broken(format!(
                    "the unit at cluster {first:#x} of a file has a hole inside"
                )));
            }
            Some(_) => present += len,
        }
    }
    let reached = mapping.end.min(end).saturating_sub(first);
    Ok(if !hole && present == reached { clusters } else { present })
}
