//! Checking a disk's structure: directories and tables, grains that overlap, room that nothing uses, markers.

use crate::descriptor::Descriptor;
use crate::error::VmdkError;
use crate::extent::REDUNDANT_USED;
use crate::extent::{FlatExtent, GrainExtent, Shared, load, open_hosted_header, parse_cowd, parse_sesparse};
use crate::extent_line::ExtentType;
use crate::layout::{COWD_HEADER_LEN, SECTOR};
use crate::parse::{Directory, Header, Start, recognise};
use crate::parts::ExtentFiles;
use crate::read::{load_embedded, load_text};
use crate::redundant::{check_copies, check_markers};
use crate::walk::{Metadata, walk};
use format_core::{CheckReport, ErrorKind, Format, LayerContext, Result, Storage};
use std::sync::Arc;

/// Checks the image and all its extent files.
pub(crate) fn check(storage: Arc<dyn Storage>, context: &LayerContext) -> Result<CheckReport> {
    let head = load(storage.as_ref(), "header", 0, storage.size().min(Format::PROBE_LEN as u64))?;
    let mut report = CheckReport::default();
    let mut checker = Checker { shared: Shared::new(), report: &mut report, name: String::new() };
    match recognise(&head) {
        Some(Start::Sparse) => checker.embedded(storage)?,
        Some(Start::Text) => {
            let descriptor = load_text(storage.as_ref())?;
            descriptor.describe()?;
            checker.described(&descriptor, context)?;
        }
        // The structure of a lone extent can be checked, although the disk cannot be read without its descriptor.
        Some(Start::Cowd) => {
            let sectors = parse_cowd(storage.as_ref())?.num_sectors.into();
            checker.extent(ExtentType::Cowd, storage, sectors)?;
        }
        Some(Start::SeSparse) => {
            let sectors = parse_sesparse(storage.as_ref())?.capacity;
            checker.extent(ExtentType::SeSparse, storage, sectors)?;
        }
        None => return Err(VmdkError::NotVmdk.into()),
    }
    Ok(report)
}

struct Checker<'a> {
    shared: Shared,
    report: &'a mut CheckReport,
    /// Of the extent file, where the disk has several.
    name: String,
}

impl Checker<'_> {
    fn embedded(&mut self, storage: Arc<dyn Storage>) -> Result<()> {
        let header = open_hosted_header(storage.as_ref())?;
        let size = match load_embedded(storage.as_ref(), &header) {
            Ok(descriptor) => descriptor.describe_embedded(&header)?.virtual_size,
            // One extent file of a split disk.
            Err(_) if header.descriptor.is_empty() => header.capacity_sectors.saturating_mul(SECTOR),
            Err(error) if error.kind() == ErrorKind::Unsupported => {
                header.capacity_sectors.saturating_mul(SECTOR)
            }
            Err(error) => return Err(error),
        };
        self.hosted(storage, header, size)
    }

    fn described(&mut self, descriptor: &Descriptor, context: &LayerContext) -> Result<()> {
        let mut files = ExtentFiles::new(descriptor, context);
        for line in descriptor.extents.iter().filter(|line| line.sectors > 0) {
            let extent_type = line.readable()?;
            if extent_type == ExtentType::Zero {
                continue;
            }
            self.name = format!("{}: ", line.name);
            let checked = files.open(line).and_then(|storage| match extent_type {
                ExtentType::Flat => {
                    Ok(FlatExtent::new(storage, &line.name, line.offset, line.sectors).map(drop)?)
                }
                _ => self.extent(extent_type, storage, line.sectors),
            });
            self.note_error(checked)?;
        }
        Ok(())
    }

    fn extent(&mut self, extent_type: ExtentType, storage: Arc<dyn Storage>, sectors: u64) -> Result<()> {
        match extent_type {
            ExtentType::Flat | ExtentType::Zero => Ok(()),
            ExtentType::Sparse => {
                let header = open_hosted_header(storage.as_ref())?;
                header.check_described(sectors)?;
                self.hosted(storage, header, sectors.saturating_mul(SECTOR))
            }
            ExtentType::Cowd => {
                let extent = GrainExtent::cowd(storage, sectors, &mut self.shared)?;
                self.walk(&extent, vec![Metadata::new("header", 0, COWD_HEADER_LEN)], false)
            }
            ExtentType::SeSparse => {
                let extent = GrainExtent::sesparse(storage, sectors, &mut self.shared)?;
                self.walk(&extent, vec![Metadata::new("headers", 0, 2 * SECTOR)], false)
            }
        }
    }

    fn hosted(&mut self, storage: Arc<dyn Storage>, header: Header, size: u64) -> Result<()> {
        let in_footer = header.directory == Directory::InFooter;
        let header = header.completed(storage.as_ref())?;
        // Of all extents together, although each is loaded on its own.
        self.shared.take_entries(header.directory_entries()?)?;
        if header.unclean_shutdown {
            let name = &self.name;
            self.report
                .note(format!("{name}the disk was not closed by the last program that wrote it"), None);
        }
        let mut own = Shared::new();
        let extent = GrainExtent::hosted(Arc::clone(&storage), header.clone(), size, &mut own)?;
        let text = header.descriptor.clone();
        let mut metadata = vec![
            Metadata::new("header", 0, SECTOR),
            Metadata::new("descriptor", text.start, text.end - text.start),
        ];
        let broken = own.warnings.iter().find(|warning| warning.code == REDUNDANT_USED);
        let mut found = CheckReport::default();
        match (broken, header.redundant_directory) {
            (Some(warning), _) => found.error(warning.message.clone(), None),
            (None, Some(at)) => {
                check_copies(storage.as_ref(), &header, &extent, at, &mut found, &mut metadata)?;
            }
            (None, None) => {}
        }
        if in_footer {
            check_markers(storage.as_ref(), &header, &extent, &mut found)?;
        }
        // Only the first hundred are kept in words.
        self.report.errors += found.errors.saturating_sub(found.findings.len() as u64);
        for finding in found.findings {
            self.report.error(format!("{}{}", self.name, finding.message), finding.at);
        }
        self.walk(&extent, metadata, !header.is_compressed())
    }

    fn walk(&mut self, extent: &GrainExtent, metadata: Vec<Metadata>, find_leaks: bool) -> Result<()> {
        walk(extent, metadata, find_leaks, &self.name, self.report)
    }

    /// Of several extents, one that cannot be opened does not keep the others from being checked.
    fn note_error(&mut self, checked: Result<()>) -> Result<()> {
        match checked {
            Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::SourceMissing) => {
                self.report.error(format!("{}{}", self.name, error.message()), None);
                Ok(())
            }
            other => other,
        }
    }
}
