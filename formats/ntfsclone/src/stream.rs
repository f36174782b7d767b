//! An image that comes through a pipe.

use crate::error::NtfscloneError;
use crate::layout::{GAP, HEADER_LEN, NEXT};
use crate::parse::Image;
use crate::walk::Walk;
use format_core::{BootCopy, ChunkStream, Error, LayerContext, Result, StreamChunk, Warning};
use std::io::{BufReader, Read};

/// Clusters of at least so many bytes make a chunk, unless something is left out.
const CHUNK: usize = 1 << 20;

struct NtfscloneStream {
    reader: BufReader<Box<dyn Read + Send>>,
    image: Image,
    walk: Walk,
    /// Bytes that were read.
    at: u64,
    head: Vec<u8>,
    has_tail: bool,
    is_complete: bool,
    is_over: bool,
    warnings: Vec<Warning>,
}

pub(crate) fn open(reader: Box<dyn Read + Send>, _: &LayerContext) -> Result<Box<dyn ChunkStream>> {
    let mut reader = BufReader::with_capacity(CHUNK, reader);
    let mut header = [0; HEADER_LEN];
    if fill(&mut reader, &mut header)? < HEADER_LEN {
        return Err(NtfscloneError::Magic.into());
    }
    let image = Image::parse(&header)?;
    let mut between = vec![0; image.data as usize - HEADER_LEN];
    let walk = Walk::new(image);
    if fill(&mut reader, &mut between)? < between.len() {
        return Err(walk.ends(HEADER_LEN as u64).into());
    }
    Ok(Box::new(NtfscloneStream {
        reader,
        image,
        walk,
        at: image.data,
        head: Vec::new(),
        has_tail: false,
        is_complete: false,
        is_over: false,
        warnings: image.doubts(),
    }))
}

/// Reads until `buf` is full or nothing is left.
fn fill(reader: &mut dyn Read, buf: &mut [u8]) -> Result<usize> {
    let mut done = 0;
    while done < buf.len() {
        match reader.read(&mut buf[done..]) {
            Ok(0) => break,
            Ok(len) => done += len,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => {
                return Err(match e.downcast::<Error>() {
                    Ok(own) => own,
                    Err(e) => Error::io("cannot read the image", e).in_format(crate::FORMAT.name),
                });
            }
        }
    }
    Ok(done)
}

impl NtfscloneStream {
    fn take(&mut self, buf: &mut [u8]) -> Result<()> {
        let got = fill(&mut self.reader, buf)?;
        self.at = self.at.saturating_add(got as u64);
        if got < buf.len() { Err(self.walk.ends(self.at).into()) } else { Ok(()) }
    }

    /// The next command, or none at the end of the image.
    fn command(&mut self) -> Result<Option<u8>> {
        if self.walk.is_complete() {
            return Ok(None);
        }
        let mut command = [0];
        if fill(&mut self.reader, &mut command)? == 0 {
            return if self.walk.may_end() { Ok(None) } else { Err(self.walk.ends(self.at).into()) };
        }
        self.at += 1;
        Ok(command.first().copied())
    }

    /// Clusters up to the next gap.
    fn next_clusters(&mut self) -> Result<Option<StreamChunk>> {
        let mut chunk = StreamChunk { offset: 0, data: Vec::new() };
        while chunk.data.len() < CHUNK {
            let cluster = self.walk.cluster;
            match self.command()? {
                None => {
                    self.is_complete = true;
                    break;
                }
                Some(GAP) => {
                    let mut count = [0; 8];
                    self.take(&mut count)?;
                    self.walk.gap(count)?;
                    if !chunk.data.is_empty() {
                        break;
                    }
                }
                Some(NEXT) => {
                    let len = self.walk.next()?;
                    if chunk.data.is_empty() {
                        chunk.offset = cluster.saturating_mul(self.image.cluster_size);
                    }
                    self.has_tail |= cluster >= self.image.clusters;
                    let from = chunk.data.len();
                    chunk.data.resize(from + len, 0);
                    self.take(&mut chunk.data[from..])?;
                }
                Some(found) => return Err(NtfscloneError::Command { found, cluster }.into()),
            }
        }
        if chunk.offset == 0 && self.head.is_empty() {
            self.head = chunk.data[..chunk.data.len().min(BootCopy::MAX_SECTOR)].to_vec();
        }
        Ok(Some(chunk).filter(|chunk| !chunk.data.is_empty()))
    }

    /// Everything has to be read, for a decompressor compares its own checksum at the end.
    fn finish(&mut self) -> Result<()> {
        let (mut rest, mut buf) = (0u64, vec![0; 64 << 10]);
        loop {
            let got = fill(&mut self.reader, &mut buf)?;
            rest = rest.saturating_add(got as u64);
            if got < buf.len() {
                break;
            }
        }
        if rest > 0 {
            let text = format!("{rest:#x} bytes follow the last cluster and were not read");
            self.warnings.push(Warning::new("ntfsclone-bytes-behind", text));
        }
        Ok(())
    }
}

impl ChunkStream for NtfscloneStream {
    fn format(&self) -> &'static str {
        crate::FORMAT.name
    }

    fn virtual_size(&self) -> u64 {
        self.image.virtual_size
    }

    fn next_chunk(&mut self) -> Result<Option<StreamChunk>> {
        if self.is_over {
            return Ok(None);
        }
        if !self.is_complete
            && let Some(chunk) = self.next_clusters()?
        {
            return Ok(Some(chunk));
        }
        self.is_over = true;
        self.finish()?;
        if self.has_tail {
            return Ok(None);
        }
        let known = self.image.clusters * self.image.cluster_size;
        let copy = BootCopy::of(&self.head, known, self.image.virtual_size);
        Ok(copy.map(|copy| StreamChunk { offset: copy.offset, data: copy.sector }))
    }

    fn warnings(&self) -> &[Warning] {
        &self.warnings
    }
}
