//! EWF images; the checksums of sections, volumes and tables are put right.
#![no_main]

use format_core::Storage;
use fuzz::{Bases, Patched, fuzz_image};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static BASES: LazyLock<Bases> = LazyLock::new(|| Bases::load("ewf"));

/// The header of a segment, and the descriptor of a section.
const HEADER: u64 = 13;
const DESCRIPTOR: u64 = 76;

fn seal(image: &mut Patched) {
    let mut at = HEADER;
    for _ in 0..100 {
        seal_one(image, at, DESCRIPTOR as usize);
        let descriptor = image.bytes(at, DESCRIPTOR as usize);
        let data = at + DESCRIPTOR;
        match &descriptor[..6] {
            b"volume" | b"disk\0\0" | b"data\0\0" => {
                let is_short = image.bytes(data + 1048, 4) == [0; 4] || image.size() < data + 1052;
                seal_one(image, data, if is_short { 94 } else { 1052 });
            }
            b"table\0" | b"table2" => {
                seal_one(image, data, 24);
                let count = u32::from_le_bytes(image.bytes(data, 4).try_into().expect("four bytes"));
                seal_one(image, data + 24, (count as usize).min(1000) * 4 + 4);
            }
            _ => {}
        }
        let next = u64::from_le_bytes(descriptor[16..24].try_into().expect("eight bytes"));
        if next <= at || next > image.size() {
            break;
        }
        at = next;
    }
}

/// The Adler-32 of all but the last four bytes, there.
fn seal_one(image: &mut Patched, at: u64, len: usize) {
    let (mut a, mut b) = (1u32, 0u32);
    for byte in image.bytes(at, len - 4) {
        a = (a + u32::from(byte)) % 65_521;
        b = (b + a) % 65_521;
    }
    image.patch(at + len as u64 - 4, &(b << 16 | a).to_le_bytes());
}

fuzz_target!(|input: &[u8]| fuzz_image(&format_ewf::FORMAT, &BASES, input, seal));
