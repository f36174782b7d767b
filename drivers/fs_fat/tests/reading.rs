//! Images made by mkfs.fat and filled by mtools.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod images;

use driver_core::{FileKind, GuestFs};
use driver_fs_fat::{FatState, open, probe};
use format_core::ErrorKind;
use images::{Image, KINDS, MemoryVolume, pattern};

/// A file read by pieces that fit no block, from its end to its start.
fn in_pieces(fs: &dyn GuestFs, path: &str) -> Vec<u8> {
    let file = fs.open_file(path).unwrap();
    assert!(file.read_at(file.size(), &mut [0]).is_err(), "{path}");
    let mut content = vec![1; file.size() as usize];
    for (number, piece) in content.chunks_mut(7919).enumerate().collect::<Vec<_>>().into_iter().rev() {
        file.read_at(number as u64 * 7919, piece).unwrap();
    }
    content
}

#[test]
fn every_width_reads_as_it_was_written() {
    for kind in KINDS {
        let image = Image::make(kind);
        image.mmd("/EFI");
        image.mmd("/EFI/debian");
        image.mcopy_in("/EFI/debian/A quite long name.efi", &pattern(200_000));
        image.mcopy_in("/EFI/debian/GRUB.CFG", &pattern(77_777));
        let volume = image.volume();
        let facts = probe(volume.as_ref()).unwrap().unwrap();
        assert_eq!((facts.version, facts.uuid.as_str()), (format!("FAT{}", kind.0).as_str(), "1234-ABCD"));
        assert_eq!(facts.label.as_deref(), Some("EFI"));
        let mut fs = open(volume).unwrap();
        assert_eq!(fs.state(), FatState::Clean);
        fs.editable().unwrap();
        let long = "/efi/Debian/a QUITE long name.EFI";
        assert!(fs.read_file(long, 1 << 20).unwrap() == pattern(200_000));
        assert!(fs.read_file("/EFI/DEBIAN/AQUITE~1.EFI", 1 << 20).unwrap() == pattern(200_000), "by alias");
        assert!(fs.read_file("/EFI/debian/grub.cfg", 1 << 20).unwrap() == pattern(77_777));
        assert!(
            in_pieces(&fs, long) == pattern(200_000)
                && in_pieces(&fs, "/EFI/debian/grub.cfg") == pattern(77_777)
        );
        assert_eq!(fs.read_file(long, 100).unwrap_err().kind(), ErrorKind::Limit);
        assert_eq!(fs.read_file("/EFI", 100).unwrap_err().kind(), ErrorKind::Usage);
        let meta = fs.metadata(long).unwrap().unwrap();
        assert_eq!((meta.kind, meta.size), (FileKind::File, 200_000));
        assert_eq!(fs.metadata("/").unwrap().unwrap().kind, FileKind::Folder);
        assert_eq!(fs.metadata("/EFI/nothing/x").unwrap(), None);
        let mut names: Vec<_> = fs.read_dir("/EFI/debian").unwrap().into_iter().map(|e| e.name).collect();
        names.sort();
        assert_eq!(names, ["A quite long name.efi", "GRUB.CFG"]);
        assert_eq!(fs.create_link("/x", "y").unwrap_err().kind(), ErrorKind::NeedsPerson);
    }
}

#[test]
fn other_things_are_not_fat() {
    let volume = |bytes| MemoryVolume::new(bytes);
    assert_eq!(probe(volume(vec![0; 100]).as_ref()).unwrap(), None);
    assert_eq!(probe(volume(vec![0; 4096]).as_ref()).unwrap(), None);
    let good = Image::make(("16", 12 << 10, "512", "2")).bytes();
    let cut = volume(good[..2 << 20].to_vec());
    assert_eq!(probe(cut.as_ref()).unwrap(), None, "larger than its volume");
}

/// What mtools and Linux leave in place of a clean unmount.
#[test]
fn a_volume_in_use_says_so_and_can_be_edited() {
    for (kind, reserved, entry, bit) in
        [(KINDS[3], 37, 512 * 4 + 3, 0x80), (KINDS[6], 65, 512 * 32 + 7, 0x08)]
    {
        let good = Image::make(kind).bytes();
        let reserved_sectors = usize::from(u16::from_le_bytes([good[14], good[15]]));
        let entry = entry % 512 + 512 * reserved_sectors;
        let with = |at: usize, change: fn(u8, u8) -> u8| {
            let mut bytes = good.clone();
            bytes[at] = change(bytes[at], bit);
            open(MemoryVolume::new(bytes)).unwrap()
        };
        let mut marked = with(reserved, |old, _| old | 1);
        assert_eq!(marked.state(), FatState::InUse);
        marked.create_file("/x", b"x", driver_core::Ownership::ROOT_FILE).unwrap();
        let unclean = with(entry, |old, bit| old & !bit);
        assert_eq!(unclean.state(), FatState::InUse, "{kind:?}");
        let errors = with(entry, |old, bit| old & !(bit >> 1));
        assert_eq!(errors.state(), FatState::Errors, "{kind:?}");
        assert_eq!(errors.editable().unwrap_err().kind(), ErrorKind::NeedsPerson);
        assert!(errors.read_dir("/").unwrap().is_empty());
    }
}

/// A table that is not kept in memory as a whole.
#[test]
fn a_large_file_system_is_read_and_not_edited() {
    let image = Image::make(("32", 2300 << 10, "512", "1"));
    image.mmd("/EFI");
    image.mcopy_in("/EFI/a long name.bin", &pattern(3_000_000));
    let mut fs = open(image.volume()).unwrap();
    assert_eq!(fs.state(), FatState::Clean);
    assert!(fs.read_file("/efi/A LONG name.bin", 1 << 23).unwrap() == pattern(3_000_000));
    assert_eq!(fs.editable().unwrap_err().kind(), ErrorKind::NeedsPerson);
    let refused = fs.create_file("/x", b"", driver_core::Ownership::ROOT_FILE).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NeedsPerson);
}
