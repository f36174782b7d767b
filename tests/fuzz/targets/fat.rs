//! FAT file systems.
#![no_main]

use fuzz::{Bases, Patched, fuzz_volume};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static BASES: LazyLock<Bases> = LazyLock::new(|| {
    // The library below the room panics on absurd cluster numbers, which the room turns into errors. The fuzzer's own hook
    // would end the process before that; a panic that leaves the room still does.
    std::panic::set_hook(Box::new(|_| {}));
    Bases::load("fat")
});

fuzz_target!(|input: &[u8]| {
    let image = Patched::from_input(&BASES, input, |_| {});
    fuzz_volume(image, |window| driver_fs_fat::open(window));
});
