//! A QED image as a layer.

use crate::table::{Tables, load_header};
use format_core::{
    Details, Extent, ExtentKind, HostRange, Layer, LayerContext, ParentRef, Result, Storage, Warning,
    check_guest_range, read_runs,
};
use std::sync::Arc;

struct QedLayer {
    storage: Arc<dyn Storage>,
    tables: Tables,
    needs_check: bool,
    parent: Option<ParentRef>,
    warnings: Vec<Warning>,
}

pub(crate) fn open(storage: Arc<dyn Storage>, _: &LayerContext) -> Result<Box<dyn Layer>> {
    let (image, backing) = load_header(storage.as_ref()).map_err(|e| e.context("load header"))?;
    let format = image.is_backing_raw.then(|| "raw".to_owned());
    let parent = backing.map(|name| ParentRef { names: vec![name], format, identity: None });
    let mut warnings = Vec::new();
    if image.needs_check {
        warnings.push(Warning::new(
            "qed-needs-check",
            "the image was not closed: the newest writes may be missing, check it before it is used",
        ));
    }
    let tables = Tables::new(image.geometry);
    Ok(Box::new(QedLayer { storage, tables, needs_check: image.needs_check, parent, warnings }))
}

impl QedLayer {
    fn check_range(&self, offset: u64, len: u64) -> Result<()> {
        check_guest_range(self.virtual_size(), offset, len).map_err(|e| e.in_format(crate::FORMAT.name))
    }
}

impl Layer for QedLayer {
    fn format(&self) -> &'static str {
        crate::FORMAT.name
    }

    fn virtual_size(&self) -> u64 {
        self.tables.geometry.image_size
    }

    fn chunk_size(&self) -> u64 {
        self.tables.geometry.cluster_size
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        self.check_range(offset, 1)?;
        let run = self.tables.run_at(self.storage.as_ref(), offset)?;
        Ok(Extent { offset, len: run.len, kind: run.kind })
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.check_range(offset, buf.len() as u64)?;
        let storage = self.storage.as_ref();
        read_runs(storage, offset, buf, |at| self.tables.run_at(storage, at))
    }

    fn host_range(&self, offset: u64) -> Option<HostRange> {
        self.check_range(offset, 1).ok()?;
        let run = self.tables.run_at(self.storage.as_ref(), offset).ok()?;
        let storage = Arc::clone(&self.storage);
        (run.kind == ExtentKind::Data).then_some(HostRange { storage, offset: run.host, len: run.len })
    }

    fn details(&self) -> Details {
        let geometry = &self.tables.geometry;
        let mut details = Details::new();
        details.insert("cluster-size".into(), geometry.cluster_size.into());
        details.insert("table-size".into(), (geometry.table_len / geometry.cluster_size).into());
        details.insert("dirty-flag".into(), self.needs_check.into());
        details
    }

    fn parent(&self) -> Option<&ParentRef> {
        self.parent.as_ref()
    }

    fn warnings(&self) -> &[Warning] {
        &self.warnings
    }
}
