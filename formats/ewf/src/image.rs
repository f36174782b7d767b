//! What an image says of itself, and what a person should know about it.

use crate::header::Values;
use crate::layout::MEDIA_MEMORY;
use crate::parse::{Hashes, Volume};
use crate::segments::Segments;
use crate::table::Tables;
use format_core::Warning;

/// What an image says, checked as far as that goes without reading the chunks.
pub(crate) struct Image {
    pub(crate) segments: Segments,
    pub(crate) volume: Volume,
    pub(crate) tables: Tables,
    pub(crate) values: Values,
    pub(crate) hashes: Hashes,
    /// First sector and number of those that could not be read when the image was made.
    pub(crate) unreadable: Vec<(u32, u32)>,
    pub(crate) unreadable_sectors: u64,
    pub(crate) sessions: u32,
    pub(crate) warnings: Vec<Warning>,
    /// What is damaged and was read in another way, or does not matter for the disk.
    pub(crate) defects: Vec<String>,
}

impl Image {
    pub(crate) fn warn(&mut self, unknown: &[String]) {
        let mut warnings = std::mem::take(&mut self.warnings);
        let mut warn = |code, text: String| warnings.push(Warning::new(code, text));
        for defect in self.defects.iter().take(20) {
            warn("ewf-damaged", defect.clone());
        }
        if let Some(text) = self.missing_chunks() {
            warn("ewf-chunks-missing", text);
        }
        if self.unreadable_sectors > 0 {
            let listed: Vec<_> =
                self.unreadable.iter().take(5).map(|(at, len)| format!("{at}+{len}")).collect();
            warn(
                "ewf-unreadable-sectors",
                format!(
                    "{} sectors could not be read when the image was made and are zeros in it: {}{}",
                    self.unreadable_sectors,
                    listed.join(", "),
                    if self.unreadable.len() > 5 { " and more" } else { "" }
                ),
            );
        }
        if self.volume.media.is_some_and(|media| media.kind == MEDIA_MEMORY) {
            warn("ewf-memory", "it is an image of memory, not of a disk".into());
        }
        if !unknown.is_empty() {
            warn(
                "ewf-unknown-sections",
                format!("sections of unknown types were left out: {}", unknown.join(", ")),
            );
        }
        self.warnings = warnings;
    }

    /// What is missing of the disk.
    pub(crate) fn missing_chunks(&self) -> Option<String> {
        let (found, wanted) = (self.tables.chunks(), self.volume.disk_chunks());
        (found < wanted).then(|| {
            let from = found.saturating_mul(self.volume.chunk_size());
            format!("the tables hold {found} chunks of {wanted}: the disk is missing from {from:#x} on")
        })
    }
}
