//! Writing a raw file: zeros are holes.

use format_core::{CreateRequest, Error, Needs, Order, Packed, Result, Sink, TargetStorage};

/// Holes are left at this granularity; the usual block of host file systems.
const CHUNK: u64 = 4096;

struct RawSink {
    target: Box<dyn TargetStorage>,
}

pub(crate) fn create(target: Box<dyn TargetStorage>, request: &CreateRequest) -> Result<Box<dyn Sink>> {
    target.set_len(request.virtual_size)?;
    Ok(Box::new(RawSink { target }))
}

impl Sink for RawSink {
    fn needs(&self) -> Needs {
        Needs { order: Order::Any, chunk_size: CHUNK, packed: false }
    }

    fn write_at(&self, offset: u64, data: Packed<'_>) -> Result<()> {
        match data {
            Packed::Plain(bytes) => self.target.write_all_at(offset, bytes),
            Packed::Encoded { .. } => Err(Error::contract("raw images hold no encoded chunks")),
        }
    }

    fn zero_at(&self, _offset: u64, _len: u64) -> Result<()> {
        // The file was set to its size when it was empty, so what is not written is a hole.
        Ok(())
    }

    fn flush(&self) -> Result<()> {
        self.target.sync()
    }

    fn finish(self: Box<Self>) -> Result<()> {
        self.target.commit()
    }
}
