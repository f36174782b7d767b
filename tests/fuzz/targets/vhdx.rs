//! VHDX images; the checksums of headers, region tables and log entries are put right.
#![no_main]

use fuzz::{Bases, Patched, fuzz_image};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static BASES: LazyLock<Bases> = LazyLock::new(|| Bases::load("vhdx"));

/// Headers and region tables: place and length (MS-VHDX 2.2.2, 2.2.3).
const SEALED: [(u64, usize); 4] =
    [(0x1_0000, 0x1000), (0x2_0000, 0x1000), (0x3_0000, 0x1_0000), (0x4_0000, 0x1_0000)];
/// Where the log of the base images lies, and how many of its sectors can start an entry.
const LOG: (u64, u64) = (0x10_0000, 64);

fn seal(image: &mut Patched) {
    for sector in 0..LOG.1 {
        let at = LOG.0 + sector * 4096;
        let start = image.bytes(at, 12);
        if start.starts_with(b"loge") {
            let len = u32::from_le_bytes([start[8], start[9], start[10], start[11]]) as usize;
            seal_one(image, at, len.min(1 << 20));
        }
    }
    for (at, len) in SEALED {
        seal_one(image, at, len);
    }
}

/// The CRC-32C at byte 4, taken over the structure with zeros in its place.
fn seal_one(image: &mut Patched, at: u64, len: usize) {
    let mut bytes = image.bytes(at, len);
    if let Some(field) = bytes.get_mut(4..8) {
        field.fill(0);
        image.patch(at + 4, &crc32c::crc32c(&bytes).to_le_bytes());
    }
}

fuzz_target!(|input: &[u8]| fuzz_image(&format_vhdx::FORMAT, &BASES, input, seal));
