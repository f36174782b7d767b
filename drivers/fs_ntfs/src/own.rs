//! The volume's own files, looked at before the library sees them: it trusts much of what they say.

use crate::error::NtfsError;
use crate::indexes::check_indexes;
use crate::inode::Inode;
use crate::layout::{ATTR_DEF, BITMAP, BITMAP_ATTRIBUTE, BOOT, DATA, EXTEND, MFT, MFT_MIRROR, ROOT, units};
use crate::mft::Reader;
use crate::record::{Attribute, Body};
use format_core::Result;

/// Files whose clusters nobody else may have: all but the bad clusters, which nobody reads.
const OWN: [u64; 11] = [0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11];
/// Runs of them together at most.
const MAX_RUNS: usize = 1 << 20;
/// Bytes of `$AttrDef` at most; Windows has 2560 or 36000.
const MAX_DEFINITIONS: u64 = 1 << 20;

/// What belongs to the volume itself.
pub(crate) struct Own {
    /// Clusters, from and to, in order; those of the root folder are not among them.
    runs: Vec<(u64, u64)>,
    bitmap: Inode,
    mft: Inode,
}

fn damaged(what: impl Into<String>) -> NtfsError {
    NtfsError::Damaged(what.into())
}

/// Runs of all attributes of a file.
pub(crate) fn runs_of(inode: &Inode) -> impl Iterator<Item = (u64, u64)> {
    let mapped = inode.attributes.iter().filter_map(|attribute| match &attribute.body {
        Body::Mapped(mapping) => Some(&mapping.runs),
        Body::Resident(_) => None,
    });
    mapped.flatten().filter_map(|run| run.lcn.map(|lcn| (lcn, lcn + run.len)))
}

/// Sorts runs; `None` when two of them share a cluster, which is told.
pub(crate) fn sort_apart(runs: &mut [(u64, u64)]) -> Option<u64> {
    runs.sort_unstable();
    let mut pairs = runs.iter().zip(runs.iter().skip(1));
    pairs.find(|(a, b)| b.0 < a.1).map(|(_, b)| b.0)
}

impl Own {
    /// Looks at all of the volume's own files.
    ///
    /// # Errors
    /// `NeedsPerson` for what the library, or an edit, would stumble over; what the volume reports.
    pub(crate) fn load(reader: &Reader) -> Result<Self> {
        let mut runs = Vec::new();
        for number in OWN {
            let inode = reader.inode(number)?;
            check_streams(reader, &inode)?;
            check_indexes(reader, &inode)?;
            if number == MFT_MIRROR {
                check_mirror(reader, &inode)?;
            }
            if number != ROOT {
                runs.extend(runs_of(&inode));
            }
            if runs.len() > MAX_RUNS {
                return Err(NtfsError::Limit {
                    what: "the volume",
                    limit: MAX_RUNS as u64,
                    of: "runs of its own",
                }
                .into());
            }
        }
        if let Some(cluster) = sort_apart(&mut runs) {
            return Err(damaged(format!("cluster {cluster:#x} belongs to two of its own files")).into());
        }
        let own = Self { runs, bitmap: reader.inode(BITMAP)?, mft: reader.inode(MFT)? };
        own.check_sizes(reader)?;
        own.check_extend(reader)?;
        Ok(own)
    }

    /// Reads again where the volume's own files lie: an edit can let them grow.
    pub(crate) fn refresh(&mut self, reader: &Reader) -> Result<()> {
        self.runs.clear();
        for number in OWN.into_iter().filter(|number| *number != ROOT) {
            self.runs.extend(runs_of(&reader.inode(number)?));
        }
        self.runs.sort_unstable();
        (self.bitmap, self.mft) = (reader.inode(BITMAP)?, reader.inode(MFT)?);
        Ok(())
    }

    fn check_sizes(&self, reader: &Reader) -> Result<()> {
        let size = |inode: &Inode, kind| inode.stream(kind, &[]).map_or(0, Attribute::size);
        let (bits, records) = (size(&self.bitmap, DATA), size(&self.mft, BITMAP_ATTRIBUTE));
        if bits < reader.boot.clusters.div_ceil(8) {
            return Err(damaged(format!(
                "$Bitmap has {bits:#x} bytes for {:#x} clusters",
                reader.boot.clusters
            ))
            .into());
        }
        if records < reader.records().div_ceil(8) {
            return Err(damaged(format!(
                "$MFT has {:#x} records and a map of {records:#x} bytes",
                reader.records()
            ))
            .into());
        }
        let definitions = size(&reader.inode(ATTR_DEF)?, DATA);
        if definitions == 0 || definitions > MAX_DEFINITIONS || definitions % 160 != 0 {
            return Err(damaged(format!("$AttrDef has {definitions:#x} bytes")).into());
        }
        let boot = reader.inode(BOOT)?;
        let first = runs_of(&boot).next();
        if first.is_none_or(|(start, _)| start != 0) {
            return Err(damaged("$Boot does not lie at the start").into());
        }
        self.taken(reader, &self.runs)
    }

    /// The files in `$Extend` that an edit may change: the index of reparse points and of object identifiers.
    fn check_extend(&self, reader: &Reader) -> Result<()> {
        let extend = reader.inode(EXTEND)?;
        for name in ["$Reparse", "$ObjId"] {
            let Some(found) = crate::folder::find_any(reader, &extend, &units(name))? else { continue };
            let inode = reader.inode(found.reference)?;
            check_streams(reader, &inode)?;
            check_indexes(reader, &inode)?;
            self.check_apart(reader, &[&inode], name)?;
        }
        Ok(())
    }

    /// Whether `$Bitmap` says that all of `runs` are taken.
    fn taken(&self, reader: &Reader, runs: &[(u64, u64)]) -> Result<()> {
        let bits = self.bitmap.data().ok_or_else(|| damaged("$Bitmap has no content"))?;
        match first_free(reader, bits, runs)? {
            Some(cluster) => Err(damaged(format!("cluster {cluster:#x} is in use and marked free")).into()),
            None => Ok(()),
        }
    }

    /// Refuses when an edit of `inodes` would free or overwrite clusters or records that belong to something else. The
    /// library frees and reuses whatever a run names.
    ///
    /// # Errors
    /// `NeedsPerson` with what is wrong; what the volume reports.
    pub(crate) fn check_apart(&self, reader: &Reader, inodes: &[&Inode], what: &str) -> Result<()> {
        let refuse = |reason: String| NtfsError::Unsafe { what: what.to_owned(), reason };
        let mut runs: Vec<_> = inodes.iter().flat_map(|inode| runs_of(inode)).collect();
        self.taken(reader, &runs).map_err(|error| match error.kind() {
            format_core::ErrorKind::NeedsPerson => refuse(error.message().to_owned()).into(),
            _ => error,
        })?;
        runs.extend(&self.runs);
        if let Some(cluster) = sort_apart(&mut runs) {
            return Err(refuse(format!(
                "cluster {cluster:#x} belongs to two files, or to the volume itself"
            ))
            .into());
        }
        let records = self.mft.stream(BITMAP_ATTRIBUTE, &[]);
        let records = records.ok_or_else(|| damaged("$MFT has no map of its records"))?;
        let numbers = inodes.iter().flat_map(|inode| &inode.records);
        for number in numbers {
            if first_free(reader, records, &[(*number, number + 1)])?.is_some() {
                return Err(refuse(format!("record {number:#x} is in use and marked free")).into());
            }
        }
        for inode in inodes {
            check_streams(reader, inode)?;
        }
        Ok(())
    }
}

/// The first bit of some ranges that is not set.
fn first_free(reader: &Reader, bits: &Attribute, ranges: &[(u64, u64)]) -> Result<Option<u64>> {
    /// Bytes that are read at once.
    const PIECE: u64 = 16 << 10;
    for &(start, end) in ranges {
        let mut byte = start / 8;
        while byte * 8 < end {
            let len = PIECE.min(end.div_ceil(8) - byte);
            if byte + len > bits.size() {
                return Ok(Some(start));
            }
            let mut piece = vec![0_u8; len as usize];
            reader.read(bits, byte, &mut piece)?;
            for (at, value) in (byte..).zip(piece) {
                let low = start.saturating_sub(at * 8).min(8);
                let high = (end - at * 8).min(8);
                let mask = (0xff_u16 << low) as u8 & (0xff_u16 >> (8 - high)) as u8;
                let free = !value & mask;
                if free != 0 {
                    return Ok(Some(at * 8 + u64::from(free.trailing_zeros())));
                }
            }
            byte += len;
        }
    }
    Ok(None)
}

/// The sizes of streams in clusters against the clusters they have.
fn check_streams(reader: &Reader, inode: &Inode) -> Result<()> {
    for attribute in &inode.attributes {
        let Body::Mapped(mapping) = &attribute.body else { continue };
        if mapping.end.saturating_mul(reader.boot.cluster) < mapping.size {
            let what = format!(
                "an attribute {:#x} of record {:#x} has {:#x} bytes and ends at cluster {:#x}",
                attribute.kind,
                crate::layout::number_of(inode.reference),
                mapping.size,
                mapping.end
            );
            return Err(damaged(what).into());
        }
    }
    Ok(())
}

/// The copies of the first records, of which only four are kept up.
fn check_mirror(reader: &Reader, mirror: &Inode) -> Result<()> {
    let data = mirror.data().ok_or_else(|| damaged("$MFTMirr has no content"))?;
    let len = reader.boot.record;
    let starts = runs_of(mirror).next().is_some_and(|(start, _)| start == reader.boot.mirror_lcn);
    if !starts || data.size() < 4 * len as u64 {
        return Err(damaged("$MFTMirr is not where the boot sector says").into());
    }
    let mft = reader.inode(MFT)?;
    let first = mft.data().ok_or_else(|| damaged("$MFT has no content"))?;
    let (mut ours, mut copy) = (vec![0; 4 * len], vec![0; 4 * len]);
    reader.read(first, 0, &mut ours)?;
    reader.read(data, 0, &mut copy)?;
    for (number, (ours, copy)) in ours.chunks(len).zip(copy.chunks(len)).enumerate() {
        let parse = |raw: &[u8]| {
            let mut raw = raw.to_vec();
            crate::record::unprotect(&mut raw, *b"FILE").map(|()| raw)
        };
        let used = crate::bytes::u32_at(ours, 0x18).unwrap_or_default() as usize;
        let equal = match (parse(ours), parse(copy)) {
            // The update sequence itself may differ.
            (Ok(ours), Ok(copy)) => {
                ours.get(0x38..used) == copy.get(0x38..used) && ours.get(8..0x30) == copy.get(8..0x30)
            }
            _ => false,
        };
        if !equal {
            return Err(damaged(format!("$MFTMirr differs from $MFT in record {number:#x}")).into());
        }
    }
    Ok(())
}
