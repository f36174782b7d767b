//! Volumes: NTFS by mkntfs and ntfs-3g's FUSE mount, FAT32 by mkfs.vfat and mtools, and what looks like BitLocker.

use crate::compact;
use crate::layout::{Partition, SECTOR};
use crate::tools::{arg, must, run};
use crate::tree::{File, Tree};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

/// A mounted NTFS volume; dropping it unmounts and waits until the last bytes are in the file.
pub(crate) struct Mounted {
    pub(crate) root: PathBuf,
    image: PathBuf,
    _folder: TempDir,
}

/// Mounts an image of an NTFS volume through ntfs-3g.
pub(crate) fn mount(image: &Path, options: &str) -> Mounted {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().to_path_buf();
    must("ntfs-3g", &["-o", options, arg(image), arg(&root)]);
    Mounted { root, image: image.to_path_buf(), _folder: folder }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let root = arg(&self.root);
        for _ in 0..50 {
            if run("umount", &[root]).status.success() {
                settle(&self.image);
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        eprintln!("{root} cannot be unmounted");
    }
}

/// Waits until no other process has the file open: FUSE's process writes the last bytes after the unmount.
fn settle(image: &Path) {
    let image = image.canonicalize().unwrap();
    for _ in 0..500 {
        let in_use = std::fs::read_dir("/proc").unwrap().flatten().any(|process| {
            let number = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok());
            if number.is_none_or(|number| number == std::process::id()) {
                return false;
            }
            let Ok(open) = std::fs::read_dir(process.path().join("fd")) else { return false };
            open.flatten().any(|fd| std::fs::read_link(fd.path()).is_ok_and(|to| to == image))
        });
        if !in_use {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("{} stays in use", image.display());
}

/// Makes an NTFS volume with these files, and copies it into its place on the disk. `packed` names files that are
/// compressed as CompactOS does.
pub(crate) fn ntfs(disk: &Path, place: &Partition, label: &str, tree: &Tree, packed: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("volume");
    std::fs::File::create(&image).unwrap().set_len(place.size()).unwrap();
    let start = place.start.to_string();
    let options =
        ["-F", "-q", "-Q", "-s", "512", "-H", "255", "-S", "63", "-p", &start, "-L", label, arg(&image)];
    must("mkntfs", &options);
    // Descriptors as Windows makes them: everything inherits from the root, which mkntfs gives the usual one. ntfs-3g does so
    // when it knows whom root stands for: the administrators.
    let users = folder.path().join("users");
    std::fs::write(
        &users,
        "0::S-1-5-32-544\n:0:S-1-5-32-544\n::S-1-5-21-3141592653-589793238-462643383-10000\n",
    )
    .unwrap();
    let mounted = mount(&image, &format!("inherit,streams_interface=windows,usermapping={}", arg(&users)));
    for (path, file) in tree {
        let at = mounted.root.join(path);
        std::fs::create_dir_all(at.parent().unwrap()).unwrap();
        match file {
            File::Content(content) if packed.contains(&path.as_str()) => compact::add(&at, content),
            File::Content(content) => std::fs::write(&at, content).unwrap(),
            File::LinkTo(other) => std::fs::hard_link(mounted.root.join(other), &at).unwrap(),
            File::Hole(size) => std::fs::File::create(&at).unwrap().set_len(*size).unwrap(),
        }
    }
    drop(mounted);
    insert(&image, disk, place);
}

/// Makes an ESP with these files.
pub(crate) fn fat(disk: &Path, place: &Partition, tree: &Tree) {
    let folder = tempfile::tempdir().unwrap();
    let (image, staged) = (folder.path().join("volume"), folder.path().join("staged"));
    std::fs::File::create(&image).unwrap().set_len(place.size()).unwrap();
    let start = place.start.to_string();
    must("mkfs.vfat", &["-F", "32", "-s", "1", "-h", &start, "-i", "2c0ffee5", "-n", "SYSTEM", arg(&image)]);
    for (path, file) in tree {
        let File::Content(content) = file else { panic!("{path}: FAT has no links") };
        let at = staged.join(path);
        std::fs::create_dir_all(at.parent().unwrap()).unwrap();
        std::fs::write(at, content).unwrap();
    }
    let tops: Vec<PathBuf> = std::fs::read_dir(&staged).unwrap().map(|entry| entry.unwrap().path()).collect();
    let mut arguments = vec!["-Q", "-s", "-i", arg(&image)];
    arguments.extend(tops.iter().map(|top| arg(top)));
    arguments.push("::/");
    must("mcopy", &arguments);
    insert(&image, disk, place);
}

/// Writes what a BitLocker volume of Windows 7 and later begins with (public format descriptions, libbde): the
/// signature in the place of the name of the file system, the identifier at 0xa0, and encrypted-looking content.
pub(crate) fn bitlocker(disk: &Path, place: &Partition) {
    let mut sector = vec![0; 512];
    let mut put = |at: usize, data: &[u8]| sector[at..at + data.len()].copy_from_slice(data);
    put(0, b"\xeb\x58\x90-FVE-FS-");
    put(0x0b, &512u16.to_le_bytes());
    put(0x0d, &[8]);
    put(0x15, &[0xf8]);
    put(0xa0, b"\x3b\xd6\x67\x49\x29\x2e\xd8\x4a\x83\x99\xf6\xa3\x39\xe3\xd0\x01");
    put(510, b"\x55\xaa");
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    })
    .take((256 << 10) / 8)
    .flatten()
    .collect();
    let file = std::fs::OpenOptions::new().write(true).open(disk).unwrap();
    file.write_all_at(&sector, place.offset()).unwrap();
    file.write_all_at(&noise, place.offset() + 64 * SECTOR).unwrap();
}

/// Copies a volume into its place on a disk, holes as holes.
fn insert(image: &Path, disk: &Path, place: &Partition) {
    let seek = format!("seek={}", place.offset() >> 16);
    assert_eq!(place.offset() % (1 << 16), 0);
    let (from, to) = (format!("if={}", arg(image)), format!("of={}", arg(disk)));
    must("dd", &[&from, &to, "bs=64K", &seek, "conv=notrunc,sparse", "status=none"]);
}

/// Copies a volume out of a disk.
pub(crate) fn extract(disk: &Path, offset: u64, size: u64, into: &Path) {
    let (from, to) = (format!("if={}", arg(disk)), format!("of={}", arg(into)));
    let (skip, count) = (format!("skip={offset}"), format!("count={size}"));
    must(
        "dd",
        &[&from, &to, "bs=1M", &skip, &count, "iflag=skip_bytes,count_bytes", "conv=sparse", "status=none"],
    );
    std::fs::OpenOptions::new().write(true).open(into).unwrap().set_len(size).unwrap();
}
