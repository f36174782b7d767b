//! A disk of one or more extents, sparse or flat, in any order and from many threads.

use super::descriptor::{self, ContentId, ExtentLine};
use super::options::{CreateType, Plan, SPLIT_SECTORS, quotable};
use super::sparse::SparseExtent;
use super::{GRAIN, contract, embedded};
use crate::layout::SECTOR;
use format_core::{Error, Needs, Order, Packed, Result, Sink, StateReader, StateWriter, TargetStorage};

/// Flat files leave holes at this granularity; the usual block of host file systems.
const FLAT_CHUNK: u64 = 4096;

struct ExtentsSink {
    plan: Plan,
    /// The file under the image's name, where it is none of the extents.
    main: Option<Box<dyn TargetStorage>>,
    descriptor: String,
    /// All of them but the last have `extent_bytes`.
    extents: Vec<ExtentFile>,
    extent_bytes: u64,
}

struct ExtentFile {
    target: Box<dyn TargetStorage>,
    /// `None` for a flat file.
    sparse: Option<SparseExtent>,
}

/// A part of a range that lies in one extent.
struct Piece<'a> {
    extent: &'a ExtentFile,
    /// Where in the extent.
    offset: u64,
    len: u64,
}

pub(crate) fn create(target: Box<dyn TargetStorage>, plan: Plan) -> Result<Box<dyn Sink>> {
    open(target, plan, None)
}

/// The state is where each extent's grains end; 0 for a flat one.
pub(crate) fn resume(target: Box<dyn TargetStorage>, plan: Plan, state: &[u8]) -> Result<Box<dyn Sink>> {
    let mut reader = StateReader::new(state);
    let ends = reader.list()?;
    reader.end()?;
    open(target, plan, Some(ends))
}

fn open(target: Box<dyn TargetStorage>, plan: Plan, ends: Option<Vec<u64>>) -> Result<Box<dyn Sink>> {
    let create_type = plan.create_type;
    if target.is_sequential() {
        let text = format!("subformat={} cannot be written through a pipe", create_type.name());
        return Err(Error::unsupported(text).hint("use -o subformat=streamOptimized, or write to a file"));
    }
    let extent_sectors = if create_type.is_split() { SPLIT_SECTORS } else { plan.capacity_sectors };
    let count = plan.capacity_sectors.div_ceil(extent_sectors);
    let sizes = (0..count).map(|number| extent_sectors.min(plan.capacity_sectors - number * extent_sectors));
    let names = file_names(create_type, target.name(), count)?;
    let lines = names.iter().zip(sizes.clone()).map(|(file, sectors)| ExtentLine { sectors, file });
    let descriptor = descriptor::text(&plan, &ContentId::new(&plan), lines);
    let embeds = create_type == CreateType::MonolithicSparse;
    if embeds {
        // Better now than after hours of copying.
        embedded(descriptor.clone())?;
    }
    let mut extents = Vec::new();
    let (mut own, main) = if embeds { (Some(target), None) } else { (None, Some(target)) };
    if ends.as_ref().is_some_and(|ends| ends.len() != names.len()) {
        return Err(Error::corrupt(format!("the interrupted run had no {count} extents")));
    }
    if let (Some(main), true) = (&main, ends.is_some()) {
        main.resume_at(0)?;
    }
    let ends = ends.into_iter().flatten().map(Some).chain(std::iter::repeat(None));
    for ((name, sectors), end) in names.iter().zip(sizes).zip(ends) {
        let target = match (own.take(), &main) {
            (Some(own), _) => own,
            (None, Some(main)) => main.sibling(name)?,
            (None, None) => return Err(contract("a disk in one file has one extent".into())),
        };
        extents.push(match end {
            None => ExtentFile::create(target, sectors, &plan)?,
            Some(end) => ExtentFile::resume(target, sectors, end, &plan)?,
        });
    }
    Ok(Box::new(ExtentsSink { plan, main, descriptor, extents, extent_bytes: extent_sectors * SECTOR }))
}

/// The names of the extents' files as VMware gives them.
fn file_names(create_type: CreateType, image: Option<&str>, count: u64) -> Result<Vec<String>> {
    if create_type == CreateType::MonolithicSparse {
        // Nothing looks for the file by this name, so one that cannot be written does no harm.
        return Ok(vec![image.and_then(|name| quotable(name).ok()).unwrap_or("disk.vmdk").to_owned()]);
    }
    let image = image.ok_or_else(|| {
        let text = format!("subformat={} needs files with names beside the image", create_type.name());
        Error::unsupported(text).hint("write it to a file in a folder")
    })?;
    let image = quotable(image)?;
    let stem = match image.len().checked_sub(5).and_then(|at| image.split_at_checked(at)) {
        Some((stem, end)) if end.eq_ignore_ascii_case(".vmdk") && !stem.is_empty() => stem,
        _ => image,
    };
    Ok(match create_type {
        CreateType::TwoGbMaxExtentSparse => (1..=count).map(|n| format!("{stem}-s{n:03}.vmdk")).collect(),
        CreateType::TwoGbMaxExtentFlat => (1..=count).map(|n| format!("{stem}-f{n:03}.vmdk")).collect(),
        _ => vec![format!("{stem}-flat.vmdk")],
    })
}

impl ExtentFile {
    fn create(target: Box<dyn TargetStorage>, sectors: u64, plan: &Plan) -> Result<Self> {
        if plan.create_type.is_flat() {
            // A host that cannot hold a file of this size says so now.
            target.set_len(sectors.saturating_mul(SECTOR))?;
            return Ok(Self { target, sparse: None });
        }
        let sparse = SparseExtent::create(sectors, plan, target.as_ref())?;
        Ok(Self { target, sparse: Some(sparse) })
    }

    fn resume(target: Box<dyn TargetStorage>, sectors: u64, end: u64, plan: &Plan) -> Result<Self> {
        if plan.create_type.is_flat() {
            target.resume_at(sectors.saturating_mul(SECTOR))?;
            return Ok(Self { target, sparse: None });
        }
        let sparse = SparseExtent::resume(sectors, end, plan, target.as_ref())?;
        Ok(Self { target, sparse: Some(sparse) })
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        match &self.sparse {
            Some(sparse) => sparse.write_at(offset, bytes, self.target.as_ref()),
            None => self.target.write_all_at(offset, bytes),
        }
    }

    fn zero_at(&self, offset: u64, len: u64, hides: bool) -> Result<()> {
        match &self.sparse {
            Some(sparse) if hides => sparse.hide_at(offset, len, self.target.as_ref()),
            // A grain without an entry reads as zeros.
            Some(sparse) => sparse.forget(offset, len, self.target.as_ref()),
            None => self.target.zero_range(offset, len),
        }
    }

    /// Writes all that is missing, and makes it durable.
    fn close(&self, descriptor: &[u8]) -> Result<()> {
        if let Some(sparse) = &self.sparse {
            sparse.finish(self.target.as_ref())?;
            self.target.sync()?;
            // Last of all: before that the file is no extent.
            self.target.write_all_at(0, &sparse.head(descriptor)?)?;
        }
        self.target.sync()
    }
}

impl ExtentsSink {
    fn check_range(&self, offset: u64, len: u64) -> Result<()> {
        let (chunk, size) = (self.needs().chunk_size, self.plan.virtual_size);
        let end = offset.checked_add(len).filter(|&end| end <= size);
        let whole = end.is_some_and(|end| end.is_multiple_of(chunk) || end == size);
        if offset.is_multiple_of(chunk) && whole && len > 0 {
            return Ok(());
        }
        Err(contract(format!(
            "{len:#x} bytes at {offset:#x} are not whole chunks of {chunk:#x} in {size:#x} bytes"
        )))
    }

    /// The parts of a range that was checked.
    fn pieces(&self, offset: u64, len: u64) -> impl Iterator<Item = Piece<'_>> {
        let (mut at, end) = (offset, offset + len);
        std::iter::from_fn(move || {
            let extent = self.extents.get((at / self.extent_bytes) as usize)?;
            let inside = at % self.extent_bytes;
            let len = (self.extent_bytes - inside).min(end - at);
            at += len;
            (len > 0).then_some(Piece { extent, offset: inside, len })
        })
    }
}

impl Sink for ExtentsSink {
    fn needs(&self) -> Needs {
        let chunk_size = if self.plan.create_type.is_flat() { FLAT_CHUNK } else { GRAIN };
        Needs { order: Order::Any, chunk_size, packed: false }
    }

    fn write_at(&self, offset: u64, data: Packed<'_>) -> Result<()> {
        let Packed::Plain(mut bytes) = data else {
            return Err(contract("these extents hold no encoded chunks".into()));
        };
        self.check_range(offset, bytes.len() as u64)?;
        for piece in self.pieces(offset, bytes.len() as u64) {
            let (now, rest) = bytes.split_at(bytes.len().min(piece.len as usize));
            piece.extent.write_at(piece.offset, now)?;
            bytes = rest;
        }
        Ok(())
    }

    fn zero_at(&self, offset: u64, len: u64) -> Result<()> {
        self.check_range(offset, len)?;
        let hides = self.plan.parent.is_some();
        self.pieces(offset, len).try_for_each(|piece| piece.extent.zero_at(piece.offset, piece.len, hides))
    }

    fn flush(&self) -> Result<()> {
        self.extents.iter().try_for_each(|extent| extent.target.sync())
    }

    fn checkpoint(&self) -> Result<Option<Vec<u8>>> {
        if self.plan.parent.is_some() {
            return Ok(None);
        }
        let end = |extent: &ExtentFile| match &extent.sparse {
            Some(sparse) => sparse.next(extent.target.as_ref()),
            None => Ok(0),
        };
        let ends: Vec<u64> = self.extents.iter().map(end).collect::<Result<_>>()?;
        Ok(Some(StateWriter::default().list(&ends).bytes()))
    }

    fn finish(self: Box<Self>) -> Result<()> {
        let Self { main, descriptor, extents, .. } = *self;
        let embedded = embedded(if main.is_none() { descriptor.clone() } else { String::new() })?;
        // No file gets its name, or takes that of an older one, before all of them are whole.
        extents.iter().try_for_each(|extent| extent.close(&embedded))?;
        if let Some(main) = &main {
            main.write_all_at(0, descriptor.as_bytes())?;
            main.set_len(descriptor.len() as u64)?;
            main.sync()?;
        }
        extents.into_iter().try_for_each(|extent| extent.target.commit())?;
        main.map_or(Ok(()), TargetStorage::commit)
    }
}
