//! Datastores that another implementation of the format made: Python with its `cryptography` package.

use crate::builder::*;
use format_core::{ErrorKind, Key};
use std::path::Path;
use std::process::Command;

const MAKER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/room/make_store.py");

/// The disk that the script writes, by its own rule.
fn wanted() -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..200_000_u64).map(|at| ((at * at) >> 7) as u8).collect();
    bytes.extend(vec![0; 150_000]);
    bytes.extend((0..33_333_u64).map(|at| (at >> 5) as u8));
    bytes
}

fn make(folder: &Path, kdf: &str) {
    let made = Command::new("python3").arg(MAKER).arg(folder).arg(kdf).output();
    let made = made.expect("python3 is missing: install the package python3");
    let said = String::from_utf8_lossy(&made.stderr);
    assert!(made.status.success(), "needs the packages python3-cryptography and zstd: {said}");
}

#[test]
fn snapshots_with_every_kind_of_key_file_are_read() {
    for kdf in ["none", "scrypt", "pbkdf2"] {
        let folder = tempfile::tempdir().unwrap();
        make(folder.path(), kdf);
        let snapshot = folder.path().join("store/vm/100/2026-11-22T02:00:00Z");
        let key = Key::new(std::fs::read(folder.path().join("key.json")).unwrap());
        let passphrase = |text: &[u8]| Key::new(text.to_vec());
        let keys = [key.clone(), passphrase(b"correct horse\n")];
        let container = open_with(&snapshot, with_keys(&keys)).unwrap();
        assert!(read(&container).unwrap() == wanted(), "{kdf}");
        let report = container.check(&|_| Ok(())).unwrap();
        assert!(report.is_clean(), "{report:?}");
        // One chunk of the zeros is whole, and the script says which chunks it could pack.
        assert!(report.allocated_chunks < report.total_chunks && report.compressed_chunks > 0, "{report:?}");
        assert_eq!(container.machine_files().unwrap()[0].bytes, b"name: foreign\nscsi0: x\n");
        if kdf == "none" {
            continue;
        }
        let tell =
            |keys: &[Key]| open_with(&snapshot, with_keys(keys)).and_then(|found| read(&found)).unwrap_err();
        let error = tell(std::slice::from_ref(&key));
        assert_eq!(error.kind(), ErrorKind::NeedsPerson);
        assert!(error.to_string().contains("protected by a passphrase"), "{error}");
        let error = tell(&[key, passphrase(b"incorrect horse")]);
        assert_eq!(error.kind(), ErrorKind::NeedsPerson);
        assert!(error.to_string().contains("does not fit the key file, whose hint is"), "{error}");
    }
}
