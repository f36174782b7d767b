//! partclone itself makes the images and says what is in them.

use crate::builder::{check, read, stream};
use std::path::Path;
use std::process::{Command, Stdio};

/// Runs a program (partclone with `-f 0`: it sleeps between its lines) of a Debian package that has to be there.
fn run(package: &str, folder: &Path, program: &str, arguments: &[&str]) {
    let output = Command::new("timeout")
        .args(["60", program])
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|e| panic!("{program}: {e}"));
    assert_ne!(output.status.code(), Some(127), "{program} is missing: install the package {package}");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {text}");
}

/// A file system on `MiB` megabytes with some files.
fn make(folder: &Path, kind: &str, mib: u64) {
    let file = std::fs::File::create(folder.join("fs.raw")).unwrap();
    file.set_len(mib << 20).unwrap();
    std::fs::create_dir_all(folder.join("tree/sub")).unwrap();
    for number in 0..60u32 {
        let text: Vec<u8> = (0..number * 777).flat_map(|at| (at ^ number << 16).to_le_bytes()).collect();
        std::fs::write(folder.join(format!("tree/sub/file{number}")), text).unwrap();
    }
    match kind {
        "ext4" => run("e2fsprogs", folder, "mkfs.ext4", &["-q", "-F", "-b", "1024", "-d", "tree", "fs.raw"]),
        "xfs" => run("xfsprogs", folder, "mkfs.xfs", &["-q", "-f", "fs.raw"]),
        "btrfs" => run("btrfs-progs", folder, "mkfs.btrfs", &["-q", "-f", "-r", "tree", "fs.raw"]),
        "vfat" => run("dosfstools", folder, "mkfs.vfat", &["fs.raw"]),
        "ntfs" => run("ntfs-3g", folder, "mkfs.ntfs", &["-F", "-q", "fs.raw"]),
        _ => {}
    }
}

/// Saves with `save`, restores with partclone, and compares with what we read.
fn round_trip(folder: &Path, program: &str, save: &[&str], restores: bool) -> Vec<u8> {
    let mut arguments = vec!["-f", "0", "-L", "log", "-s", "fs.raw", "-O", "image"];
    arguments.extend(save);
    run("partclone", folder, program, &arguments);
    let bytes = std::fs::read(folder.join("image")).unwrap();
    let content = read(&bytes).unwrap();
    assert!(stream(&bytes).unwrap() == (content.clone(), 0), "{program} {save:?}");
    let report = check(&bytes).unwrap();
    assert!(report.is_clean(), "{program} {save:?}: {report:?}");
    if restores {
        // It looks at a target that is not there yet through memory that nobody set, and fails now and then.
        std::fs::File::create(folder.join("restored")).unwrap();
        run(
            "partclone",
            folder,
            "partclone.restore",
            &["-f", "0", "-L", "log", "-C", "-s", "image", "-O", "restored"],
        );
        let mut restored = std::fs::read(folder.join("restored")).unwrap();
        // It is as long as the last block in use.
        restored.resize(content.len().max(restored.len()), 0);
        assert!(restored == without_boot_copy(&content, program), "{program} {save:?}");
    }
    let original = std::fs::read(folder.join("fs.raw")).unwrap();
    assert_eq!(content.len(), original.len(), "{program}");
    // What is in the image is what was in the partition.
    let same = content.chunks(512).zip(original.chunks(512));
    assert_eq!(
        same.filter(|(ours, theirs)| ours != theirs && !format_core::is_zero(ours)).count(),
        0,
        "{program}"
    );
    content
}

/// partclone restores no copy of the boot sector.
fn without_boot_copy(content: &[u8], program: &str) -> Vec<u8> {
    let mut content = content.to_vec();
    let end = content.len();
    if program == "partclone.ntfs" {
        content[end - 512..].fill(0);
    }
    content
}

#[test]
fn file_systems_are_read_as_partclone_restores_them() {
    for (kind, mib, program) in [
        ("ext4", 24, "partclone.ext4"),
        ("xfs", 310, "partclone.xfs"),
        ("btrfs", 120, "partclone.btrfs"),
        ("vfat", 17, "partclone.vfat"),
        ("ntfs", 9, "partclone.ntfs"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        make(folder.path(), kind, mib);
        let content = round_trip(folder.path(), program, &["-c"], true);
        if kind == "ntfs" {
            let original = std::fs::read(folder.path().join("fs.raw")).unwrap();
            assert!(
                content[content.len() - 512..] == original[original.len() - 512..],
                "the boot sector's copy"
            );
        }
    }
}

#[test]
fn every_kind_of_checksum_is_read() {
    let folder = tempfile::tempdir().unwrap();
    make(folder.path(), "ext4", 12);
    // partclone.restore aborts on its own images with 7 blocks to a checksum.
    let kinds: [(&[&str], bool); 5] = [
        (&["-c", "-a0"], true),
        (&["-c", "-k7"], false),
        (&["-c", "-k1"], true),
        (&["-c", "-K"], false),
        (&["-c", "-a1", "-k4096"], true),
    ];
    let contents: Vec<_> = kinds
        .iter()
        .map(|(save, restores)| round_trip(folder.path(), "partclone.ext4", save, *restores))
        .collect();
    assert!(contents.windows(2).all(|two| two[0] == two[1]));
}

#[test]
fn an_image_of_all_sectors_is_the_partition() {
    let folder = tempfile::tempdir().unwrap();
    make(folder.path(), "none", 1);
    let bytes: Vec<u8> = (0..(1u32 << 20) + 1536).map(|at| (at / 3) as u8).collect();
    std::fs::write(folder.path().join("fs.raw"), &bytes).unwrap();
    assert!(round_trip(folder.path(), "partclone.imager", &["-c"], true) == bytes);
}
