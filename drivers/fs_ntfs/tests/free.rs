//! What is free, judged by ntfscat, and by ntfsfix, ntfsresize and ntfs-3g after all of it was overwritten with noise.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod images;

use driver_core::GuestFs;
use driver_fs_ntfs::open;
use images::{Image, PatchedVolume, noise, tool, volume_flags_at};
use std::fs::OpenOptions;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

const LEAST: u64 = 64 << 10;

/// Many files of many sizes, of which half are deleted again, and one that grows in the holes.
fn fill(root: &Path) {
    for number in 0..400u64 {
        let folder = root.join(format!("folder{}", number % 7));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(number.to_string()), noise((number * 7919 % 120_000) as usize, number))
            .unwrap();
    }
    for number in (0..400u64).filter(|number| number % 2 == 1) {
        std::fs::remove_file(root.join(format!("folder{}", number % 7)).join(number.to_string())).unwrap();
    }
    std::fs::write(root.join("large"), noise(9 << 20, 99)).unwrap();
}

fn overwrite(image: &Path, ranges: &[Range<u64>]) {
    let file = OpenOptions::new().write(true).open(image).unwrap();
    let noise = noise(1 << 20, 7);
    for range in ranges {
        let mut at = range.start;
        while at < range.end {
            let len = (range.end - at).min(noise.len() as u64);
            file.write_all_at(&noise[..len as usize], at).unwrap();
            at += len;
        }
    }
}

/// The zero bits of `$Bitmap` as ntfscat reads it.
fn judged(image: &Image, cluster: u64) -> Vec<Range<u64>> {
    let bitmap = tool("ntfscat", &["-f", "-i", "6", image.file()]);
    assert!(bitmap.status.success());
    let clusters = std::fs::metadata(&image.path).unwrap().len() / cluster;
    let is_free = |number: u64| bitmap.stdout[(number / 8) as usize] >> (number % 8) & 1 == 0;
    let mut found: Vec<Range<u64>> = Vec::new();
    for number in (0..clusters).filter(|number| is_free(*number)) {
        match found.last_mut().filter(|last| last.end == number * cluster) {
            Some(last) => last.end += cluster,
            None => found.push(number * cluster..(number + 1) * cluster),
        }
    }
    found.retain(|range| range.end - range.start >= LEAST);
    found
}

#[test]
fn free_is_what_the_bitmap_says_and_nothing_is_lost_with_it() {
    for (cluster, size) in [(4096, 120 << 20), (512, 60 << 20), (65536, 120 << 20)] {
        let image = Image::make(&["-c", &cluster.to_string()], size, fill);
        let before = image.bytes();
        let found = open(image.volume()).unwrap().free_ranges().unwrap().unwrap();
        assert!(image.bytes() == before, "{cluster}: asking changed something");
        assert_eq!(found, judged(&image, cluster), "{cluster}");
        assert!(found.iter().map(|range| range.end - range.start).sum::<u64>() > 10 << 20, "{cluster}");
        let wanted = image.tree();
        assert!(wanted.len() > 200, "{cluster}");
        overwrite(&image.path, &found);
        image.assert_clean(&format!("{cluster}"));
        assert!(image.tree() == wanted, "{cluster}: a file changed");
    }
}

#[test]
fn nothing_is_said_of_a_volume_that_was_not_left_in_order() {
    let image = Image::make(&["-c", "4096"], 40 << 20, |root| {
        std::fs::write(root.join("file"), noise(300_000, 1)).unwrap();
    });
    let bytes = image.bytes();
    let answer = |patch: Vec<(u64, u8)>| open(PatchedVolume::new(&bytes, patch)).unwrap().free_ranges();
    assert!(answer(Vec::new()).unwrap().is_some());
    let error = answer(vec![(volume_flags_at(&bytes), 1)]).unwrap_err();
    assert_eq!(error.kind(), format_core::ErrorKind::NeedsPerson, "{error}");
    // The volume's own clusters marked free: the first byte of $Bitmap covers the boot sector and more.
    let content = tool("ntfscat", &["-f", "-i", "6", image.file()]).stdout;
    assert!(content.len() >= 1280, "a bit for each cluster");
    let mut places = (0..bytes.len()).step_by(4096);
    let bitmap = places.find(|at| bytes[*at..].starts_with(&content)).unwrap() as u64;
    assert_eq!(bytes[bitmap as usize] & 3, 3);
    assert!(answer(vec![(bitmap, bytes[bitmap as usize] & !1)]).is_err());
    // Shadow copies: the header with and without a catalog.
    let id = *b"\x6b\x87\x08\x38\x76\xc1\x48\x4e\xb7\xae\x04\x04\x6e\x6c\xc7\x52";
    let mut header: Vec<(u64, u8)> = (0x1e00..).zip(id).collect();
    assert!(answer(header.clone()).unwrap().is_some());
    header.push((0x1e00 + 49, 1));
    let error = answer(header).unwrap_err();
    assert!(error.to_string().contains("shadow copies"), "{error}");
}
