//! A streamOptimized image that comes through a pipe, read once from its start to its end.
//!
//! Tables that come before the grains say where those lie. Where they come behind the grains, the markers are walked,
//! and the tables prove that none was lost.

mod forward;
mod marked;
mod tabled;

use crate::descriptor::Descriptor;
use crate::error::VmdkError;
use crate::layout::SECTOR;
use crate::parse::{Directory, Start, parse_header, recognise};
use crate::tables::Shape;
use format_core::{ChunkStream, LayerContext, Result, StreamChunk, Warning};
use forward::Forward;
use marked::Marked;
use std::io::Read;
use tabled::Tabled;

/// How the next grain is found.
enum Order {
    Marked(Box<Marked>),
    Tabled(Tabled),
}

struct VmdkStream {
    forward: Forward,
    shape: Shape,
    order: Order,
    warnings: Vec<Warning>,
}

pub(crate) fn open(reader: Box<dyn Read + Send>, _: &LayerContext) -> Result<Box<dyn ChunkStream>> {
    let mut forward = Forward::new(reader);
    let mut head = [0; SECTOR as usize];
    let found = forward.fill(&mut head)?;
    let head_len = found as u64;
    match recognise(head.get(..found).unwrap_or_default()) {
        Some(Start::Sparse) if head_len == SECTOR => {}
        Some(Start::Sparse) => return Err(VmdkError::HeaderCut { size: head_len }.into()),
        Some(Start::Text) => return Err(no_stream("the disk lies in other files than its descriptor")),
        Some(Start::Cowd | Start::SeSparse) => return Err(no_stream("this is an extent of an ESX disk")),
        None => return Err(VmdkError::NotVmdk.into()),
    }
    let header = parse_header(&head)?;
    if !header.is_compressed() {
        return Err(no_stream("only streamOptimized disks lie in their order, this is a sparse one"));
    }
    let text = header.descriptor.clone();
    if text.is_empty() {
        return Err(VmdkError::NoDescriptor.into());
    }
    forward.skip_to(text.start, "the padding before the descriptor")?;
    let text = forward.read(text.end - text.start, "the descriptor")?;
    let described = Descriptor::parse(&text)?.describe_embedded(&header)?;
    if described.parent.is_some() {
        return Err(no_stream("the disk is a difference to a parent"));
    }
    let shape = header.shape(described.virtual_size);
    let entries = header.directory_entries()?;
    let order = match header.directory {
        Directory::Nowhere => return Err(VmdkError::NoDirectory.into()),
        Directory::At(at) if !header.grains_first => {
            Order::Tabled(Tabled::load(&mut forward, &shape, at, entries)?)
        }
        Directory::At(_) | Directory::InFooter => {
            Order::Marked(Box::new(Marked::new(header.clone(), entries)))
        }
    };
    let mut warnings = Vec::new();
    if header.unclean_shutdown {
        warnings.push(crate::extent::unclean_warning());
    }
    Ok(Box::new(VmdkStream { forward, shape, order, warnings }))
}

impl ChunkStream for VmdkStream {
    fn format(&self) -> &'static str {
        crate::FORMAT.name
    }

    fn virtual_size(&self) -> u64 {
        self.shape.size
    }

    fn next_chunk(&mut self) -> Result<Option<StreamChunk>> {
        match &mut self.order {
            Order::Marked(marked) => marked.next_chunk(&mut self.forward, &self.shape),
            Order::Tabled(tabled) => tabled.next_chunk(&mut self.forward, &self.shape),
        }
    }

    fn warnings(&self) -> &[Warning] {
        &self.warnings
    }
}

fn no_stream(what: &str) -> format_core::Error {
    VmdkError::NoStream { what: what.to_owned() }.into()
}
