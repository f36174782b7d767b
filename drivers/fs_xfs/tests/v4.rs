//! Version 4, which present kernels no longer mount: mkfs.xfs fills it from a list, xfs_repair and the list judge.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod images;

use driver_core::GuestFs;
use driver_fs_xfs::open;
use images::{assert_clean, must, noise};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Makes an image from a list (mkfs.xfs(8), "-p protofile"), with what its files hold.
fn make(folder: &Path, options: &[&str]) -> (PathBuf, BTreeMap<String, Vec<u8>>) {
    let mut files = BTreeMap::new();
    let mut list = String::from("boot\n0 0\nd--755 0 0\n");
    let mut add = |list: &mut String, inside: &str, name: &str, content: Vec<u8>| {
        let host = folder.join(format!("content-{}", files.len()));
        std::fs::write(&host, &content).unwrap();
        writeln!(list, "{name} ---644 0 0 {}", host.display()).unwrap();
        files.insert(format!("{inside}/{name}"), content);
    };
    list.push_str("etc d--755 0 0\n");
    add(&mut list, "/etc", "fstab", b"/dev/xvda1 / xfs defaults 0 0\n".to_vec());
    add(&mut list, "/etc", "big", noise(700_000, 1));
    writeln!(list, "link l--777 0 0 fstab\nlong l--777 0 0 {}\n$", "l".repeat(900)).unwrap();
    for (name, count) in [("block", 30), ("many", 900)] {
        writeln!(list, "{name} d--755 0 0").unwrap();
        for number in 0..count {
            let file = format!("{number}-{}", "n".repeat(number % 200));
            add(&mut list, &format!("/{name}"), &file, number.to_string().into_bytes());
        }
        list.push_str("$\n");
    }
    list.push_str("$\n");
    let (proto, image) = (folder.join("list"), folder.join("image"));
    std::fs::write(&proto, list).unwrap();
    must("truncate", &["-s", "64M", image.to_str().unwrap()]);
    let fixed = ["-q", "--unsupported", "-m", "crc=0", "-p", proto.to_str().unwrap()];
    must("mkfs.xfs", &[&fixed, options, &[image.to_str().unwrap()]].concat());
    (image, files)
}

fn read_and_edit(options: &[&str]) {
    let folder = TempDir::new().unwrap();
    let (image, files) = make(folder.path(), options);
    assert_clean(&image, "as made");
    let mut fs = open(images::FileVolume::open(&image)).unwrap();
    assert!(fs.facts().features.contains(&"v4".to_owned()));
    let check = |fs: &dyn GuestFs, files: &BTreeMap<String, Vec<u8>>| {
        let found = images::own_view(fs);
        for (path, content) in files {
            assert!(found[path].4 == *content, "{options:?}: {path}");
        }
        assert_eq!(found["/etc/link"].4, b"fstab");
        assert_eq!(found["/etc/long"].4, [b'l'; 900]);
        // Folders and links.
        assert_eq!(found.len(), files.len() + 5, "{options:?}");
    };
    check(&fs, &files);
    let mut files = files;
    for (path, content) in [("/etc/fstab", b"UUID=1 / xfs\n".to_vec()), ("/etc/big", noise(500_000, 2))] {
        fs.replace_file(path, &content).unwrap();
        files.insert(path.into(), content);
    }
    check(&open(images::FileVolume::open(&image)).unwrap(), &files);
    assert_clean(&image, &format!("{options:?}, edited"));
}

#[test]
fn version_4_is_read_and_edited() {
    read_and_edit(&[]);
    read_and_edit(&["-n", "ftype=0"]);
    read_and_edit(&["-n", "ftype=1", "-b", "size=1024"]);
    read_and_edit(&["-b", "size=2048", "-n", "size=16384", "-i", "size=512", "-l", "version=1"]);
    read_and_edit(&["-b", "size=512"]);
}
