//! Which file owns a block, judged by `debugfs`; and file systems that lie.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod images;

use driver_fs_ext::{Owner, Owners, owners};
use images::{Image, MemoryVolume};
use std::collections::BTreeMap;

fn image(options: &[&str]) -> (Image, Vec<u8>) {
    let image = Image::make(options, "6M", |root| {
        std::fs::create_dir_all(root.join("a/b/c")).unwrap();
        for (name, len) in [("a/one", 40_000), ("a/b/two", 700_000), ("a/b/c/three", 1), ("top", 5_000)] {
            std::fs::write(root.join(name), vec![b'x'; len]).unwrap();
        }
        std::fs::hard_link(root.join("top"), root.join("a/link")).unwrap();
    });
    let bytes = std::fs::read(&image.path).unwrap();
    (image, bytes)
}

fn whole(bytes: &[u8]) -> Owners {
    owners(MemoryVolume::new(bytes.to_vec()), std::slice::from_ref(&(0..bytes.len() as u64))).unwrap()
}

/// Block → inode by `debugfs icheck`, for every block in use.
fn judged(image: &Image, blocks: u64) -> BTreeMap<u64, u32> {
    let request: String = (0..blocks).map(|block| format!(" {block}")).collect();
    let answer = image.debugfs(&format!("icheck{request}"));
    let pair = |line: &str| {
        let (block, inode) = line.split_once('\t')?;
        Some((block.parse().ok()?, inode.parse().ok()?))
    };
    answer.lines().filter_map(pair).collect()
}

#[test]
fn every_block_of_the_file_system_has_the_owner_that_debugfs_names() {
    for options in [
        &["-t", "ext4", "-b", "1024"][..],
        &["-t", "ext4", "-b", "4096", "-O", "^64bit,^flex_bg"],
        &["-t", "ext3", "-b", "1024"],
        &["-t", "ext2", "-b", "2048"],
    ] {
        let (image, bytes) = image(options);
        let stats = image.debugfs("stats");
        let line = stats.lines().find(|line| line.starts_with("Block size:")).unwrap();
        let size: u64 = line.split_whitespace().next_back().unwrap().parse().unwrap();
        let judged = judged(&image, bytes.len() as u64 / size);
        let found = whole(&bytes);
        assert!(found.gaps.is_empty(), "{options:?}: {:?}", found.gaps);
        let mut at = 0;
        for piece in &found.pieces {
            assert_eq!(piece.range.start, at, "{options:?}: pieces leave no gap");
            at = piece.range.end;
            for block in piece.range.start / size..piece.range.end / size {
                match (&piece.owner, judged.get(&block)) {
                    (Owner::File { inode, .. }, theirs) => {
                        assert_eq!(theirs, Some(inode), "{options:?} {block}")
                    }
                    // The journal and the room for descriptors are inodes to debugfs.
                    (Owner::Metadata(_), theirs) => {
                        assert!(theirs.is_none_or(|&inode| inode < 11), "{block}")
                    }
                    (_, theirs) => assert_eq!(theirs, None, "{options:?} {block}"),
                }
            }
        }
        assert_eq!(at, bytes.len() as u64);
        let paths: Vec<String> = found
            .pieces
            .iter()
            .filter_map(|piece| match &piece.owner {
                Owner::File { paths, .. } => Some(paths.join(" ")),
                _ => None,
            })
            .collect();
        for path in ["/a/one", "/a/b/two", "/a/b/c/three", "/a/b"] {
            assert!(paths.iter().any(|found| found == path), "{options:?} {path}: {paths:?}");
        }
        assert!(paths.iter().any(|found| found == "/top /a/link" || found == "/a/link /top"), "{paths:?}");
    }
}

#[test]
fn ranges_are_cut_to_what_was_asked() {
    let (image, bytes) = image(&["-t", "ext4", "-b", "1024"]);
    let first: u64 = image.debugfs("blocks /a/b/two").split_whitespace().next().unwrap().parse().unwrap();
    let at = first * 1024;
    let ranges = [at + 100..at + 200, at + 300..at + 301, at + 5000..at + 6000];
    let found = owners(MemoryVolume::new(bytes), &ranges).unwrap();
    let places: Vec<_> = found.pieces.iter().map(|piece| piece.range.clone()).collect();
    assert_eq!(places, ranges);
    assert!(
        found.pieces.iter().all(|p| matches!(&p.owner, Owner::File { paths, .. } if paths[0] == "/a/b/two"))
    );
}

/// Whatever the metadata say: an answer or an error in little time, and pieces that cover the ranges once.
#[test]
fn noise_in_the_metadata_ends_in_an_answer_or_an_error() {
    let (_image, good) = image(&["-t", "ext4", "-b", "1024", "-O", "^metadata_csum,^has_journal"]);
    let metadata = 700 * 1024;
    let mut state = 7u64;
    let mut next = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let all = 0..good.len() as u64;
    for _ in 0..150 {
        let mut bytes = good.clone();
        for _ in 0..1 + next(40) {
            let at = 1024 + next(metadata);
            bytes[at] = [0, 1, 0x7f, 0xff, 2][next(5)];
        }
        let Ok(found) = owners(MemoryVolume::new(bytes), std::slice::from_ref(&all)) else { continue };
        let mut at = 0;
        for piece in found.pieces {
            assert_eq!(piece.range.start, at);
            at = piece.range.end;
        }
        assert_eq!(at, all.end);
    }
}

/// An extent tree whose nodes hold each other, and folders that hold themselves.
#[test]
fn circles_end() {
    let (image, good) = image(&["-t", "ext4", "-b", "1024", "-O", "^metadata_csum,^has_journal"]);
    image.damage(&["link /a /a/b/again"]);
    let bytes = std::fs::read(&image.path).unwrap();
    assert!(whole(&bytes).gaps.is_empty());
    // The inode of /a/b/two: its root becomes an index node whose child is a node that is its own child.
    let place = image.debugfs("imap /a/b/two");
    let (block, offset) = place.split_once("at block ").unwrap().1.split_once(", offset 0x").unwrap();
    let offset = usize::from_str_radix(offset.split_whitespace().next().unwrap(), 16).unwrap();
    let at = block.trim().parse::<usize>().unwrap() * 1024 + offset + 0x28;
    let node = image.debugfs("blocks /a/one").split_whitespace().next().unwrap().parse::<u32>().unwrap();
    let index = |max: u16, depth: u16| {
        let mut bytes = [0xf30au16, 1, max, depth, 0, 0].map(u16::to_le_bytes).concat();
        bytes.extend([0u32, node, 0].map(u32::to_le_bytes).concat());
        bytes
    };
    for (root_depth, node_depth) in [(1, 1), (5, 4), (5, 5), (0xffff, 0xfffe)] {
        let mut bytes = good.clone();
        bytes[at..at + 24].copy_from_slice(&index(4, root_depth));
        let place = node as usize * 1024;
        bytes[place..place + 24].copy_from_slice(&index(84, node_depth));
        let found = whole(&bytes);
        assert_eq!(found.pieces.iter().map(|p| p.range.end - p.range.start).sum::<u64>(), good.len() as u64);
        assert!(
            found
                .pieces
                .iter()
                .any(|p| matches!(&p.owner, Owner::File { paths, .. } if paths[0] == "/a/one"))
        );
    }
}
