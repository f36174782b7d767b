//! One disk of a file that is read from its start to its end.

use crate::boot::choose;
use crate::container::{entries, warnings};
use crate::error::VmaError;
use crate::index::Seen;
use crate::layout::{BLOCK, BLOCKS, CLUSTER, FIXED_LEN, HEAD_LEN};
use crate::parse::{Extent, Header, Slot, header_len};
use crate::waiting::{MAX_WAITING, Waiting};
use format_core::{
    ChunkStream, DiskEntry, Error, LayerContext, MAX_CHUNK, Opener, Result, StreamChunk, Warning,
};
use std::collections::VecDeque;
use std::io::Read;
use std::sync::Arc;

/// The target gets its size before the data come that show whether it is true: more is not believed.
const MAX_SIZE: u64 = 64 << 40;

struct VmaStream {
    from: Counted,
    header: Header,
    ignore_checksums: bool,
    opener: Arc<dyn Opener>,
    warnings: Vec<Warning>,
    seen: Seen,
    line: Line,
    has_ended: bool,
}

/// The disk that was picked, as far as it has come.
struct Line {
    /// Index in [`Header::devices`].
    device: usize,
    size: u64,
    /// The cluster that has to come next.
    next: u32,
    waiting: Waiting,
    ready: VecDeque<StreamChunk>,
}

/// A reader that knows how far it is.
struct Counted {
    from: Box<dyn Read + Send>,
    at: u64,
}

impl Counted {
    /// Fills as much of `buf` as there is.
    fn fill(&mut self, buf: &mut [u8]) -> Result<usize> {
        let mut filled = 0;
        while let Some(rest) = buf.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.from.read(rest) {
                Ok(0) => break,
                Ok(len) => filled += len,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(cause(error, self.at)),
            }
        }
        self.at += filled as u64;
        Ok(filled)
    }

    /// Fills `buf`, which is `what` of the file.
    fn fill_with(&mut self, buf: &mut [u8], what: &'static str) -> Result<()> {
        let (start, need) = (self.at, buf.len() as u64);
        if self.fill(buf)? < buf.len() {
            return Err(Error::from(VmaError::Cut { what, need, end: self.at }).at(start));
        }
        Ok(())
    }
}

/// A decompressor's own error is what it is; anything else is the host's.
fn cause(error: std::io::Error, at: u64) -> Error {
    match error.downcast::<Error>() {
        Ok(error) => error,
        Err(error) => Error::io("cannot read the stream", error).at(at),
    }
}

pub(crate) fn open(from: Box<dyn Read + Send>, context: &LayerContext) -> Result<Box<dyn ChunkStream>> {
    let mut from = Counted { from, at: 0 };
    let mut bytes = vec![0; FIXED_LEN];
    let size = from.fill(&mut bytes)? as u64;
    if size < FIXED_LEN as u64 {
        return Err(VmaError::TooShort { size }.into());
    }
    let len = header_len(&bytes)?;
    bytes.resize(len as usize, 0);
    from.fill_with(bytes.get_mut(FIXED_LEN..).unwrap_or_default(), "the header")?;
    let ignore_checksums = context.access.ignore_checksums;
    let header = Header::parse(&bytes, ignore_checksums)?;
    let choice = choose(&header, &context.access);
    let picked =
        DiskEntry::pick(&entries(&header, &choice), context.access.pick.as_deref(), crate::FORMAT.name)?;
    let missing = || Error::contract(format!("disk {picked} of the backup"));
    let device = *choice.disks.get(picked).ok_or_else(missing)?;
    let found = header.devices.get(device).ok_or_else(missing)?;
    let size = found.size;
    if size > MAX_SIZE {
        let name = found.name.clone();
        return Err(VmaError::Unbelievable { name, size, most: MAX_SIZE }.into());
    }
    let line = Line { device, size, next: 0, waiting: Waiting::default(), ready: VecDeque::new() };
    Ok(Box::new(VmaStream {
        from,
        warnings: warnings(&header, &choice, 0),
        seen: Seen::new(&header),
        header,
        ignore_checksums,
        opener: Arc::clone(&context.opener),
        line,
        has_ended: false,
    }))
}

impl VmaStream {
    /// Reads the next extent; `false` at the end of the file.
    fn read_extent(&mut self) -> Result<bool> {
        let start = self.from.at;
        let mut head = [0; HEAD_LEN];
        match self.from.fill(&mut head)? {
            0 => return Ok(false),
            HEAD_LEN => {}
            _ => {
                let (need, end) = (HEAD_LEN as u64, self.from.at);
                return Err(Error::from(VmaError::Cut { what: "the head of an extent", need, end }).at(start));
            }
        }
        let extent = self.header.extent(&head, self.ignore_checksums).map_err(|e| e.at(start))?;
        if let Some(wrong) = extent.ignored.as_ref().filter(|_| self.warnings.len() < 16) {
            let text = format!("{wrong} (at {start:#x}): ignored");
            self.warnings.push(Warning::new("vma-checksum", text));
        }
        // 59 clusters: less than a chunk.
        let mut data = vec![0; extent.stored() as usize];
        self.from.fill_with(&mut data, "the blocks of an extent")?;
        for slot in extent.slots() {
            self.seen.count(slot.device);
        }
        let placed = match self.line.whole(&extent) {
            true => self.line.take_whole(&extent, data),
            false => self.line.take(&extent, &data, &self.header, self.opener.as_ref()),
        };
        placed.map_err(|e| e.at(start))?;
        Ok(true)
    }

    fn finish(&mut self) -> Result<()> {
        self.has_ended = true;
        self.seen.check(&self.header, self.from.at)?;
        let total = self.line.size.div_ceil(CLUSTER);
        let next = u64::from(self.line.next);
        if next < total {
            let name = self.header.devices.get(self.line.device).map(|d| d.name.clone()).unwrap_or_default();
            let missing = total - next - self.line.waiting.count();
            return Err(VmaError::Missing { name, missing, total, end: self.from.at }.into());
        }
        Ok(())
    }
}

impl Line {
    /// Whether the extent is the next run of this disk and nothing else, all of it stored.
    fn whole(&self, extent: &Extent) -> bool {
        let slots = extent.slots();
        !slots.is_empty()
            && self.waiting.count() == 0
            && slots.iter().zip(u64::from(self.next)..).all(|(slot, cluster)| {
                slot.device == self.device && u64::from(slot.cluster) == cluster && slot.mask == u16::MAX
            })
    }

    /// The bytes of such an extent are a chunk as they are.
    fn take_whole(&mut self, extent: &Extent, mut data: Vec<u8>) -> Result<()> {
        let offset = u64::from(self.next) * CLUSTER;
        data.truncate((self.size - offset).min(data.len() as u64) as usize);
        self.ready.push_back(StreamChunk { offset, data });
        self.next = next_cluster(self.next, extent.slots().len() as u32)?;
        Ok(())
    }

    /// Takes what belongs to the disk out of an extent.
    fn take(&mut self, extent: &Extent, data: &[u8], header: &Header, opener: &dyn Opener) -> Result<()> {
        let mut rest = data;
        for slot in extent.slots() {
            let (blocks, after) = rest
                .split_at_checked(slot.stored() as usize)
                .ok_or_else(|| Error::contract("an extent shorter than its blocks"))?;
            rest = after;
            if slot.device == self.device {
                self.place(slot, blocks, header, opener)?;
            }
        }
        Ok(())
    }

    fn place(&mut self, slot: &Slot, blocks: &[u8], header: &Header, opener: &dyn Opener) -> Result<()> {
        let name = || header.devices.get(self.device).map(|device| device.name.clone()).unwrap_or_default();
        let Slot { cluster, mask, .. } = *slot;
        if cluster < self.next {
            return Err(VmaError::Twice { name: name(), cluster }.into());
        }
        if cluster > self.next {
            if self.waiting.count() >= MAX_WAITING {
                let (count, next) = (self.waiting.count(), self.next);
                return Err(VmaError::TooEarly { name: name(), count, next, most: MAX_WAITING }.into());
            }
            if !self.waiting.put(cluster, mask, blocks, || opener.scratch())? {
                return Err(VmaError::Twice { name: name(), cluster }.into());
            }
            return Ok(());
        }
        self.emit(cluster, mask, blocks);
        self.next = next_cluster(cluster, 1)?;
        Ok(())
    }

    /// What waited for its turn, as long as that is no more than a chunk.
    fn wake(&mut self) -> Result<()> {
        let mut clusters = 0;
        while clusters < MAX_CHUNK / CLUSTER {
            let Some((mask, blocks)) = self.waiting.take(self.next)? else { break };
            self.emit(self.next, mask, &blocks);
            self.next = next_cluster(self.next, 1)?;
            clusters += 1;
        }
        Ok(())
    }

    /// Puts the runs of blocks of a cluster behind what is ready.
    fn emit(&mut self, cluster: u32, mask: u16, blocks: &[u8]) {
        let (mut rest, mut block) = (blocks, 0);
        while block < BLOCKS {
            let left = u64::from(mask) >> block;
            let skipped = u64::from(left.trailing_zeros());
            if skipped > 0 {
                block += skipped;
                continue;
            }
            let count = u64::from((!left).trailing_zeros());
            let offset = u64::from(cluster) * CLUSTER + block * BLOCK;
            let (run, after) = rest.split_at(((count * BLOCK) as usize).min(rest.len()));
            // The last block of the disk is stored whole.
            let inside = self.size.saturating_sub(offset).min(run.len() as u64) as usize;
            self.append(offset, run.get(..inside).unwrap_or(run));
            (rest, block) = (after, block + count);
        }
    }

    fn append(&mut self, offset: u64, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        if let Some(last) = self.ready.back_mut()
            && last.offset + last.data.len() as u64 == offset
            && (last.data.len() + bytes.len()) as u64 <= MAX_CHUNK
        {
            last.data.extend_from_slice(bytes);
            return;
        }
        self.ready.push_back(StreamChunk { offset, data: bytes.to_vec() });
    }
}

/// The number after `count` clusters from `cluster`. A disk has less than 2^32 of them, or exactly as many.
fn next_cluster(cluster: u32, count: u32) -> Result<u32> {
    cluster
        .checked_add(count)
        .ok_or_else(|| Error::unsupported("a disk of 256 TiB cannot be read as a stream"))
}

impl ChunkStream for VmaStream {
    fn format(&self) -> &'static str {
        crate::FORMAT.name
    }

    fn virtual_size(&self) -> u64 {
        self.line.size
    }

    fn next_chunk(&mut self) -> Result<Option<StreamChunk>> {
        loop {
            if let Some(chunk) = self.line.ready.pop_front() {
                return Ok(Some(chunk));
            }
            let before = self.line.next;
            self.line.wake()?;
            if !self.line.ready.is_empty() || self.line.next != before {
                continue;
            }
            if self.has_ended {
                return Ok(None);
            }
            if !self.read_extent()? {
                self.finish()?;
            }
        }
    }

    fn warnings(&self) -> &[Warning] {
        &self.warnings
    }
}
