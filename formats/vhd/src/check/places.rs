//! Who uses which bytes of the file: two users are an error, none is a leak.

use super::{MAX_ERRORS, stride};
use crate::layout::{SECTOR, bitmap_len};
use crate::parse::Area;
use format_core::CheckReport;

/// Blocks begin at multiples of this at most, so a smaller gap is no fragment.
const ALIGNMENT: u64 = 4096;

/// A block in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) sector: u32,
    pub(super) block: u32,
}

/// What is in the file beside blocks.
pub(super) struct Places {
    block_size: u64,
    virtual_size: u64,
    others: Vec<(Area, &'static str)>,
}

impl Places {
    pub(super) fn new(block_size: u64, virtual_size: u64) -> Self {
        Self { block_size, virtual_size, others: Vec::new() }
    }

    pub(super) fn add(&mut self, area: Area, what: &'static str) {
        self.others.push((area, what));
    }

    /// Bitmap and data of a block, as far as the disk uses it.
    fn area(&self, place: Place) -> Area {
        let start = u64::from(place.block).saturating_mul(self.block_size);
        let data = self.virtual_size.saturating_sub(start).min(self.block_size);
        let length = bitmap_len(self.block_size) + data;
        Area { offset: u64::from(place.sector) * SECTOR, length }
    }

    /// Blocks that do not follow the one before, `used` being in the order of the disk.
    pub(super) fn fragmented(&self, used: &[Place]) -> u64 {
        let follows = |pair: &&[Place]| match pair {
            [first, second] => {
                let (first, second) = (self.area(*first), self.area(*second));
                let end = first.offset + first.length;
                (end..end + ALIGNMENT).contains(&second.offset)
            }
            _ => true,
        };
        used.windows(2).filter(|pair| !follows(pair)).count() as u64
    }

    /// Reports overlaps and gaps that would hold a block, up to the footer at `end`.
    pub(super) fn finish(mut self, mut used: Vec<Place>, end: u64, report: &mut CheckReport) {
        used.sort_unstable();
        self.others.sort_by_key(|(area, _)| area.offset);
        let mut walk = Walk { reached: 0, room: 0, last: None, leak: stride(self.block_size), report };
        let mut others = self.others.iter().peekable();
        for place in &used {
            let area = self.area(*place);
            while let Some((other, what)) = others.next_if(|(other, _)| other.offset <= area.offset) {
                walk.visit(*other, None, what);
            }
            walk.visit(area, Some(place.block), "");
        }
        for (other, what) in others {
            walk.visit(*other, None, what);
        }
        let used = walk.room.min(end);
        walk.gap(end);
        report.image_end = used;
    }
}

struct Walk<'a> {
    /// Where the areas so far end.
    reached: u64,
    /// The same with what a last block has behind the end of the disk.
    room: u64,
    /// The block or other area that ends there.
    last: Option<(Option<u32>, &'static str)>,
    /// A block with its bitmap: a gap of as much is one that was lost.
    leak: u64,
    report: &'a mut CheckReport,
}

impl Walk<'_> {
    fn visit(&mut self, area: Area, block: Option<u32>, what: &'static str) {
        self.gap(area.offset);
        // Other areas may share: a header that lies in the room of another is found when the image is opened.
        if let Some(last) = self.last
            && area.offset < self.reached
            && (block.is_some() || last.0.is_some())
            && self.report.errors < MAX_ERRORS
        {
            let (here, there) = (name(block, what), name(last.0, last.1));
            let at = area.offset;
            self.report.error(format!("{here} at {at:#x} lies in the room of {there}"), Some(at));
        }
        let end = area.offset.saturating_add(area.length);
        let whole = if block.is_some() { self.leak } else { area.length };
        self.room = self.room.max(area.offset.saturating_add(whole));
        if end > self.reached {
            self.reached = end;
            self.last = Some((block, what));
        }
    }

    fn gap(&mut self, until: u64) {
        let free = until.saturating_sub(self.room);
        if free >= self.leak {
            let text = format!("{free:#x} bytes that no block uses");
            self.report.leak(text, self.room, free);
        }
    }
}

fn name(block: Option<u32>, what: &str) -> String {
    block.map_or_else(|| what.to_owned(), |block| format!("block {block}"))
}
