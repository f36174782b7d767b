//! What sections say about an image beside its chunks: texts, hashes, sectors that could not be read. None of it keeps an image
//! from being read: what is damaged is a defect.

use crate::header;
use crate::layout::{ERRORS_HEADER_LEN, MAX_HEADER};
use crate::parse::{self, Hashes};
use crate::scan::{Here, Scanner};
use crate::table::Where;
use format_core::{Result, Storage};

/// Unreadable ranges that are kept in words.
const MAX_RANGES: usize = 1000;
/// Read at once.
const PART: usize = 64 << 10;

impl Scanner {
    /// The first bytes of a section; `None` and a defect when it is shorter.
    pub(crate) fn fixed<const N: usize>(&mut self, here: &Here<'_>) -> Result<Option<[u8; N]>> {
        let Where { segment, offset, data, data_end, .. } = here.place;
        let len = data_end - data;
        if len < N as u64 {
            self.defects.push(format!(
                "the {:?} section at {offset:#x} of segment {segment} has {len:#x} bytes, {N:#x} are wanted",
                here.kind
            ));
            return Ok(None);
        }
        let mut bytes = [0; N];
        self.segments.read_exact_at(data, &mut bytes)?;
        Ok(Some(bytes))
    }

    /// The bytes of a packed text; they matter to people only.
    pub(crate) fn packed(&mut self, here: &Here<'_>) -> Result<Option<Vec<u8>>> {
        let Where { segment, offset, data, data_end, .. } = here.place;
        let len = data_end - data;
        if len > MAX_HEADER as u64 {
            self.defects.push(format!(
                "the {:?} section at {offset:#x} of segment {segment} has {len:#x} bytes and was not read",
                here.kind
            ));
            return Ok(None);
        }
        let mut bytes = vec![0; len as usize];
        self.segments.read_exact_at(data, &mut bytes)?;
        Ok(Some(bytes))
    }

    pub(crate) fn header(&mut self, here: &Here<'_>) -> Result<()> {
        let Some(bytes) = self.packed(here)? else { return Ok(()) };
        match header::values(&bytes) {
            // The second header says more and in Unicode, and comes first; copies say nothing new.
            Some(found) => {
                let known = |name| self.values.iter().any(|(known, _)| *known == name);
                let new: Vec<_> = found.into_iter().filter(|(name, _)| !known(*name)).collect();
                self.values.extend(new);
            }
            None => self.defects.push(format!(
                "the {:?} section at {:#x} of segment {} cannot be unpacked",
                here.kind, here.place.offset, here.place.segment
            )),
        }
        Ok(())
    }

    pub(crate) fn hashes(
        &mut self,
        here: &Here<'_>,
        found: Option<Result<Hashes, (u32, u32)>>,
    ) -> Result<()> {
        match found {
            None => {}
            Some(Ok(found)) => self.merge(found),
            Some(Err((found, wanted))) => self.defects.push(format!(
                "the {:?} section at {:#x} of segment {} has the checksum {found:#010x}, its bytes have {wanted:#010x}: its \
                 hashes count as none",
                here.kind, here.place.offset, here.place.segment
            )),
        }
        Ok(())
    }

    pub(crate) fn more_hashes(&mut self, here: &Here<'_>) -> Result<()> {
        let Some(bytes) = self.packed(here)? else { return Ok(()) };
        let md5 = header::tagged(&bytes, "md5").and_then(|text| parse::from_hex(&text));
        let sha1 = header::tagged(&bytes, "sha1").and_then(|text| parse::from_hex(&text));
        self.merge(Hashes { md5, sha1 });
        Ok(())
    }

    pub(crate) fn merge(&mut self, found: Hashes) {
        let Hashes { md5, sha1 } = self.hashes;
        let differ = md5.is_some_and(|known| found.md5.is_some_and(|new| new != known))
            || sha1.is_some_and(|known| found.sha1.is_some_and(|new| new != known));
        if differ {
            self.defects.push("the image has two different hashes of its disk: the first one counts".into());
        }
        self.hashes = Hashes { md5: md5.or(found.md5), sha1: sha1.or(found.sha1) };
    }

    pub(crate) fn unreadable(&mut self, here: &Here<'_>) -> Result<()> {
        let Some(header) = self.fixed::<ERRORS_HEADER_LEN>(here)? else { return Ok(()) };
        let count = header.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
        let start = here.place.data.saturating_add(ERRORS_HEADER_LEN as u64);
        let fit = here.place.data_end.saturating_sub(start) / 8;
        if u64::from(count) > fit {
            self.defects.push(format!("the list of unreadable sectors has {fit} entries and says {count}"));
        }
        let mut bytes = vec![0; PART];
        let mut left = u64::from(count).min(fit) * 8;
        let mut at = start;
        while left > 0 {
            let part = bytes.get_mut(..left.min(PART as u64) as usize).unwrap_or_default();
            self.segments.read_exact_at(at, part)?;
            for entry in part.chunks_exact(8) {
                let number = |from: usize| {
                    entry.get(from..).and_then(|b| b.first_chunk()).map_or(0, |b| u32::from_le_bytes(*b))
                };
                let (first, sectors) = (number(0), number(4));
                self.unreadable_sectors = self.unreadable_sectors.saturating_add(sectors.into());
                if self.unreadable.len() < MAX_RANGES {
                    self.unreadable.push((first, sectors));
                }
            }
            left -= part.len() as u64;
            at = at.saturating_add(part.len() as u64);
        }
        Ok(())
    }
}
