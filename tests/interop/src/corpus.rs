//! The collection of images that other tools made.
//!
//! It lies in `shared/corpus` beside the repository, or where `REHOME_CORPUS` says. It is unpacked below `target/` once.
#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

use crate::run;
use std::path::{Path, PathBuf};

/// Where the collection lies. Without it nothing can be tested: loud, and under CI an error.
#[must_use]
pub fn corpus() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus");
    let folder = std::env::var_os("REHOME_CORPUS").map_or(beside, PathBuf::from);
    if folder.join("made.tar.zst").is_file() {
        return Some(folder);
    }
    let message = format!("the image collection is not in {}: set REHOME_CORPUS", folder.display());
    assert!(std::env::var_os("CI").is_none(), "{message}");
    eprintln!("NOT RUN: {message}");
    None
}

/// Unpacks `NAME.tar.zst` of the collection below the folder, which is the tests' `CARGO_TARGET_TMPDIR`, once for each version of the archive. Tests run beside
/// each other in processes of their own: the first one unpacks, the others wait.
pub fn unpacked(corpus: &Path, name: &str, below: &str) -> PathBuf {
    let archive = corpus.join(format!("{name}.tar.zst"));
    let collection = Path::new(below).join("corpus");
    std::fs::create_dir_all(&collection).unwrap();
    let lock = std::fs::File::create(collection.join(format!("{name}.lock"))).unwrap();
    lock.lock().unwrap();
    let folder = collection.join(name);
    let stamp = folder.join("unpacked");
    let version = archive.metadata().unwrap().len().to_string();
    if std::fs::read_to_string(&stamp).ok().as_ref() == Some(&version) {
        return folder;
    }
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    let script = "zstd -dcq --long=31 \"$1\" | tar -xSf - -C \"$2\" --no-same-owner
                  chmod -R u+w \"$2\"";
    run(
        "zstd",
        300,
        "bash",
        &["-euo", "pipefail", "-c", script, "bash", archive.to_str().unwrap(), folder.to_str().unwrap()],
    );
    std::fs::write(stamp, version).unwrap();
    folder
}
