//! partclone images; the checksums of header and map are put right, and the image is read through a pipe, too.
#![no_main]

use fuzz::{Bases, Patched, fuzz_image, fuzz_stream};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static BASES: LazyLock<Bases> = LazyLock::new(|| Bases::load("partclone"));

/// CRC-32 without the inversion at its end.
fn crc(bytes: &[u8]) -> [u8; 4] {
    (!crc32fast::hash(bytes)).to_le_bytes()
}

fn seal(image: &mut Patched) {
    let header = image.bytes(0, 106);
    image.patch(106, &crc(&header));
    let total = header.get(60..).and_then(|total| total.first_chunk()).map_or(0, |total| u64::from_le_bytes(*total));
    if total < 1 << 20 {
        let map = image.bytes(110, total.div_ceil(8) as usize);
        image.patch(110 + map.len() as u64, &crc(&map));
    }
}

fuzz_target!(|input: &[u8]| {
    fuzz_image(&format_partclone::FORMAT, &BASES, input, seal);
    fuzz_stream(&format_partclone::FORMAT, &BASES, input, seal);
});
