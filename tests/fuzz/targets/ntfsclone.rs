//! ntfsclone images, also through a pipe.
#![no_main]

use fuzz::{Bases, fuzz_image, fuzz_stream};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static BASES: LazyLock<Bases> = LazyLock::new(|| Bases::load("ntfsclone"));

fuzz_target!(|input: &[u8]| {
    fuzz_image(&format_ntfsclone::FORMAT, &BASES, input, |_| {});
    fuzz_stream(&format_ntfsclone::FORMAT, &BASES, input, |_| {});
});
