//! The check of one image: every checksum, and where the file ends.

use crate::error::PartcloneError;
use crate::read::load;
use format_core::{CheckReport, LayerContext, Result, Storage};
use std::sync::Arc;

pub(crate) fn check(storage: Arc<dyn Storage>, context: &LayerContext) -> Result<CheckReport> {
    let size = storage.size();
    let layer = load(storage, context)?;
    let used = layer.bitmap.used();
    let mut report = CheckReport {
        total_chunks: layer.image.total,
        allocated_chunks: used,
        image_end: layer.blocks.end(),
        ..CheckReport::default()
    };
    for warning in &layer.image.warnings {
        report.note(warning.message.clone(), None);
    }
    if layer.image.sums.is_none() {
        report.note(
            "the image has no checksums of its blocks: nothing tells whether they are as they were",
            None,
        );
    }
    let mut wrong = |error: PartcloneError| {
        report.error(error.to_string(), None);
        Ok(())
    };
    layer.blocks.compare_all(&mut wrong, &|_| Ok(()))?;
    let said = layer.image.said_used;
    if said != used {
        // The file system's own count may be wrong; the map decides, as for partclone.
        report.note(format!("the header counts {said:#x} blocks in use, the map has {used:#x}"), None);
    }
    let end = layer.blocks.end();
    if end < size {
        let message = format!("{:#x} bytes follow the last block", size - end);
        report.leak(message, end, size - end);
    }
    Ok(report)
}
