//! Backup sets that another implementation of the published layout made: Python with its `cryptography` package.

use crate::builder::*;
use format_core::ErrorKind;
use std::path::Path;
use std::process::Command;

const MAKER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/room/make_set.py");

/// A set of a full backup and an increment, and the raw disks `0.raw` and `1.raw` beside them.
fn make(folder: &Path, aes: &str, level: &str) {
    let made = Command::new("python3").arg(MAKER).arg(folder).args([aes, level]).output();
    let made = made.expect("python3 is missing: install the package python3");
    let said = String::from_utf8_lossy(&made.stderr);
    assert!(made.status.success(), "needs the packages python3-cryptography and zstd: {said}");
}

#[test]
fn sets_with_every_cipher_are_read() {
    for (aes, level) in [("none", "medium"), ("aes-128", "high"), ("aes-192", "none"), ("aes-256", "medium")]
    {
        let folder = tempfile::tempdir().unwrap();
        make(folder.path(), aes, level);
        for number in 0..2 {
            let path = folder.path().join(format!("0AD2FD9362D493B1-set-{number:02}-{number:02}.mrimgx"));
            let wanted = std::fs::read(folder.path().join(format!("{number}.raw"))).unwrap();
            let container = open_path(&path, &[b"of the guest", "päss word\n".as_bytes()]).unwrap();
            assert!(read(&container).unwrap() == wanted, "{aes} {level} {number}");
            assert!(container.check(&|_| Ok(())).unwrap().is_clean());
            if aes == "none" {
                continue;
            }
            let container = open_path(&path, &[]).unwrap();
            assert_eq!(read(&container).unwrap_err().kind(), ErrorKind::NeedsPerson);
            assert_eq!(container.check(&|_| Ok(())).unwrap_err().kind(), ErrorKind::NeedsPerson);
            let error = open_path(&path, &[b"pass word"]).err().unwrap();
            assert_eq!(error.kind(), ErrorKind::NeedsPerson);
            assert!(error.to_string().contains("the password does not fit"), "{error}");
        }
    }
}
