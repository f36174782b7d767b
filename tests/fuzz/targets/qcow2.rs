//! qcow2 images, and what their bitmaps say has changed: ascending ranges of the disk, or an error.
#![no_main]

use format_core::{DenyAll, ErrorKind, LayerContext};
use fuzz::{Bases, Patched, fuzz_image};
use libfuzzer_sys::fuzz_target;
use std::sync::{Arc, LazyLock};

static BASES: LazyLock<Bases> = LazyLock::new(|| Bases::load("qcow2"));

fuzz_target!(|input: &[u8]| {
    fuzz_image(&format_qcow2::FORMAT, &BASES, input, |_| {});
    let image = Patched::from_input(&BASES, input, |_| {});
    let open = format_qcow2::FORMAT.open_layer.expect("the format has a reader");
    let Ok(layer) = open(Arc::new(image), &LayerContext::new(Arc::new(DenyAll))) else { return };
    let details = layer.details();
    let bitmaps = details.get("bitmaps").and_then(|list| list.as_array()).into_iter().flatten();
    for name in bitmaps.filter_map(|one| one["name"].as_str()).take(4) {
        match layer.changed_by_bitmap(name) {
            Ok(ranges) => {
                let end = ranges.iter().last().map_or(0, |(offset, len)| offset + len);
                assert!(end <= layer.virtual_size(), "a range ends at {end:#x}");
            }
            Err(error) => assert_ne!(error.kind(), ErrorKind::Contract, "{error}"),
        }
    }
});
