//! A disk as a layer: its extents one after the other.

use crate::descriptor::{Described, Descriptor};
use crate::error::VmdkError;
use crate::extent::{
    COWD, ExtentFile, GrainExtent, SESPARSE, Shared, load, open_hosted_header, parse_cowd, parse_sesparse,
};
use crate::layout::{MAX_DESCRIPTOR, SECTOR};
use crate::parse::{Header, Start, recognise};
use crate::parts::open_parts;
use format_core::{
    Details, Error, Extent, Format, HostRange, Layer, LayerContext, ParentRef, Result, Storage, Warning,
    check_guest_range,
};
use serde_json::{Value, json};
use std::sync::Arc;

/// An extent and the part of the disk that it holds.
pub(crate) struct Part {
    /// First byte on the disk.
    pub(crate) start: u64,
    /// Never 0.
    pub(crate) len: u64,
    pub(crate) file: Box<dyn ExtentFile>,
    /// As the descriptor spells them.
    pub(crate) name: String,
    pub(crate) extent_type: String,
}

struct VmdkLayer {
    /// In order and without gaps.
    parts: Vec<Part>,
    described: Described,
    warnings: Vec<Warning>,
}

pub(crate) fn open(storage: Arc<dyn Storage>, context: &LayerContext) -> Result<Box<dyn Layer>> {
    let head = load(storage.as_ref(), "header", 0, storage.size().min(Format::PROBE_LEN as u64))?;
    let mut shared = Shared::new();
    let (parts, described) = match recognise(&head) {
        Some(Start::Sparse) => open_embedded(storage, context, &mut shared)?,
        Some(Start::Text) => {
            let descriptor = load_text(storage.as_ref())?;
            let described = descriptor.describe()?;
            (open_parts(&descriptor, context, &mut shared)?, described)
        }
        Some(Start::Cowd) => {
            let sectors = parse_cowd(storage.as_ref())?.num_sectors.into();
            let lone = LoneExtent { name: COWD, extent_type: "VMFSSPARSE", sectors };
            lone.open(storage, context, GrainExtent::cowd, &mut shared)?
        }
        Some(Start::SeSparse) => {
            let sectors = parse_sesparse(storage.as_ref())?.capacity;
            let lone = LoneExtent { name: SESPARSE, extent_type: "SESPARSE", sectors };
            lone.open(storage, context, GrainExtent::sesparse, &mut shared)?
        }
        None => return Err(VmdkError::NotVmdk.into()),
    };
    Ok(Box::new(VmdkLayer { parts, described, warnings: shared.warnings }))
}

/// An extent file of ESXi without the descriptor that says whether it has a parent.
struct LoneExtent {
    name: &'static str,
    extent_type: &'static str,
    sectors: u64,
}

impl LoneExtent {
    /// Opens it where the operator wants no parent.
    fn open(
        self,
        storage: Arc<dyn Storage>,
        context: &LayerContext,
        open: fn(Arc<dyn Storage>, u64, &mut Shared) -> Result<GrainExtent>,
        shared: &mut Shared,
    ) -> Result<(Vec<Part>, Described)> {
        let Self { name, extent_type, sectors } = self;
        if !context.access.ignore_parents {
            return Err(VmdkError::BareExtent { name, extent_type, sectors }.into());
        }
        let text = "the disk's descriptor is not there: what this extent does not hold reads as zeros";
        shared.warnings.push(Warning::new("vmdk-lone-extent", text));
        let file = Box::new(open(storage, sectors, shared)?);
        let len = sectors.saturating_mul(SECTOR);
        let own = context.name.clone().unwrap_or_default();
        let part = Part { start: 0, len, file, name: own, extent_type: extent_type.into() };
        Ok((vec![part], Described::alone(len, name)))
    }
}

fn open_embedded(
    storage: Arc<dyn Storage>,
    context: &LayerContext,
    shared: &mut Shared,
) -> Result<(Vec<Part>, Described)> {
    let header = open_hosted_header(storage.as_ref())?;
    let described = load_embedded(storage.as_ref(), &header)?.describe_embedded(&header)?;
    let len = described.virtual_size;
    let file = Box::new(GrainExtent::hosted(storage, header, len, shared)?);
    let name = context.name.clone().unwrap_or_default();
    Ok((vec![Part { start: 0, len, file, name, extent_type: "SPARSE".into() }], described))
}

/// Reads a descriptor in a file of its own.
pub(crate) fn load_text(storage: &dyn Storage) -> Result<Descriptor> {
    let len = storage.size();
    if len > MAX_DESCRIPTOR {
        return Err(VmdkError::DescriptorSize { len }.into());
    }
    Ok(Descriptor::parse(&load(storage, "descriptor", 0, len)?)?)
}

/// Reads the descriptor inside a hosted sparse extent.
pub(crate) fn load_embedded(storage: &dyn Storage, header: &Header) -> Result<Descriptor> {
    let (start, len) = (header.descriptor.start, header.descriptor.end - header.descriptor.start);
    if len == 0 {
        return Err(VmdkError::NoDescriptor.into());
    }
    Ok(Descriptor::parse(&load(storage, "descriptor", start, len)?)?)
}

impl VmdkLayer {
    /// The part that holds `offset`, how far inside, and how much of it is left.
    fn part(&self, offset: u64) -> Result<(&Part, u64, u64)> {
        let after = self.parts.partition_point(|part| part.start <= offset);
        let part = after.checked_sub(1).and_then(|index| self.parts.get(index));
        let inside = |part: &Part| offset - part.start;
        match part.filter(|part| inside(part) < part.len) {
            Some(part) => Ok((part, inside(part), part.len - inside(part))),
            None => Err(Error::usage(format!(
                "extent asked for at {offset:#x} of a disk of {:#x} bytes",
                self.described.virtual_size
            ))),
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
        self.parts.iter().map(|part| part.file.grain_bytes()).max().unwrap_or(1)
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        let (part, inside, rest) = self.part(offset)?;
        let (kind, len) = part.file.kind_at(inside)?;
        Ok(Extent { offset, len: len.min(rest), kind })
    }

    fn read_exact_at(&self, offset: u64, mut buf: &mut [u8]) -> Result<()> {
        check_guest_range(self.virtual_size(), offset, buf.len() as u64)?;
        let mut at = offset;
        while !buf.is_empty() {
            let (part, inside, rest) = self.part(at)?;
            let len = usize::try_from(rest).unwrap_or(usize::MAX).min(buf.len());
            let (now, later) = buf.split_at_mut(len);
            part.file.read(inside, now)?;
            buf = later;
            at += len as u64;
        }
        Ok(())
    }

    fn host_range(&self, offset: u64) -> Option<HostRange> {
        let (part, inside, rest) = self.part(offset).ok()?;
        let range = part.file.host_range(inside)?;
        Some(HostRange { len: range.len.min(rest), ..range })
    }

    fn is_compressed_at(&self, offset: u64) -> bool {
        let compressed = |(part, inside, _): (&Part, u64, u64)| {
            part.file.is_compressed()
                && part.file.kind_at(inside).is_ok_and(|(kind, _)| kind == format_core::ExtentKind::Data)
        };
        self.part(offset).is_ok_and(compressed)
    }

    fn details(&self) -> Details {
        let mut details = Details::new();
        if let Some(cid) = self.described.cid {
            details.insert("cid".into(), cid.into());
        }
        details.insert("parent-cid".into(), self.described.parent_cid.into());
        details.insert("create-type".into(), self.described.create_type.clone().into());
        self.described.uuids.describe(&mut details);
        self.described.hardware.describe(&mut details);
        details.insert("extents".into(), self.parts.iter().map(part_details).collect());
        details
    }

    fn parent(&self) -> Option<&ParentRef> {
        self.described.parent.as_ref()
    }

    fn identity(&self) -> Option<&str> {
        self.described.identity.as_deref()
    }

    /// By the content ID, as VMware's children say it, or by the UUID, as VirtualBox's do.
    fn is_identified_by(&self, wanted: &str) -> bool {
        let uuid = self.described.uuids.image;
        self.identity() == Some(wanted) || uuid.is_some_and(|uuid| uuid.to_string() == wanted)
    }

    fn remark_on_parent(&self, parent: &dyn Layer) -> Option<Warning> {
        self.described.uuids.remark_on(parent)
    }

    fn warnings(&self) -> &[Warning] {
        &self.warnings
    }
}

fn part_details(part: &Part) -> Value {
    let mut value = json!({
        "filename": part.name,
        "format": part.extent_type,
        "virtual-size": part.len,
    });
    if part.file.grain_bytes() > 1 {
        value["cluster-size"] = part.file.grain_bytes().into();
    }
    if part.file.is_compressed() {
        value["compressed"] = true.into();
    }
    value
}
