//! Disc images: whatever the folders say, each file is read once and within the image.
#![no_main]

#[path = "../../../drivers/inf/tests/maker/iso.rs"]
mod iso;

use driver_inf::Disc;
use format_core::MemStorage;
use fuzz::write_seeds;
use iso::{FOLDER, GOES_ON, ROOT, SECTOR, folder, record};
use libfuzzer_sys::fuzz_target;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The fuzzer changes descriptors and folders; what is in front and behind has nothing to say.
const FIRST: usize = 16 * SECTOR;
const LAST: usize = 24 * SECTOR;

fn seeds() -> Vec<(String, Vec<u8>)> {
    let cut = |image: Vec<u8>| image[FIRST..LAST].to_vec();
    let sub = record(b"SUB", 21, 2048, FOLDER, &[]);
    let file = record(b"A.SYS;1", 30, 5000, 0, &[]);
    let parts = [record(b"B.;1", 31, 2048, GOES_ON, &[]), record(b"B.;1", 40, 9, 0, &[])].concat();
    let plain = iso::image(&[
        (ROOT, folder(ROOT, &[file, parts, sub])),
        (21, folder(21, &[record(b"C.TXT;1", 50, 1, 0, &[])])),
    ]);
    let names = |name: &[u8]| [b"NM\x00\x01\x00".as_slice(), name].concat();
    let mut entry = names(b"long name.inf");
    entry[2] = entry.len() as u8;
    let mut more = vec![b'C', b'E', 28, 1];
    for n in [22_u32, 4, 20] {
        more.extend([n.to_le_bytes(), n.to_be_bytes()].concat());
    }
    let mut link = entry.clone();
    link.extend(*b"SL\x08\x01\0\0\0\0");
    let own = record(&[0], ROOT, 2048, FOLDER, b"SP\x07\x01\xbe\xef\0");
    let parent = record(&[1], ROOT, 2048, FOLDER, &[]);
    let ridge = [own, parent, record(b"A", 30, 9, 0, &entry), record(b"B", 30, 9, 0, &link), record(b"C", 30, 9, 0, &more)];
    let ridge = iso::image(&[(ROOT, ridge.concat()), (22, [&[0; 4], entry.as_slice()].concat())]);
    let mut joliet = iso::descriptor(2);
    joliet[88..91].copy_from_slice(b"%/E");
    let wide: Vec<u8> = "w.sys;1".encode_utf16().flat_map(u16::to_be_bytes).collect();
    let joliet = iso::image(&[
        (17, joliet),
        (18, iso::descriptor(255)),
        (ROOT, folder(ROOT, &[record(&wide, 30, 77, 0, &[])])),
    ]);
    vec![("plain".into(), cut(plain)), ("ridge".into(), cut(ridge)), ("joliet".into(), cut(joliet))]
}

fuzz_target!(init: write_seeds(seeds), |input: &[u8]| {
    let mut image = vec![0; FIRST];
    image.extend(input);
    image.resize(image.len().max(64 * SECTOR), 7);
    let size = image.len() as u64;
    let Ok(Some(disc)) = Disc::open(Arc::new(MemStorage(image))) else { return };
    let Ok(files) = disc.files() else { return };
    let mut left = 16 << 20;
    for file in &files {
        assert!(file.path.split('/').all(|part| !part.is_empty() && part != "." && part != ".."), "{}", file.path);
        let Ok(content) = disc.read(file, left) else { continue };
        assert_eq!(content.len() as u64, file.size);
        left -= file.size;
    }
    let paths: BTreeSet<_> = files.iter().map(|file| &file.path).collect();
    assert!(paths.len() <= files.len() && size > 0);
});
