//! A folder as a container of disks.

use crate::build::build;
use crate::content::Contents;
use crate::error::ClonezillaError;
use crate::image::Image;
use crate::names::Kind;
use crate::role::faults;
use crate::unplaced::lacks;
use format_core::units::MIB;
use format_core::{
    CheckReport, Container, Details, Disk, DiskEntry, Error, ErrorKind, ExtentKind, Finding, InnerImage,
    LayerContext, Origin, Result, Score, Severity, SourceFolder, Tick, Warning,
};
use std::sync::Arc;

/// Read at once by a check.
const PIECE: u64 = MIB;

struct ClonezillaFolder {
    image: Image,
    contents: Contents,
    disks: Vec<DiskEntry>,
    warnings: Vec<Warning>,
}

/// Names that only Clonezilla puts beside the lists of disks and partitions.
const MARKS: [&str; 5] =
    ["clonezilla-img", "blkdev.list", "dev-fs.list", "Info-packages.txt", "Info-img-id.txt"];

pub(crate) fn probe(folder: &SourceFolder) -> Score {
    let has = |name: &str| matches!(folder.file_size(name), Ok(Some(_)));
    let is_it = (has("parts") || has("disk")) && MARKS.iter().any(|mark| has(mark));
    if is_it || (has("ecryptfs.info") && has("clonezilla-img")) { Score::Magic } else { Score::No }
}

pub(crate) fn open(origin: Origin, context: &LayerContext) -> Result<Box<dyn Container>> {
    let Origin::Folder(folder) = origin else { return Err(ClonezillaError::NoFolder.into()) };
    let image = Image::load(Arc::clone(&folder))?;
    let entry = |disk: &crate::image::SavedDisk| DiskEntry {
        name: disk.name.clone(),
        virtual_size: Some(disk.size).filter(|size| *size > 0),
    };
    let disks = image.disks.iter().map(entry).collect();
    let mut warnings = Vec::new();
    if let (files @ 1.., bytes) = image.packed() {
        let text = format!(
            "{files} contents are compressed, {bytes} bytes together: those that cannot be read at any place are unpacked \
             into temporary files before a disk is read"
        );
        warnings.push(Warning::new("clonezilla-unpacked", text));
    }
    if !image.is_whole {
        let text = "partitions were saved, not whole disks: what lies outside of them may be missing";
        warnings.push(Warning::new("clonezilla-parts-only", text));
    }
    let contents = Contents::new(context.clone(), folder);
    Ok(Box::new(ClonezillaFolder { image, contents, disks, warnings }))
}

impl Container for ClonezillaFolder {
    fn format(&self) -> &'static str {
        crate::FORMAT.name
    }

    fn disks(&self) -> &[DiskEntry] {
        &self.disks
    }

    fn open_disk(&self, index: usize) -> Result<InnerImage> {
        let disk =
            self.image.disks.get(index).ok_or_else(|| Error::usage(format!("there is no disk {index}")))?;
        let (disk, warnings) = build(&self.image, &self.contents, disk)?;
        Ok(InnerImage { disk, format: None, warnings })
    }

    fn details(&self) -> Details {
        let mut details = Details::new();
        let kind = if self.image.is_whole { "disks" } else { "partitions" };
        details.insert("saved".into(), kind.into());
        details.insert("contents".into(), self.image.contents.len().into());
        let groups: Vec<&str> = self.image.groups.iter().map(|group| group.name.as_str()).collect();
        if !groups.is_empty() {
            details.insert("volume-groups".into(), groups.into());
        }
        details
    }

    fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    fn completeness(&self) -> Result<Vec<Finding>> {
        let mut findings = Vec::<Finding>::new();
        for disk in &self.image.disks {
            let faults =
                faults(&self.image, disk).into_iter().map(|fault| (Severity::Error, fault.to_string()));
            // What only may be missing is a warning of the disk.
            let lacks = lacks(&self.image, disk).into_iter().filter(|lack| lack.severity == Severity::Error);
            let lacks = lacks.map(|lack| (lack.severity, lack.text));
            for (severity, message) in faults.chain(lacks) {
                let finding = Finding { severity, message, at: None };
                if !findings.contains(&finding) {
                    findings.push(finding);
                }
            }
        }
        Ok(findings)
    }

    fn check(&self, tick: Tick<'_>) -> Result<CheckReport> {
        let mut report = CheckReport::default();
        for (subject, saved) in &self.image.contents {
            if saved.kind != Kind::Partclone || saved.file_system == "dd" {
                let text =
                    format!("{subject} was saved without checksums: only its compression tells of damage");
                report.note(text, None);
            }
        }
        for (index, entry) in self.disks.iter().enumerate() {
            match self.open_disk(index) {
                Ok(opened) => read_all(&opened.disk, &entry.name, &mut report, tick)?,
                Err(error) if is_finding(&error) => {
                    report.error(format!("{}: {error}", entry.name), error.offset())
                }
                Err(error) => return Err(error),
            }
        }
        Ok(report)
    }
}

/// What is wrong with the folder, and not with the host.
fn is_finding(error: &Error) -> bool {
    !matches!(
        error.kind(),
        ErrorKind::Io | ErrorKind::Temporary | ErrorKind::Denied | ErrorKind::Usage | ErrorKind::Contract
    )
}

/// Reading compares all checksums; what cannot be read is a finding, and the rest is read all the same.
fn read_all(disk: &Disk, name: &str, report: &mut CheckReport, tick: Tick<'_>) -> Result<()> {
    let mut buf = vec![0; PIECE as usize];
    let (mut at, size) = (0, disk.virtual_size());
    while at < size {
        let extent = match disk.extent_at(at) {
            Ok(extent) => extent,
            Err(error) if is_finding(&error) => {
                report.error(format!("{name} at {at:#x}: {error}"), None);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        if extent.kind != ExtentKind::Data {
            at = extent.end();
            continue;
        }
        let len = extent.len.min(PIECE);
        match disk.read_exact_at(at, &mut buf[..len as usize]) {
            Ok(()) => {}
            Err(error) if is_finding(&error) => report.error(format!("{name} at {at:#x}: {error}"), None),
            Err(error) => return Err(error),
        }
        tick(len)?;
        at += len;
    }
    Ok(())
}
