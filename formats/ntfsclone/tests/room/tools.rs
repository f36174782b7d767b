//! ntfsclone makes the images, and restores them.

use crate::builder::{check, read, stream};
use std::path::Path;
use std::process::{Command, Stdio};

/// Runs a program of the package ntfs-3g, which has to be there.
fn run(folder: &Path, program: &str, arguments: &[&str]) {
    let output = Command::new("timeout")
        .args(["60", program])
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|e| panic!("{program}: {e}"));
    assert_ne!(output.status.code(), Some(127), "{program} is missing: install the package ntfs-3g");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {text}");
}

#[test]
fn images_are_read_as_ntfsclone_restores_them() {
    for (size, options) in [(9 << 20, "4096"), ((5 << 20) + 512 * 3, "512"), (40 << 20, "65536")] {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        std::fs::File::create(folder.join("fs.raw")).unwrap().set_len(size).unwrap();
        run(folder, "mkntfs", &["-F", "-q", "-Q", "-c", options, "fs.raw"]);
        for number in 0..20u32 {
            let text: Vec<u8> = (0..number * 3000).flat_map(|at| (at ^ number << 16).to_le_bytes()).collect();
            std::fs::write(folder.join("file"), text).unwrap();
            run(folder, "ntfscp", &["-q", "fs.raw", "file", &format!("file{number}")]);
        }
        run(folder, "ntfsclone", &["-q", "-s", "-O", "image", "fs.raw"]);
        run(folder, "ntfsclone", &["-q", "-r", "-O", "restored", "image"]);
        let bytes = std::fs::read(folder.join("image")).unwrap();
        let content = read(&bytes).unwrap();
        assert!(content == std::fs::read(folder.join("restored")).unwrap(), "{options}");
        assert!(stream(&bytes).unwrap() == (content.clone(), 0), "{options}");
        assert!(check(&bytes).unwrap().is_clean());
        let original = std::fs::read(folder.join("fs.raw")).unwrap();
        let differ =
            content.chunks(512).zip(original.chunks(512)).filter(|(a, b)| a != b && !format_core::is_zero(a));
        assert_eq!((content.len(), differ.count()), (original.len(), 0), "{options}");
        let last = content.len() - 512;
        assert!(content[last..] == original[last..], "the copy of the boot sector");
    }
}

#[test]
fn an_image_without_files_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::File::create(folder.join("fs.raw")).unwrap().set_len(9 << 20).unwrap();
    run(folder, "mkntfs", &["-F", "-q", "-Q", "fs.raw"]);
    run(folder, "ntfsclone", &["-q", "-m", "-s", "-O", "image", "fs.raw"]);
    let bytes = std::fs::read(folder.join("image")).unwrap();
    for error in [read(&bytes).err().unwrap(), stream(&bytes).err().unwrap()] {
        assert_eq!(error.kind(), format_core::ErrorKind::Unsupported, "{error}");
        assert!(error.hint_text().unwrap().contains("--save-image"));
    }
}
