//! A VDI file as a layer.

use crate::error::VdiError;
use crate::layout::HEADER_LEN;
use crate::map::BlockMap;
use crate::parse::{Image, Kind};
use format_core::{
    Details, Extent, ExtentKind, HostRange, Layer, LayerContext, ParentRef, Result, Storage, Warning,
    check_guest_range, read_runs,
};
use std::sync::Arc;

/// The key of [`Layer::details`] under which a child finds its parent's last modification.
const MODIFICATION: &str = "modification-uuid";

struct VdiLayer {
    storage: Arc<dyn Storage>,
    map: BlockMap,
    identity: Option<String>,
    parent: Option<ParentRef>,
}

/// Reads and checks the header.
pub(crate) fn load(storage: &dyn Storage) -> Result<Image> {
    let size = storage.size();
    if size < HEADER_LEN as u64 {
        return Err(VdiError::TooShort { size }.into());
    }
    let mut bytes = [0; HEADER_LEN];
    storage.read_exact_at(0, &mut bytes)?;
    Ok(Image::parse(&bytes, size)?)
}

pub(crate) fn open(storage: Arc<dyn Storage>, _: &LayerContext) -> Result<Box<dyn Layer>> {
    let image = load(storage.as_ref())?;
    let identity = (!image.create.is_nil()).then(|| image.create.to_string());
    // VirtualBox keeps the file names of all disks in the machine's settings, never in a disk. The parent need not be
    // a VDI.
    let parent = image.parent.map(|parent| ParentRef {
        names: Vec::new(),
        format: None,
        identity: Some(parent.create.to_string()),
    });
    let map = BlockMap::new(image, storage.size());
    Ok(Box::new(VdiLayer { storage, map, identity, parent }))
}

impl VdiLayer {
    fn image(&self) -> &Image {
        &self.map.image
    }

    fn check_range(&self, offset: u64, len: u64) -> Result<()> {
        check_guest_range(self.image().virtual_size, offset, len).map_err(|e| e.in_format(crate::FORMAT.name))
    }
}

impl Layer for VdiLayer {
    fn format(&self) -> &'static str {
        crate::FORMAT.name
    }

    fn virtual_size(&self) -> u64 {
        self.image().virtual_size
    }

    fn chunk_size(&self) -> u64 {
        self.image().block_size
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        self.check_range(offset, 1)?;
        let is_fixed = self.image().kind == Kind::Fixed;
        let run = self.map.run_at(self.storage.as_ref(), offset, is_fixed)?;
        let extent = Extent { offset, len: run.len, kind: run.kind };
        if !is_fixed || run.kind != ExtentKind::Data {
            return Ok(extent);
        }
        // All blocks of a fixed image have their place, so what is empty is only known to the host.
        let host = self.storage.data_at(run.host)?;
        Ok(Extent { len: host.len.min(run.len), kind: host.kind, ..extent })
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.check_range(offset, buf.len() as u64)?;
        let storage = self.storage.as_ref();
        read_runs(storage, offset, buf, |at| self.map.run_at(storage, at, true))
    }

    fn host_range(&self, offset: u64) -> Option<HostRange> {
        self.check_range(offset, 1).ok()?;
        let run = self.map.run_at(self.storage.as_ref(), offset, true).ok()?;
        let storage = Arc::clone(&self.storage);
        (run.kind == ExtentKind::Data).then_some(HostRange { storage, offset: run.host, len: run.len })
    }

    fn details(&self) -> Details {
        let image = self.image();
        let mut details = Details::new();
        let mut put = |key: &str, value: serde_json::Value| details.insert(key.into(), value);
        put(
            "image-type",
            match image.kind {
                Kind::Dynamic => "dynamic",
                Kind::Fixed => "fixed",
                Kind::Differencing => "differencing",
            }
            .into(),
        );
        put("block-size", image.block_size.into());
        put("blocks", image.blocks.into());
        put("blocks-allocated", image.allocated.into());
        put("uuid", image.create.to_string().into());
        put(MODIFICATION, image.modify.to_string().into());
        if let Some(parent) = image.parent {
            put("parent-uuid", parent.create.to_string().into());
            put("parent-modification-uuid", parent.modify.to_string().into());
        }
        if image.flags != 0 {
            put("flags", image.flags.into());
        }
        if !image.comment.is_empty() {
            put("comment", image.comment.clone().into());
        }
        details
    }

    fn parent(&self) -> Option<&ParentRef> {
        self.parent.as_ref()
    }

    fn identity(&self) -> Option<&str> {
        self.identity.as_deref()
    }

    fn remark_on_parent(&self, parent: &dyn Layer) -> Option<Warning> {
        let wanted = self.image().parent?.modify;
        let found = parent.details();
        let found = found.get(MODIFICATION)?.as_str()?;
        (parent.format() == self.format() && !wanted.is_nil() && found != wanted.to_string()).then(|| {
            Warning::new(
                "vdi-parent-modified",
                format!(
                    "the parent was written after the image became a difference to it (modification {wanted} then, \
                     {found} now): blocks of the two may not belong together"
                ),
            )
        })
    }
}
