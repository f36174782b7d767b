//! EWF images; the checksums of sections, volumes and tables are put right.
#![no_main]

use format_core::{DenyAll, ErrorKind, LayerContext, Origin, Storage};
use fuzz::{Bases, Patched, check_disk};
use libfuzzer_sys::fuzz_target;
use std::sync::{Arc, LazyLock};

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

fuzz_target!(|input: &[u8]| {
    let image = Patched::from_input(&BASES, input, seal);
    let open = format_ewf::FORMAT.open_container.expect("the format has a reader");
    let context = LayerContext::new(Arc::new(DenyAll));
    match open(Origin::File(Arc::new(image)), &context) {
        Ok(container) => {
            check_disk(&container.open_disk(0).expect("its only disk").disk);
            let _ = (container.details(), container.completeness());
        }
        Err(error) => assert_ne!(error.kind(), ErrorKind::Contract, "{error}"),
    }
});
