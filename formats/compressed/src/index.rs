//! Where the units of a file lie that can be unpacked alone.

/// Small frames are put together up to this size, so that the index of a large file stays small.
const UNIT: u64 = 1 << 20;
/// What a unit may hold: it is in memory as a whole.
pub(crate) const MAX_UNIT: u64 = 64 << 20;
/// What may stand for it in the file: no compression makes much more of it, and tables may lie between units.
const MAX_PACKED: u64 = 2 * MAX_UNIT;
/// More units are not kept in memory: 64 MiB.
const MAX_UNITS: usize = 4 << 20;

/// The units of a file in their order, without gaps on either side.
#[derive(Debug, Default)]
pub(crate) struct Index {
    /// Where each starts in the file, and in what was packed.
    starts: Vec<(u64, u64)>,
    end: (u64, u64),
}

/// A unit: where it lies in the file, and in what was packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unit {
    pub(crate) number: usize,
    pub(crate) host: u64,
    pub(crate) host_len: u64,
    pub(crate) guest: u64,
    pub(crate) guest_len: u64,
}

impl Index {
    /// How many bytes were packed.
    pub(crate) fn size(&self) -> u64 {
        self.end.1
    }

    pub(crate) fn len(&self) -> usize {
        self.starts.len()
    }

    pub(crate) fn unit(&self, number: usize) -> Option<Unit> {
        let &(host, guest) = self.starts.get(number)?;
        let &(host_end, guest_end) = self.starts.get(number + 1).unwrap_or(&self.end);
        let (host_len, guest_len) = (host_end.checked_sub(host)?, guest_end.checked_sub(guest)?);
        Some(Unit { number, host, host_len, guest, guest_len })
    }

    /// The unit that holds the byte at `offset`.
    pub(crate) fn unit_at(&self, offset: u64) -> Option<Unit> {
        let after = self.starts.partition_point(|&(_, guest)| guest <= offset);
        self.unit(after.checked_sub(1)?).filter(|unit| offset - unit.guest < unit.guest_len)
    }
}

/// Puts frames together.
#[derive(Debug, Default)]
pub(crate) struct IndexBuilder {
    index: Index,
    /// Frames are units of their own, however small.
    pub(crate) single: bool,
}

impl IndexBuilder {
    /// Adds the frame that lies at `host`, at or behind the end of the last, and holds the next `guest_len` bytes. False
    /// when the file cannot be read in units.
    pub(crate) fn add(&mut self, host: u64, host_len: u64, guest_len: u64) -> bool {
        let (start, index) = ((host, self.index.end.1), &mut self.index);
        let joins = index.starts.last().is_some_and(|last| {
            // What holds nothing belongs to a neighbour.
            !self.single && start.1.saturating_add(guest_len) - last.1 <= UNIT
                || guest_len == 0
                || start.1 == last.1
        });
        if !joins {
            if index.starts.len() >= MAX_UNITS {
                return false;
            }
            index.starts.push(start);
        }
        let (Some(host_end), Some(guest_end)) = (host.checked_add(host_len), start.1.checked_add(guest_len))
        else {
            return false;
        };
        index.end = (host_end, guest_end);
        let (host, guest) = index.starts.last().copied().unwrap_or_default();
        host_end - host <= MAX_PACKED && guest_end - guest <= MAX_UNIT
    }

    pub(crate) fn finish(self) -> Index {
        self.index
    }
}
