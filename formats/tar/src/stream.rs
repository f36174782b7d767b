//! An archive through a pipe: one raw disk of it, while it comes.

use crate::error::TarError;
use crate::members::{is_called_raw, is_disk, own, plain_name};
use format_core::{
    ChunkStream, DenyAll, Error, Format, LayerContext, MAX_CHUNK, MemStorage, Result, StreamChunk, Warning,
};
use std::io::Read;
use std::sync::Arc;
use tar_members::{End, Input, Member, ReadInput, Segment, Walker};

/// Names of disks that messages tell.
const MAX_NAMES: usize = 20;

struct Stream {
    walker: Walker<ReadInput>,
    member: Member,
    /// The runs of data that are still to come; the last one first.
    left: Vec<Segment>,
    first: Option<StreamChunk>,
    /// What was asked for, and the disks so far.
    picked: Option<String>,
    names: Vec<String>,
    warnings: Vec<Warning>,
    is_done: bool,
}

pub(crate) fn open(reader: Box<dyn Read + Send>, context: &LayerContext) -> Result<Box<dyn ChunkStream>> {
    let mut walker = Walker::new(ReadInput::new(reader));
    let picked = context.access.pick.clone();
    let (mut names, mut count) = (Vec::new(), 0);
    let member = loop {
        let Some(member) = walker.next_member().map_err(own)? else {
            return Err(nothing(picked, &names, count));
        };
        count += 1;
        if !is_disk(&member) {
            continue;
        }
        let name = plain_name(&member.name).to_owned();
        names.push(name.clone());
        if picked.as_deref().is_none_or(|picked| picked == name || picked.parse() == Ok(names.len() - 1)) {
            break member;
        }
    };
    if !is_called_raw(&member.name) {
        return Err(TarError::NotRaw { name: member.name }.into());
    }
    let whole = Segment { offset: 0, len: member.size, stored_at: 0 };
    let left = member.segments.as_ref().map_or_else(|| vec![whole], |s| s.iter().rev().copied().collect());
    let (first, warnings) = (None, Vec::new());
    let mut stream = Stream { walker, member, left, first, picked, names, warnings, is_done: false };
    stream.first = stream.read()?;
    stream.be_raw(context)?;
    Ok(Box::new(stream))
}

fn nothing(picked: Option<String>, names: &[String], members: usize) -> Error {
    match picked {
        Some(wanted) if !names.is_empty() => TarError::NotThere { wanted, names: listed(names) }.into(),
        _ => TarError::NoDisk { members, first: String::new() }.into(),
    }
}

fn listed(names: &[String]) -> String {
    let more = if names.len() > MAX_NAMES { ", …" } else { "" };
    names.iter().take(MAX_NAMES).map(String::as_str).collect::<Vec<_>>().join(", ") + more
}

impl Stream {
    /// The bytes of a qcow2 image are not those of a disk, whatever it is called.
    fn be_raw(&self, context: &LayerContext) -> Result<()> {
        let mut head = vec![0; self.member.size.min(Format::PROBE_LEN as u64) as usize];
        if let Some(chunk) = &self.first {
            let at = usize::try_from(chunk.offset).unwrap_or(usize::MAX).min(head.len());
            let len = chunk.data.len().min(head.len() - at);
            head[at..at + len].copy_from_slice(&chunk.data[..len]);
        }
        let name = plain_name(&self.member.name);
        let base = name.rsplit('/').next().unwrap_or_default();
        let inner = context.opener.open(Arc::new(MemStorage(head)), base, Arc::new(DenyAll));
        match inner.map_err(|e| e.context(format!("member {name:?}")))?.format {
            Some(format) if format.name == "raw" => Ok(()),
            _ => Err(TarError::NotRaw { name: name.to_owned() }.into()),
        }
    }

    /// The next piece of the disk.
    fn read(&mut self) -> Result<Option<StreamChunk>> {
        let Some(run) = self.left.last_mut() else { return Ok(None) };
        // Pieces end where blocks of the pipeline do.
        let len = run.len.min(MAX_CHUNK - run.offset % MAX_CHUNK);
        let (offset, mut data) = (run.offset, vec![0; len as usize]);
        (run.offset, run.len) = (run.offset + len, run.len - len);
        if run.len == 0 {
            self.left.pop();
        }
        let read = self.walker.input_mut().fill(&mut data).map_err(own)?;
        if read < data.len() {
            let left: u64 = self.left.iter().map(|run| run.len).sum();
            let missing = (data.len() - read) as u64 + left;
            let name = &self.member.name;
            let text = format!("the archive ends within member {name:?}, {missing} bytes of it are missing");
            return Err(own(Error::corrupt(text)));
        }
        Ok(Some(StreamChunk { offset, data }))
    }

    /// What follows the disk: another one that may be meant, and the end.
    fn end(&mut self) -> Result<()> {
        while let Some(member) = self.walker.next_member().map_err(own)? {
            if !is_disk(&member) {
                continue;
            }
            let name = plain_name(&member.name).to_owned();
            if name == plain_name(&self.member.name) {
                return Err(TarError::Twice { name }.into());
            }
            let is_meant = self.picked.as_ref().is_none_or(|picked| *picked == name);
            self.names.push(name);
            if is_meant {
                return Err(TarError::Several { names: listed(&self.names) }.into());
            }
        }
        if self.walker.end() == Some(End::Open) {
            let text =
                "the archive has no end mark: if it was cut off, the members behind the last one are missing";
            self.warnings.push(Warning::new("tar-no-end", text));
        }
        // A compression around the archive has its checksum at its end.
        while self.walker.input_mut().skip(u64::from(u32::MAX)).map_err(own)? > 0 {}
        Ok(())
    }
}

impl ChunkStream for Stream {
    fn format(&self) -> &'static str {
        crate::FORMAT.name
    }

    fn virtual_size(&self) -> u64 {
        self.member.size
    }

    fn next_chunk(&mut self) -> Result<Option<StreamChunk>> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        let chunk = self.read()?;
        if chunk.is_none() && !self.is_done {
            self.is_done = true;
            self.end()?;
        }
        Ok(chunk)
    }

    fn warnings(&self) -> &[Warning] {
        &self.warnings
    }
}
