//! The checksums of both GPTs of a disk, and whether they are two copies of one.

use crate::error::ClonezillaError;
use crate::gpt::Gpt;
use format_core::Bytes;

/// Sectors that Clonezilla saves of each GPT; of large sectors it saves as many of 512 bytes.
const SAVED: [usize; 2] = [34, 33];
const MIN_HEADER: usize = 92;
/// The largest array of entries that a table may have here.
const MAX_ENTRIES: usize = 4 << 20;

/// What a header tells, in sectors of the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Header {
    own: u64,
    other: u64,
    usable: [u64; 2],
    guid: [u8; 16],
    entries: u64,
    /// How many entries there are, their bytes, and their checksum.
    array: [u32; 3],
}

impl Header {
    fn parse(file: &str, bytes: &[u8]) -> Result<Self, ClonezillaError> {
        let cut = |_| ClonezillaError::Table { file: file.into(), what: "the GPT's header is cut off" };
        let header = Bytes::new(bytes, 0);
        let len = header.u32_le(12).map_err(cut)? as usize;
        let wanted = header.u32_le(16).map_err(cut)?;
        let what = "the GPT's header has a length that cannot be";
        let own = bytes.get(..len).filter(|own| own.len() >= MIN_HEADER);
        let mut own = own.ok_or(ClonezillaError::Table { file: file.into(), what })?.to_vec();
        own[16..20].fill(0);
        let found = crc32fast::hash(&own);
        if found != wanted {
            return Err(ClonezillaError::Sum { file: file.into(), what: "header", found, wanted });
        }
        let long = |at: usize| header.u64_le(at).map_err(cut);
        let word = |at: usize| header.u32_le(at).map_err(cut);
        Ok(Self {
            own: long(24)?,
            other: long(32)?,
            usable: [long(40)?, long(48)?],
            guid: header.array(56).map_err(cut)?,
            entries: long(72)?,
            array: [word(80)?, word(84)?, word(88)?],
        })
    }

    fn array_len(&self) -> usize {
        let [count, size, _] = self.array;
        (count as usize).saturating_mul(size as usize).min(MAX_ENTRIES)
    }
}

impl Gpt {
    fn first_header(&self) -> Result<Header, ClonezillaError> {
        let bytes = self.first.get(self.sector..).unwrap_or_default();
        Header::parse(&self.files[0], bytes.get(..self.sector).unwrap_or(bytes))
    }

    /// All entries of the first table. Where sectors are large, the copy ends before the last ones: those have to be free.
    fn entries(&self, header: &Header) -> Vec<u8> {
        let at = header.entries.checked_mul(self.sector as u64).and_then(|at| usize::try_from(at).ok());
        let there = at.and_then(|at| self.first.get(at..)).unwrap_or_default();
        let mut entries = there.get(..header.array_len()).unwrap_or(there).to_vec();
        entries.resize(header.array_len(), 0);
        entries
    }

    /// What is damaged, and where the second is no copy of the first.
    pub(crate) fn faults(&self) -> Vec<ClonezillaError> {
        self.compare().err().into_iter().collect()
    }

    fn compare(&self) -> Result<(), ClonezillaError> {
        let [file, second_file] = &self.files;
        let most = SAVED.map(|sectors| sectors * self.sector);
        let is_odd = |bytes: &[u8], most: usize| bytes.len() > most || !bytes.len().is_multiple_of(512);
        if is_odd(&self.first, most[0]) {
            let what = "it has not the length of a GPT";
            return Err(ClonezillaError::Table { file: file.clone(), what });
        }
        let first = self.first_header()?;
        let entries = self.entries(&first);
        let (found, wanted) = (crc32fast::hash(&entries), first.array[2]);
        if found != wanted {
            return Err(ClonezillaError::Sum { file: file.clone(), what: "entries", found, wanted });
        }
        let Some(bytes) = &self.second else { return Ok(()) };
        let bad = |what| ClonezillaError::Second { file: second_file.clone(), what };
        let start = bytes.len().checked_sub(self.sector).ok_or_else(|| bad("it is cut off"))?;
        if is_odd(bytes, most[1]) {
            return Err(bad("it has not the length of a GPT"));
        }
        let header = bytes.get(start..).filter(|header| header.starts_with(b"EFI PART"));
        let header = header.ok_or_else(|| bad("the last sector is no header"))?;
        let second = Header::parse(second_file, header)
            .map_err(|_| bad("the header is damaged: its CRC-32 is another"))?;
        let mirrored = Header { own: first.other, other: first.own, entries: second.entries, ..first };
        if second != mirrored || first.own != 1 {
            return Err(bad("the header tells of another table than the first GPT"));
        }
        // Where the copy begins on the disk, and where the entries do.
        let copy = first.other.saturating_add(1).saturating_mul(self.sector as u64);
        let copy = copy.saturating_sub(bytes.len() as u64);
        let place = second.entries.saturating_mul(self.sector as u64);
        let (cut, at) = (copy.saturating_sub(place), place.saturating_sub(copy));
        let rest = usize::try_from(cut).ok().and_then(|cut| entries.get(cut..)).unwrap_or_default();
        let there = usize::try_from(at).ok().and_then(|at| bytes.get(at..start)).unwrap_or_default();
        if rest.is_empty() != entries.is_empty() || there.get(..rest.len()) != Some(rest) {
            return Err(bad("its entries are not those of the first GPT"));
        }
        Ok(())
    }

    /// Where the second table's entries lie on the disk, in bytes, and what they are: of large sectors Clonezilla does not save
    /// all of them.
    pub(crate) fn second_entries(&self) -> Option<(u64, Vec<u8>)> {
        let bytes = self.second.as_ref()?;
        let header = bytes.get(bytes.len().checked_sub(self.sector)?..)?;
        let second = Header::parse(&self.files[1], header).ok()?;
        let place = second.entries.checked_mul(self.sector as u64)?;
        Some((place, self.entries(&self.first_header().ok()?)))
    }
}
