//! Images made by mkfs.fat and filled by mtools.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use driver_core::{FileKind, GuestFs, Ownership, Volume};
use driver_fs_fat::{open, probe};
use format_core::{Error, ErrorKind, Result};
use std::process::Command;
use std::sync::Arc;
use tempfile::TempDir;

struct Bytes(Vec<u8>);

impl Volume for Bytes {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }
    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let from = self.0.get(offset as usize..).and_then(|rest| rest.get(..buf.len()));
        buf.copy_from_slice(from.ok_or_else(|| Error::usage("beyond the end"))?);
        Ok(())
    }
    fn write_all_at(&self, _: u64, _: &[u8]) -> Result<()> {
        panic!("written to")
    }
}

fn run(name: &str, arguments: &[&str]) {
    let done = Command::new("timeout")
        .args(["60", name])
        .args(arguments)
        .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
        .env("MTOOLS_SKIP_CHECK", "1")
        .output()
        .unwrap_or_else(|e| panic!("cannot run {name} (packages dosfstools, mtools): {e}"));
    assert!(done.status.success(), "{name} (packages dosfstools, mtools): {done:?}");
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at / 5) as u8 ^ (at >> 8) as u8).collect()
}

fn image(bits: &str, size: u64) -> Vec<u8> {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("image");
    std::fs::File::create(&path).unwrap().set_len(size).unwrap();
    let (path, big) = (path.to_str().unwrap(), folder.path().join("big"));
    run("mkfs.fat", &["-F", bits, "-s", "1", "-i", "1234abcd", "-n", "EFI", path]);
    std::fs::write(&big, pattern(200_000)).unwrap();
    run("mmd", &["-i", path, "::/EFI", "::/EFI/debian"]);
    run("mcopy", &["-i", path, big.to_str().unwrap(), "::/EFI/debian/A quite long name.efi"]);
    run("mcopy", &["-i", path, big.to_str().unwrap(), "::/EFI/debian/GRUB.CFG"]);
    std::fs::read(path).unwrap()
}

#[test]
fn every_width_reads_as_it_was_written() {
    for (bits, size) in [("12", 2 << 20), ("16", 8 << 20), ("32", 64 << 20)] {
        let volume = Arc::new(Bytes(image(bits, size)));
        let facts = probe(volume.as_ref()).unwrap().unwrap();
        assert_eq!((facts.version, facts.uuid.as_str()), (format!("FAT{bits}").as_str(), "1234-ABCD"));
        assert_eq!(facts.label.as_deref(), Some("EFI"));
        let mut fs = open(volume).unwrap();
        let long = "/efi/Debian/a QUITE long name.EFI";
        assert_eq!(fs.read_file(long, 1 << 20).unwrap(), pattern(200_000));
        assert_eq!(fs.read_file("/EFI/debian/grub.cfg", 1 << 20).unwrap(), pattern(200_000));
        assert_eq!(fs.read_file(long, 100).unwrap_err().kind(), ErrorKind::Limit);
        assert_eq!(fs.read_file("/EFI", 100).unwrap_err().kind(), ErrorKind::Usage);
        let meta = fs.metadata(long).unwrap().unwrap();
        assert_eq!((meta.kind, meta.size), (FileKind::File, 200_000));
        assert_eq!(fs.metadata("/").unwrap().unwrap().kind, FileKind::Folder);
        assert_eq!(fs.metadata("/EFI/nothing/x").unwrap(), None);
        let mut names: Vec<_> = fs.read_dir("/EFI/debian").unwrap().into_iter().map(|e| e.name).collect();
        names.sort();
        assert_eq!(names, ["A quite long name.efi", "GRUB.CFG"]);
        let refused = fs.create_file("/x", b"", Ownership::ROOT_FILE).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Unsupported);
    }
}

#[test]
fn other_things_are_not_fat() {
    assert_eq!(probe(&Bytes(vec![0; 100])).unwrap(), None);
    assert_eq!(probe(&Bytes(vec![0; 4096])).unwrap(), None);
    let good = image("16", 4 << 20);
    assert_eq!(probe(&Bytes(good[..2 << 20].to_vec())).unwrap(), None, "larger than its volume");
}

/// Each byte of the boot sector, and entries of table and folders, set to hostile values: an answer or an error,
/// quickly.
#[test]
fn hostile_numbers_end_in_errors() {
    let good = image("16", 4 << 20);
    let touch = |bytes: Vec<u8>| {
        if let Ok(fs) = open(Arc::new(Bytes(bytes))) {
            let _ = fs.read_dir("/");
            let _ = fs.read_dir("/EFI/debian");
            let _ = fs.read_file("/EFI/debian/GRUB.CFG", 1 << 20);
        }
    };
    std::panic::set_hook(Box::new(|_| {}));
    for at in 11..64 {
        for value in [0, 1, 0x7f, 0xff] {
            let mut bytes = good.clone();
            bytes[at] = value;
            touch(bytes);
        }
    }
    let table = 512 * usize::from(u16::from_le_bytes([good[14], good[15]]));
    for entry in 2..40 {
        for value in [0u16, 1, 2, 3, entry, 0xfff0, 0xffff] {
            let mut bytes = good.clone();
            let at = table + 2 * usize::from(entry);
            bytes[at..at + 2].copy_from_slice(&value.to_le_bytes());
            touch(bytes);
        }
    }
    let name = good.windows(11).position(|window| window == b"GRUB    CFG").unwrap();
    let mut circle = good.clone();
    circle[name + 11] = 0x10;
    circle[name + 26..name + 28].copy_from_slice(&1u16.to_le_bytes());
    let fs = open(Arc::new(Bytes(circle))).unwrap();
    assert!(fs.read_dir("/EFI/debian/GRUB.CFG").is_err());
    drop(std::panic::take_hook());
}
