//! The extent files of a descriptor in a file of its own, opened through the gate.

use crate::descriptor::Descriptor;
use crate::error::VmdkError;
use crate::extent::{ExtentFile, FlatExtent, GrainExtent, Shared, ZeroExtent, open_hosted_header};
use crate::extent_line::{ExtentLine, ExtentType};
use crate::layout::{SECTOR, SPARSE_MAGIC};
use crate::read::Part;
use format_core::{Error, FileStorage, LayerContext, Result, Storage};
use std::collections::HashMap;
use std::error::Error as _;
use std::sync::Arc;

/// What the system says when a process may open no more files: EMFILE and ENFILE.
const TOO_MANY_FILES: [i32; 2] = [24, 23];

/// The files that were opened, by the name that the gate knows them by: extents may share one.
pub(crate) struct ExtentFiles<'a> {
    context: &'a LayerContext,
    descriptor: &'a Descriptor,
    opened: HashMap<String, Arc<FileStorage>>,
}

impl<'a> ExtentFiles<'a> {
    pub(crate) fn new(descriptor: &'a Descriptor, context: &'a LayerContext) -> Self {
        Self { context, descriptor, opened: HashMap::new() }
    }

    /// The file of an extent line.
    pub(crate) fn open(&mut self, line: &ExtentLine) -> Result<Arc<FileStorage>> {
        let name = line.host_name(&self.descriptor.encoding)?;
        if self.context.name.as_ref() == Some(&name) {
            return Err(VmdkError::OwnExtent { name }.into());
        }
        if let Some(opened) = self.opened.get(&name) {
            return Ok(Arc::clone(opened));
        }
        let count = self.descriptor.extents.len();
        let found = self.context.gate.open(&name).map_err(|error| explain(error, count))?;
        let storage = Arc::new(found.storage);
        self.opened.insert(name, Arc::clone(&storage));
        Ok(storage)
    }
}

/// Names the limit that a disk of thousands of extents meets.
fn explain(error: Error, count: usize) -> Error {
    let code = error.source().and_then(|cause| cause.downcast_ref::<std::io::Error>());
    match code.and_then(std::io::Error::raw_os_error) {
        Some(code) if TOO_MANY_FILES.contains(&code) => VmdkError::OpenFiles { count }.into(),
        _ => error,
    }
}

/// Opens all extents of a descriptor that was judged already.
pub(crate) fn open_parts(
    descriptor: &Descriptor,
    context: &LayerContext,
    shared: &mut Shared,
) -> Result<Vec<Part>> {
    // What can be refused by its line alone is refused before any file is opened.
    let mut types = Vec::with_capacity(descriptor.extents.len());
    for line in &descriptor.extents {
        types.push(line.readable()?);
    }
    let mut files = ExtentFiles::new(descriptor, context);
    let (mut parts, mut start) = (Vec::new(), 0);
    for (line, extent_type) in descriptor.extents.iter().zip(types).filter(|(line, _)| line.sectors > 0) {
        let file = open_part(line, extent_type, &mut files, shared)
            .map_err(|error| error.context(format!("extent {:?}", line.name)))?;
        let (name, len) = (line.name.clone(), line.sectors.saturating_mul(SECTOR));
        parts.push(Part { start, len, file, name, extent_type: line.extent_type.clone() });
        start += len;
    }
    Ok(parts)
}

fn open_part(
    line: &ExtentLine,
    extent_type: ExtentType,
    files: &mut ExtentFiles<'_>,
    shared: &mut Shared,
) -> Result<Box<dyn ExtentFile>> {
    if extent_type == ExtentType::Zero {
        return Ok(Box::new(ZeroExtent));
    }
    let storage: Arc<dyn Storage> = files.open(line)?;
    let sectors = line.sectors;
    Ok(match extent_type {
        ExtentType::Zero => Box::new(ZeroExtent),
        ExtentType::Flat => Box::new(FlatExtent::new(storage, &line.name, line.offset, sectors)?),
        ExtentType::Sparse => Box::new(open_sparse(storage, sectors, shared)?),
        ExtentType::Cowd => Box::new(GrainExtent::cowd(storage, sectors, shared)?),
        ExtentType::SeSparse => Box::new(GrainExtent::sesparse(storage, sectors, shared)?),
    })
}

/// Opens a SPARSE extent: hosted sparse, whose own descriptor (if any) is not this disk's.
fn open_sparse(storage: Arc<dyn Storage>, sectors: u64, shared: &mut Shared) -> Result<GrainExtent> {
    let mut magic = [0; SPARSE_MAGIC.len()];
    if storage.size() >= SECTOR {
        storage.read_exact_at(0, &mut magic)?;
    }
    if &magic != SPARSE_MAGIC {
        return Err(VmdkError::NotThatExtent { what: "file", extent: crate::extent::HOSTED }.into());
    }
    let header = open_hosted_header(storage.as_ref())?;
    header.check_described(sectors)?;
    GrainExtent::hosted(storage, header, sectors * SECTOR, shared)
}

#[cfg(test)]
mod tests {
    use super::*;
    use format_core::ErrorKind;

    #[test]
    fn the_limit_of_open_files_is_named() {
        for code in TOO_MANY_FILES {
            let error = Error::io("cannot open a-s999.vmdk", std::io::Error::from_raw_os_error(code));
            let error = explain(error, 32768);
            assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
            assert!(
                error.message().contains("32768 extents") && error.hint_text().unwrap().contains("ulimit")
            );
        }
        let error = explain(Error::io("cannot open a", std::io::Error::from_raw_os_error(5)), 1);
        assert_eq!(error.kind(), ErrorKind::Io, "{error}");
    }
}
