//! Damaged repositories: an error, never other data.

use crate::{Made, bytes, noise, open, options};
use format_core::{ErrorKind, check_image};

/// The file with most of the data.
fn segment(made: &Made) -> (std::path::PathBuf, Vec<u8>) {
    made.files()
        .into_iter()
        .filter(|(path, _)| path.components().any(|c| c.as_os_str() == "data"))
        .max_by_key(|(_, b)| b.len())
        .unwrap()
}

#[test]
fn damage_is_an_error_of_opening_and_of_the_check() {
    let made = Made::new("none");
    let disk = noise(300_000, 1);
    made.put("a.raw", &disk);
    made.borg(&["create", "-C", "none", "::a", "a.raw"], None);
    let (path, whole) = segment(&made);
    let mut broken = whole.clone();
    broken[150_000] ^= 1;
    std::fs::write(&path, &broken).unwrap();
    let error = open(&made.repo(), None, None, None).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    let report = check_image(&made.repo(), &options(None), &|_| Ok(())).unwrap().remove(0).report;
    assert!(report.errors > 0 && report.findings[0].message.contains("borg extract"), "{report:?}");
    std::fs::remove_file(&path).unwrap();
    assert!(open(&made.repo(), None, None, None).is_err());
    std::fs::write(&path, &whole).unwrap();
    assert!(bytes(&open(&made.repo(), None, None, None).unwrap()) == disk);
}

#[test]
fn zeros_that_a_repair_put_in_are_no_disk() {
    let made = Made::new("none");
    made.put("a.raw", &noise(300_000, 2));
    made.borg(&["create", "-C", "none", "--chunker-params", "fixed,65536", "::a", "a.raw"], None);
    let (path, mut broken) = segment(&made);
    broken[100_000] ^= 1;
    std::fs::write(&path, &broken).unwrap();
    made.borg(&["check", "--repair"], None);
    let error = open(&made.repo(), None, None, None).err().unwrap();
    assert!(error.kind() == ErrorKind::Corrupt && error.to_string().contains("not whole"), "{error}");
    let report = check_image(&made.repo(), &options(None), &|_| Ok(())).unwrap().remove(0).report;
    assert!(report.errors > 0, "{report:?}");
}

#[test]
fn what_is_no_repository_of_borg_1() {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir(root.path().join("data")).unwrap();
    let config = root.path().join("config");
    for (text, kind, told) in [
        ("[repository]\nversion = 2\n", ErrorKind::Unsupported, "version \"2\""),
        ("[repository]\n", ErrorKind::Unsupported, "version \"\""),
        ("[core]\n", ErrorKind::Unsupported, "no backup or image"),
        ("", ErrorKind::Unsupported, "no backup or image"),
        ("[repository]\nversion = 1\n", ErrorKind::Corrupt, "borg list failed"),
        ("[repository]\nversion = 1\nid = zz\n", ErrorKind::Corrupt, "borg list failed"),
    ] {
        std::fs::write(&config, text).unwrap();
        let error = open(root.path(), None, None, None).err().unwrap();
        assert!(error.kind() == kind && error.to_string().contains(told), "{:?} {error}", error.kind());
    }
    let made = Made::new("none");
    let error = open(&made.repo(), None, None, None).err().unwrap();
    assert!(error.to_string().contains("no archive"), "{error}");
    let mut long = options(None);
    long.access.key = Some(format_core::Key::new(vec![b'x'; 40 << 10]));
    assert_eq!(format_core::open_image(&made.repo(), &long).err().unwrap().kind(), ErrorKind::Usage);
}
