//! `rehome check`

use crate::args::CheckArgs;
use crate::commands::convert::without_manifest;
use crate::commands::file_format;
use crate::output::{Printer, counted, safe};
use convert_engine::{Control, ConvertRequest, Destination, LostRange, Proof, convert, salvaged};
use format_core::units::format_size;
use format_core::{
    CheckReport, CheckedImage, Error, ErrorKind, Finding, OpenOptions, Result, Severity, Warning,
    check_image, open_image,
};
use serde::Serialize;
use std::path::Path;
use std::process::ExitCode;
use std::sync::OnceLock;

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Outcome {
    #[serde(flatten)]
    image: Image,
    /// The image and its parents, top first.
    chain: Vec<Image>,
    #[serde(skip_serializing_if = "Option::is_none")]
    repair: Option<Repair>,
}

/// One image of the chain, with the keys of `qemu-img check --output json`.
#[derive(Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Image {
    filename: String,
    format: &'static str,
    /// Errors of the check itself; one that cannot be done ends with an error instead.
    check_errors: u64,
    corruptions: u64,
    leaks: u64,
    leaked_bytes: u64,
    total_clusters: u64,
    allocated_clusters: u64,
    compressed_clusters: u64,
    fragmented_clusters: u64,
    image_end_offset: u64,
    findings: Vec<Finding>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Repair {
    target: String,
    manifest: String,
    digest: String,
    lost_bytes: u64,
    lost: Vec<LostRange>,
    warnings: Vec<Warning>,
}

impl Image {
    /// An image whose structure could not even be looked at.
    fn unchecked(path: &Path, error: &Error) -> Self {
        let mut report = CheckReport::default();
        report.error(error.to_string(), error.offset());
        Self { check_errors: 1, ..Self::of(path, "unknown", report) }
    }

    fn new(checked: CheckedImage) -> Self {
        Self::of(&checked.path, checked.format.name, checked.report)
    }

    fn of(path: &Path, format: &'static str, report: CheckReport) -> Self {
        Self {
            filename: path.display().to_string(),
            format,
            check_errors: 0,
            corruptions: report.errors,
            leaks: report.leaks,
            leaked_bytes: report.leaked_bytes,
            total_clusters: report.total_chunks,
            allocated_clusters: report.allocated_chunks,
            compressed_clusters: report.compressed_chunks,
            fragmented_clusters: report.fragmented_chunks,
            image_end_offset: report.image_end,
            findings: report.findings,
        }
    }
}

fn is_damage(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Limit)
}

pub(crate) fn run(args: &CheckArgs, printer: &Printer, control: Control<'_>) -> Result<ExitCode> {
    let options = args.open.options()?;
    let chain: Vec<_> = match checked(args, &options, control) {
        // What cannot be checked can still be readable for the most part.
        Err(error) if args.repair.is_some() && is_damage(&error) => {
            vec![Image::unchecked(&args.image, &error)]
        }
        checked => checked?.into_iter().map(Image::new).collect(),
    };
    let Some(image) = chain.first().cloned() else {
        return Err(Error::contract("an image without files"));
    };
    let repair = args.repair.as_deref().map(|new| repair(args, new, control)).transpose()?;
    printer.warnings(repair.as_ref().map_or(&[], |repair| &repair.warnings));
    let clean = chain.iter().all(|image| image.corruptions == 0 && image.leaks == 0);
    let whole = repair.as_ref().map_or(clean, |repair| repair.lost.is_empty());
    printer.result(&Outcome { image, chain, repair }, human)?;
    Ok(ExitCode::from(u8::from(!whole)))
}

/// Containers are read as a whole, which takes its time.
fn checked(args: &CheckArgs, options: &OpenOptions, control: Control<'_>) -> Result<Vec<CheckedImage>> {
    let begun = OnceLock::new();
    let tick = |bytes| {
        begun.get_or_init(|| control.observer.begin("check", 0));
        control.observer.advance(bytes);
        control.check()
    };
    let checked = check_image(&args.image, options, &tick);
    if begun.get().is_some() {
        control.observer.end();
    }
    checked
}

/// Writes a new image of all that can be read.
fn repair(args: &CheckArgs, new: &Path, control: Control<'_>) -> Result<Repair> {
    let format = file_format(args.target_format.as_deref(), new)?;
    let opened = open_image(&args.image, &args.open.options()?)?;
    let (disk, losses) = salvaged(&opened.disk)?;
    let request = ConvertRequest {
        source: &opened,
        disk: &disk,
        target: Destination::File { path: new, replace: args.force },
        format,
        options: Default::default(),
        base: None,
        proof: Proof::DIGEST,
    };
    let done = convert(request, control)?;
    let warnings = [opened.warnings.clone(), done.warnings.clone()].concat();
    let (manifest, copy) = done.into_manifest()?;
    let saved = manifest.save(new, &copy.blocks).map_err(|e| without_manifest(new, e))?;
    let lost = losses.ranges();
    Ok(Repair {
        target: new.display().to_string(),
        manifest: saved.display().to_string(),
        digest: manifest.digest.clone(),
        lost_bytes: lost.iter().map(|lost| lost.len).sum(),
        lost,
        warnings,
    })
}

fn human(o: &Outcome) -> String {
    let mut text: String = o.chain.iter().map(one).collect();
    if let Some(repair) = &o.repair {
        text.push_str(&format!("{} was written, digest {}\n", safe(&repair.target), repair.digest));
        match repair.lost_bytes {
            0 => text.push_str("everything could be read\n"),
            lost => text.push_str(&format!("{} could not be read and are zeros now:\n", format_size(lost))),
        }
        for lost in &repair.lost {
            let (offset, len) = (lost.offset, lost.len);
            text.push_str(&format!("  {len:#x} bytes at {offset:#x}: {}\n", safe(&lost.reason)));
        }
    }
    text
}

fn one(image: &Image) -> String {
    let mut text = format!("{} ({}): ", safe(&image.filename), image.format);
    text.push_str(&match (image.corruptions, image.leaks) {
        (0, 0) => "no errors, no leaks\n".into(),
        (errors, leaks) => format!(
            "{}, {} ({} of the file are used by nothing)\n",
            counted(errors, "error"),
            counted(leaks, "leak"),
            format_size(image.leaked_bytes)
        ),
    });
    for finding in &image.findings {
        let kind = match finding.severity {
            Severity::Error => "error",
            Severity::Leak => "leak",
            Severity::Note => "note",
        };
        let place = finding.at.map(|at| format!(" [at {at:#x}]")).unwrap_or_default();
        text.push_str(&format!("  {kind}: {}{place}\n", safe(&finding.message)));
    }
    let said = image.findings.len() as u64;
    if image.corruptions + image.leaks > said {
        text.push_str(&format!("  … and {} more\n", image.corruptions + image.leaks - said));
    }
    if image.total_clusters > 0 {
        text.push_str(&format!(
            "  {} of {} chunks allocated, {} compressed, {} fragmented; the image ends at {:#x}\n",
            image.allocated_clusters,
            image.total_clusters,
            image.compressed_clusters,
            image.fragmented_clusters,
            image.image_end_offset
        ));
    }
    text
}
