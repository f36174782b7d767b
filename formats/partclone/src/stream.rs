//! An image that comes through a pipe: every checksum is compared on the way.

use crate::bitmap::Bitmap;
use crate::blocks::{stride_of, two_blocks_len};
use crate::error::PartcloneError;
use crate::layout::HEADER_LEN;
use crate::parse::{Image, Sums, header_len};
use crate::sums::Running;
use format_core::{
    BootCopy, ChunkStream, Error, FileStorage, LayerContext, MemStorage, Result, Storage, StreamChunk,
    Warning,
};
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;

/// A map larger than this goes into a temporary file: at a bit for each 4 KiB it is that of 1 TiB.
const MAP_IN_MEMORY: u64 = 32 << 20;
/// Bytes of a chunk, rounded down to blocks.
const CHUNK: u64 = 1 << 20;

struct PartcloneStream {
    reader: Box<dyn Read + Send>,
    /// What was read ahead, and how much of it was used.
    ahead: Vec<u8>,
    taken: usize,
    image: Image,
    bitmap: Bitmap,
    sums: Option<RunningSums>,
    /// The next block of the partition.
    block: u64,
    head: Vec<u8>,
    state: State,
}

struct RunningSums {
    sums: Sums,
    fresh: Running,
    running: Running,
    /// Blocks that the checksum has so far, and the number of the first of them among those in use.
    blocks: u64,
    first: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Blocks,
    Boot,
    End,
}

pub(crate) fn open(mut reader: Box<dyn Read + Send>, context: &LayerContext) -> Result<Box<dyn ChunkStream>> {
    let mut header = vec![0; HEADER_LEN];
    fill(&mut reader, &mut header, "the header")?;
    let start = header.first_chunk().ok_or(PartcloneError::Magic)?;
    let length = header_len(start)?;
    header.resize(length, 0);
    fill(&mut reader, &mut header[HEADER_LEN..], "the header")?;
    let ignore = context.access.ignore_checksums;
    let mut image = Image::parse(&header, ignore)?;
    let map = take_map(&mut reader, image.map_len().saturating_add(image.map_end_len()), context)?;
    let (bitmap, warning) = Bitmap::load(map, 0, &image, ignore)?;
    image.warnings.extend(warning);
    let mut ahead = Vec::new();
    if image.version == "0001" && bitmap.used() > 1 {
        // As many bytes as there are at least: the second block may be the last, with a short checksum.
        ahead.resize(two_blocks_len(image.block_size), 0);
        let got = fill_some(&mut reader, &mut ahead)?;
        ahead.truncate(got);
        if let Some(sums) = &mut image.sums {
            sums.stride = stride_of(&ahead, image.block_size as usize);
        }
    }
    let sums = image.sums.map(|sums| {
        let fresh = Running::new(sums.kind, image.block_size as usize);
        RunningSums { sums, running: fresh.clone(), fresh, blocks: 0, first: 0 }
    });
    let (taken, block, head, state) = (0, 0, Vec::new(), State::Blocks);
    Ok(Box::new(PartcloneStream { reader, ahead, taken, image, bitmap, sums, block, head, state }))
}

/// Takes the map of blocks: as it comes, for its length is only said.
fn take_map(reader: &mut dyn Read, length: u64, context: &LayerContext) -> Result<Arc<dyn Storage>> {
    let ends = || Error::from(PartcloneError::Ends { what: "the map of blocks" });
    if length <= MAP_IN_MEMORY {
        let mut bytes = Vec::new();
        reader.take(length).read_to_end(&mut bytes).map_err(failed)?;
        let is_whole = bytes.len() as u64 == length;
        return if is_whole { Ok(Arc::new(MemStorage(bytes))) } else { Err(ends()) };
    }
    let mut file = context.opener.scratch()?;
    let (mut left, mut buf) = (length, vec![0; CHUNK as usize]);
    while left > 0 {
        let part = (left.min(CHUNK)) as usize;
        let got = fill_some(reader, &mut buf[..part])?;
        if got < part {
            return Err(ends());
        }
        let cannot =
            |e| Error::io("cannot write a temporary file", e).hint("name another folder with --spool DIR");
        file.write_all(&buf[..part]).map_err(cannot)?;
        left -= part as u64;
    }
    Ok(Arc::new(FileStorage::from_file(file, Path::new("(temporary file of the map of blocks)"))?))
}

fn failed(error: std::io::Error) -> Error {
    match error.downcast::<Error>() {
        Ok(own) => own,
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            Error::corrupt(format!("the image cannot be read: {error}")).in_format(crate::FORMAT.name)
        }
        Err(error) => Error::io("cannot read the image", error).in_format(crate::FORMAT.name),
    }
}

/// Reads until `buf` is full or nothing is left.
fn fill_some(reader: &mut dyn Read, buf: &mut [u8]) -> Result<usize> {
    let mut done = 0;
    while done < buf.len() {
        match reader.read(&mut buf[done..]) {
            Ok(0) => break,
            Ok(len) => done += len,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(failed(e)),
        }
    }
    Ok(done)
}

fn fill(reader: &mut dyn Read, buf: &mut [u8], what: &'static str) -> Result<()> {
    if fill_some(reader, buf)? < buf.len() { Err(PartcloneError::Ends { what }.into()) } else { Ok(()) }
}

impl PartcloneStream {
    fn take(&mut self, buf: &mut [u8], what: &'static str) -> Result<()> {
        let ahead = self.ahead.get(self.taken..).unwrap_or_default();
        let len = ahead.len().min(buf.len());
        buf[..len].copy_from_slice(&ahead[..len]);
        self.taken += len;
        fill(&mut self.reader, &mut buf[len..], what)
    }

    /// The next blocks in use, some of a run of them.
    fn next_blocks(&mut self) -> Result<Option<StreamChunk>> {
        let (block, count) = loop {
            if self.block >= self.image.total {
                return Ok(None);
            }
            match self.bitmap.run_at(self.block)? {
                (false, len) => self.block += len,
                (true, len) => break (self.block, len),
            }
        };
        let block_size = self.image.block_size;
        let count = count.min((CHUNK / block_size).max(1));
        let mut data = vec![0; (count * block_size) as usize];
        let mut done = 0;
        while done < count {
            let now =
                self.sums.as_ref().map_or(count, |sums| sums.sums.blocks - sums.blocks).min(count - done);
            let range = (done * block_size) as usize..((done + now) * block_size) as usize;
            self.take(&mut data[range.clone()], "a block")?;
            if let Some(sums) = &mut self.sums {
                sums.running.update(&data[range]);
                sums.blocks += now;
                if sums.blocks == sums.sums.blocks {
                    self.compare()?;
                }
            }
            done += now;
        }
        self.block += count;
        if block == 0 {
            self.head = data[..data.len().min(BootCopy::MAX_SECTOR)].to_vec();
        }
        Ok(Some(StreamChunk { offset: block * block_size, data }))
    }

    /// Compares what was read with the checksum that follows it.
    fn compare(&mut self) -> Result<()> {
        let Some(sums) = &self.sums else { return Ok(()) };
        let (blocks, first) = (sums.blocks, sums.first);
        if blocks == 0 {
            return Ok(());
        }
        let mut stored = vec![0; sums.sums.stride as usize];
        let whole = stored.len();
        // What an old program wrote too much may be missing at the very end.
        let short = sums.sums.kind.len();
        self.take(&mut stored[..short], "a checksum")?;
        let is_last = first.saturating_add(blocks) >= self.bitmap.used();
        if whole > short && !is_last {
            self.take(&mut stored[short..], "a checksum")?;
        }
        let Some(sums) = &mut self.sums else { return Ok(()) };
        if let Err((stored, found)) = sums.running.compare(&stored[..short]) {
            return Err(PartcloneError::Sum { first, blocks, stored, found }.into());
        }
        if sums.sums.reseed {
            sums.running = sums.fresh.clone();
        }
        (sums.blocks, sums.first) = (0, first.saturating_add(blocks));
        Ok(())
    }

    /// Everything has to be read, for a decompressor compares its own checksum at the end.
    fn finish(&mut self) -> Result<()> {
        self.compare()?;
        let mut rest = (self.ahead.len() - self.taken) as u64;
        let mut buf = vec![0; 64 << 10];
        loop {
            let got = fill_some(&mut self.reader, &mut buf)?;
            rest = rest.saturating_add(got as u64);
            if got < buf.len() {
                break;
            }
        }
        // What an old program wrote too much behind the last checksum.
        let extra = if self.image.version == "0001" { 4 } else { 0 };
        if rest > extra {
            let text = format!("{rest:#x} bytes follow the last block and were not read");
            self.image.warnings.push(Warning::new("partclone-bytes-behind", text));
        }
        Ok(())
    }
}

impl ChunkStream for PartcloneStream {
    fn format(&self) -> &'static str {
        crate::FORMAT.name
    }

    fn virtual_size(&self) -> u64 {
        self.image.virtual_size
    }

    fn next_chunk(&mut self) -> Result<Option<StreamChunk>> {
        if self.state == State::Blocks {
            if let Some(chunk) = self.next_blocks()? {
                return Ok(Some(chunk));
            }
            self.finish()?;
            self.state = State::Boot;
        }
        if self.state == State::Boot {
            self.state = State::End;
            let is_ntfs = self.image.file_system.starts_with("NTFS");
            let copy = BootCopy::of(&self.head, self.image.blocks_end(), self.image.virtual_size)
                .filter(|_| is_ntfs);
            return Ok(copy.map(|copy| StreamChunk { offset: copy.offset, data: copy.sector }));
        }
        Ok(None)
    }

    fn warnings(&self) -> &[Warning] {
        &self.image.warnings
    }
}
