//! Expanding Parallels images, and descriptors of folders.
#![no_main]

use fuzz::{Bases, fuzz_image};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static BASES: LazyLock<Bases> = LazyLock::new(|| Bases::load("parallels"));

fuzz_target!(|input: &[u8]| fuzz_image(&format_parallels::FORMAT, &BASES, input, |_| {}));
