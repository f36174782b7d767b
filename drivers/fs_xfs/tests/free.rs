//! What is free, judged by xfs_db, and by xfs_repair and the kernel after all of it was overwritten with noise.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod images;

use driver_core::GuestFs;
use driver_fs_xfs::open;
use images::{
    FileVolume, Image, PatchedVolume, assert_clean, assert_same, kernel_view, mounted, must, noise, own_view,
};
use std::fs::{File, OpenOptions};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

const LEAST: u64 = 64 << 10;

/// Many files of many sizes, of which two thirds are deleted again.
fn fill(root: &Path) {
    for number in 0..600u64 {
        let folder = root.join(format!("folder{}", number % 7));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(number.to_string()), noise((number * 7919 % 150_000) as usize, number))
            .unwrap();
    }
    std::fs::write(root.join("large"), noise(5 << 20, 99)).unwrap();
    let sparse = File::create(root.join("sparse")).unwrap();
    sparse.write_all_at(&noise(70_000, 5), 40 << 20).unwrap();
    must("sync", &["-f", root.to_str().unwrap()]);
    for number in (0..600u64).filter(|number| number % 3 != 1) {
        std::fs::remove_file(root.join(format!("folder{}", number % 7)).join(number.to_string())).unwrap();
    }
}

/// Holes of single blocks in a file, so that the trees of free space have more than one level.
fn fragment(root: &Path) {
    fill(root);
    let path = root.join("holes");
    let file = File::create(&path).unwrap();
    file.write_all_at(&noise(24 << 20, 3), 0).unwrap();
    must("sync", &["-f", root.to_str().unwrap()]);
    // One call for each hole would take minutes.
    let commands: Vec<String> = (0..3000u64).map(|hole| format!("fpunch {} 1024", hole * 8192)).collect();
    for part in commands.chunks(500) {
        let arguments: Vec<&str> = part.iter().flat_map(|command| ["-c", command.as_str()]).collect();
        must("xfs_io", &[arguments.as_slice(), &[path.to_str().unwrap()]].concat());
    }
}

fn free(image: &Path) -> Vec<Range<u64>> {
    open(FileVolume::open(image)).unwrap().free_ranges().unwrap().unwrap()
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

/// Neighbours merged, short ones left out.
fn merged(mut ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    ranges.sort_by_key(|range| range.start);
    let mut found: Vec<Range<u64>> = Vec::new();
    for range in ranges {
        match found.last_mut().filter(|last| last.end == range.start) {
            Some(last) => last.end = range.end,
            None => found.push(range),
        }
    }
    found.retain(|range| range.end - range.start >= LEAST);
    found
}

/// The extents that xfs_db lists, without those that are kept for the trees.
fn judged(image: &Image) -> Vec<Range<u64>> {
    let number = |field: &str| -> u64 {
        let told = image.db(&["sb 0", &format!("print {field}")]);
        told.split_whitespace().next_back().unwrap().parse().unwrap()
    };
    let (size, ag_blocks) = (number("blocksize"), number("agblocks"));
    // A block that is kept stands there alone, and never makes a range of its own.
    let told = image.db(&["freesp -d"]);
    let extents = told.lines().filter_map(|line| {
        let numbers: Vec<u64> =
            line.split_whitespace().map(str::parse).collect::<std::result::Result<_, _>>().ok()?;
        let [ag, start, len] = numbers.as_slice() else { return None };
        (*len > 1).then(|| {
            let start = (ag * ag_blocks + start) * size;
            start..start + len * size
        })
    });
    merged(extents.collect())
}

fn check(options: &[&str], size: &str, work: impl FnOnce(&Path)) {
    let image = Image::make(options, size, work);
    let found = free(&image.path);
    assert_eq!(found, judged(&image), "{options:?}");
    assert!(found.iter().map(|range| range.end - range.start).sum::<u64>() > 40 << 20, "{options:?}");
    let wanted = mounted(&image.path, "ro", kernel_view);
    overwrite(&image.path, &found);
    assert_clean(&image.path, &format!("{options:?}"));
    assert_same(&mounted(&image.path, "ro", kernel_view), &wanted, &format!("{options:?}"));
}

#[test]
fn free_is_what_xfs_db_says_and_nothing_is_lost_with_it() {
    check(&[], "320M", fill);
    check(&["-b", "size=1024"], "200M", fill);
    check(&["-m", "rmapbt=1,reflink=1", "-d", "agcount=7"], "320M", fill);
    check(&["-m", "finobt=0,rmapbt=0,reflink=0", "-d", "agcount=3"], "320M", fill);
}

#[test]
fn trees_of_several_levels_are_walked() {
    check(&["-b", "size=1024", "-d", "agcount=2"], "200M", fragment);
}

/// Present kernels no longer mount version 4: what xfs_repair says, and the files as they are read here.
#[test]
fn version_4_is_walked_too() {
    let folder = tempfile::TempDir::new().unwrap();
    let (list, path) = (folder.path().join("list"), folder.path().join("image"));
    let content = folder.path().join("content");
    std::fs::write(&content, noise(300_000, 4)).unwrap();
    let names: String = (0..60).map(|n| format!("file{n} ---644 0 0 {}\n", content.display())).collect();
    std::fs::write(&list, format!("boot\n0 0\nd--755 0 0\n{names}$\n")).unwrap();
    must("truncate", &["-s", "96M", path.to_str().unwrap()]);
    let options =
        ["-q", "--unsupported", "-m", "crc=0", "-p", list.to_str().unwrap(), path.to_str().unwrap()];
    must("mkfs.xfs", &options);
    let image = Image { folder, path };
    let found = free(&image.path);
    assert_eq!(found, judged(&image));
    let wanted = own_view(&open(image.volume()).unwrap());
    assert_eq!(wanted.len(), 60);
    overwrite(&image.path, &found);
    assert_clean(&image.path, "version 4");
    assert_same(&own_view(&open(image.volume()).unwrap()), &wanted, "version 4");
}

#[test]
fn a_dirty_log_says_nothing_about_what_is_free() {
    let image = Image::make(&[], "320M", |_| ());
    let live = image.folder.path().join("live");
    mounted(&image.path, "rw", |root| {
        fill(root);
        must("sync", &["-f", root.to_str().unwrap()]);
        must("cp", &["--sparse=always", image.path.to_str().unwrap(), live.to_str().unwrap()]);
    });
    let error = open(FileVolume::open(&live)).unwrap().free_ranges().unwrap_err();
    assert_eq!(error.kind(), format_core::ErrorKind::NeedsPerson, "{error}");
}

/// Counts and records of version 4, which has no checksums.
#[test]
fn a_map_that_lies_is_an_error() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("image");
    must("truncate", &["-s", "96M", path.to_str().unwrap()]);
    must("mkfs.xfs", &["-q", "--unsupported", "-m", "crc=0", path.to_str().unwrap()]);
    let good = Arc::new(std::fs::read(&path).unwrap());
    let answer =
        |patch: Option<(u64, u8)>| open(PatchedVolume::new(&good, patch)).and_then(|fs| fs.free_ranges());
    assert!(answer(None).unwrap().is_some());
    let be32 = |at: usize| u32::from_be_bytes(*good[at..].first_chunk().unwrap());
    let block = |root: usize| u64::from(be32(512 + root)) * 4096;
    // Free blocks of the superblock; of the group; start and length of the first record in both trees.
    let places =
        [144 + 6, 512 + 54, block(16) + 16 + 2, block(16) + 20 + 2, block(20) + 16 + 2, block(20) + 20 + 2];
    for at in places {
        for bit in [1, 8] {
            assert!(answer(Some((at, good[at as usize] ^ bit))).is_err(), "{at:#x}");
        }
    }
}
