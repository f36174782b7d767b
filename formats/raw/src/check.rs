//! What can be checked of a disk without structure: that the host tells of every byte where it lies.

use crate::read::RawLayer;
use format_core::{CheckReport, Error, ExtentKind, Layer, LayerContext, Result, Storage};
use std::sync::Arc;

pub(crate) fn check(storage: Arc<dyn Storage>, context: &LayerContext) -> Result<CheckReport> {
    let layer = RawLayer::load(storage, context)?;
    let mut report = CheckReport::default();
    let (size, mut at) = (layer.virtual_size(), 0);
    while at < size {
        let extent = layer.extent_at(at)?;
        if extent.len == 0 {
            return Err(Error::contract(format!("an empty extent at {at:#x}")));
        }
        at = extent.end();
        if extent.kind == ExtentKind::Data {
            report.image_end = at;
        }
    }
    for warning in layer.warnings() {
        report.note(warning.message.clone(), None);
    }
    Ok(report)
}
