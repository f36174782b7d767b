//! Hostile volumes: an answer or an error, quickly; and no edit of what is not whole.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod images;

use driver_core::{GuestFs, Ownership};
use driver_fs_fat::{FatFs, open};
use format_core::ErrorKind;
use images::{Image, KINDS, Kind, MemoryVolume, pattern};
use proptest::prelude::*;
use std::sync::LazyLock;
use std::time::Instant;

/// As small as each width can be.
const SMALL: [Kind; 3] = [KINDS[0], ("16", 2560, "512", "1"), ("32", 1440, "512", "1")];

fn filled(kind: Kind) -> Vec<u8> {
    let image = Image::make(kind);
    let (long, short) = ("/EFI/debian/A quite long name.efi", "/EFI/debian/GRUB.CFG");
    if kind.0 == "32" {
        // mtools takes a FAT32 with so few clusters for a FAT16.
        let mut fs = open(image.volume()).unwrap();
        fs.create_folder("/EFI", Ownership::ROOT_FOLDER).unwrap();
        fs.create_folder("/EFI/debian", Ownership::ROOT_FOLDER).unwrap();
        fs.create_file(long, &pattern(20_000), Ownership::ROOT_FILE).unwrap();
        fs.create_file(short, &pattern(9_000), Ownership::ROOT_FILE).unwrap();
        fs.finish().unwrap();
        image.assert_clean("a small FAT32");
    } else {
        image.mmd("/EFI");
        image.mmd("/EFI/debian");
        image.mcopy_in(long, &pattern(20_000));
        image.mcopy_in(short, &pattern(9_000));
    }
    image.bytes()
}

/// Reads and edits; says whether an edit was done.
fn touch(bytes: Vec<u8>) -> bool {
    let started = Instant::now();
    let done = open(MemoryVolume::new(bytes)).is_ok_and(|mut fs| {
        for path in ["/", "/EFI", "/EFI/debian"] {
            let _ = fs.read_dir(path);
            let _ = fs.metadata(path);
        }
        for path in ["/EFI/debian/GRUB.CFG", "/EFI/debian/A quite long name.efi"] {
            let _ = fs.read_file(path, u64::MAX);
            let _ = fs.replace_file(path, &pattern(30_000));
            let _ = fs.append_file(path, &pattern(3_000));
        }
        let _ = fs.create_file("/EFI/debian/a new one", b"new", Ownership::ROOT_FILE);
        let _ = fs.rename("/EFI/debian/GRUB.CFG", "/EFI/grub.cfg");
        let _ = fs.remove("/EFI/debian/A quite long name.efi");
        fs.create_folder("/EFI/a folder", Ownership::ROOT_FOLDER).is_ok() && fs.finish().is_ok()
    });
    assert!(started.elapsed().as_secs_f32() < 1.0, "{:?}", started.elapsed());
    done
}

#[test]
fn every_byte_of_the_boot_sector_may_be_anything() {
    for kind in SMALL {
        let good = filled(kind);
        assert!(touch(good.clone()));
        for at in (0..90).chain(488..512).chain(512 + 484..512 + 500) {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut bytes = good.clone();
                bytes[at] = value;
                touch(bytes);
            }
        }
    }
}

#[test]
fn tables_and_folders_may_be_anything() {
    let good = filled(KINDS[0]);
    let places: Vec<usize> =
        (512..good.len()).filter(|&at| good[at] != 0 && at < 60_000).step_by(7).collect();
    for at in places {
        for value in [0, 0xff, good[at] ^ 0x80, good[at].wrapping_add(1)] {
            let mut bytes = good.clone();
            bytes[at] = value;
            touch(bytes);
        }
    }
}

#[test]
fn every_prefix_ends() {
    let good = filled(KINDS[0]);
    for len in (0..2048).step_by(61).chain((2048..good.len()).step_by(33_333)) {
        let mut cut = good[..len].to_vec();
        assert!(!touch(cut.clone()), "{len}");
        // As long as it says, but empty from there on.
        cut.resize(good.len(), 0);
        touch(cut);
    }
}

struct Fat16 {
    bytes: Vec<u8>,
    table: usize,
    len: usize,
}

impl Fat16 {
    fn new() -> Self {
        let bytes = filled(SMALL[1]);
        let word = |at: usize| usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
        let (table, len) = (word(14) * 512, word(22) * 512);
        Self { bytes, table, len }
    }

    /// First cluster of the file whose short name this is.
    fn first(&self, short: &[u8; 11]) -> u16 {
        let at = self.bytes.windows(11).position(|window| window == short).unwrap();
        u16::from_le_bytes([self.bytes[at + 26], self.bytes[at + 27]])
    }

    /// Sets an entry in both tables.
    fn set(&mut self, cluster: u16, value: u16) {
        for table in [self.table, self.table + self.len] {
            let at = table + 2 * usize::from(cluster);
            self.bytes[at..at + 2].copy_from_slice(&value.to_le_bytes());
        }
    }

    fn open(self) -> FatFs {
        open(MemoryVolume::new(self.bytes)).unwrap()
    }
}

#[test]
fn chains_that_are_not_whole_are_not_edited() {
    type Damage = fn(&mut Fat16);
    let cases: [(&str, Damage); 8] = [
        ("circle", |fat| {
            let first = fat.first(b"GRUB    CFG");
            fat.set(first + 2, first);
        }),
        ("cross link", |fat| {
            let (from, to) = (fat.first(b"GRUB    CFG"), fat.first(b"AQUITE~1EFI"));
            fat.set(from, to + 1);
        }),
        ("absurd", |fat| {
            let first = fat.first(b"GRUB    CFG");
            fat.set(first, 0xfff0);
        }),
        ("too short", |fat| {
            let first = fat.first(b"GRUB    CFG");
            fat.set(first, 0xffff);
        }),
        ("free", |fat| {
            let first = fat.first(b"GRUB    CFG");
            fat.set(first + 1, 0);
        }),
        ("bad", |fat| {
            let first = fat.first(b"GRUB    CFG");
            fat.set(first + 1, 0xfff7);
        }),
        ("copies", |fat| {
            let at = fat.table + fat.len + 200;
            fat.bytes[at] ^= 1;
        }),
        ("folder in a circle", |fat| {
            let first = fat.first(b"DEBIAN     ");
            fat.set(first, first);
        }),
    ];
    for (what, damage) in cases {
        let mut fat = Fat16::new();
        damage(&mut fat);
        let mut fs = fat.open();
        let error = fs.editable().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NeedsPerson, "{what}: {error}");
        assert!(error.hint_text().is_some(), "{what}: {error}");
        let edited = fs.create_file("/x", b"", Ownership::ROOT_FILE).unwrap_err();
        assert_eq!(edited.kind(), ErrorKind::NeedsPerson, "{what}");
        if ["circle", "absurd", "too short", "free"].contains(&what) {
            let error = fs.read_file("/EFI/debian/GRUB.CFG", 1 << 20).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{what}: {error}");
            assert!(fs.read_file("/EFI/debian/A quite long name.efi", 1 << 20).is_ok());
        }
    }
}

/// What nobody owns stays where it is.
#[test]
fn clusters_that_belong_to_nothing_are_kept() {
    let mut fat = Fat16::new();
    fat.set(900, 901);
    fat.set(901, 0xffff);
    let table = fat.table;
    let volume = MemoryVolume::new(fat.bytes);
    let mut fs = open(volume.clone()).unwrap();
    fs.create_file("/x", &pattern(2_000_000), Ownership::ROOT_FILE).unwrap();
    fs.finish().unwrap();
    assert_eq!(volume.bytes()[table + 1800..table + 1804], [0x85, 3, 0xff, 0xff]);
    assert!(fs.read_file("/x", 1 << 23).unwrap() == pattern(2_000_000));
}

/// Linux takes them for files, firmware does not: nothing may be written over them.
#[test]
fn entries_behind_the_end_of_a_folder_stop_editing() {
    let mut fat = Fat16::new();
    let root = fat.table + 2 * fat.len;
    let end = (0..512).find(|slot| fat.bytes[root + 32 * slot] == 0).unwrap();
    fat.bytes[root + 32 * (end + 2)..][..12].copy_from_slice(b"GHOST   TXT ");
    let fs = fat.open();
    assert_eq!(fs.editable().unwrap_err().kind(), ErrorKind::NeedsPerson);
    assert_eq!(fs.read_dir("/").unwrap().len(), 1);
}

/// Edits in every way; says whether all were done.
fn edit_all(fs: &mut FatFs) -> bool {
    let owner = Ownership::ROOT_FILE;
    let made = fs.create_folder("/a new folder", owner).is_ok()
        && fs.create_file("/a new folder/a new file", &pattern(9_000), owner).is_ok()
        && fs.append_file("/a new folder/a new file", b"more").is_ok()
        && fs.rename("/a new folder/a new file", "/A.NEW").is_ok();
    for path in ["/EFI/debian/GRUB.CFG", "/EFI/debian", "/a new folder"] {
        let _ = fs.remove(path);
    }
    made
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    /// What was found whole stays whole, and what was written is there.
    #[test]
    fn random_damage_is_found_or_harmless(
        width in 0usize..3,
        flips in prop::collection::vec((0usize..1 << 16, any::<u8>()), 1..8),
    ) {
        static IMAGES: LazyLock<Vec<(Vec<u8>, Vec<usize>)>> = LazyLock::new(|| {
            SMALL.iter().map(|kind| {
                let bytes = filled(*kind);
                let places = (0..bytes.len().min(150_000)).filter(|&at| bytes[at] != 0).collect();
                (bytes, places)
            }).collect()
        });
        let (good, places) = &IMAGES[width];
        let mut bytes = good.clone();
        for (at, value) in flips {
            bytes[places[at % places.len()]] = value;
        }
        let volume = MemoryVolume::new(bytes);
        let started = Instant::now();
        if let Ok(mut fs) = open(volume.clone()) && fs.editable().is_ok() {
            let made = edit_all(&mut fs);
            fs.finish().unwrap();
            let fs = open(volume).unwrap();
            prop_assert!(fs.editable().is_ok(), "{}", fs.editable().unwrap_err());
            if made {
                let content = fs.read_file("/A.NEW", 1 << 20).unwrap();
                prop_assert!(content == [&pattern(9_000)[..], b"more"].concat());
            }
        }
        prop_assert!(started.elapsed().as_secs_f32() < 1.0);
    }
}
