//! What every volume that must not be edited has to do.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use crate::images::PatchedVolume;
use driver_core::{GuestFs, Volume};
use driver_fs_ntfs::{open, probe};
use format_core::ErrorKind;
use std::sync::Arc;

/// Opens for reading, refuses every edit with a reason that holds `word` and a remedy that holds `remedy`, and writes
/// nothing.
pub fn assert_read_only(volume: &Arc<PatchedVolume>, word: &str, remedy: &str) {
    let mut fs = open(volume.clone()).unwrap();
    let error = fs.editable().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NeedsPerson, "{word}: {error}");
    assert!(error.to_string().contains(word), "{word}: {error}");
    assert!(error.hint_text().is_some_and(|hint| hint.contains(remedy)), "{word}: {:?}", error.hint_text());
    assert_eq!(fs.read_file("/file", 99).unwrap(), b"content", "{word}");
    let owner = driver_core::Ownership::ROOT_FILE;
    let edits = [
        fs.replace_file("/file", b"x"),
        fs.append_file("/file", b"x"),
        fs.create_file("/new", b"x", owner),
        fs.create_folder("/new", owner),
        fs.create_link("/new", "file"),
        fs.rename("/file", "/new"),
        fs.remove("/file"),
        fs.allows("/file", driver_core::Change::Content { size: 1 }),
    ];
    for edit in edits {
        let error = edit.unwrap_err();
        assert!(error.kind() == ErrorKind::NeedsPerson && error.to_string().contains(word), "{error}");
    }
    fs.finish().unwrap();
    drop(fs);
    assert_eq!(volume.writes(), 0, "{word}");
    let facts = probe(&(volume.clone() as Arc<dyn Volume>)).unwrap().unwrap();
    let why = facts.not_editable.unwrap();
    assert!(why.contains(word) && why.contains(remedy), "{word}: {why}");
    assert_eq!(volume.writes(), 0, "{word}");
}
