//! File systems made by mkfs.fat and filled by mtools.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use driver_core::{FileKind, GuestFs, Volume};
use format_core::{Error, Result};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

struct Bytes(Vec<u8>);

impl Volume for Bytes {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }
    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let start = offset as usize;
        let found = self.0.get(start..start + buf.len()).ok_or_else(|| Error::usage("outside"))?;
        buf.copy_from_slice(found);
        Ok(())
    }
    fn write_all_at(&self, _: u64, _: &[u8]) -> Result<()> {
        panic!("a read-only file system was written")
    }
}

fn run(program: &str, args: &[&str]) {
    let status = Command::new("timeout").arg("20").arg(program).args(args).status();
    assert!(status.expect("coreutils").success(), "{program}: packages dosfstools and mtools");
}

fn image(bits: &str, mib: u64, content: &[u8]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (disk, file) = (path("esp.img"), path("file"));
    std::fs::write(&file, content).unwrap();
    std::fs::File::create(&disk).unwrap().set_len(mib << 20).unwrap();
    run("mkfs.fat", &["-F", bits, "-i", "1234ABCD", "-n", "EFISYS", &disk]);
    run("mmd", &["-i", &disk, "::/EFI", "::/EFI/BOOT"]);
    run("mcopy", &["-i", &disk, &file, "::/EFI/BOOT/BOOTX64.EFI"]);
    run("mcopy", &["-i", &disk, &file, "::/EFI/A file with a long name.cfg"]);
    std::fs::read(Path::new(&disk)).unwrap()
}

#[test]
fn files_and_folders_of_every_width_are_read() {
    let content: Vec<u8> = (0..100_000u32).flat_map(u32::to_le_bytes).collect();
    for (bits, mib) in [("12", 4), ("16", 32), ("32", 64)] {
        let volume = Arc::new(Bytes(image(bits, mib, &content)));
        let facts = driver_fs_fat::probe(volume.as_ref()).unwrap().unwrap();
        assert_eq!((facts.uuid.as_str(), facts.label.as_deref()), ("1234-ABCD", Some("EFISYS")), "FAT{bits}");
        let fs = driver_fs_fat::open(volume).unwrap();
        assert_eq!(fs.read_file("/efi/boot/bootx64.efi", 1 << 20).unwrap(), content);
        assert_eq!(fs.read_file("/EFI/A file with a long name.cfg", 1 << 20).unwrap(), content);
        assert_eq!(fs.metadata("/EFI").unwrap().unwrap().kind, FileKind::Folder);
        assert!(fs.metadata("/EFI/none").unwrap().is_none());
        assert!(fs.read_file("/EFI/BOOT/BOOTX64.EFI", 10).is_err());
        let mut names: Vec<_> = fs.read_dir("/EFI").unwrap().into_iter().map(|entry| entry.name).collect();
        names.sort();
        assert_eq!(names, ["A file with a long name.cfg", "BOOT"]);
    }
}

#[test]
fn chains_in_circles_and_flipped_bits_end() {
    let good = image("12", 4, &[7; 20_000]);
    for at in (0..600).chain((600..40_000).step_by(97)) {
        let mut bad = good.clone();
        bad[at] ^= 0xff;
        let volume = Arc::new(Bytes(bad));
        if driver_fs_fat::probe(volume.as_ref()).unwrap().is_none() {
            continue;
        }
        let Ok(fs) = driver_fs_fat::open(volume) else { continue };
        let _ = fs.read_dir("/EFI/BOOT");
        let _ = fs.read_file("/EFI/BOOT/BOOTX64.EFI", 1 << 20);
    }
}
