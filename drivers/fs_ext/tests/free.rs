//! What is free, judged by dumpe2fs, and by e2fsck and the kernel after all of it was overwritten with noise.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod images;

use driver_core::GuestFs;
use driver_fs_ext::open;
use images::{FileVolume, MemoryVolume, assert_clean, text, tool};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use tempfile::TempDir;

const LEAST: u64 = 64 << 10;

fn must(name: &str, arguments: &[&str]) -> String {
    let done = tool(name, arguments);
    assert!(done.status.success(), "{name} {arguments:?} (the tests need root): {}", text(&done));
    text(&done)
}

struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        tool("umount", &[self.0.to_str().unwrap()]);
    }
}

fn mounted<T>(image: &Path, options: &str, work: impl FnOnce(&Path) -> T) -> T {
    let point = TempDir::new().unwrap();
    let options = format!("loop,{options}");
    must("mount", &["-o", &options, image.to_str().unwrap(), point.path().to_str().unwrap()]);
    let mounted = Mounted(point.path().to_owned());
    let result = work(point.path());
    drop(mounted);
    result
}

/// Noise that differs from seed to seed, out of one piece: making it byte by byte takes its time.
fn noise(len: usize, seed: u64) -> Vec<u8> {
    static NOISE: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let words = std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        });
        words.take(1 << 20).flatten().collect()
    });
    let from = (seed * 4099 % (1 << 20)) as usize;
    NOISE[from..from + len].to_vec()
}

/// Many files of many sizes, of which half are deleted again.
fn fill(root: &Path) {
    for number in 0..300u64 {
        let folder = root.join(format!("folder{}", number % 7));
        std::fs::create_dir_all(&folder).unwrap();
        let len = (number * 7919 % 200_000) as usize;
        std::fs::write(folder.join(number.to_string()), noise(len, number)).unwrap();
    }
    std::fs::write(root.join("large"), noise(6 << 20, 99)).unwrap();
    let sparse = File::create(root.join("sparse")).unwrap();
    sparse.write_all_at(&noise(70_000, 5), 40 << 20).unwrap();
    must("sync", &["-f", root.to_str().unwrap()]);
    for number in (0..300u64).filter(|number| number % 2 == 1) {
        std::fs::remove_file(root.join(format!("folder{}", number % 7)).join(number.to_string())).unwrap();
    }
}

fn make(folder: &Path, options: &[&str], size: &str) -> PathBuf {
    let image = folder.join("image");
    let path = image.to_str().unwrap();
    must("truncate", &["-s", size, path]);
    must("mke2fs", &[&["-q", "-F"], options, &[path]].concat());
    mounted(&image, "rw", fill);
    image
}

/// Every file's content.
fn files(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let (mut found, mut folders) = (BTreeMap::new(), vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap()) {
            match entry.file_type().unwrap().is_dir() {
                true => folders.push(entry.path()),
                false => {
                    let path = entry.path().strip_prefix(root).unwrap().to_owned();
                    found.insert(path, std::fs::read(entry.path()).unwrap());
                }
            }
        }
    }
    found
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

fn judged(image: &Path) -> Vec<Range<u64>> {
    let told = must("dumpe2fs", &[image.to_str().unwrap()]);
    let number = |line: &str| line.split_whitespace().next_back().unwrap().parse::<u64>().unwrap();
    let size = number(told.lines().find(|line| line.starts_with("Block size:")).unwrap());
    // With bigalloc, a run is told up to the first block of its last cluster.
    let cluster = told.lines().find(|line| line.starts_with("Cluster size:")).map_or(size, number);
    let lists = told.lines().filter_map(|line| line.strip_prefix("  Free blocks: "));
    let runs = lists.flat_map(|list| list.split(", ")).filter(|run| !run.trim().is_empty());
    let runs = runs.map(|run| {
        let (from, to) = run.split_once('-').unwrap_or((run, run));
        let (from, to): (u64, u64) = (from.trim().parse().unwrap(), to.trim().parse().unwrap());
        from * size..to * size + cluster
    });
    merged(runs.collect())
}

#[test]
fn free_is_what_dumpe2fs_says_and_nothing_is_lost_with_it() {
    for (options, size) in [
        (&["-t", "ext4"][..], "200M"),
        (&["-t", "ext4", "-b", "1024"], "100M"),
        (&["-t", "ext4", "-b", "1024", "-O", "^flex_bg", "-E", "lazy_itable_init=1"], "100M"),
        (&["-t", "ext4", "-O", "bigalloc", "-C", "65536"], "200M"),
        (&["-t", "ext4", "-b", "1024", "-O", "bigalloc,^64bit", "-C", "16384"], "100M"),
        (&["-t", "ext4", "-b", "1024", "-O", "meta_bg,^resize_inode"], "100M"),
        (&["-t", "ext4", "-O", "^metadata_csum,uninit_bg", "-b", "1024"], "100M"),
        (&["-t", "ext4", "-O", "^metadata_csum,^uninit_bg", "-b", "2048"], "100M"),
        (&["-t", "ext4", "-b", "1024", "-O", "sparse_super2", "-g", "1024"], "60M"),
        (&["-t", "ext4", "-b", "1024", "-O", "^sparse_super,^resize_inode"], "100M"),
        (&["-t", "ext3", "-b", "1024"], "100M"),
        (&["-t", "ext2", "-b", "4096"], "200M"),
        (&["-t", "ext2", "-b", "1024", "-r", "0"], "100M"),
    ] {
        let folder = TempDir::new().unwrap();
        let image = make(folder.path(), options, size);
        let before = std::fs::read(&image).unwrap();
        let found = free(&image);
        assert!(std::fs::read(&image).unwrap() == before, "{options:?}: asking changed something");
        assert_eq!(found, judged(&image), "{options:?}");
        assert!(found.iter().map(|range| range.end - range.start).sum::<u64>() > 20 << 20, "{options:?}");
        let wanted = mounted(&image, "ro", files);
        assert_eq!(wanted.len(), 152, "{options:?}");
        overwrite(&image, &found);
        assert_clean(&image, &format!("{options:?}"));
        assert!(mounted(&image, "ro", files) == wanted, "{options:?}: a file changed");
    }
}

/// A copy that was made while the file system was in use: the journal holds changes, and a deleted file is still open.
#[test]
fn a_journal_and_orphans_count_as_the_guest_will_find_them() {
    for options in [&["-t", "ext4"][..], &["-t", "ext4", "-O", "orphan_file"], &["-t", "ext3", "-b", "1024"]]
    {
        let folder = TempDir::new().unwrap();
        let image = make(folder.path(), options, "200M");
        let (live, opened) = (folder.path().join("live"), folder.path().join("opened"));
        let wanted = mounted(&image, "rw", |root| {
            let deleted = root.join("deleted");
            std::fs::write(&deleted, noise(3 << 20, 12)).unwrap();
            for number in 0..40u64 {
                std::fs::remove_file(
                    root.join(format!("folder{}", number * 2 % 7)).join((number * 2).to_string()),
                )
                .unwrap();
                std::fs::write(root.join(format!("late{number}")), noise(90_000, 1000 + number)).unwrap();
            }
            let still_open = File::open(&deleted).unwrap();
            std::fs::remove_file(&deleted).unwrap();
            must("sync", &["-f", root.to_str().unwrap()]);
            std::fs::copy(&image, &live).unwrap();
            drop(still_open);
            files(root)
        });
        std::fs::copy(&live, &opened).unwrap();
        let fs = open(FileVolume::open(&opened)).unwrap();
        assert!(fs.facts().needs_recovery && fs.facts().has_orphans, "{options:?}: {:?}", fs.facts());
        assert_eq!(fs.opening().orphans_deleted, 1, "{options:?}");
        let found = fs.free_ranges().unwrap().unwrap();
        drop(fs);
        // By now the orphan is free there.
        let total = |ranges: &[Range<u64>]| ranges.iter().map(|range| range.end - range.start).sum::<u64>();
        assert!(total(&found) + (2 << 20) < total(&judged(&opened)), "{options:?}: the orphan is in use");
        overwrite(&live, &found);
        assert!(mounted(&live, "rw", files) == wanted, "{options:?}: a file changed");
        assert_clean(&live, &format!("{options:?}, replayed by the kernel"));
    }
}

/// Maps that contradict themselves are believed by nobody.
#[test]
fn a_map_that_lies_is_an_error() {
    let folder = TempDir::new().unwrap();
    for options in [&["-t", "ext4"][..], &["-t", "ext2", "-b", "1024"]] {
        let image = make(folder.path(), options, "64M");
        let good = std::fs::read(&image).unwrap();
        let told = must("dumpe2fs", &[image.to_str().unwrap()]);
        let size = told.lines().find_map(|line| line.strip_prefix("Block size:")).unwrap();
        let size: usize = size.trim().parse().unwrap();
        let place = told.lines().find_map(|line| line.split_once("Block bitmap at ")).unwrap().1;
        let bitmap: usize = place.split([' ', ',']).next().unwrap().parse::<usize>().unwrap() * size;
        let answer = |bytes: Vec<u8>| open(MemoryVolume::new(bytes)).and_then(|fs| fs.free_ranges());
        assert!(answer(good.clone()).unwrap().is_some());
        for at in [bitmap, bitmap + 100, bitmap + size / 4] {
            for value in [0u8, 0x55] {
                let mut bytes = good.clone();
                bytes[at] = value;
                assert_eq!(answer(bytes.clone()).is_err(), bytes != good, "{options:?} {at:#x}");
            }
        }
        // Free blocks of the superblock; its checksum would tell before.
        if options.len() > 2 {
            let mut bytes = good.clone();
            bytes[1024 + 0xc] ^= 1;
            assert!(answer(bytes).is_err());
        }
        // Errors that the guest found, and a state that is not clean.
        for state in ["2", "0"] {
            must("debugfs", &["-w", "-R", &format!("ssv state {state}"), image.to_str().unwrap()]);
            assert!(answer(std::fs::read(&image).unwrap()).is_err(), "{options:?} state {state}");
        }
    }
}

#[test]
fn after_an_edit_nothing_is_said() {
    let folder = TempDir::new().unwrap();
    let image = make(folder.path(), &["-t", "ext4"], "60M");
    let mut fs = open(FileVolume::open(&image)).unwrap();
    fs.append_file("/large", &noise(1 << 20, 3)).unwrap();
    assert_eq!(fs.free_ranges().unwrap(), None);
    fs.finish().unwrap();
    assert_eq!(free(&image), judged(&image));
}

/// 16384 groups, most of which have no bitmap yet.
#[test]
fn a_large_file_system_takes_little_memory() {
    let folder = TempDir::new().unwrap();
    let image = folder.path().join("image");
    let path = image.to_str().unwrap();
    must("truncate", &["-s", "2T", path]);
    let lazy = "lazy_itable_init=1,nodiscard";
    must("mke2fs", &["-q", "-F", "-t", "ext4", "-O", "^has_journal,^resize_inode", "-E", lazy, path]);
    let most = || -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    };
    let fs = open(FileVolume::open(&image)).unwrap();
    let before = most();
    let found = fs.free_ranges().unwrap().unwrap();
    let total: u64 = found.iter().map(|range| range.end - range.start).sum();
    assert!(total > 15 << 37, "{total:#x}");
    let grown = most() - before;
    assert_eq!(found, judged(&image));
    eprintln!("{} ranges, {grown} KiB", found.len());
    assert!(grown < 32 << 10, "{grown} KiB");
}
