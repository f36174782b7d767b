//! Group descriptors that lead an edit astray: found before the first write.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod images;

use driver_core::{GuestFs, Volume};
use driver_fs_ext::open;
use format_core::ErrorKind;
use images::{Image, MemoryVolume};

#[test]
fn descriptors_that_overlap_or_lie_in_free_space_are_not_edited() {
    let options = ["-t", "ext4", "-b", "1024", "-O", "^metadata_csum,^has_journal,^64bit,^flex_bg"];
    let image = Image::make(&options, "2M", |root| std::fs::write(root.join("file"), "x").unwrap());
    let good = std::fs::read(&image.path).unwrap();
    // Group 0: places of the block bitmap, the inode bitmap, and the inode table.
    let field = |at: usize| u32::from_le_bytes(*good[2048 + at..].first_chunk().unwrap());
    let last = good.len() as u32 / 1024 - 1;
    for (at, value) in [(4, field(0)), (8, field(4)), (4, last), (8, last - 64), (4, u32::MAX)] {
        let mut bytes = good.clone();
        bytes[2048 + at..2052 + at].copy_from_slice(&value.to_le_bytes());
        let volume = MemoryVolume::new(bytes.clone());
        match open(volume.clone()) {
            Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt, "{at} = {value}"),
            Ok(mut fs) => assert!(fs.replace_file("/file", b"y").is_err(), "{at} = {value}"),
        }
        let mut after = vec![0; bytes.len()];
        volume.read_exact_at(0, &mut after).unwrap();
        assert!(after == bytes, "{at} = {value}: nothing is written");
    }
    let mut fs = open(MemoryVolume::new(good)).unwrap();
    fs.replace_file("/file", b"y").unwrap();
}
