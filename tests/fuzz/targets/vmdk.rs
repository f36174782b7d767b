//! VMDK images: at random, checked, and through a pipe.
#![no_main]

use format_core::{DenyAll, ErrorKind, LayerContext, Storage, StreamChunk};
use format_vmdk::FORMAT;
use fuzz::{Bases, Patched, fuzz_image};
use libfuzzer_sys::fuzz_target;
use std::io::Cursor;
use std::sync::{Arc, LazyLock};

static BASES: LazyLock<Bases> = LazyLock::new(|| Bases::load("vmdk"));

/// Reads the image as a pipe gives it.
fn fuzz_stream(image: &Patched) {
    let bytes = image.bytes(0, image.size() as usize);
    let open = FORMAT.open_stream.expect("the format has a stream reader");
    let mut end = 0;
    let read =
        open(Box::new(Cursor::new(bytes)), &LayerContext::new(Arc::new(DenyAll))).and_then(|mut stream| {
            while let Some(StreamChunk { offset, data }) = stream.next_chunk()? {
                assert!(offset >= end && !data.is_empty(), "chunks ascend");
                end = offset + data.len() as u64;
                assert!(end <= stream.virtual_size(), "chunks lie in the disk");
            }
            Ok(())
        });
    if let Err(error) = read {
        assert_ne!(error.kind(), ErrorKind::Contract, "{error}");
    }
}

fuzz_target!(|input: &[u8]| {
    // Byte 1 says whether checksums are put right, of which this format has none.
    match input.get(1).map_or(0, |byte| byte % 3) {
        0 => fuzz_image(&FORMAT, &BASES, input, |_| {}),
        1 => fuzz_stream(&Patched::from_input(&BASES, input, |_| {})),
        _ => {
            let image = Arc::new(Patched::from_input(&BASES, input, |_| {}));
            let check = FORMAT.check.expect("the format has a check");
            if let Err(error) = check(image, &LayerContext::new(Arc::new(DenyAll))) {
                assert_ne!(error.kind(), ErrorKind::Contract, "{error}");
            }
        }
    }
});
