//! Probing: every format judges the same file, whole, cut in the middle and by its two ends.
#![no_main]

use format_all::FORMATS;
use format_core::{MemStorage, Score, probe_formats};
use libfuzzer_sys::fuzz_target;

/// More than a probe sees of either end.
const BETWEEN: usize = 160 << 10;

/// The bytes by which the formats are told that no other target has images of.
fn seeds() -> Vec<(String, Vec<u8>)> {
    let at_end = |from_end: usize, bytes: &[u8]| {
        let mut file = vec![0; 1024];
        let start = file.len() - from_end;
        file[start..][..bytes.len()].copy_from_slice(bytes);
        file
    };
    let files: [(&str, Vec<u8>); 11] = [
        ("dmg", at_end(512, b"koly\0\0\0\x04\0\0\x02\0")),
        ("bochs", b"Bochs Virtual HD Image\0".to_vec()),
        ("cloop", b"#!/bin/sh\n#V2.0 Format\n".to_vec()),
        ("tib", b"\xce\x24\xb9\xa2\x20\0\0\0".to_vec()),
        ("vbk", b"\x0d\0\0\0\x01\0\0\0\x03\0\0\0md5\0".to_vec()),
        ("mrimg", at_end(40, b"__79241006_2651_11D4_")),
        ("mrimgx", at_end(12, b"MACRIUM_FILE")),
        ("gho", b"\xfe\xef\x01\x02".to_vec()),
        ("wim", b"MSWIM\0\0\0".to_vec()),
        ("vhd", at_end(512, b"conectix")),
        ("qcow", b"QFI\xfb\0\0\0\x03".to_vec()),
    ];
    files.map(|(name, bytes)| (name.to_owned(), bytes)).into()
}

fn judge(bytes: Vec<u8>) {
    let found = probe_formats(&MemStorage(bytes), FORMATS).expect("memory is readable");
    assert!(found.is_sorted_by(|a, b| a.1 >= b.1), "the surest first: {found:?}");
    let fallback: Vec<_> = found.iter().filter(|(_, score)| *score == Score::Possible).collect();
    assert!(fallback.iter().any(|(format, _)| format.name == "raw"), "anything can be raw: {found:?}");
    for (format, _) in fallback {
        assert!(format.open_layer.is_some(), "{} is claimed without its bytes", format.name);
    }
}

fuzz_target!(init: fuzz::write_seeds(seeds), |input: &[u8]| {
    judge(input.to_vec());
    let (head, tail) = input.split_at(input.len() / 2);
    for file in [head, tail] {
        judge(file.to_vec());
    }
    judge([head, &vec![0; BETWEEN], tail].concat());
});
