//! `rehome cp-out`

use super::look::{found, tree};
use crate::args::CpOutArgs;
use crate::extract::{Copied, Extraction};
use crate::output::{Printer, counted, safe, to_stderr};
use format_core::units::format_size;
use format_core::{Error, ErrorKind, Result, Warning};
use serde::Serialize;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;

#[derive(Serialize)]
struct Outcome {
    path: String,
    destination: String,
    #[serde(flatten)]
    copied: Copied,
    warnings: Vec<Warning>,
}

pub(crate) fn run(args: &CpOutArgs, printer: &Printer, interrupted: &AtomicBool) -> Result<ExitCode> {
    if args.preserve && !rustix::process::geteuid().is_root() {
        return Err(Error::usage("--preserve needs root: nobody else may give files away"));
    }
    let (folder, name) = destination(&args.dest, &args.path)?;
    let (tree, mut warnings) = tree(&args.place, printer)?;
    let meta = found(&tree, &args.path)?;
    let images = std::iter::once(&args.place.image).chain(&args.place.disk);
    let ids = images.filter_map(|path| path.metadata().ok()).map(|found| (found.dev(), found.ino()));
    let mut extraction =
        Extraction::new(&tree, args.force, args.preserve, interrupted).sparing(ids.collect());
    extraction.run(&args.path, &meta, &folder, &name)?;
    let (copied, notes) = extraction.into_parts();
    printer.warnings(&notes);
    warnings.extend(notes);
    let outcome = Outcome {
        path: args.path.clone(),
        destination: folder.join(&name).display().to_string(),
        copied,
        warnings,
    };
    printer.result(&outcome, human)?;
    if outcome.copied.incomplete > 0 {
        to_stderr(&format!("{} could not be read", counted(outcome.copied.incomplete, "name")));
        return Ok(ExitCode::from(1));
    }
    Ok(ExitCode::SUCCESS)
}

/// The host's folder to write into, and the name there.
fn destination(dest: &Path, path: &str) -> Result<(PathBuf, String)> {
    let no_name = |text: String| Error::usage(text).hint("name a destination that does not exist yet");
    if dest.is_dir() {
        let name = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        if !convert_mount::is_name(name) {
            return Err(no_name(format!("{path:?} has no name of its own to get in {}", dest.display())));
        }
        return Ok((dest.to_owned(), name.to_owned()));
    }
    let name = dest.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| no_name(format!("{} is no name for a file", dest.display())))?;
    let folder = match dest.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    if !folder.is_dir() {
        let text = format!("there is no folder {}", folder.display());
        return Err(Error::new(ErrorKind::Destination, text));
    }
    Ok((folder.to_owned(), name.to_owned()))
}

fn human(outcome: &Outcome) -> String {
    let copied = &outcome.copied;
    let mut parts =
        vec![counted(copied.files, "file"), counted(copied.folders, "folder"), counted(copied.links, "link")];
    if copied.skipped > 0 {
        parts.push(format!("{} of devices, pipes or sockets left out", counted(copied.skipped, "node")));
    }
    let destination = safe(&outcome.destination);
    format!("{destination}: {}, {}\n", parts.join(", "), format_size(copied.bytes))
}
