//! Every edit on every kind of volume, judged by fsck.fat and mtools.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod images;

use driver_core::{GuestFs, Ownership, Volume};
use driver_fs_fat::{FatFs, open, open_at};
use format_core::ErrorKind;
use images::{Image, KINDS, MemoryVolume, pattern};
use std::sync::Arc;

const FILE: Ownership = Ownership::ROOT_FILE;

fn names(fs: &FatFs, folder: &str) -> Vec<String> {
    let mut names: Vec<_> = fs.read_dir(folder).unwrap().into_iter().map(|entry| entry.name).collect();
    names.sort();
    names
}

/// One step after the other, and what the judges say after each.
type Step<'a> = (&'a str, &'a dyn Fn(&mut FatFs));

fn steps(image: &Image, steps: &[Step<'_>]) {
    for (what, step) in steps {
        let mut fs = open(image.volume()).unwrap();
        step(&mut fs);
        fs.finish().unwrap();
        image.assert_clean(what);
    }
}

#[test]
fn every_edit_leaves_a_clean_file_system() {
    for kind in KINDS {
        let image = Image::make(kind);
        image.mmd("/EFI");
        image.mcopy_in("/EFI/old.cfg", &pattern(9000));
        let many = |fs: &mut FatFs| {
            for number in 0..150 {
                let path = format!("/EFI/BOOT/A rather long name, number {number}.conf");
                fs.create_file(&path, format!("{number}").as_bytes(), FILE).unwrap();
            }
        };
        steps(
            &image,
            &[
                ("folder", &|fs| fs.create_folder("/EFI/BOOT", Ownership::ROOT_FOLDER).unwrap()),
                ("file", &|fs| fs.create_file("/EFI/BOOT/BOOTX64.EFI", &pattern(100_000), FILE).unwrap()),
                ("long name", &|fs| fs.create_file("/EFI/BOOT/grub.cfg", b"set x\n", FILE).unwrap()),
                ("empty", &|fs| fs.create_file("/EFI/BOOT/größe mit Zeichen 日本.txt", b"", FILE).unwrap()),
                ("longer", &|fs| fs.replace_file("/EFI/old.cfg", &pattern(50_001)).unwrap()),
                ("shorter", &|fs| fs.replace_file("/EFI/old.cfg", &pattern(1)).unwrap()),
                ("nothing", &|fs| fs.replace_file("/EFI/old.cfg", b"").unwrap()),
                ("append to nothing", &|fs| fs.append_file("/EFI/old.cfg", &pattern(700)).unwrap()),
                ("append", &|fs| fs.append_file("/EFI/old.cfg", &pattern(70_000)).unwrap()),
                ("many", &many),
                ("rename", &|fs| fs.rename("/EFI/old.cfg", "/EFI/BOOT/new name.cfg").unwrap()),
                ("move folder", &|fs| {
                    fs.create_folder("/Over", Ownership::ROOT_FOLDER).unwrap();
                    fs.create_folder("/Over/there", Ownership::ROOT_FOLDER).unwrap();
                    fs.rename("/EFI/BOOT", "/Over/there/BOOT").unwrap();
                    fs.rename("/Over/there/BOOT", "/Boot").unwrap();
                    fs.rename("/Boot", "/EFI/BOOT").unwrap();
                }),
                ("remove", &|fs| {
                    for number in (0..150).step_by(2) {
                        let path = format!("/EFI/BOOT/A rather long name, number {number}.conf");
                        fs.remove(&path).unwrap();
                    }
                    fs.remove("/Over/there").unwrap();
                }),
            ],
        );
        assert!(image.mcopy_out("/EFI/BOOT/BOOTX64.EFI") == pattern(100_000), "{kind:?}");
        assert_eq!(image.mcopy_out("/EFI/BOOT/grub.cfg"), b"set x\n");
        assert_eq!(image.mcopy_out("/EFI/BOOT/A rather long name, number 77.conf"), b"77");
        let both = [pattern(700), pattern(70_000)].concat();
        assert!(image.mcopy_out("/EFI/BOOT/new name.cfg") == both);
        let listed = image.mdir("/EFI/BOOT");
        for name in ["BOOTX64", "grub.cfg", "new name.cfg"] {
            assert!(listed.contains(name), "{listed}");
        }
        let fs = open(image.volume()).unwrap();
        assert_eq!(names(&fs, "/"), ["EFI", "Over"]);
        assert_eq!(names(&fs, "/EFI/BOOT").len(), 75 + 4);
    }
}

#[test]
fn what_the_contract_refuses_is_refused_and_nothing_is_written() {
    let image = Image::make(KINDS[3]);
    image.mmd("/EFI");
    image.mmd("/EFI/BOOT");
    image.mcopy_in("/EFI/BOOT/A long name.efi", b"x");
    let volume = MemoryVolume::new(image.bytes());
    let mut fs = open(volume.clone()).unwrap();
    let before = volume.bytes();
    for refused in [
        fs.create_file("/efi/boot/a LONG name.EFI", b"", FILE),
        fs.create_file("/EFI/BOOT/ALONGN~1.EFI", b"", FILE),
        fs.create_file("/EFI/none/x", b"", FILE),
        fs.create_file("/EFI/BOOT/A long name.efi/x", b"", FILE),
        fs.create_file("/EFI/a:b", b"", FILE),
        fs.create_file("/EFI/dot.", b"", FILE),
        fs.create_folder("/EFI", Ownership::ROOT_FOLDER),
        fs.create_folder("/", Ownership::ROOT_FOLDER),
        fs.replace_file("/EFI", b""),
        fs.append_file("/none", b""),
        fs.rename("/EFI", "/EFI/BOOT/x"),
        fs.rename("/EFI", "/efi"),
        fs.rename("/none", "/x"),
        fs.remove("/EFI"),
        fs.remove("/none"),
        fs.remove("/"),
    ] {
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Usage);
    }
    fs.finish().unwrap();
    assert!(volume.writes() == 0 && volume.bytes() == before);
}

/// Without space, nothing is written at all: neither the file nor the folder's new cluster.
#[test]
fn a_full_file_system_stays_as_it_is() {
    for kind in [KINDS[0], KINDS[2], KINDS[3], KINDS[6]] {
        let volume = MemoryVolume::new(Image::make(kind).bytes());
        let mut fs = open(volume.clone()).unwrap();
        fs.create_folder("/d", Ownership::ROOT_FOLDER).unwrap();
        let mut size = 1 << 26;
        let mut files = 0;
        while size > 0 {
            match fs.create_file(&format!("/d/file number {files}"), &pattern(size), FILE) {
                Ok(()) => files += 1,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::NeedsPerson, "{error}");
                    size /= 2;
                }
            }
        }
        let writes = volume.writes();
        let path = "/d/file number 0";
        assert!(fs.append_file(path, &pattern(1 << 20)).is_err());
        assert!(fs.create_folder("/e", Ownership::ROOT_FOLDER).is_err());
        assert!(fs.replace_file("/d/file number 1", &pattern(1 << 26)).is_err());
        assert_eq!(volume.writes(), writes, "{kind:?}");
        fs.finish().unwrap();
        let image = Image::make(kind);
        std::fs::write(&image.path, volume.bytes()).unwrap();
        image.assert_clean("full");
        assert_eq!(names(&open(image.volume()).unwrap(), "/d").len(), files);
    }
}

#[test]
fn the_fixed_root_folder_is_full_at_its_end() {
    let image = Image::make(KINDS[3]);
    let mut fs = open(image.volume()).unwrap();
    let made = (0..600).take_while(|n| fs.create_file(&format!("/F{n}"), b"", FILE).is_ok()).count();
    assert_eq!(made, 511, "512 entries, one is the label");
    assert_eq!(fs.create_file("/G", b"", FILE).unwrap_err().kind(), ErrorKind::NeedsPerson);
    fs.remove("/F100").unwrap();
    fs.create_file("/G", b"g", FILE).unwrap();
    fs.finish().unwrap();
    image.assert_clean("full root");
}

#[test]
fn both_tables_and_the_free_count_stay_true() {
    let image = Image::make(KINDS[6]);
    let mut fs = open(image.volume()).unwrap();
    fs.create_file("/x", &pattern(5000), FILE).unwrap();
    fs.finish().unwrap();
    let bytes = image.bytes();
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let (fat, len) = (word(14) as usize % 65536 * 512, word(36) as usize * 512);
    assert!(bytes[fat..fat + len] == bytes[fat + len..fat + 2 * len]);
    let used = (0..len / 4).filter(|n| word(fat + 4 * n) != 0).count() as u32;
    let clusters = (40 << 11) - word(14) % 65536 - 2 * word(36);
    assert_eq!(word(512 + 488), clusters + 2 - used);
    assert!(word(512 + 492) > 2);
}

#[test]
fn times_are_the_callers() {
    let image = Image::make(KINDS[0]);
    let volume: Arc<dyn Volume> = image.volume();
    let mut fs = open_at(volume, 951_827_696).unwrap();
    fs.create_file("/TIMED.TXT", b"x", FILE).unwrap();
    fs.finish().unwrap();
    let listed = image.mdir("/");
    assert!(listed.contains("2000-02-29  12:34"), "{listed}");
}
