//! Group descriptors that lead an edit astray: found before the first write.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod images;

use driver_core::{GuestFs, Ownership, Volume};
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

/// An ext2 of 1 KiB blocks, where nothing but the pointers themselves says what they point to, and the place of
/// `/etc/file`'s inode.
fn plain(options: &[&str]) -> (Image, Vec<u8>, usize) {
    let image = Image::make(options, "4M", |root| {
        std::fs::create_dir(root.join("etc")).unwrap();
        std::fs::write(root.join("etc/file"), vec![b'x'; 40_000]).unwrap();
        std::fs::write(root.join("other"), vec![b'y'; 3000]).unwrap();
    });
    let bytes = std::fs::read(&image.path).unwrap();
    let place = image.debugfs("imap /etc/file");
    // "… located at block 6, offset 0x0580"
    let (block, offset) = place.split_once("at block ").unwrap().1.split_once(", offset 0x").unwrap();
    let block: usize = block.trim().parse().unwrap();
    let at = block * 1024 + usize::from_str_radix(offset.split_whitespace().next().unwrap(), 16).unwrap();
    (image, bytes, at)
}

/// Numbers that a debugfs command prints.
fn blocks(image: &Image, request: &str) -> Vec<u32> {
    image.debugfs(request).split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

type Edit = fn(&mut driver_fs_ext::ExtFs) -> format_core::Result<()>;

const FILE_EDITS: [(&str, Edit); 3] = [
    ("replace", |fs| fs.replace_file("/etc/file", b"new")),
    ("append", |fs| fs.append_file("/etc/file", b"new")),
    ("remove", |fs| fs.remove("/etc/file")),
];

/// Puts `value` at `at` and expects that every edit is refused and nothing written.
fn assert_refused(good: &[u8], at: usize, value: u32, edits: &[(&str, Edit)], what: &str) {
    for (name, edit) in edits {
        let mut bytes = good.to_vec();
        bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        let volume = MemoryVolume::new(bytes.clone());
        let mut fs = open(volume.clone()).unwrap();
        let error = edit(&mut fs).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NeedsPerson, "{what}, {name}: {error}");
        assert!(error.hint_text().is_some_and(|hint| hint.contains("e2fsck")), "{what}, {name}: {error}");
        fs.finish().unwrap();
        let mut after = vec![0; bytes.len()];
        volume.read_exact_at(0, &mut after).unwrap();
        assert!(after == bytes, "{what}, {name}: something is written");
    }
}

#[test]
fn blocks_of_the_file_system_itself_are_not_freed_by_an_edit() {
    let options = ["-t", "ext3", "-b", "1024", "-J", "size=1", "-O", "resize_inode,dir_index"];
    let (image, good, inode) = plain(&options);
    let field = |at: usize| u32::from_le_bytes(*good[2048 + at..].first_chunk().unwrap());
    let journal = blocks(&image, "blocks <8>");
    let cases = [
        ("the superblock", 1),
        ("descriptors", 2),
        ("reserved descriptors", 4),
        ("the block bitmap", field(0)),
        ("the inode bitmap", field(4)),
        ("the inode table", field(8)),
        ("the end of the inode table", field(8) + 2),
        ("the journal", *journal.last().unwrap()),
        ("the journal's mapping", journal[12]),
        ("a free block", 4000),
        ("the disk's first block", 0x8000_0000),
        ("behind the end", 4096),
        ("the folder it lies in", blocks(&image, "blocks /etc")[0]),
        ("the root folder", blocks(&image, "blocks /")[0]),
    ];
    // i_block: the first block, the indirect block; i_file_acl.
    for (what, block) in cases {
        for place in [0x28, 0x28 + 12 * 4, 0x68] {
            assert_refused(&good, inode + place, block, &FILE_EDITS, &format!("{what} at {place:#x}"));
        }
    }
    let twice = blocks(&image, "blocks /etc/file")[3];
    assert_refused(&good, inode + 0x28, twice, &FILE_EDITS, "a block twice");
    for (_, edit) in FILE_EDITS {
        edit(&mut open(MemoryVolume::new(good.clone())).unwrap()).unwrap();
    }
}

#[test]
fn damaged_folders_are_not_edited() {
    let (image, good, _) = plain(&["-t", "ext2", "-b", "1024"]);
    let entries = blocks(&image, "blocks /etc")[0] as usize * 1024;
    let (name, _) =
        good[entries..entries + 1024].windows(4).enumerate().find(|(_, name)| name == b"file").unwrap();
    let bitmap = u32::from_le_bytes(*good[2048..].first_chunk().unwrap()) as usize * 1024;
    // In the block bitmap, bit 0 is block 1.
    let bit = blocks(&image, "blocks /etc")[0] as usize - 1;
    let at = bitmap + bit / 32 * 4;
    let word = u32::from_le_bytes(*good[at..].first_chunk().unwrap());
    let edits: [(&str, Edit); 6] = [
        ("replace", FILE_EDITS[0].1),
        ("remove", FILE_EDITS[2].1),
        ("create", |fs| fs.create_file("/etc/new", b"", Ownership::ROOT_FILE)),
        ("folder", |fs| fs.create_folder("/etc/new", Ownership::ROOT_FOLDER)),
        ("link", |fs| fs.create_link("/etc/new", "file")),
        ("rename", |fs| fs.rename("/other", "/etc/other")),
    ];
    assert_refused(&good, at, word & !(1 << (bit % 32)), &edits, "a folder in free space");
    // A name of the file that leads to the inode of the reserved descriptors.
    assert_refused(&good, entries + name - 8, 7, &FILE_EDITS[..1], "a reserved inode");
}
