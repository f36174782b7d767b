//! Packs what somebody needs to understand a failed run: versions, host facts, plan, report, logs, events, and of images the structures that
//! a format is made of. Nothing of the guest: no sector of its disk, no line of its files. Secrets are replaced by `***`.
//!
//! What goes in, and why that is nothing of the guest, stands in `SPEC.md`. `LISTING.txt` is the first file of every bundle, and says what
//! is inside, what was left out and why, and how often something was replaced.

mod collect;
mod headers;
mod images;
mod pack;
mod redact;

pub use redact::Redactor;

use format_core::Result;
use serde::Serialize;
use std::path::PathBuf;

/// What is packed, and where to.
#[derive(Clone, Debug)]
pub struct Request {
    /// The program, which is asked about images.
    pub program: PathBuf,
    /// Its version.
    pub version: String,
    /// The folder of a batch's state.
    pub state: Option<PathBuf>,
    /// Of the batch, only this job.
    pub job: Option<String>,
    /// Further reports and logs: of runs without a batch.
    pub files: Vec<PathBuf>,
    /// Images whose structures are wanted.
    pub images: Vec<PathBuf>,
    /// What the doctor says of this host, as JSON.
    pub host: serde_json::Value,
    /// The file to write, such as `rehome-support.tar.gz`.
    pub output: PathBuf,
    /// Bytes that the content may have, before it is packed.
    pub max_size: u64,
    /// Bytes of a part, where the bundle is to be cut: `NAME.001`, `NAME.002`; `cat` puts them together.
    pub split: Option<u64>,
    /// Whether an earlier bundle of that name is replaced.
    pub force: bool,
}

/// A file of the bundle.
#[derive(Clone, Debug, Serialize)]
pub struct Packed {
    /// Its name in the bundle.
    pub name: String,
    /// Bytes in the bundle.
    pub size: u64,
    /// What it is.
    pub what: String,
    /// How often something was replaced by `***` or left out.
    pub redacted: u64,
    /// Whether its middle was cut out to save room.
    pub cut: bool,
}

/// Something that is not in the bundle.
#[derive(Clone, Debug, Serialize)]
pub struct LeftOut {
    /// The file or image.
    pub name: String,
    /// Why.
    pub why: String,
}

/// What is in a bundle.
#[derive(Clone, Debug, Serialize)]
pub struct Listing {
    /// The files that were written; none for a mere list.
    pub written: Vec<PathBuf>,
    /// The files of the bundle.
    pub files: Vec<Packed>,
    /// What was left out.
    pub left_out: Vec<LeftOut>,
}

impl Listing {
    /// The listing as the bundle's first file has it.
    #[must_use]
    pub fn text(&self, version: &str) -> String {
        use std::fmt::Write;
        let mut text = format!(
            "Support bundle of rehome {version}\n\nNothing of the guest's files or disk is in here. Secrets are replaced by ***.\n\nFiles:\n"
        );
        for file in &self.files {
            let mut notes = Vec::new();
            if file.redacted > 0 {
                notes.push(format!("{} replaced", file.redacted));
            }
            if file.cut {
                notes.push("middle left out".into());
            }
            let notes = if notes.is_empty() { String::new() } else { format!(" ({})", notes.join(", ")) };
            let _ = writeln!(text, "  {:>9}  {}  {}{notes}", file.size, file.name, file.what);
        }
        if !self.left_out.is_empty() {
            text.push_str("\nLeft out:\n");
        }
        for one in &self.left_out {
            let _ = writeln!(text, "  {}: {}", one.name, one.why);
        }
        text
    }
}

/// Collects and writes a bundle.
///
/// # Errors
/// `Destination` where the bundle cannot be written, `SourceMissing` where there is no such state or job. What cannot be read of a run is
/// no error: the listing says so.
pub fn bundle(request: &Request) -> Result<Listing> {
    let collected = collect::collect(request)?;
    pack::write(request, collected)
}

/// What a bundle would hold; nothing is written.
///
/// # Errors
/// As for [`bundle`], but for the destination.
pub fn list(request: &Request) -> Result<Listing> {
    Ok(collect::collect(request)?.listing)
}
