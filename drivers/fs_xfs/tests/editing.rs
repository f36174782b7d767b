//! Overwriting within the blocks that a file has: xfs_repair finds nothing, and the kernel reads what was written.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod images;

use driver_core::{Change, GuestFs, Ownership, Volume};
use driver_fs_xfs::open;
use format_core::ErrorKind;
use images::{
    FileVolume, Image, PatchedVolume, assert_clean, assert_same, kernel_view, mounted, must, noise, own_view,
};
use std::fs::{File, create_dir_all, write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

fn plant(root: &Path) {
    create_dir_all(root.join("etc")).unwrap();
    write(root.join("etc/fstab"), "/dev/xvda1 / xfs defaults 0 0\n").unwrap();
    write(root.join("big"), noise(3_000_000, 3)).unwrap();
    write(root.join("other"), noise(3_000_000, 4)).unwrap();
    // A file in thousands of pieces, each with a block of its own: a tree of extents.
    let pieces = File::create(root.join("pieces")).unwrap();
    let gaps = File::create(root.join("gaps")).unwrap();
    for number in 0..1200 {
        pieces.write_all_at(&noise(4096, number), number * 4096).unwrap();
        gaps.write_all_at(&noise(4096, number), number * 8192).unwrap();
        if number % 8 == 0 {
            pieces.sync_all().unwrap();
            gaps.sync_all().unwrap();
        }
    }
    let allocated = root.join("allocated");
    must("xfs_io", &["-f", "-c", "falloc 0 64k", "-c", "pwrite 0 5000", allocated.to_str().unwrap()]);
    must("chattr", &["+i", root.join("etc/fstab").to_str().unwrap()]);
}

/// Edits files, and lets xfs_repair and the kernel look at the result.
fn edit_and_judge(options: &[&str]) {
    let image = Image::make(options, "96M", plant);
    let mut wanted = mounted(&image.path, "ro", kernel_view);
    let before = std::time::SystemTime::now();
    let mut fs = open(image.volume()).unwrap();
    for (path, content) in [
        ("/etc/fstab", b"UUID=5f1c0c1e-6d3a-4b0e-9b57-2f6c5d0c7a11 / xfs defaults 0 0\n".to_vec()),
        ("/big", noise(1_000_001, 5)),
        ("/pieces", noise(1200 * 4096 - 17, 6)),
    ] {
        fs.allows(path, Change::Content { size: content.len() as u64 }).unwrap();
        fs.replace_file(path, &content).unwrap();
        assert!(fs.read_file(path, 1 << 30).unwrap() == content, "{path}");
        let entry = wanted.get_mut(path).unwrap();
        (entry.3, entry.4) = (content.len() as u64, content);
    }
    fs.append_file("/etc/fstab", b"# more\n").unwrap();
    fs.append_file("/big", &noise(999_999, 7)).unwrap();
    for (path, more) in [("/etc/fstab", b"# more\n".to_vec()), ("/big", noise(999_999, 7))] {
        let entry = wanted.get_mut(path).unwrap();
        entry.4.extend(more);
        entry.3 = entry.4.len() as u64;
    }
    fs.finish().unwrap();
    assert_same(&own_view(&open(image.volume()).unwrap()), &wanted, &format!("{options:?}"));
    assert_clean(&image.path, &format!("{options:?}"));
    let (found, changed) = mounted(&image.path, "rw", |root| {
        let meta = std::fs::metadata(root.join("big")).unwrap();
        // The guest goes on with it: what lay behind the new end is gone.
        let big = File::options().write(true).open(root.join("big")).unwrap();
        big.set_len(2_100_000).unwrap();
        (kernel_view(root), meta.modified().unwrap())
    });
    assert!(changed >= before && changed <= std::time::SystemTime::now(), "{changed:?}");
    let grown = wanted.get_mut("/big").unwrap();
    grown.4.resize(2_100_000, 0);
    grown.3 = 2_100_000;
    assert_same(&found, &wanted, &format!("{options:?}, kernel"));
    assert_clean(&image.path, &format!("{options:?}, after the kernel"));
}

#[test]
fn what_fits_is_overwritten() {
    edit_and_judge(&["-m", "rmapbt=1,reflink=1,bigtime=1,inobtcount=1"]);
    edit_and_judge(&["-m", "rmapbt=0,reflink=0,bigtime=0,inobtcount=0,finobt=0", "-i", "sparse=0"]);
    edit_and_judge(&["-b", "size=1024", "-i", "nrext64=1"]);
    edit_and_judge(&["-s", "size=4096", "-d", "su=64k,sw=2"]);
}

fn bytes_of(volume: &dyn Volume) -> Vec<u8> {
    let mut bytes = vec![0; volume.size() as usize];
    volume.read_exact_at(0, &mut bytes).unwrap();
    bytes
}

#[test]
fn what_does_not_fit_is_refused_and_nothing_is_written() {
    let image = Image::make(&["-m", "rmapbt=1,reflink=1"], "96M", |root| {
        plant(root);
        let (from, to) = (root.join("big"), root.join("copy"));
        must("cp", &["--reflink=always", from.to_str().unwrap(), to.to_str().unwrap()]);
        let to = File::options().write(true).open(to).unwrap();
        to.write_all_at(&noise(8192, 9), 1_048_576).unwrap();
    });
    let good = Arc::new(std::fs::read(&image.path).unwrap());
    let volume = PatchedVolume::new(&good, []);
    let mut fs = open(volume.clone()).unwrap();
    type Edit<'a> = &'a dyn Fn(&mut driver_fs_xfs::XfsFs) -> format_core::Result<()>;
    let edits: [(&str, Edit<'_>); 14] = [
        ("more than a block", &|fs| fs.replace_file("/etc/fstab", &noise(4097, 1))),
        ("append over the block", &|fs| fs.append_file("/etc/fstab", &noise(4090, 1))),
        ("unwritten", &|fs| fs.append_file("/allocated", &noise(4000, 1))),
        ("unwritten, whole", &|fs| fs.replace_file("/allocated", &noise(9000, 1))),
        ("a hole", &|fs| fs.replace_file("/gaps", &noise(9000, 1))),
        ("shared", &|fs| fs.replace_file("/big", b"x")),
        ("shared by the copy", &|fs| fs.replace_file("/copy", b"x")),
        ("create", &|fs| fs.create_file("/etc/new", b"x", Ownership::ROOT_FILE)),
        ("folder", &|fs| fs.create_folder("/etc/new", Ownership::ROOT_FOLDER)),
        ("link", &|fs| fs.create_link("/etc/new", "fstab")),
        ("rename", &|fs| fs.rename("/etc/fstab", "/etc/new")),
        ("remove", &|fs| fs.remove("/etc/fstab")),
        ("allows a new name", &|fs| fs.allows("/etc/new", Change::Create)),
        ("allows more", &|fs| fs.allows("/etc/fstab", Change::Append { bytes: 5000 })),
    ];
    for (what, edit) in edits {
        let error = edit(&mut fs).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NeedsPerson, "{what}: {error}");
        assert!(error.message().starts_with("XFS is edited in place only"), "{what}: {error}");
        assert!(error.hint_text().is_some(), "{what}");
    }
    for path in ["/", "/etc", "/none"] {
        assert_eq!(fs.replace_file(path, b"x").unwrap_err().kind(), ErrorKind::Usage, "{path}");
    }
    fs.finish().unwrap();
    assert!(volume.patches.lock().unwrap().is_empty(), "something is written");
    // Its own blocks in the middle of shared ones are still its own.
    fs.replace_file("/other", b"x").unwrap();
}

#[test]
fn a_dirty_log_is_for_the_guest() {
    let image = Image::make(&[], "64M", |root| {
        write(root.join("file"), "x").unwrap();
        must("sync", &["-f", root.to_str().unwrap()]);
        for number in 0..300 {
            write(root.join(format!("file{number}")), "y").unwrap();
        }
        must("xfs_io", &["-x", "-c", "shutdown -f", root.to_str().unwrap()]);
    });
    let mut fs = open(image.volume()).unwrap();
    assert!(fs.opening().dirty_log.is_some());
    for error in [
        fs.readable().unwrap_err(),
        fs.editable().unwrap_err(),
        fs.metadata("/file").unwrap_err(),
        fs.read_dir("/").unwrap_err(),
        fs.replace_file("/file", b"z").unwrap_err(),
        fs.create_file("/new", b"z", Ownership::ROOT_FILE).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::NeedsPerson);
        assert!(error.to_string().contains("the log is dirty"), "{error}");
        assert!(error.hint_text().unwrap().contains("mount and unmount"), "{error}");
    }
    // The next step helps.
    mounted(&image.path, "rw", |_| ());
    let mut fs = open(image.volume()).unwrap();
    assert!(fs.opening().dirty_log.is_none());
    fs.replace_file("/file", b"z").unwrap();
    assert_clean(&image.path, "after the log was replayed");
}

/// The log goes around many times, with clean and unclean ends on the way: xfs_logprint tells which is which.
#[test]
fn clean_and_dirty_are_told_apart_wherever_the_head_is() {
    let image = Image::make(&["-l", "size=6m"], "96M", |_| {});
    let (mut clean, mut dirty) = (0, 0);
    for round in 0..24_u64 {
        let unclean = round % 3 == 2;
        mounted(&image.path, "rw", |root| {
            for number in 0..(150 + 97 * (round % 7)) {
                write(root.join(format!("{round}-{number}")), "x").unwrap();
            }
            must("sync", &["-f", root.to_str().unwrap()]);
            if round % 2 == 0 {
                (0..50)
                    .for_each(|number| std::fs::remove_file(root.join(format!("{round}-{number}"))).unwrap());
            }
            if unclean {
                must("xfs_io", &["-x", "-c", "shutdown -f", root.to_str().unwrap()]);
            }
        });
        // It does not find the log in a regular file.
        let device = must("losetup", &["--find", "--show", image.path.to_str().unwrap()]);
        let log = must("xfs_logprint", &["-t", device.trim()]);
        must("losetup", &["--detach", device.trim()]);
        let is_clean = log.contains("<CLEAN>");
        assert_ne!(is_clean, log.contains("<DIRTY>"), "{log}");
        let fs = open(FileVolume::open(&image.path)).unwrap();
        let found = fs.opening().dirty_log.clone();
        assert_eq!(found.is_none(), is_clean, "round {round}: {found:?}, {log}");
        *if is_clean { &mut clean } else { &mut dirty } += 1;
    }
    assert!(clean > 8 && dirty > 4, "{clean} clean, {dirty} dirty");
}

#[test]
fn blocks_that_are_not_the_files_are_not_overwritten() {
    let image = Image::make(&["-m", "rmapbt=1,reflink=1,crc=1"], "64M", |root| {
        write(root.join("victim"), noise(20_000, 1)).unwrap();
        write(root.join("other"), noise(20_000, 2)).unwrap();
    });
    let fsblock =
        |path: &str| -> String { image.db(&[&format!("path {path}"), "print u3.bmx[0].startblock"]) };
    let other = fsblock("/other");
    let other = other.split(['=', '(']).nth(1).unwrap().trim().to_owned();
    // The log, headers, the root folder's inodes, the other file's blocks, blocks behind the end.
    let log = image.db(&["sb 0", "print logstart"]);
    let log = log.split('=').nth(1).unwrap().trim().to_owned();
    for (what, block) in [
        ("the log", log.as_str()),
        ("headers", "0"),
        ("inodes", "16"),
        ("the other file", other.as_str()),
        ("free space", "4000"),
    ] {
        let copy = image.copy("damaged");
        let write = format!("write -d u3.bmx[0].startblock {block}");
        must("xfs_db", &["-x", "-c", "path /victim", "-c", &write, copy.to_str().unwrap()]);
        let good = bytes_of(FileVolume::open(&copy).as_ref());
        let volume = PatchedVolume::new(&Arc::new(good), []);
        let mut fs = open(volume.clone()).unwrap();
        let error = fs.replace_file("/victim", b"x").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NeedsPerson, "{what}: {error}");
        assert!(error.hint_text().unwrap().contains("xfs_repair"), "{what}: {error}");
        assert!(volume.patches.lock().unwrap().is_empty(), "{what}: something is written");
    }
}
