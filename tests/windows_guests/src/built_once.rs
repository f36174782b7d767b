//! Guests that are built once for all tests.

use crate::build::{Built, build};
use crate::recipe::Recipe;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

/// The disks of a recipe, built when nobody did so before with the same recipes. They are for reading: the files are shared
/// by all tests, which copy what they change.
///
/// # Panics
///
/// As [`build`].
#[must_use]
pub fn shared(recipe: &Recipe) -> Built {
    let parent = target().join("windows-guests").join(version());
    std::fs::create_dir_all(&parent).unwrap();
    let folder = parent.join(recipe.name);
    // Tests run beside each other in processes of their own: the first one builds, the others wait.
    let lock = std::fs::File::create(parent.join(format!("{}.lock", recipe.name))).unwrap();
    lock.lock().unwrap();
    if !folder.is_dir() {
        let fresh = tempfile::tempdir_in(&parent).unwrap();
        for disk in build(recipe, fresh.path()).disks {
            let mut permissions = disk.metadata().unwrap().permissions();
            permissions.set_readonly(true);
            std::fs::set_permissions(disk, permissions).unwrap();
        }
        std::fs::rename(fresh.keep(), &folder).unwrap();
    }
    let mut disks: Vec<PathBuf> =
        std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    disks.sort();
    Built { disks }
}

fn target() -> PathBuf {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target");
    std::env::var_os("CARGO_TARGET_DIR").map_or(beside, PathBuf::from)
}

/// A name that changes with everything that the disks are made from.
fn version() -> String {
    let mut hasher = DefaultHasher::new();
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let maker = crate_folder.join("../../drivers/registry/tests/maker");
    for folder in [crate_folder.join("src"), crate_folder.join("hives"), maker] {
        let mut files: Vec<PathBuf> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        for file in files {
            std::fs::read(file).unwrap().hash(&mut hasher);
        }
    }
    format!("{:016x}", hasher.finish())
}
