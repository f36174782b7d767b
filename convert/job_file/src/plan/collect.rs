//! The images and backups in folders.

use super::{Found, Probe};
use format_core::{Error, ErrorKind, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// More than any folder of backups has; what has more is the root of something else.
const MOST_FILES: usize = 200_000;
const MOST_DEPTH: usize = 12;

#[derive(Default)]
pub(super) struct Collected {
    pub(super) found: BTreeMap<PathBuf, Found>,
    pub(super) skipped: Vec<(PathBuf, String)>,
}

pub(super) fn collect(patterns: &[String], probe: Probe<'_>) -> Result<Collected> {
    let mut walk = Walk { probe, found: BTreeMap::new(), unknown: Vec::new(), seen: BTreeSet::new() };
    for pattern in patterns {
        for path in expand(pattern)? {
            let path = std::path::absolute(&path)
                .map_err(|e| Error::io(format!("{} has no full path", path.display()), e))?;
            walk.named(path)?;
        }
    }
    Ok(walk.end())
}

/// The file of that name, else what the pattern fits.
fn expand(pattern: &str) -> Result<Vec<PathBuf>> {
    let path = PathBuf::from(pattern);
    if path.symlink_metadata().is_ok() {
        return Ok(vec![path]);
    }
    let paths =
        glob::glob(pattern).map_err(|e| Error::usage(format!("{pattern:?} is no pattern: {}", e.msg)))?;
    let mut fitting = Vec::new();
    for path in paths {
        fitting.push(path.map_err(|e| {
            Error::io(format!("cannot read {}", e.path().display()), std::io::Error::from(e))
        })?);
        bound(fitting.len())?;
    }
    if fitting.is_empty() {
        return Err(Error::new(
            ErrorKind::SourceMissing,
            format!("nothing is called {pattern}, and nothing fits it"),
        ));
    }
    Ok(fitting)
}

struct Walk<'p> {
    probe: Probe<'p>,
    found: BTreeMap<PathBuf, Found>,
    unknown: Vec<(PathBuf, String)>,
    seen: BTreeSet<PathBuf>,
}

impl Walk<'_> {
    /// What the operator named himself: it is told when it is nothing.
    fn named(&mut self, path: PathBuf) -> Result<()> {
        if !self.seen.insert(path.clone()) {
            return Ok(());
        }
        if let Some(found) = (self.probe)(&path) {
            self.found.insert(path, found);
        } else if path.is_dir() {
            self.folder(&path, 0)?;
        } else {
            self.unknown.push((path, "is in no format that is known, or cannot be read".into()));
        }
        Ok(())
    }

    fn folder(&mut self, folder: &Path, depth: usize) -> Result<()> {
        let failed = |e| Error::io(format!("cannot list {}", folder.display()), e);
        let mut paths = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            // Links into other places would bring things in twice, or turn in circles.
            let kind = entry.file_type().map_err(failed)?;
            if kind.is_file() || kind.is_dir() {
                paths.push((entry.path(), kind.is_dir()));
            }
        }
        paths.sort();
        for (path, is_folder) in paths {
            if !self.seen.insert(path.clone()) {
                continue;
            }
            bound(self.seen.len())?;
            if let Some(found) = (self.probe)(&path) {
                self.found.insert(path, found);
            } else if is_folder && depth < MOST_DEPTH {
                self.folder(&path, depth + 1)?;
            }
        }
        Ok(())
    }

    fn end(mut self) -> Collected {
        // Images may name their parts by other ways to the same file.
        let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let mut parts: BTreeMap<PathBuf, PathBuf> = BTreeMap::new();
        for (path, found) in &self.found {
            let own = real(path);
            let others = found.uses.iter().map(|other| real(other)).filter(|other| *other != own);
            parts.extend(others.map(|other| (other, path.clone())));
        }
        let mut skipped = self.unknown;
        self.found.retain(|path, _| match parts.get(&real(path)) {
            Some(owner) => {
                skipped.push((path.clone(), format!("is part of {}", owner.display())));
                false
            }
            None => true,
        });
        Collected { found: self.found, skipped }
    }
}

fn bound(files: usize) -> Result<()> {
    if files > MOST_FILES {
        return Err(Error::new(ErrorKind::Limit, "there are more than 200,000 files to look at")
            .hint("name the folders with images alone"));
    }
    Ok(())
}
