//! Exports of XenServer and XCP-ng: at any place, and as a stream. Both have to give the same disk; only a stream compares checksums.
#![no_main]

use format_core::{Access, DenyAll, ErrorKind, LayerContext, Origin, Storage, StorageReader, units::MIB};
use fuzz::{Bases, Patched, check_disk};
use libfuzzer_sys::fuzz_target;
use std::sync::{Arc, LazyLock};

static BASES: LazyLock<Bases> = LazyLock::new(|| Bases::load("xva"));

/// Puts the checksums of tar headers right, as far as the members can be followed. Those of blocks are what they were.
fn seal(image: &mut Patched) {
    let mut at = 0;
    for _ in 0..64 {
        let mut header = image.bytes(at, 512);
        let size =
            std::str::from_utf8(&header[124..135]).ok().and_then(|text| u64::from_str_radix(text, 8).ok());
        let Some(size) = size.filter(|size| *size < 1 << 20) else { return };
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        image.patch(at + 148, format!("{sum:06o}\0 ").as_bytes());
        at += 512 + size.next_multiple_of(512);
    }
}

fuzz_target!(|input: &[u8]| {
    let storage: Arc<dyn Storage> = Arc::new(Patched::from_input(&BASES, input, seal));
    let mut context = LayerContext::new(Arc::new(DenyAll));
    context.access = Access { pick: Some("0".to_owned()), ..Access::default() };
    let open = format_xva::FORMAT.open_container.expect("a container");
    let disk = match open(Origin::File(Arc::clone(&storage)), &context) {
        Ok(container) if !container.disks().is_empty() => {
            let disk = container.open_disk(0).expect("an index that is whole").disk;
            check_disk(&disk);
            Some(disk)
        }
        Ok(_) => None,
        Err(error) => {
            assert_ne!(error.kind(), ErrorKind::Contract, "{error}");
            None
        }
    };
    let open = format_xva::FORMAT.open_stream.expect("a stream");
    let mut stream = match open(Box::new(StorageReader::new(storage)), &context) {
        Ok(stream) => stream,
        Err(error) => {
            assert_ne!(error.kind(), ErrorKind::Contract, "{error}");
            return;
        }
    };
    let mut end = 0;
    loop {
        match stream.next_chunk() {
            Ok(Some(chunk)) => {
                assert!(chunk.offset >= end && !chunk.data.is_empty(), "chunks ascend");
                end = chunk.offset + chunk.data.len() as u64;
                assert!(end <= stream.virtual_size(), "chunks lie inside of the disk");
                if let Some(disk) = disk.as_ref().filter(|_| end < 4 * MIB) {
                    let mut bytes = vec![0; chunk.data.len()];
                    disk.read_exact_at(chunk.offset, &mut bytes).expect("what flows is there");
                    assert!(bytes == chunk.data, "the stream differs at {:#x}", chunk.offset);
                }
            }
            Ok(None) => break,
            Err(error) => {
                assert_ne!(error.kind(), ErrorKind::Contract, "{error}");
                break;
            }
        }
    }
});
