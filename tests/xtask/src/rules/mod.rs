//! The house rules that a program can check.

mod dependencies;
mod rooms;
mod sources;
mod trust;

use crate::about;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// The folders of the top level that hold what is ours.
const TOP: [&str; 5] = ["formats", "convert", "drivers", "tests", "samples"];

/// Folders with what programs made.
const MADE: [&str; 3] = ["target", "corpus", "artifacts"];

/// A rule broken at a place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    /// The file or folder, below the root.
    pub path: PathBuf,
    /// From 1; 1 also for what concerns the whole file.
    pub line: usize,
    /// What is wrong, and what to do.
    pub rule: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path.display(), self.line, self.rule)
    }
}

/// Checks the tree below `root` against every rule.
///
/// # Errors
/// What the file system says. Broken rules are no error here.
pub fn check(root: &Path) -> Result<Vec<Violation>, String> {
    let mut files = Vec::new();
    for folder in TOP {
        walk(root, Path::new(folder), &mut files)?;
    }
    files.sort();
    let mut violations = dependencies::check(root, &files)?;
    violations.extend(sources::check(root, &files)?);
    violations.extend(rooms::check(root, &files)?);
    violations.extend(trust::check(root)?);
    violations.sort();
    Ok(violations)
}

/// All files below `folder`, by their path below `root`.
fn walk(root: &Path, folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), String> {
    let full = root.join(folder);
    if !full.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(&full).map_err(about(&full))? {
        let entry = entry.map_err(about(&full))?;
        let path = folder.join(entry.file_name());
        if !entry.file_type().map_err(about(&full))?.is_dir() {
            files.push(path);
        } else if !MADE.iter().any(|made| entry.file_name() == *made) {
            walk(root, &path, files)?;
        }
    }
    Ok(())
}

fn read(root: &Path, path: &Path) -> Result<String, String> {
    fs::read_to_string(root.join(path)).map_err(about(path))
}

fn extension(path: &Path) -> &str {
    path.extension().and_then(|extension| extension.to_str()).unwrap_or_default()
}
