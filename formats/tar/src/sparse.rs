//! Writing a sparse archive: the disk's data in ascending order, with a map of them in front.
//!
//! How many runs there are is only known at the end, and nothing may lie between map and data. So the map has a fixed number
//! of runs, those that are not needed are empty and at the end of the disk, and holes shorter than [`Plan::hole`] are kept as
//! data, so that the runs are always enough.

use crate::gcp::NAME;
use format_core::units::KIB;
use format_core::{CreateRequest, Error, ErrorKind, Needs, Order, Packed, Result, Sink, TargetStorage};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;
use tar_members::{BLOCK, Dialect, NewMember, SPARSE_IN_BLOCK, SPARSE_IN_HEADER, end_len, padding};

/// Holes are multiples of this.
pub(crate) const CHUNK: u64 = 64 * KIB;
/// As many runs as a map has at most, about: 1.6 MB of it.
const RUNS: u64 = 64 << 10;
/// Beyond this a size does not fit GNU tar's numbers.
const MAX_SIZE: u64 = i64::MAX as u64 / 2;

/// What is known before the first byte.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) name: String,
    pub(crate) size: u64,
    pub(crate) modified: u64,
    /// The shortest hole that is left out.
    hole: u64,
    /// How many runs the map has.
    runs: usize,
    /// Where the data begin.
    data: u64,
}

/// Chooses between the two ways.
pub(crate) fn create(target: Box<dyn TargetStorage>, request: &CreateRequest) -> Result<Box<dyn Sink>> {
    let made = Plan::new(request).and_then(|plan| match request.options.get("sparse").map(String::as_str) {
        None | Some("on") if target.is_sequential() => {
            Err(Error::unsupported("the map of a sparse archive is only known at its end")
                .hint("write it without with -o sparse=off, or write it to a file"))
        }
        None | Some("on") => Ok((plan, true)),
        Some("off") => Ok((plan, false)),
        Some(other) => Err(Error::usage(format!("sparse is on or off, not '{other}'"))),
    });
    match made.map_err(|e| e.in_format(crate::FORMAT.name))? {
        (plan, true) => Ok(Box::new(SparseSink { target, plan, state: Mutex::default() })),
        (plan, false) => crate::plain::create(target, plan),
    }
}

impl Plan {
    fn new(request: &CreateRequest) -> Result<Self> {
        let name = request.options.get("name").map_or(NAME, String::as_str).to_owned();
        let size = request.virtual_size;
        if size > MAX_SIZE {
            return Err(Error::new(
                ErrorKind::Limit,
                format!("a disk of {size:#x} bytes has no place in an archive"),
            ));
        }
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let hole = size.div_ceil(RUNS).next_multiple_of(CHUNK).max(CHUNK);
        // A run has a chunk at least and is followed by a hole, but for the last one; and an empty one is at the end.
        let most = (size / (hole + CHUNK) + 2) as usize;
        let blocks = most.saturating_sub(SPARSE_IN_HEADER).div_ceil(SPARSE_IN_BLOCK);
        let plan = Self {
            name,
            size,
            modified: now.map_or(0, |now| now.as_secs()),
            hole,
            runs: SPARSE_IN_HEADER + blocks * SPARSE_IN_BLOCK,
            data: (1 + blocks as u64) * BLOCK,
        };
        // Whether the name fits.
        plan.member(size).header()?;
        Ok(plan)
    }

    pub(crate) fn member(&self, stored: u64) -> NewMember<'_> {
        NewMember { name: &self.name, stored, modified: self.modified, dialect: Dialect::OldGnu }
    }

    fn header(&self, state: &State) -> Result<Vec<u8>> {
        let mut runs = state.runs.clone();
        if runs.len() >= self.runs {
            return Err(Error::contract(format!("{} runs, there is room for {}", runs.len(), self.runs)));
        }
        runs.resize(self.runs, (self.size, 0));
        let header = self.member(state.stored).sparse_header(self.size, &runs)?;
        debug_assert_eq!(header.len() as u64, self.data);
        Ok(header)
    }
}

struct SparseSink {
    target: Box<dyn TargetStorage>,
    plan: Plan,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Offset and length of each run of data.
    runs: Vec<(u64, u64)>,
    /// How many bytes they have.
    stored: u64,
    /// Where the next call may begin.
    next: u64,
}

impl SparseSink {
    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn advance(&self, state: &mut State, offset: u64, len: u64) -> Result<()> {
        let end = offset.checked_add(len).filter(|end| *end <= self.plan.size && offset >= state.next);
        state.next = end.ok_or_else(|| {
            let size = self.plan.size;
            let text = format!(
                "{len:#x} bytes at {offset:#x} after {:#x}, of a disk of {size:#x} bytes",
                state.next
            );
            Error::contract(text).in_format(crate::FORMAT.name)
        })?;
        Ok(())
    }
}

impl Sink for SparseSink {
    fn needs(&self) -> Needs {
        Needs { order: Order::Ascending, chunk_size: CHUNK, packed: false }
    }

    fn write_at(&self, offset: u64, data: Packed<'_>) -> Result<()> {
        let Packed::Plain(bytes) = data else {
            return Err(Error::contract("tar archives hold no encoded chunks"));
        };
        let (mut state, len) = (self.locked(), bytes.len() as u64);
        self.advance(&mut state, offset, len)?;
        let State { runs, stored, .. } = &mut *state;
        match runs.last_mut() {
            // Runs do not overlap, so the gap is none or positive.
            Some((start, run)) if offset - (*start + *run) < self.plan.hole => {
                let gap = offset - (*start + *run);
                if gap > 0 {
                    self.target.zero_range(self.plan.data + *stored, gap)?;
                }
                *run += gap + len;
                *stored += gap;
            }
            _ => runs.push((offset, len)),
        }
        self.target.write_all_at(self.plan.data + *stored, bytes)?;
        *stored += len;
        Ok(())
    }

    fn zero_at(&self, offset: u64, len: u64) -> Result<()> {
        self.advance(&mut self.locked(), offset, len)
    }

    fn flush(&self) -> Result<()> {
        self.target.sync()
    }

    fn finish(self: Box<Self>) -> Result<()> {
        let state = std::mem::take(&mut *self.locked());
        let data_end = self.plan.data + state.stored;
        finish(self.target, data_end, &self.plan.header(&state)?)
    }
}

/// Ends an archive whose data end at `data_end`, and only then writes the header that makes it one.
pub(crate) fn finish(target: Box<dyn TargetStorage>, data_end: u64, header: &[u8]) -> Result<()> {
    let members_end = data_end + padding(data_end);
    let end = members_end + end_len(members_end);
    target.zero_range(data_end, end - data_end)?;
    target.set_len(end)?;
    target.sync()?;
    target.write_all_at(0, header)?;
    target.commit()
}
