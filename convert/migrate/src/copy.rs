//! One disk: written, proven, told in manifest and report.

use crate::prove::{Proof, prove};
use crate::report::DiskReport;
use crate::wrap::Wrapping;
use convert_engine::{ChangedRange, Control, ConvertRequest, Destination, convert, digest_disk};
use format_core::{Disk, Error, ErrorKind, Fence, Format, OpenedImage, Overlay, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The image that is written for one disk.
pub(crate) struct TargetImage {
    pub(crate) path: PathBuf,
    pub(crate) format: &'static Format,
    pub(crate) options: BTreeMap<String, String>,
    pub(crate) replace: bool,
}

/// A disk before and after the edits, as the target has it.
pub(crate) struct DiskPair {
    before: Disk,
    after: Disk,
    changed: Vec<(u64, u64)>,
    /// The source's disk, where that is not `before`, and where it lies there.
    unwrapped: Option<(Disk, u64)>,
}

impl DiskPair {
    /// # Errors
    /// As [`Wrapping::around`].
    pub(crate) fn of(overlay: &Arc<Overlay>, wrapping: Option<&Wrapping>) -> Result<Self> {
        let (before, after) = (overlay.base().clone(), overlay.disk());
        let changed = overlay.changed_ranges();
        Ok(match wrapping {
            None => Self { before, after, changed, unwrapped: None },
            Some(wrapping) => Self {
                after: wrapping.around(&after)?,
                changed: wrapping.shifted(changed),
                unwrapped: Some((before.clone(), wrapping.offset)),
                before: wrapping.around(&before)?,
            },
        })
    }
}

/// Writes the image and proves it.
///
/// # Errors
/// What source and host report; `Mismatch` when the proof fails.
pub(crate) fn copy_and_prove(
    source: &OpenedImage,
    pair: &DiskPair,
    target: &TargetImage,
    report: &mut DiskReport,
    control: Control<'_>,
) -> Result<Vec<format_core::Warning>> {
    let (image, format) = (target.path.as_path(), target.format);
    let convert_request = ConvertRequest {
        source,
        disk: &pair.after,
        target: Destination::File { path: image, replace: target.replace },
        format,
        options: target.options.clone(),
        base: None,
        proof: convert_engine::Proof::DIGEST,
    };
    let outcome = convert(convert_request, control)?;
    let warnings = outcome.warnings.clone();
    let (mut manifest, copy) = outcome.into_manifest()?;
    let proof = prove(image, format, &copy.blocks, &pair.before, &pair.changed, control)
        .and_then(|proof| with_own_digest(proof, pair.unwrapped.as_ref().map(|(disk, _)| disk), control))
        .map_err(|e| put_aside(image, e))?;
    report.changed = pair.changed.clone();
    manifest.source.digest = Some(proof.source_digest.clone());
    manifest.source.offset = pair.unwrapped.as_ref().map(|(_, offset)| *offset);
    manifest.changed = report.changed.iter().map(|&(offset, len)| ChangedRange { offset, len }).collect();
    manifest.save(image, &copy.blocks)?;
    report.digest = Some(manifest.digest.clone());
    report.source_digest = Some(proof.source_digest);
    report.data_bytes = Some(copy.read);
    report.file_size = Some(manifest.image.file_size);
    report.differing_blocks = Some(proof.differing_blocks);
    Ok(warnings)
}

/// The source's digest is that of its disk as it was, not of the wrapped one.
fn with_own_digest(proof: Proof, unwrapped: Option<&Disk>, control: Control<'_>) -> Result<Proof> {
    let Some(disk) = unwrapped else { return Ok(proof) };
    let source_digest = digest_disk(disk, "digest source", control)?.blocks.digest()?.to_hex().to_string();
    Ok(Proof { source_digest, ..proof })
}

/// An image that was not proven must not keep a name under which somebody would use it. One that was proven wrong is
/// evidence of a bug or a failing disk and is kept under another name.
pub(crate) fn put_aside(image: &Path, error: Error) -> Error {
    // It may be that of the run that has taken over.
    if let Err(lost) = Fence::of_process().and_then(|fence| fence.map_or(Ok(()), Fence::check)) {
        return lost.context(error.to_string());
    }
    let mut aside = image.as_os_str().to_owned();
    aside.push(".failed");
    let (done, what) = if error.kind() == ErrorKind::Mismatch {
        (
            std::fs::rename(image, &aside),
            format!("the image was put aside as {}", Path::new(&aside).display()),
        )
    } else {
        (std::fs::remove_file(image), "run the same command again".to_owned())
    };
    match done {
        Ok(()) => error.hint(what),
        Err(e) => error.hint(format!(
            "do not use {}: it was not proven and could not be removed ({e})",
            image.display()
        )),
    }
}
