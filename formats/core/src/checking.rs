//! Checks the structure of an image and of its parents. Nothing is ever repaired in place.

use crate::chain::{cannot_read, canonical, open_container, open_source};
use crate::source::Source;
use crate::{
    CheckReport, Container, Disk, ErrorKind, ExtentKind, FolderGate, Format, Gate, OpenOptions, Result,
    Severity, Tick, open_image,
};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What the check of one image file found.
#[derive(Clone, Debug)]
pub struct CheckedImage {
    /// Where it lies.
    pub path: PathBuf,
    /// Its format.
    pub format: &'static Format,
    /// What was found.
    pub report: CheckReport,
}

/// Checks the image at `path` and the chain below it, top first. Of a container everything is read and compared with
/// its checksums, which `tick` is told about. A chain that is damaged or not whole is an error of the
/// top's report, when the top itself could be checked; one that is encrypted is only a note there.
///
/// # Errors
/// As [`open_image`] for a top that cannot be looked at at all, and where no damage but the request or the host keeps a
/// chain from being opened.
pub fn check_image(path: &Path, options: &OpenOptions, tick: Tick<'_>) -> Result<Vec<CheckedImage>> {
    let (source, format) = open_source(path, options)?;
    if !format.is_readable() {
        return Err(cannot_read(format));
    }
    let top = source.path.clone();
    let around = check_wrappers(&source, options)?;
    if let Some(open) = format.open_container {
        let failed = |e: crate::Error| e.context(format!("check {}", path.display()));
        let container = open_container(source, format, open, options).map_err(failed)?.container;
        let mut report = container.check(tick).map_err(failed)?;
        read_images_inside(container.as_ref(), &mut report, tick)?;
        for finding in container.completeness().map_err(failed)? {
            match finding.severity {
                Severity::Error if !report.findings.contains(&finding) => {
                    report.error(finding.message, finding.at)
                }
                _ => {}
            }
        }
        return Ok(std::iter::once(CheckedImage { path: top, format, report }).chain(around).collect());
    }
    let report = check_file(source, format, options);
    let opened = match (open_image(path, options), report) {
        (Ok(opened), Ok(report)) => {
            let mut checked = vec![CheckedImage { path: top, format, report }];
            let mut options = options.clone();
            options.access.snapshot = None;
            let allowed = canonical(&options.allow_parents)?;
            for link in opened.chain.iter().skip(1) {
                let folder = link.path.parent().map(Path::to_owned).unwrap_or_default();
                let gate = Arc::new(FolderGate::new(folder, Arc::clone(&allowed))) as Arc<dyn Gate>;
                let source = Source::of_path(&link.path, gate)?;
                let report = check_file(source, link.format, &options)?;
                checked.push(CheckedImage { path: link.path.clone(), format: link.format, report });
            }
            if let Some(first) = checked.first_mut() {
                walk(&opened.disk, &mut first.report);
            }
            checked.extend(around);
            return Ok(checked);
        }
        (Err(error), Ok(mut report)) => {
            match error.kind() {
                ErrorKind::Corrupt | ErrorKind::Unsupported | ErrorKind::Limit | ErrorKind::SourceMissing => {
                    report.error(error.to_string(), error.offset());
                }
                ErrorKind::NeedsPerson => {
                    let text = format!("only the structure was checked, the disk was not read: {error}");
                    report.note(text, error.offset());
                }
                _ => return Err(error),
            }
            report
        }
        (_, Err(error)) => return Err(error),
    };
    Ok(std::iter::once(CheckedImage { path: top, format, report: opened }).chain(around).collect())
}

/// Images that lie in a container have checksums of their own, which show when they are read; what the container itself holds
/// it has read already.
fn read_images_inside(container: &dyn Container, report: &mut CheckReport, tick: Tick<'_>) -> Result<()> {
    let mut buf = vec![0; 1 << 20];
    for (index, entry) in container.disks().iter().enumerate() {
        let read = container.open_disk(index).and_then(|image| match image.format {
            Some(_) => read_all(&image.disk, &mut buf, tick),
            None => Ok(()),
        });
        match read {
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::Corrupt | ErrorKind::SourceMissing | ErrorKind::Limit
                ) =>
            {
                report.error(format!("{}: {error}", entry.name), error.offset());
            }
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::Unsupported | ErrorKind::NeedsPerson | ErrorKind::Usage
                ) =>
            {
                report.note(format!("{} was not read: {error}", entry.name), error.offset());
            }
            other => other?,
        }
    }
    Ok(())
}

fn read_all(disk: &Disk, buf: &mut [u8], tick: Tick<'_>) -> Result<()> {
    for extent in disk.extents(0, disk.virtual_size()) {
        let extent = extent?;
        let mut at = extent.offset;
        while extent.kind == ExtentKind::Data && at < extent.end() {
            let len = buf.len().min(usize::try_from(extent.end() - at).unwrap_or(usize::MAX));
            disk.read_exact_at(at, &mut buf[..len])?;
            tick(len as u64)?;
            at += len as u64;
        }
    }
    Ok(())
}

/// The compressed files that the image was unpacked from: everything in them is read.
fn check_wrappers(source: &Source, options: &OpenOptions) -> Result<Vec<CheckedImage>> {
    let mut checked = Vec::new();
    for (format, storage) in &source.wrappers {
        let Some(check) = format.check else { continue };
        let context = source.context(Arc::clone(&source.gate), options);
        let failed = |e: crate::Error| e.context(format!("check {}", source.path.display()));
        let report = check(Arc::clone(storage), &context).map_err(failed)?;
        checked.push(CheckedImage { path: source.path.clone(), format, report });
    }
    Ok(checked)
}

fn check_file(source: Source, format: &'static Format, options: &OpenOptions) -> Result<CheckReport> {
    let Some(check) = format.check else { return Ok(CheckReport::default()) };
    let context = source.context(Arc::clone(&source.gate), options);
    check(Arc::clone(&source.storage), &context)
        .map_err(|e| e.context(format!("check {}", source.path.display())))
}

/// Every extent of the disk has to be found: a last test that no room's own check can forget.
fn walk(disk: &Disk, report: &mut CheckReport) {
    let known = report.errors > 0;
    if let Some(Err(error)) = disk.extents(0, disk.virtual_size()).find(Result::is_err)
        && !known
    {
        report.error(error.to_string(), error.offset());
    }
}
