//! A hosted sparse extent, plain or compressed, as a layer.

use crate::descriptor::{Described, Descriptor};
use crate::error::VmdkError;
use crate::layout::{MAX_DESCRIPTOR, SECTOR};
use crate::parse::{Directory, Header, Start, parse_footer, parse_header, recognise};
use crate::stream::{Grain, Scratch, StreamGrains};
use crate::tables::{Entry, Tables};
use format_core::{
    Error, Extent, ExtentKind, Format, HostRange, Layer, LayerContext, ParentRef, Result, Storage, Warning,
};
use std::sync::Arc;

/// How far from the file's end a footer is looked for; streams may be padded.
const FOOTER_WITHIN: u64 = 64 << 10;

struct VmdkLayer {
    storage: Arc<dyn Storage>,
    tables: Tables,
    stream: Option<StreamGrains>,
    described: Described,
    warnings: Vec<Warning>,
}

pub(crate) fn open(storage: Arc<dyn Storage>, _: &LayerContext) -> Result<Box<dyn Layer>> {
    let size = storage.size();
    let head = load(storage.as_ref(), 0, size.min(Format::PROBE_LEN as u64))?;
    match recognise(&head) {
        Some(Start::Sparse) => {}
        Some(Start::Cowd) => return Err(VmdkError::OtherExtent { name: "COWD (vmfsSparse)" }.into()),
        Some(Start::SeSparse) => return Err(VmdkError::OtherExtent { name: "seSparse" }.into()),
        Some(Start::Text) => {
            let text = load(storage.as_ref(), 0, size.min(MAX_DESCRIPTOR))?;
            return Err(Descriptor::parse(&text)?.refusal().into());
        }
        None => return Err(VmdkError::NotVmdk.into()),
    }
    let sector = head.first_chunk().ok_or(VmdkError::HeaderCut { size })?;
    let mut header = parse_header(sector)?;
    let described = load_descriptor(storage.as_ref(), &header)?.describe(&header)?;
    if header.directory == Directory::InFooter {
        header = header.with_footer(&load_footer(storage.as_ref())?)?;
    }
    let mut warnings = Vec::new();
    if header.unclean_shutdown {
        let message =
            "the disk was not closed by the last program that wrote it: the newest writes may be missing";
        warnings.push(Warning::new("vmdk-unclean-shutdown", message));
    }
    let stream =
        header.is_compressed().then(|| StreamGrains::new(Arc::clone(&storage), header.grain_bytes()));
    let tables = Tables::load(Arc::clone(&storage), header, described.virtual_size, &mut warnings)?;
    Ok(Box::new(VmdkLayer { storage, tables, stream, described, warnings }))
}

fn load(storage: &dyn Storage, at: u64, len: u64) -> Result<Vec<u8>> {
    let mut bytes = vec![0; len as usize];
    storage.read_exact_at(at, &mut bytes)?;
    Ok(bytes)
}

fn load_descriptor(storage: &dyn Storage, header: &Header) -> Result<Descriptor> {
    let (start, len) = (header.descriptor.start, header.descriptor.end - header.descriptor.start);
    if len == 0 {
        return Err(VmdkError::NoDescriptor.into());
    }
    if header.descriptor.end > storage.size() {
        return Err(VmdkError::Outside { what: "descriptor", start, len, size: storage.size() }.into());
    }
    Ok(Descriptor::parse(&load(storage, start, len)?)?)
}

fn load_footer(storage: &dyn Storage) -> Result<Header> {
    let end = format_core::units::align_down(storage.size(), SECTOR);
    let len = end.min(FOOTER_WITHIN);
    Ok(parse_footer(&load(storage, end - len, len)?)?)
}

impl VmdkLayer {
    /// The grain that `offset` lies in, and how far inside.
    fn locate(&self, offset: u64) -> Result<(u64, u64)> {
        let size = self.described.virtual_size;
        if offset >= size {
            return Err(Error::usage(format!(
                "extent asked for at {offset:#x} of a disk of {size:#x} bytes"
            )));
        }
        Ok((offset / self.tables.grain_bytes(), offset % self.tables.grain_bytes()))
    }

    /// Bytes from `offset`, `inside` a grain, to the end of that grain and the others of its run.
    fn run_bytes(&self, offset: u64, inside: u64, grains: u64) -> u64 {
        let rest = self.described.virtual_size - offset;
        grains.saturating_mul(self.tables.grain_bytes()).saturating_sub(inside).min(rest)
    }

    /// What lies at `offset` in one piece: zeros, plain bytes in host order, or a single compressed grain.
    fn piece(&self, offset: u64) -> Result<(Entry, u64)> {
        let (grain, inside) = self.locate(offset)?;
        let grain_bytes = self.tables.grain_bytes();
        let run = self.tables.run(grain, |first, distance, next| match (first, next) {
            (Entry::At(start), Entry::At(at)) => {
                self.stream.is_none() && start + distance * grain_bytes == at
            }
            (first, next) => first == next,
        })?;
        Ok((run.entry, self.run_bytes(offset, inside, run.grains)))
    }

    fn read_piece(
        &self,
        offset: u64,
        host: u64,
        buf: &mut [u8],
        scratch: &mut Option<Scratch>,
    ) -> Result<()> {
        let (number, inside) = self.locate(offset)?;
        match &self.stream {
            None => self.storage.read_exact_at(host + inside, buf),
            Some(stream) => {
                let grain = Grain { number, at: host, used: self.tables.used_bytes(number) };
                stream.read(grain, inside as usize, buf, scratch.get_or_insert_with(Scratch::new))
            }
        }
    }
}

impl Layer for VmdkLayer {
    fn format(&self) -> &'static str {
        crate::FORMAT.name
    }

    fn virtual_size(&self) -> u64 {
        self.described.virtual_size
    }

    fn chunk_size(&self) -> u64 {
        self.tables.grain_bytes()
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        let (grain, inside) = self.locate(offset)?;
        let run = self.tables.run(grain, |first, _, next| kind(first) == kind(next))?;
        Ok(Extent { offset, len: self.run_bytes(offset, inside, run.grains), kind: kind(run.entry) })
    }

    fn read_exact_at(&self, offset: u64, mut buf: &mut [u8]) -> Result<()> {
        let size = self.described.virtual_size;
        if offset.checked_add(buf.len() as u64).is_none_or(|end| end > size) {
            let len = buf.len();
            return Err(Error::usage(format!(
                "{len:#x} bytes wanted at {offset:#x} of a disk of {size:#x} bytes"
            )));
        }
        let (mut at, mut scratch) = (offset, None);
        while !buf.is_empty() {
            let (entry, len) = self.piece(at)?;
            let len = usize::try_from(len).unwrap_or(usize::MAX).min(buf.len());
            let (now, rest) = buf.split_at_mut(len);
            match entry {
                Entry::Absent | Entry::Zero => now.fill(0),
                Entry::At(host) => self.read_piece(at, host, now, &mut scratch)?,
            }
            buf = rest;
            at += len as u64;
        }
        Ok(())
    }

    fn host_range(&self, offset: u64) -> Option<HostRange> {
        if self.stream.is_some() {
            return None;
        }
        // An entry that cannot be read has no plain place; reading it reports why.
        let (entry, len) = self.piece(offset).ok()?;
        let (_, inside) = self.locate(offset).ok()?;
        match entry {
            Entry::At(host) => {
                Some(HostRange { storage: Arc::clone(&self.storage), offset: host + inside, len })
            }
            Entry::Absent | Entry::Zero => None,
        }
    }

    fn parent(&self) -> Option<&ParentRef> {
        self.described.parent.as_ref()
    }

    fn identity(&self) -> Option<&str> {
        self.described.cid.as_deref()
    }

    fn warnings(&self) -> &[Warning] {
        &self.warnings
    }
}

fn kind(entry: Entry) -> ExtentKind {
    match entry {
        Entry::Absent => ExtentKind::Unallocated,
        Entry::Zero => ExtentKind::Zero,
        Entry::At(_) => ExtentKind::Data,
    }
}
