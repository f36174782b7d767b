//! Everything that the kernel finds in file systems of all kinds is found here, byte for byte.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod images;

use driver_core::GuestFs;
use driver_fs_xfs::{open, probe};
use images::{Image, assert_same, kernel_view, mounted, must, noise, own_view};
use std::fs::{File, create_dir_all, write};
use std::os::unix::fs::{FileExt, symlink};
use std::path::Path;

/// All shapes of folders, files and links.
fn plant(root: &Path) {
    create_dir_all(root.join("etc/deep/er")).unwrap();
    write(root.join("etc/fstab"), "/dev/xvda1 / xfs defaults 0 0\n").unwrap();
    write(root.join("etc/empty"), "").unwrap();
    symlink("deep/er", root.join("etc/link")).unwrap();
    for len in [40, 300, 900, 1023] {
        symlink("l".repeat(len), root.join(format!("etc/link{len}"))).unwrap();
    }
    for (folder, count) in [("few", 5), ("block", 40), ("leaf", 700), ("node", 3000)] {
        create_dir_all(root.join(folder)).unwrap();
        for number in 0..count {
            let name = format!("{folder}/{number}-{}", "n".repeat(number % 240));
            write(root.join(name), format!("{number}")).unwrap();
        }
    }
    // Gaps in the folder's blocks.
    for number in (0..3000).step_by(3) {
        let name = format!("node/{number}-{}", "n".repeat(number % 240));
        std::fs::remove_file(root.join(name)).unwrap();
    }
    write(root.join("plain"), noise(300_001, 1)).unwrap();
    let holes = File::create(root.join("holes")).unwrap();
    for number in 0..2000 {
        holes.write_all_at(&noise(500, number), number * 9000).unwrap();
    }
    let unwritten = root.join("unwritten");
    let unwritten = unwritten.to_str().unwrap();
    must("xfs_io", &["-f", "-c", "falloc 0 1m", "-c", "pwrite 300k 5k", "-c", "falloc -k 1m 1m", unwritten]);
    must("mkfifo", &[root.join("pipe").to_str().unwrap()]);
    must("chmod", &["4711", root.join("etc/fstab").to_str().unwrap()]);
    must("chown", &["1234:99", root.join("plain").to_str().unwrap()]);
    let label = "import os, sys; os.setxattr(sys.argv[1], 'user.label', b'x' * 100)";
    for path in ["plain", "few", "etc/link", "holes"] {
        must("python3", &["-c", label, root.join(path).to_str().unwrap()]);
    }
}

fn compare(options: &[&str], more: impl FnOnce(&Path)) {
    let image = Image::make(options, "96M", |root| {
        plant(root);
        more(root);
    });
    let wanted = mounted(&image.path, "ro,norecovery", kernel_view);
    let fs = open(image.volume()).unwrap();
    fs.editable().unwrap();
    assert_eq!(fs.facts().label, "guest");
    assert_same(&own_view(&fs), &wanted, &format!("{options:?}"));
    let facts = probe(image.volume().as_ref()).unwrap().unwrap();
    let blkid = must("blkid", &["-p", "-o", "value", "-s", "UUID", image.path.to_str().unwrap()]);
    assert_eq!(facts.uuid, blkid.trim());
}

#[test]
fn version_5_with_every_feature_and_without() {
    compare(&["-m", "rmapbt=1,reflink=1,bigtime=1,inobtcount=1"], |root| {
        let (from, to) = (root.join("plain"), root.join("reflinked"));
        must("cp", &["--reflink=always", from.to_str().unwrap(), to.to_str().unwrap()]);
        File::options().write(true).open(to).unwrap().write_all_at(b"changed", 5000).unwrap();
    });
    compare(&["-m", "rmapbt=0,reflink=0,bigtime=0,inobtcount=0,finobt=0", "-i", "sparse=0"], |_| {});
    compare(&["-i", "nrext64=1,sparse=1"], |_| {});
    compare(&["-i", "size=2048", "-d", "agcount=5"], |_| {});
}

#[test]
fn version_5_with_other_block_sizes() {
    compare(&["-b", "size=1024"], |_| {});
    compare(&["-b", "size=1024", "-n", "size=65536"], |_| {});
    compare(&["-b", "size=2048", "-n", "size=8192", "-m", "rmapbt=1"], |_| {});
    compare(&["-d", "su=64k,sw=4", "-l", "su=64k"], |_| {});
    compare(&["-s", "size=4096"], |_| {});
}

#[test]
fn a_uuid_that_was_changed_later_is_the_one_told() {
    let image = Image::make(&[], "64M", |root| write(root.join("file"), "x").unwrap());
    let uuid = "11111111-2222-3333-4444-555555555555";
    must("xfs_admin", &["-U", uuid, image.path.to_str().unwrap()]);
    let mut fs = open(image.volume()).unwrap();
    assert_eq!(fs.facts().uuid, uuid);
    assert!(fs.facts().features.contains(&"meta_uuid".to_owned()));
    fs.replace_file("/file", b"y").unwrap();
    images::assert_clean(&image.path, "with another UUID");
}

#[test]
fn a_hundred_thousand_names() {
    let image = Image::make(&[], "400M", |root| {
        create_dir_all(root.join("many")).unwrap();
        for number in 0..100_000 {
            write(root.join(format!("many/file-{number:07}")), "").unwrap();
        }
    });
    let fs = open(image.volume()).unwrap();
    let mut names: Vec<String> = fs.read_dir("/many").unwrap().into_iter().map(|entry| entry.name).collect();
    names.sort();
    assert_eq!(names.len(), 100_000);
    assert_eq!((names[0].as_str(), names[99_999].as_str()), ("file-0000000", "file-0099999"));
    assert!(fs.metadata("/many/file-0054321").unwrap().is_some());
    assert!(fs.metadata("/many/file-0100000").unwrap().is_none());
    assert!(fs.metadata("/many/file-0054321/x").unwrap().is_none());
}
