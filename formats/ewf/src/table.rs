//! Tables: where each chunk begins. They are checked once and then stay in the file.

use crate::error::EwfError;
use crate::layout::{COMPRESSED, ENTRY_LEN, TABLE_HEADER_LEN};
use crate::parse::TableHeader;
use crate::segments::Segments;
use format_core::{Error, PageCache, Result, Storage};
use libdeflater::Adler32;

const PAGE: u64 = PageCache::MAX_PAGE as u64;
const NO_OVERFLOW: u32 = u32::MAX;

/// A table of an image. All places are those of [`Segments`].
#[derive(Clone, Debug)]
pub(crate) struct Table {
    /// The number of its first chunk.
    pub(crate) first: u64,
    pub(crate) count: u32,
    /// Where the entries are.
    entries: u64,
    /// What they count from.
    base: u64,
    /// Where its chunks lie: the sectors section before it, or what follows the entries.
    start: u64,
    end: u64,
    /// The first entry that uses all 32 bits: EnCase 6.7 lets the place run over the bit for compression.
    overflow: u32,
    /// The checksum that the entries have.
    sum: u32,
}

/// How a chunk is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Zlib,
    Plain,
    /// The table could not say.
    Either,
}

/// Where a chunk lies in [`Segments`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) start: u64,
    /// Where the next one begins, or the chunks end.
    pub(crate) end: u64,
    pub(crate) form: Form,
}

/// The place of a section that is a table: its data in [`Segments`], and what messages say.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Where {
    pub(crate) segment: u32,
    /// Of the section in its segment.
    pub(crate) offset: u64,
    /// Where the segment begins and ends in [`Segments`].
    pub(crate) segment_start: u64,
    pub(crate) segment_end: u64,
    pub(crate) data: u64,
    pub(crate) data_end: u64,
}

/// How the tables of an image are laid out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    pub(crate) chunk_size: u64,
    /// Whether the entries are followed by their checksum: not in ASR Data's own format.
    pub(crate) has_footer: bool,
    /// Wrong checksums are left to the chunks' own.
    pub(crate) trusts: bool,
}

impl Table {
    /// Checks the table at `place`. Its chunks lie in `sectors` (start and end), or else behind its entries.
    pub(crate) fn load(
        segments: &Segments,
        place: &Where,
        sectors: Option<(u64, u64)>,
        style: Style,
    ) -> Result<Self> {
        let &Where { segment, offset, .. } = place;
        let found = place.data_end.saturating_sub(place.data);
        let short = |entries| EwfError::TableLength { segment, offset, found, entries };
        let wrong = |what, (found, wanted)| EwfError::TableChecksum { segment, offset, what, found, wanted };
        if found < TABLE_HEADER_LEN as u64 {
            return Err(short(0).into());
        }
        let mut bytes = [0; TABLE_HEADER_LEN];
        segments.read_exact_at(place.data, &mut bytes)?;
        let header = TableHeader::parse(&bytes, place.data)?;
        if let Some(sums) = header.wrong_sum.filter(|_| !style.trusts) {
            return Err(wrong("header", sums).into());
        }
        let entries = place.data.saturating_add(TABLE_HEADER_LEN as u64);
        let entries_end = entries.saturating_add(u64::from(header.entries) * ENTRY_LEN);
        if entries_end > place.data_end {
            return Err(short(header.entries).into());
        }
        let has_footer = style.has_footer && entries_end.saturating_add(4) <= place.data_end;
        let (start, end) = match sectors {
            Some(sectors) => sectors,
            None => (entries_end.saturating_add(if has_footer { 4 } else { 0 }), place.data_end),
        };
        if start >= end && header.entries > 0 {
            return Err(EwfError::NoSectors { segment, offset }.into());
        }
        let size = place.segment_end.saturating_sub(place.segment_start);
        let base = place.segment_start.checked_add(header.base).filter(|_| header.base <= size);
        let base = base.ok_or(EwfError::TableBase { segment, offset, base: header.base, size })?;
        let mut table = Self {
            first: 0,
            count: header.entries,
            entries,
            base,
            start,
            end,
            overflow: NO_OVERFLOW,
            sum: 0,
        };
        table.sum = table.read_entries(segments, style.chunk_size)?;
        if has_footer {
            let mut sum = [0; 4];
            segments.read_exact_at(entries_end, &mut sum)?;
            let said = u32::from_le_bytes(sum);
            if said != table.sum && !style.trusts {
                return Err(wrong("entries", (said, table.sum)).into());
            }
        }
        Ok(table)
    }

    /// The checksum of the entries; on the way it is found where they begin to use 32 bits.
    fn read_entries(&mut self, segments: &Segments, chunk_size: u64) -> Result<u32> {
        let mut sum = Adler32::new();
        let (mut number, mut before) = (0u32, None::<u32>);
        let mut page = vec![0; PageCache::MAX_PAGE];
        let end = u64::from(self.count) * ENTRY_LEN;
        for at in (0..end).step_by(PageCache::MAX_PAGE) {
            let page = page.get_mut(..(end - at).min(PAGE) as usize).unwrap_or_default();
            segments.read_exact_at(self.entries.saturating_add(at), page)?;
            sum.update(page);
            for entry in page.chunks_exact(ENTRY_LEN as usize) {
                let entry = u32::from_le_bytes(*entry.first_chunk().unwrap_or(&[0; 4]));
                if self.overflow == NO_OVERFLOW
                    && before.is_some_and(|last| overflows(last, entry, chunk_size))
                {
                    self.overflow = number;
                }
                before = Some(entry & !COMPRESSED);
                number = number.saturating_add(1);
            }
        }
        Ok(sum.sum())
    }

    /// Whether this and another one say the same.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        (self.count, self.base, self.sum) == (other.count, other.base, other.sum)
    }

    /// Where the next table's chunks begin.
    pub(crate) fn after(&self) -> u64 {
        self.first.saturating_add(self.count.into())
    }

    fn entry(&self, segments: &Segments, pages: &PageCache, index: u32) -> Result<(u64, Form)> {
        let at = u64::from(index) * ENTRY_LEN;
        let start = at / PAGE * PAGE;
        let len = (u64::from(self.count) * ENTRY_LEN).saturating_sub(start).min(PAGE);
        let page = pages.page(segments, self.entries.saturating_add(start), len as usize)?;
        let entry = page.get((at % PAGE) as usize..).and_then(|bytes| bytes.first_chunk());
        let entry = entry
            .map(|bytes| u32::from_le_bytes(*bytes))
            .ok_or_else(|| Error::contract("a page without its entry"))?;
        let (offset, form) = match (index >= self.overflow, entry & COMPRESSED != 0) {
            (true, _) => (entry, Form::Either),
            (false, true) => (entry & !COMPRESSED, Form::Zlib),
            (false, false) => (entry, Form::Plain),
        };
        Ok((self.base.saturating_add(offset.into()), form))
    }

    /// Where `chunk`, which is one of its own, lies.
    fn place(&self, segments: &Segments, pages: &PageCache, chunk: u64) -> Result<Place> {
        let index = u32::try_from(chunk.saturating_sub(self.first)).unwrap_or(u32::MAX);
        let (start, form) = self.entry(segments, pages, index)?;
        if !(self.start..self.end).contains(&start) {
            let (segment, from) = segments.place(self.start);
            let offset = from.saturating_add(start).saturating_sub(self.start);
            let to = from.saturating_add(self.end - self.start);
            return Err(EwfError::ChunkPlace { chunk, segment, offset, from, to }.into());
        }
        let next = match index.checked_add(1).filter(|next| *next < self.count) {
            Some(next) => Some(self.entry(segments, pages, next)?.0),
            None => None,
        };
        // A next one that does not follow says nothing about the end; the chunk's checksum does.
        let end = next.filter(|next| *next > start && *next <= self.end).unwrap_or(self.end);
        Ok(Place { start, end, form })
    }
}

/// Whether `next` is the place behind the one at `last` when all of its 32 bits count, and only then.
fn overflows(last: u32, next: u32, chunk_size: u64) -> bool {
    let goes_back = next & !COMPRESSED < last;
    let (last, next) = (u64::from(last), u64::from(next));
    goes_back && next > last && next - last <= chunk_size.saturating_add(1024)
}

/// All tables of an image, in the order of their chunks.
pub(crate) struct Tables {
    tables: Vec<Table>,
    pages: PageCache,
}

impl Tables {
    pub(crate) fn new(tables: Vec<Table>) -> Self {
        Self { tables, pages: PageCache::default() }
    }

    /// How many chunks they hold.
    pub(crate) fn chunks(&self) -> u64 {
        self.tables.last().map_or(0, Table::after)
    }

    /// Where the last chunks end.
    pub(crate) fn end(&self) -> u64 {
        self.tables.iter().map(|table| table.end).max().unwrap_or(0)
    }

    /// Where `chunk` lies; `None` when it is in no table.
    pub(crate) fn place(&self, segments: &Segments, chunk: u64) -> Result<Option<Place>> {
        let after = self.tables.partition_point(|table| table.first <= chunk);
        let table = after.checked_sub(1).and_then(|index| self.tables.get(index));
        match table.filter(|table| chunk < table.after()) {
            Some(table) => table.place(segments, &self.pages, chunk).map(Some),
            None => Ok(None),
        }
    }
}
