//! Dirty journals written by debugfs, orphans, and damage; judged by what e2fsck makes of a copy.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod images;

use driver_core::GuestFs;
use driver_fs_ext::{Opening, open};
use format_core::ErrorKind;
use images::{Image, MemoryVolume, assert_clean, assert_same, debugfs, dump, text, tool};
use std::path::Path;

const MAGIC: [u8; 4] = [0xc0, 0x3b, 0x39, 0x98];

/// File system options, journal options of debugfs.
const JOURNALS: [(&str, &[&str], &str); 6] = [
    ("v3, 64bit", &["-t", "ext4", "-b", "4096"], "jo -c -v 3"),
    ("v2, 64bit", &["-t", "ext4", "-b", "1024", "-O", "64bit,metadata_csum"], "jo -c -v 2"),
    ("v3, 32bit", &["-t", "ext4", "-b", "1024", "-O", "^64bit,metadata_csum"], "jo -c -v 3"),
    ("v2, 32bit", &["-t", "ext4", "-b", "2048", "-O", "^64bit,metadata_csum"], "jo -c -v 2"),
    ("no checksums, 64bit", &["-t", "ext4", "-b", "1024", "-O", "64bit,^metadata_csum"], "jo"),
    ("ext3", &["-t", "ext3", "-b", "1024"], "jo"),
];

fn image(options: &[&str]) -> Image {
    Image::make(options, "24M", |root| {
        std::fs::create_dir(root.join("etc")).unwrap();
        std::fs::write(root.join("etc/long"), vec![b'o'; 64 << 10]).unwrap();
        std::fs::write(root.join("etc/other"), vec![b'p'; 64 << 10]).unwrap();
    })
}

fn blocks_of(image: &Image, file: &str) -> Vec<String> {
    let listed = image.debugfs(&format!("blocks {file}"));
    let last = listed.lines().find(|line| line.starts_with(|c: char| c.is_ascii_digit()));
    let blocks: Vec<_> = last.unwrap().split_whitespace().map(str::to_owned).collect();
    assert!(blocks.len() >= 4, "{listed}");
    blocks
}

fn inode_of(image: &Image, file: &str) -> String {
    let stat = image.debugfs(&format!("stat {file}"));
    let number = stat.split("Inode: ").nth(1).unwrap().split_whitespace().next().unwrap();
    number.to_owned()
}

/// Four transactions: new content (two blocks look like the journal's own), a block that is revoked later, a
/// revoke, a block written again after its revoke.
fn make_dirty(image: &Image, journal: &str) {
    let size: usize = debugfs(&image.path, "stats")
        .lines()
        .find_map(|line| line.strip_prefix("Block size:"))
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    let content = |name: &str, blocks: usize, byte: u8| {
        let path = image.folder.path().join(name);
        let mut bytes = vec![byte; blocks * size];
        bytes.chunks_mut(size).take(2).for_each(|block| block[..4].copy_from_slice(&MAGIC));
        std::fs::write(&path, bytes).unwrap();
        path.display().to_string()
    };
    let (long, other) = (blocks_of(image, "/etc/long"), blocks_of(image, "/etc/other"));
    let (new, lost, again) = (content("new", 3, b'n'), content("lost", 2, b'l'), content("again", 1, b'a'));
    let said = image.damage(&[
        journal,
        &format!("jw -b {} {new}", long[..3].join(",")),
        &format!("jw -b {} {lost}", other[..2].join(",")),
        &format!("jw -r {}", other[..2].join(",")),
        &format!("jw -b {} {again}", other[1]),
        "jc",
    ]);
    assert!(image.debugfs("features").contains("needs_recovery"), "{said}");
}

fn assert_same_files(ours: &Path, reference: &Path, what: &str) {
    for file in ["/etc/long", "/etc/other"] {
        assert_same(&dump(ours, file), &dump(reference, file), &format!("{what} {file}"));
    }
}

#[test]
fn replay_gives_what_e2fsck_gives() {
    for (what, options, journal) in JOURNALS {
        let image = image(options);
        make_dirty(&image, journal);
        let reference = image.copy("reference");
        let repaired = tool("e2fsck", &["-fy", reference.to_str().unwrap()]);
        assert!(repaired.status.code().is_some_and(|code| code <= 1), "{what}: {}", text(&repaired));
        let fs = open(image.volume()).unwrap();
        fs.editable().unwrap_or_else(|e| panic!("{what}: {e}"));
        assert_eq!(fs.opening(), Opening { transactions: 4, blocks: 4, ..Opening::default() }, "{what}");
        let long = fs.read_file("/etc/long", 1 << 20).unwrap();
        assert!(long.starts_with(&MAGIC) && long[4] == b'n', "{what}");
        let other = fs.read_file("/etc/other", 1 << 20).unwrap();
        assert_eq!(other[0], b'p', "{what}: a revoked block was replayed");
        assert!(other.contains(&b'a') && !other.contains(&b'l'), "{what}");
        drop(fs);
        image.assert_clean(what);
        assert_same_files(&image.path, &reference, what);
        assert_eq!(open(image.volume()).unwrap().opening(), Opening::default(), "{what}: replayed twice");
    }
}

/// A log that cannot be replayed as a whole: nothing is written, and edits say why.
#[test]
fn a_damaged_log_is_left_alone() {
    let (what, options, journal) = JOURNALS[0];
    let image = image(options);
    make_dirty(&image, journal);
    let bytes = std::fs::read(&image.path).unwrap();
    let place = bytes.windows(64).position(|window| window[..] == [b'n'; 64]).unwrap();
    let mut damaged = bytes.clone();
    damaged[place] ^= 1;
    std::fs::write(&image.path, &damaged).unwrap();
    let mut fs = open(image.volume()).unwrap();
    let reason = fs.editable().unwrap_err();
    assert_eq!(reason.kind(), ErrorKind::NeedsPerson, "{what} {reason}");
    assert!(reason.to_string().contains("checksum") && reason.hint_text().is_some(), "{reason}");
    assert_eq!(fs.remove("/etc/long").unwrap_err().kind(), ErrorKind::NeedsPerson);
    assert_eq!(fs.read_dir("/etc").unwrap().len(), 2);
    drop(fs);
    assert!(std::fs::read(&image.path).unwrap() == damaged, "something was written");
}

#[test]
fn orphans_are_deleted_or_cut() {
    for options in [&["-t", "ext4", "-b", "1024"][..], &["-t", "ext3"], &["-t", "ext4", "-O", "inline_data"]]
    {
        let image = image(options);
        let (gone, cut) = (inode_of(&image, "/etc/long"), inode_of(&image, "/etc/other"));
        image.damage(&[
            "unlink /etc/long",
            &format!("sif <{gone}> links_count 0"),
            &format!("sif <{gone}> dtime @{cut}"),
            &format!("sif <{cut}> size 1500"),
            &format!("ssv last_orphan {gone}"),
        ]);
        let fs = open(image.volume()).unwrap();
        fs.editable().unwrap();
        let opening = fs.opening();
        assert_eq!((opening.orphans_deleted, opening.orphans_cut), (1, 1), "{options:?}");
        assert_eq!(fs.read_file("/etc/other", 4096).unwrap(), vec![b'p'; 1500]);
        drop(fs);
        assert_clean(&image.path, &format!("{options:?}"));
    }
}

#[test]
fn an_orphan_list_in_a_circle_is_left_alone() {
    let image = image(&["-t", "ext4"]);
    let ino = inode_of(&image, "/etc/long");
    image.damage(&[&format!("sif <{ino}> dtime @{ino}"), &format!("ssv last_orphan {ino}")]);
    let before = std::fs::read(&image.path).unwrap();
    let fs = open(image.volume()).unwrap();
    assert!(fs.editable().unwrap_err().to_string().contains("circle"));
    drop(fs);
    assert!(std::fs::read(&image.path).unwrap() == before, "something was written");
}

#[test]
fn states_that_need_e2fsck_are_not_edited() {
    for (options, state) in [(&["-t", "ext2"][..], "0"), (&["-t", "ext4"], "3"), (&["-t", "ext4"], "0")] {
        let image = image(options);
        image.damage(&[&format!("ssv state {state}")]);
        let before = std::fs::read(&image.path).unwrap();
        let mut fs = open(image.volume()).unwrap();
        let refused = fs.replace_file("/etc/long", b"x").unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::NeedsPerson, "{options:?}");
        assert!(refused.hint_text().unwrap().contains("e2fsck"), "{options:?}");
        assert_eq!(fs.read_file("/etc/long", 1 << 20).unwrap().len(), 64 << 10);
        fs.finish().unwrap();
        drop(fs);
        assert!(std::fs::read(&image.path).unwrap() == before, "something was written");
    }
}

/// Bytes of the superblock, the group descriptors and the journal's superblock, set to hostile values.
#[test]
fn hostile_numbers_end_quickly() {
    let image = Image::make(&["-t", "ext4", "-b", "1024", "-O", "^metadata_csum"], "4M", |root| {
        std::fs::write(root.join("file"), "x").unwrap();
    });
    let good = std::fs::read(&image.path).unwrap();
    let magic_of_journal = [&MAGIC[..], &[0, 0, 0, 4]].concat();
    let journal = good.chunks(1024).position(|block| block.starts_with(&magic_of_journal)).unwrap() * 1024;
    let places = (1024..1024 + 0x180).chain(2048..2048 + 64).chain(journal..journal + 0x60);
    for at in places {
        for value in [0u8, 1, 0x7f, 0xff] {
            let mut bytes = good.clone();
            bytes[at] = value;
            let started = std::time::Instant::now();
            if let Ok(mut fs) = open(MemoryVolume::new(bytes)) {
                let _ = fs.read_dir("/");
                let _ = fs.read_file("/file", 1 << 20);
                let _ = fs.replace_file("/file", b"y");
            }
            assert!(started.elapsed().as_secs() < 1, "{at:#x} = {value:#x} takes {:?}", started.elapsed());
        }
    }
}
