//! Volumes that must not be edited, and what is said of each.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod images;
mod refused;

use driver_core::{GuestFs, Volume};
use driver_fs_ntfs::{open, probe};
use format_core::ErrorKind;
use images::{Image, PatchedVolume, foreign, must, volume_flags_at};
use refused::assert_read_only;
use std::sync::Arc;

fn image(fill: impl FnOnce(&std::path::Path)) -> Image {
    Image::make(&[], 30 << 20, |root| {
        std::fs::write(root.join("file"), "content").unwrap();
        fill(root);
    })
}

#[test]
fn flags_of_the_volume() {
    let image = image(|_| {});
    let good = image.bytes();
    let at = volume_flags_at(&good);
    for flag in [0x0001_u16, 0x0002, 0x0004, 0x0010, 0x0020, 0x4000] {
        // The mirror has a copy of this record; the flags come before the copy is compared.
        let volume = PatchedVolume::new(&good, (at..).zip(flag.to_le_bytes()));
        assert_read_only(&volume, "dirty", "shut it down completely");
    }
    // Set on most volumes of Windows 10.
    let mirror = u64::from_le_bytes(*good[0x38..].first_chunk().unwrap()) * 4096;
    let both = [at, at - 16384 + mirror];
    let changes = both.into_iter().map(|at| (at, 0x80));
    open(PatchedVolume::new(&good, changes)).unwrap().editable().unwrap();
    let version = PatchedVolume::new(&good, [(at - 2, 1), (at - 1, 2)]);
    assert_read_only(&version, "version 1.2", "Windows XP");
}

/// The log of a volume that Windows made, changed.
#[test]
fn log_of_windows() {
    let Some(image) = foreign("dissect.ntfs/ntfs.bin.gz") else { return };
    let good = image.bytes();
    open(PatchedVolume::new(&good, [])).unwrap().editable().unwrap();
    let pages: Vec<usize> =
        (0..good.len()).step_by(4096).filter(|at| &good[*at..at + 4] == b"RSTR").collect();
    assert_eq!(pages.len(), 2);
    let patch = |at: usize, bytes: &[u8]| {
        let changes: Vec<_> =
            pages.iter().flat_map(|page| (*page as u64 + at as u64..).zip(bytes.to_vec())).collect();
        PatchedVolume::new(&good, changes)
    };
    let area = usize::from(u16::from_le_bytes(*good[pages[0] + 24..].first_chunk().unwrap()));
    let cases = [
        ("version 2.0", patch(26, &[0, 0, 2, 0])),
        ("is of version 3.0", patch(26, &[0, 0, 3, 0])),
        ("is in use", patch(area + 12, &[0, 0, 0, 0])),
        ("no restart page", patch(0, b"XXXX")),
        ("no restart page", patch(0x1fe, &[0xee, 0xee])),
    ];
    for (word, volume) in cases {
        let fs = open(volume.clone()).unwrap();
        let error = fs.editable().unwrap_err();
        assert!(error.to_string().contains(word), "{word}: {error}");
        assert!(error.hint_text().unwrap().contains("shut it down completely"), "{word}");
        assert_eq!(volume.writes(), 0);
    }
    // In use, but left in order.
    open(patch(area + 12, &[0, 0, 2, 0])).unwrap().editable().unwrap();
}

/// Windows kept metadata in its cache: the disk of a system that was shut down with Fast Startup.
#[test]
fn a_volume_of_windows_with_a_log_of_version_2() {
    let Some(image) = foreign("dissect.ntfs/ntfs-cloud.bin.gz") else { return };
    let fs = open(image.volume()).unwrap();
    let error = fs.editable().unwrap_err();
    assert!(error.to_string().contains("version 2.0"), "{error}");
}

#[test]
fn other_volumes_are_named() {
    let image = image(|_| {});
    let good = image.bytes();
    let kind = |at: u64, bytes: &[u8]| {
        let volume = PatchedVolume::new(&good, (at..).zip(bytes.iter().copied()));
        let error = open(volume.clone()).err().unwrap();
        assert_eq!(volume.writes(), 0);
        (error.kind(), error.to_string(), probe(&(volume as Arc<dyn Volume>)).unwrap())
    };
    let (bitlocker, words, facts) = kind(3, b"-FVE-FS-");
    assert!(bitlocker == ErrorKind::NeedsPerson && words.contains("BitLocker"), "{words}");
    let facts = facts.unwrap();
    assert_eq!(facts.kind, "BitLocker");
    assert!(facts.not_editable.is_some_and(|why| why.contains("manage-bde -off C:")));
    let (refs, words, facts) = kind(3, b"ReFS\0\0\0\0");
    assert!(refs == ErrorKind::Unsupported && words.contains("ReFS") && facts.is_none());
    let (nothing, words, facts) = kind(3, b"MSDOS5.0");
    // The copy in the last sector says what it was.
    assert!(
        nothing == ErrorKind::Corrupt && words.contains("copy in the last sector") && facts.is_none(),
        "{words}"
    );
    let (sectors, words, facts) = kind(0x0b, &[0, 3]);
    assert!(sectors == ErrorKind::Corrupt && words.contains("bytes per sector"));
    assert!(facts.unwrap().not_editable.unwrap().contains("bytes per sector"));
}

/// BitLocker in all its forms, named as blkid names it.
#[test]
fn bitlocker_is_what_blkid_says() {
    let identifier =
        [0x3b, 0xd6, 0x67, 0x49, 0x29, 0x2e, 0xd8, 0x4a, 0x83, 0x99, 0xf6, 0xa3, 0x39, 0xe3, 0xd0, 1];
    let vista: &[(usize, &[u8])] =
        &[(0, b"\xeb\x52\x90-FVE-FS-\x00\x02\x08"), (0x38, &[0x10]), (0x1_0000, b"-FVE-FS-\x00\x00\x01\x00")];
    let seven: &[(usize, &[u8])] = &[
        (0, b"\xeb\x58\x90-FVE-FS-\x00\x02\x08"),
        (160, &identifier),
        (176, &[0, 0, 1]),
        (0x1_0000, b"-FVE-FS-\x00\x00\x02\x00"),
    ];
    let to_go: &[(usize, &[u8])] = &[
        (0, b"\xeb\x58\x90MSWIN4.1\x00\x02\x08"),
        (424, &identifier),
        (440, &[0, 0, 1]),
        (0x1_0000, b"-FVE-FS-\x00\x00\x02\x00"),
    ];
    for (what, parts) in [("vista", vista), ("seven", seven), ("to go", to_go)] {
        let mut bytes = vec![0; 4 << 20];
        for (at, part) in parts {
            bytes[*at..at + part.len()].copy_from_slice(part);
        }
        bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
        let image = Image::of(&bytes);
        let said = must("blkid", &["-p", "-o", "value", "-s", "TYPE", image.file()]);
        let facts = probe(&(image.volume() as Arc<dyn Volume>)).unwrap().unwrap();
        assert_eq!(facts.kind, said.trim(), "{what}");
        assert!(facts.not_editable.is_some_and(|why| why.contains("manage-bde -off")), "{what}");
        let error = open(image.volume()).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::NeedsPerson, "{what}: {error}");
    }
    // Without the identifier it is a FAT, which is looked for elsewhere.
    let fat = image_of_fat();
    assert!(probe(&(fat.volume() as Arc<dyn Volume>)).unwrap().is_none());
}

fn image_of_fat() -> Image {
    let mut bytes = vec![0; 4 << 20];
    bytes[..11].copy_from_slice(b"\xeb\x58\x90MSWIN4.1");
    Image::of(&bytes)
}

#[test]
fn a_volume_may_be_smaller_than_its_window_but_not_larger() {
    let image = image(|_| {});
    let good = image.bytes();
    let size = good.len() as u64;
    let larger = PatchedVolume::of_size(&good, size + (1 << 20), []);
    let mut fs = open(larger).unwrap();
    fs.replace_file("/file", b"new").unwrap();
    fs.finish().unwrap();
    // Without the sector that holds the copy of the boot sector, Windows mounts it all the same.
    open(PatchedVolume::of_size(&good, size - 512, [])).unwrap().editable().unwrap();
    let cut = open(PatchedVolume::of_size(&good, size - 1024, [])).err().unwrap();
    assert_eq!(cut.kind(), ErrorKind::Corrupt);
    assert!(cut.to_string().contains("does not fit"), "{cut}");
}

#[test]
fn a_copy_of_the_boot_sector_with_another_geometry() {
    let image = image(|_| {});
    let good = image.bytes();
    let copy = good.len() as u64 - 512;
    assert_read_only(&PatchedVolume::new(&good, [(copy + 0x30, 9)]), "copy of the boot sector", "chkdsk");
    // Something else there is no copy.
    open(PatchedVolume::new(&good, [(copy + 3, 0)])).unwrap().editable().unwrap();
}

#[test]
fn damage_that_an_edit_would_meet() {
    let image = image(|_| {});
    let good = image.bytes();
    let mirror = u64::from_le_bytes(*good[0x38..].first_chunk().unwrap()) * 4096;
    assert_read_only(&PatchedVolume::new(&good, [(mirror + 0x100, 0x77)]), "$MFTMirr", "chkdsk");
    // All clusters free.
    let found = must("ntfscluster", &["-I", "6", image.file()]);
    // "VCN LCN Length"
    let last = found.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_else(|| panic!("{found}"));
    let cluster: u64 = last.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert_read_only(&PatchedVolume::new(&good, [(cluster * 4096, 0)]), "marked free", "chkdsk");
}

/// The machine's own errors are no reason against a volume.
#[test]
fn a_volume_that_cannot_be_written_is_noticed_while_opening_or_writing() {
    struct Broken(Arc<PatchedVolume>);
    impl Volume for Broken {
        fn size(&self) -> u64 {
            self.0.size()
        }
        fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> format_core::Result<()> {
            self.0.read_exact_at(offset, buf)
        }
        fn write_all_at(&self, _: u64, _: &[u8]) -> format_core::Result<()> {
            Err(format_core::Error::new(ErrorKind::Io, "no more room for the overlay"))
        }
    }
    let image = image(|_| {});
    let mut fs = open(Arc::new(Broken(PatchedVolume::new(&image.bytes(), [])))).unwrap();
    let error = fs.replace_file("/file", b"new").unwrap_err();
    assert_eq!((error.kind(), error.message()), (ErrorKind::Io, "no more room for the overlay"));
    let next = fs.replace_file("/file", b"new").unwrap_err();
    assert!(next.to_string().contains("an earlier edit failed"), "{next}");
    assert!(fs.finish().is_err());
}
