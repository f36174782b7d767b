//! The check of a compressed file: everything is unpacked, which compares every checksum that it has.

use format_core::{CheckReport, Error, ErrorKind, Format, LayerContext, Result, Storage, StorageReader};
use std::io::Read;
use std::sync::Arc;

const PART: usize = 1 << 20;

/// [`Format::check`] of `format`.
pub(crate) fn check(
    format: &Format,
    storage: &Arc<dyn Storage>,
    context: &LayerContext,
) -> Result<CheckReport> {
    let unpack = format.unpack.ok_or_else(|| Error::contract("a format that does not unpack"))?;
    let mut report = CheckReport::default();
    let reader = unpack(Box::new(StorageReader::new(Arc::clone(storage))), context)?;
    let size = match count(reader) {
        Ok(size) => size,
        Err(error) if error.kind() == ErrorKind::Corrupt => {
            report.error(error.to_string(), error.offset());
            return Ok(report);
        }
        Err(error) => return Err(error),
    };
    report.image_end = storage.size();
    let Some(at) = format.unpack_at else { return Ok(report) };
    match at(storage, context) {
        Ok(Some(unpacked)) if unpacked.size() != size => {
            let text = format!("the index says {:#x} bytes, the file holds {size:#x}", unpacked.size());
            report.error(text, None);
        }
        Ok(Some(unpacked)) => {
            // Read again by the index, which may contradict what it is an index of.
            if let Err(error) = count(StorageReader::new(unpacked)) {
                report.error(format!("read by the index: {error}"), error.offset());
            }
        }
        Ok(None) => {}
        Err(error) => report.error(error.to_string(), error.offset()),
    }
    Ok(report)
}

fn count(mut reader: impl Read) -> Result<u64> {
    let (mut part, mut size) = (vec![0; PART], 0);
    loop {
        match reader.read(&mut part) {
            Ok(0) => return Ok(size),
            Ok(len) => size += len as u64,
            Err(e) => {
                return Err(match e.downcast::<Error>() {
                    Ok(own) => own,
                    Err(e) => Error::io("cannot read the compressed file", e),
                });
            }
        }
    }
}
