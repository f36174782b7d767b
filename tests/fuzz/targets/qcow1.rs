//! qcow images of the first version.
#![no_main]

use fuzz::{Bases, fuzz_image};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static BASES: LazyLock<Bases> = LazyLock::new(|| Bases::load("qcow1"));

fuzz_target!(|input: &[u8]| fuzz_image(&format_qcow1::FORMAT, &BASES, input, |_| {}));
