//! A format as simple as it can be, to be found inside of repositories: this room sees no other.

use format_core::{Extent, Format, Layer, Result, Score, Storage};
use std::sync::Arc;

pub(crate) static RAW: Format = Format {
    name: "raw",
    extensions: &["raw", "img"],
    description: "a raw disk",
    probe: |_, _| Score::Possible,
    open_layer: Some(|storage, _| Ok(Box::new(Plain(storage)))),
    ..Format::NONE
};

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
        self.0.read_exact_at(offset, buf)
    }
}
