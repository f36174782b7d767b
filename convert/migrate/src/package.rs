//! The machine in one file: definition and images in an OVA, read back before the loose images go.

use crate::definition::Definition;
use crate::folder::Folder;
use crate::report::MigrateReport;
use convert_engine::{BLOCKS_SUFFIX, Control, MANIFEST_SUFFIX, digest_disk};
use format_all::OvaWriter;
use format_core::{Error, ErrorKind, FileTarget, OpenOptions, Result, open_images};
use std::fs::File;
use std::path::Path;

/// Puts the images into the package at `path`, proves that it holds their disks, and removes them.
///
/// # Errors
/// `Mismatch` when a disk does not read back from the package as it was written; what the host reports.
pub(crate) fn pack(
    path: &Path,
    folder: &Folder<'_>,
    definition: &Definition,
    report: &MigrateReport,
    replace: bool,
    control: Control<'_>,
) -> Result<()> {
    let failed = |e: Error| e.context(format!("write {}", path.display()));
    write(path, folder, definition, replace, control).map_err(failed)?;
    prove(path, report, control).map_err(|e| crate::copy::put_aside(path, e))?;
    for file in &definition.disk_files {
        let image = folder.image(file);
        for suffix in ["", MANIFEST_SUFFIX, BLOCKS_SUFFIX] {
            let mut name = image.clone().into_os_string();
            name.push(suffix);
            let removed = std::fs::remove_file(&name);
            removed.map_err(|e| Error::io(format!("cannot remove {}", Path::new(&name).display()), e))?;
        }
    }
    Ok(())
}

fn write(
    path: &Path,
    folder: &Folder<'_>,
    definition: &Definition,
    replace: bool,
    control: Control<'_>,
) -> Result<()> {
    let mut total = 0u64;
    let mut images = Vec::new();
    for file in &definition.disk_files {
        let open = |e| Error::io(format!("cannot read {file}"), e);
        let image = File::open(folder.image(file)).map_err(open)?;
        let size = image.metadata().map_err(open)?.len();
        total = total.saturating_add(size);
        images.push((file, image, size));
    }
    control.observer.begin("pack", total);
    let tick = |bytes| {
        control.observer.advance(bytes);
        control.check()
    };
    let target = Box::new(FileTarget::create(path, replace)?);
    let mut writer = OvaWriter::new(target, &definition.file_name, definition.text.as_bytes())?;
    for (name, mut image, size) in images {
        writer.add(name, size, &mut image, &tick)?;
    }
    writer.finish()?;
    control.observer.end();
    Ok(())
}

/// What the package holds is opened as anybody would open it.
fn prove(path: &Path, report: &MigrateReport, control: Control<'_>) -> Result<()> {
    let opened = open_images(path, &OpenOptions::new(format_all::FORMATS, None))?;
    if opened.len() != report.disks.len() {
        let text = format!("the package holds {} disks, {} were written", opened.len(), report.disks.len());
        return Err(Error::new(ErrorKind::Mismatch, text));
    }
    for (image, disk) in opened.iter().zip(&report.disks) {
        let found =
            digest_disk(&image.disk, "verify package", control)?.blocks.digest()?.to_hex().to_string();
        if Some(&found) != disk.digest.as_ref() {
            let text = format!("{} in the package reads as {found}, which was not written", disk.file);
            return Err(Error::new(ErrorKind::Mismatch, text));
        }
    }
    Ok(())
}
