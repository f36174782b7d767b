//! What every image format must bear.

use crate::{Bases, Patched};
use format_core::units::MIB;
use format_core::{DenyAll, Disk, ErrorKind, ExtentKind, Format, LayerContext, Storage, StorageReader, is_zero};
use std::sync::Arc;

/// Opens the patched base as an image of `format` and walks its first and last MiB.
///
/// # Panics
/// When the oracle finds a breach of the layer contract.
pub fn fuzz_image(format: &'static Format, bases: &Bases, input: &[u8], seal: impl Fn(&mut Patched)) {
    let image = Patched::from_input(bases, input, seal);
    let open = format.open_layer.expect("the format has a reader");
    let context = LayerContext::new(Arc::new(DenyAll));
    match open(Arc::new(image), &context) {
        Ok(layer) => check_disk(&Disk::new(vec![layer.into()]).expect("one layer")),
        Err(error) => assert_ne!(error.kind(), ErrorKind::Contract, "{error}"),
    }
}

/// Reads the patched base through a pipe and compares each chunk with what the layer says.
///
/// # Panics
/// When chunks do not ascend, or differ from what the layer reads.
pub fn fuzz_stream(format: &'static Format, bases: &Bases, input: &[u8], seal: impl Fn(&mut Patched)) {
    let image: Arc<dyn Storage> = Arc::new(Patched::from_input(bases, input, seal));
    let context = LayerContext::new(Arc::new(DenyAll));
    let (open, open_layer) = format.open_stream.zip(format.open_layer).expect("the format has both readers");
    let Ok(mut stream) = open(Box::new(StorageReader::new(Arc::clone(&image))), &context) else { return };
    let layer = open_layer(image, &context).ok();
    let (mut end, size) = (0, stream.virtual_size());
    while let Ok(Some(chunk)) = stream.next_chunk() {
        assert!(chunk.offset >= end && !chunk.data.is_empty(), "chunks ascend");
        end = chunk.offset + chunk.data.len() as u64;
        assert!(end <= size, "a chunk ends at {end:#x}, the disk at {size:#x}");
        let mut same = vec![0xa5; chunk.data.len()];
        if layer.as_ref().is_some_and(|layer| layer.read_exact_at(chunk.offset, &mut same).is_ok()) {
            assert!(same == chunk.data, "stream and layer differ at {:#x}", chunk.offset);
        }
    }
}

/// Walks the extents of the first and the last MiB and reads them twice, in different pieces.
///
/// # Panics
/// When a layer breaks its contract, reads differ, or a Zero extent does not read as zeros.
pub fn check_disk(disk: &Disk) {
    let size = disk.virtual_size();
    for start in [0, size.saturating_sub(MIB)] {
        let end = size.min(start.saturating_add(MIB));
        for extent in disk.extents(start, end) {
            match extent {
                Ok(extent) => check_extent(disk, extent.offset, extent.len as usize, extent.kind),
                Err(error) => {
                    assert_ne!(error.kind(), ErrorKind::Contract, "{error}");
                    break;
                }
            }
        }
    }
}

fn check_extent(disk: &Disk, offset: u64, len: usize, kind: ExtentKind) {
    let mut whole = vec![0xa5; len];
    match disk.read_exact_at(offset, &mut whole) {
        Err(error) => assert_ne!(error.kind(), ErrorKind::Contract, "{error}"),
        Ok(()) => {
            assert!(kind == ExtentKind::Data || is_zero(&whole), "Zero at {offset:#x} reads as data");
            let mut pieces = vec![0x5a; len];
            for (number, piece) in pieces.chunks_mut(70_001).enumerate() {
                let at = offset + number as u64 * 70_001;
                disk.read_exact_at(at, piece).expect("readable as a whole, so in pieces");
            }
            assert!(whole == pieces, "two reads at {offset:#x}+{len:#x} differ");
        }
    }
}
