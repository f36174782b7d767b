//! How large would an image be?

use crate::observer::Control;
use crate::pipeline::copy_disk;
use crate::run::open_sink;
use format_core::{CountingTarget, Disk, Format, MAX_CHUNK, Packed, Result, Sink};
use serde::Serialize;
use std::collections::BTreeMap;

/// The size of an image that was not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Measurement {
    /// Bytes of all its files, exact; holes count.
    pub required: u64,
    /// The same when every byte of the disk holds data that cannot be compressed; above 16 GiB a little more than that.
    pub fully_allocated: u64,
}

/// Goes through all of a conversion but the writing, so the size is not an estimate. `disk` is read whole.
///
/// # Errors
/// As a conversion.
pub fn measure(
    disk: &Disk,
    format: &'static Format,
    options: &BTreeMap<String, String>,
    control: Control<'_>,
) -> Result<Measurement> {
    let target = CountingTarget::default();
    let (sink, size) =
        open_sink(Box::new(target.clone()), format, disk.virtual_size(), options.clone(), None)?;
    copy_disk(&disk.grown_to(size), sink.as_ref(), control)?;
    sink.finish()?;
    let fully_allocated = fully_allocated(disk.virtual_size(), format, options, control)?;
    Ok(Measurement { required: target.total(), fully_allocated })
}

/// What a disk of this size needs is measured; a larger one needs at most as much for each byte.
const MEASURED: u64 = 16 << 30;

fn fully_allocated(
    size: u64,
    format: &'static Format,
    options: &BTreeMap<String, String>,
    control: Control<'_>,
) -> Result<u64> {
    let measured = measure_full(size.min(MEASURED), format, options, control)?;
    let scaled = u128::from(measured) * u128::from(size.max(MEASURED)) / u128::from(MEASURED);
    Ok(if size <= MEASURED { measured } else { u64::try_from(scaled).unwrap_or(u64::MAX) })
}

fn measure_full(
    size: u64,
    format: &'static Format,
    options: &BTreeMap<String, String>,
    control: Control<'_>,
) -> Result<u64> {
    let target = CountingTarget::default();
    let (sink, size) = open_sink(Box::new(target.clone()), format, size, options.clone(), None)?;
    let needs = sink.needs();
    let mut noise = vec![0; if needs.packed { needs.chunk_size } else { MAX_CHUNK } as usize];
    blake3::Hasher::new().finalize_xof().fill(&mut noise);
    let mut at = 0;
    // Packing the same bytes again and again would only give the same.
    let packed = if needs.packed { owned(sink.pack(&noise)?) } else { None };
    while at < size {
        control.check()?;
        let len = (size - at).min(noise.len() as u64);
        let part = &noise[..len as usize];
        match &packed {
            Some(bytes) if part.len() == noise.len() => {
                sink.write_at(at, Packed::Encoded { bytes: bytes.clone(), guest_len: len })?;
            }
            Some(_) => write_packed(sink.as_ref(), at, part)?,
            None => sink.write_at(at, Packed::Plain(part))?,
        }
        at += len;
    }
    sink.finish()?;
    Ok(target.total())
}

fn write_packed(sink: &dyn Sink, at: u64, part: &[u8]) -> Result<()> {
    sink.write_at(at, sink.pack(part)?)
}

fn owned(packed: Packed<'_>) -> Option<Vec<u8>> {
    match packed {
        Packed::Plain(_) => None,
        Packed::Encoded { bytes, .. } => Some(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observer::Silent;
    use crate::pipeline::tests::{Piece, disk_of};
    use std::sync::atomic::AtomicBool;

    #[test]
    fn a_raw_image_is_as_long_as_its_disk() {
        let disk = disk_of(9 << 20, vec![Piece(0, 10)]);
        let interrupted = AtomicBool::new(false);
        let control = Control { observer: &Silent, interrupted: &interrupted, threads: 2 };
        let found = measure(&disk, &format_raw::FORMAT, &BTreeMap::new(), control).unwrap();
        assert_eq!(found, Measurement { required: 9 << 20, fully_allocated: 9 << 20 });
    }
}
