//! A disk that is nothing but compressed, for files that can be read at any place.

use format_core::{Details, Error, Extent, Format, Layer, LayerContext, Result, Storage, check_guest_range};
use std::sync::Arc;

struct PackedLayer {
    format: &'static str,
    unpacked: Arc<dyn Storage>,
    file_size: u64,
}

/// [`Format::open_layer`] of `format`.
pub(crate) fn open(
    format: &Format,
    storage: &Arc<dyn Storage>,
    context: &LayerContext,
) -> Result<Box<dyn Layer>> {
    let at = format.unpack_at.map(|unpack| unpack(storage, context)).transpose()?.flatten();
    let Some(unpacked) = at else {
        let text = "the file cannot be read at any place, only from its start to its end";
        return Err(Error::unsupported(text)
            .in_format(format.name)
            .hint("leave the format away: it is unpacked into a temporary file then"));
    };
    Ok(Box::new(PackedLayer { format: format.name, unpacked, file_size: storage.size() }))
}

impl Layer for PackedLayer {
    fn format(&self) -> &'static str {
        self.format
    }

    fn virtual_size(&self) -> u64 {
        self.unpacked.size()
    }

    fn chunk_size(&self) -> u64 {
        1
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        check_guest_range(self.unpacked.size(), offset, 1)?;
        self.unpacked.data_at(offset)
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        check_guest_range(self.unpacked.size(), offset, buf.len() as u64)?;
        self.unpacked.read_exact_at(offset, buf)
    }

    fn is_compressed_at(&self, _: u64) -> bool {
        true
    }

    fn details(&self) -> Details {
        let mut details = Details::new();
        details.insert("packed-size".into(), self.file_size.into());
        details
    }
}
