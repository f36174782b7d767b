//! What both writers have in common: chunks are packed by the workers and lie one after the other. Nothing is gone back to,
//! so that a pipe will do.

use crate::error::PackedError;
use format_core::{
    CreateRequest, Error, Needs, Order, Packed, Result, Sink, StateReader, StateWriter, TargetStorage,
};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Small chunks are gathered up to this size before they are written.
const GATHERED: usize = 1 << 20;

/// How one format packs.
pub(crate) trait Pack: Send + Sync {
    /// The format's name.
    const NAME: &'static str;

    /// Guest bytes in a chunk, a power of two.
    fn chunk_size(&self) -> u64;

    /// Packs one chunk, the last of which may be short.
    fn pack(&self, data: &[u8]) -> Result<Vec<u8>>;

    /// What the table at the end says about a packed chunk besides its length; none where there is no table.
    fn mark(&self, packed: &[u8]) -> Option<u32>;

    /// What follows the last chunk; `table` has the length and the mark of each.
    fn end(&self, table: &Table, size: u64) -> Vec<u8>;
}

/// The packed chunks so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    pub(crate) lengths: Vec<u32>,
    pub(crate) marks: Vec<u32>,
}

pub(crate) struct PackedSink<P> {
    target: Box<dyn TargetStorage>,
    packer: P,
    size: u64,
    /// A chunk of zeros.
    zeros: Vec<u8>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Where the target ends, and what is still to be written there.
    written: u64,
    gathered: Vec<u8>,
    /// Up to where the disk is packed.
    done: u64,
    table: Table,
}

pub(crate) fn create<P: Pack + 'static>(
    target: Box<dyn TargetStorage>,
    request: &CreateRequest,
    packer: P,
) -> Result<Box<dyn Sink>> {
    Ok(Box::new(PackedSink::new(target, request, packer, State::default())?))
}

/// Goes on behind the last chunk.
pub(crate) fn resume<P: Pack + 'static>(
    target: Box<dyn TargetStorage>,
    request: &CreateRequest,
    packer: P,
    state: &[u8],
) -> Result<Box<dyn Sink>> {
    let mut reader = StateReader::new(state);
    let written = reader.number()?;
    let done = reader.number_to(request.virtual_size)?;
    let lengths: Vec<u32> = reader.list()?;
    let marks: Vec<u32> = reader.list_of(lengths.len())?;
    reader.end()?;
    let sum: u64 = lengths.iter().copied().map(u64::from).sum();
    let chunk = packer.chunk_size();
    let has_table = packer.mark(&[0; 16]).is_some();
    let fits = if has_table {
        sum == written && lengths.len() as u64 == done.div_ceil(chunk)
    } else {
        lengths.is_empty()
    };
    if !fits || !done.is_multiple_of(chunk) && done != request.virtual_size {
        let text = "the table of the interrupted run does not fit what it wrote";
        return Err(Error::corrupt(text).in_format(P::NAME));
    }
    target.resume_at(written)?;
    let state = State { written, done, table: Table { lengths, marks }, ..State::default() };
    Ok(Box::new(PackedSink::new(target, request, packer, state)?))
}

impl<P: Pack> PackedSink<P> {
    fn new(target: Box<dyn TargetStorage>, request: &CreateRequest, packer: P, state: State) -> Result<Self> {
        let zeros = packer.pack(&vec![0; packer.chunk_size() as usize])?;
        Ok(Self { target, packer, size: request.virtual_size, zeros, state: Mutex::new(state) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn contract(text: String) -> Error {
        Error::contract(text).in_format(P::NAME)
    }

    /// Packs zeros from where the disk is packed to `offset`.
    fn fill(&self, state: &mut State, offset: u64) -> Result<()> {
        while state.done < offset {
            let len = (offset - state.done).min(self.packer.chunk_size());
            if len == self.packer.chunk_size() {
                self.add(state, &self.zeros, len)?;
            } else {
                self.add(state, &self.packer.pack(&vec![0; len as usize])?, len)?;
            }
        }
        Ok(())
    }

    fn add(&self, state: &mut State, packed: &[u8], guest_len: u64) -> Result<()> {
        if let Some(mark) = self.packer.mark(packed) {
            let len = u32::try_from(packed.len());
            state.table.lengths.push(len.map_err(|_| Self::contract("a chunk of 4 GiB".into()))?);
            state.table.marks.push(mark);
        }
        state.done += guest_len;
        if packed.len() >= GATHERED {
            self.write_gathered(state)?;
            self.target.write_all_at(state.written, packed)?;
            state.written += packed.len() as u64;
            return Ok(());
        }
        state.gathered.extend_from_slice(packed);
        if state.gathered.len() >= GATHERED { self.write_gathered(state) } else { Ok(()) }
    }

    fn write_gathered(&self, state: &mut State) -> Result<()> {
        if !state.gathered.is_empty() {
            self.target.write_all_at(state.written, &state.gathered)?;
            state.written += state.gathered.len() as u64;
            state.gathered.clear();
        }
        Ok(())
    }
}

impl<P: Pack> Sink for PackedSink<P> {
    fn needs(&self) -> Needs {
        Needs { order: Order::Ascending, chunk_size: self.packer.chunk_size(), packed: true }
    }

    fn pack<'a>(&self, data: &'a [u8]) -> Result<Packed<'a>> {
        Ok(Packed::Encoded { bytes: self.packer.pack(data)?, guest_len: data.len() as u64 })
    }

    fn write_at(&self, offset: u64, data: Packed<'_>) -> Result<()> {
        let (bytes, len) = match data {
            Packed::Encoded { bytes, guest_len } => (bytes, guest_len),
            Packed::Plain(data) => (self.packer.pack(data)?, data.len() as u64),
        };
        let chunk = self.packer.chunk_size();
        let expected = self.size.saturating_sub(offset).min(chunk);
        if !offset.is_multiple_of(chunk) || len != expected || len == 0 {
            return Err(Self::contract(format!("{len:#x} bytes at {offset:#x} are not a chunk")));
        }
        let state = &mut *self.state();
        if offset < state.done {
            let done = state.done;
            return Err(Self::contract(format!(
                "a chunk at {offset:#x} after all up to {done:#x} were written"
            )));
        }
        self.fill(state, offset)?;
        self.add(state, &bytes, len)
    }

    fn zero_at(&self, _offset: u64, _len: u64) -> Result<()> {
        // What nobody mentioned is packed as zeros when the next chunk comes.
        Ok(())
    }

    fn flush(&self) -> Result<()> {
        self.write_gathered(&mut self.state())?;
        self.target.sync()
    }

    fn checkpoint(&self) -> Result<Option<Vec<u8>>> {
        if self.target.is_sequential() {
            return Ok(None);
        }
        let state = &mut *self.state();
        self.write_gathered(state)?;
        let numbers = StateWriter::default().number(state.written).number(state.done);
        Ok(Some(numbers.list(&state.table.lengths).list(&state.table.marks).bytes()))
    }

    fn finish(self: Box<Self>) -> Result<()> {
        {
            let state = &mut *self.state();
            self.fill(state, self.size)?;
            let end = self.packer.end(&state.table, self.size);
            state.gathered.extend(end);
            self.write_gathered(state)?;
        }
        self.target.commit()
    }
}

/// The number that `-o key=` says, or `default`.
pub(crate) fn number_option(
    request: &CreateRequest,
    key: &'static str,
    range: std::ops::RangeInclusive<i32>,
    default: i32,
    possible: &'static str,
) -> Result<i32, PackedError> {
    let Some(text) = request.options.get(key) else { return Ok(default) };
    let wrong = || PackedError::Option { key, found: text.clone(), possible };
    text.parse().ok().filter(|number| range.contains(number)).ok_or_else(wrong)
}
