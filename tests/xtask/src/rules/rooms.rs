//! The furniture of a format room.

use super::{Violation, read};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

pub(super) fn check(root: &Path, files: &[PathBuf]) -> Result<Vec<Violation>, String> {
    let mut violations = Vec::new();
    for room in rooms(files) {
        let folder = Path::new("formats").join(room);
        let fuzz = Path::new("tests/fuzz/targets").join(format!("{room}.rs"));
        let mut missing = |path: PathBuf, rule: &str| {
            violations.push(Violation { path, line: 1, rule: rule.to_owned() });
        };
        for (path, rule) in [
            (folder.join("SPEC.md"), "a format room needs its SPEC.md: sources, what is supported, quirks"),
            (folder.join("src/lib.rs"), "a format room needs its src/lib.rs"),
            (fuzz, "a format room needs a fuzz target"),
        ] {
            if !files.contains(&path) {
                missing(path, rule);
            }
        }
        let lib = folder.join("src/lib.rs");
        // One room for six formats that differ in their codec only.
        if room == "compressed" {
            continue;
        }
        if files.contains(&lib) && !read(root, &lib)?.contains("pub static FORMAT: Format") {
            missing(lib, "a format room exports `pub static FORMAT: Format`");
        }
        let all = PathBuf::from("formats/all/src/lib.rs");
        let entry = format!("&format_{room}::FORMAT");
        if files.contains(&all) && !read(root, &all)?.contains(&entry) {
            missing(all, &format!("{entry} is not in the list of all formats"));
        }
    }
    Ok(violations)
}

/// The folders in `formats` that are rooms. `closed` is none: it only names formats, several of them; nor is `tar_members`, on
/// which rooms are built.
fn rooms(files: &[PathBuf]) -> BTreeSet<&str> {
    let below = files.iter().filter_map(|path| path.strip_prefix("formats").ok());
    let folders =
        below.filter(|path| path.iter().count() > 1).filter_map(|path| path.iter().next()?.to_str());
    folders.filter(|room| !matches!(*room, "core" | "all" | "closed" | "tar_members")).collect()
}
