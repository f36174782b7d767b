//! VHD images; the checksums of the footer, its copy and the dynamic header are put right.
#![no_main]

use format_core::Storage;
use fuzz::{Bases, Patched, fuzz_image};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static BASES: LazyLock<Bases> = LazyLock::new(|| Bases::load("vhd"));

/// Length of a footer, and where its checksum is.
const FOOTER: (usize, usize) = (512, 64);
/// Place and length of the dynamic header of the base images, and where its checksum is.
const HEADER: (u64, usize, usize) = (512, 1024, 36);

fn seal(image: &mut Patched) {
    let (len, field) = FOOTER;
    let end = image.size().saturating_sub(len as u64);
    for at in [0, end] {
        if image.bytes(at, 8) == b"conectix" {
            seal_one(image, at, len, field);
        }
    }
    let (at, len, field) = HEADER;
    if image.bytes(at, 8) == b"cxsparse" {
        seal_one(image, at, len, field);
    }
}

/// The ones' complement of the sum of all bytes but the field's.
fn seal_one(image: &mut Patched, at: u64, len: usize, field: usize) {
    let field = at + field as u64;
    image.patch(field, &[0; 4]);
    let sum: u32 = image.bytes(at, len).iter().map(|byte| u32::from(*byte)).sum();
    image.patch(field, &(!sum).to_be_bytes());
}

fuzz_target!(|input: &[u8]| fuzz_image(&format_vhd::FORMAT, &BASES, input, seal));
