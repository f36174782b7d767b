//! Formats as simple as they can be, to be found inside of repositories: this room sees no other.

use format_core::{Extent, ExtentKind, Format, Layer, LayerContext, Result, Score, Storage, WindowStorage};
use std::sync::Arc;

pub(crate) static RAW: Format = Format {
    name: "raw",
    extensions: &["raw", "img"],
    description: "a raw disk",
    probe: |_, _| Score::Possible,
    open_layer: Some(|storage, _| Ok(Box::new(Plain(storage)))),
    ..Format::NONE
};

/// A disk behind a header of 8 bytes, which asks for a parent when it is `BOXEDwp.`.
pub(crate) static BOXED: Format = Format {
    name: "boxed",
    extensions: &["qcow2"],
    description: "a test format",
    probe: |head, _| if head.starts_with(b"BOXED") { Score::Magic } else { Score::No },
    open_layer: Some(open_boxed),
    ..Format::NONE
};

fn open_boxed(storage: Arc<dyn Storage>, context: &LayerContext) -> Result<Box<dyn Layer>> {
    let mut header = [0; 8];
    storage.read_exact_at(0, &mut header)?;
    if &header == b"BOXEDwp." {
        context.gate.open("parent.raw")?;
    }
    let len = storage.size() - 8;
    Ok(Box::new(Plain(Arc::new(WindowStorage::new(storage, 8, len)?))))
}

struct Plain(Arc<dyn Storage>);

impl Layer for Plain {
    fn format(&self) -> &'static str {
        "raw"
    }
    fn virtual_size(&self) -> u64 {
        self.0.size()
    }
    fn chunk_size(&self) -> u64 {
        1
    }
    fn extent_at(&self, offset: u64) -> Result<Extent> {
        self.0.data_at(offset)
    }
    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        // What is no data is filled with zeros, whatever the storage says.
        let found = self.0.data_at(offset)?;
        if found.kind != ExtentKind::Data && found.len >= buf.len() as u64 {
            buf.fill(0);
            return Ok(());
        }
        self.0.read_exact_at(offset, buf)
    }
}
