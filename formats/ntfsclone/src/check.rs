//! The check of one image: every command, the counts, and where the file ends. There is nothing to compare clusters with.

use crate::layout::at;
use crate::read::load;
use format_core::{CheckReport, LayerContext, Result, Storage};
use std::sync::Arc;

pub(crate) fn check(storage: Arc<dyn Storage>, context: &LayerContext) -> Result<CheckReport> {
    let size = storage.size();
    let layer = load(storage, context)?;
    let (image, index) = (&layer.image, &layer.index);
    let mut report = CheckReport {
        total_chunks: image.clusters,
        allocated_chunks: index.used - u64::from(index.has_tail),
        image_end: index.end,
        ..CheckReport::default()
    };
    report.note("the format has no checksums: nothing tells whether the clusters are as they were", None);
    if let Some(text) = image.doubt() {
        report.error(text, Some(at::DEVICE_SIZE as u64));
    }
    let (said, found) = (image.said_used, report.allocated_chunks);
    if said > found {
        report
            .note(format!("the header counts {said:#x} clusters in use, {found:#x} are in the image"), None);
    }
    if index.end < size {
        let (end, bytes) = (index.end, size - index.end);
        report.leak(format!("{bytes:#x} bytes follow the last cluster"), end, bytes);
    }
    Ok(report)
}
