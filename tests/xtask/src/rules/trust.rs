//! Each dependency on other people's code says in `deny.toml` who they are and what it is for.

use super::{Violation, read};
use std::path::{Path, PathBuf};

pub(super) fn check(root: &Path) -> Result<Vec<Violation>, String> {
    let (manifest, deny) = (PathBuf::from("Cargo.toml"), PathBuf::from("deny.toml"));
    if !root.join(&manifest).is_file() {
        return Ok(Vec::new());
    }
    let (own, text) = (read(root, &manifest)?, read(root, &deny)?);
    let named = foreign(&own);
    let reasons: Vec<_> =
        text.lines().enumerate().filter_map(|(number, line)| Some((number, reason(line)?))).collect();
    let mut violations = Vec::new();
    for (number, name) in &named {
        if !reasons.iter().any(|(_, said)| said == name) {
            let rule = format!("deny.toml says nothing about {name}: who maintains it, and what it is for");
            violations.push(Violation { path: manifest.clone(), line: number + 1, rule });
        }
    }
    for (number, said) in reasons {
        if !named.iter().any(|(_, name)| *name == said) {
            let rule = format!("{said} is no dependency of the workspace");
            violations.push(Violation { path: deny.clone(), line: number + 1, rule });
        }
    }
    Ok(violations)
}

/// The names in `[workspace.dependencies]` that are not the workspace's own, one to a line, with the line's index.
fn foreign(manifest: &str) -> Vec<(usize, &str)> {
    let mut is_inside = false;
    let mut names = Vec::new();
    for (number, line) in manifest.lines().enumerate() {
        if line.starts_with('[') {
            is_inside = line == "[workspace.dependencies]";
        } else if let (true, Some((name, value))) = (is_inside, line.split_once(" = "))
            && !value.contains("path = ")
        {
            names.push((number, name));
        }
    }
    names
}

/// The name in a line such as `#   aes: RustCrypto; what for`.
fn reason(line: &str) -> Option<&str> {
    let (name, words) = line.strip_prefix("#   ")?.split_once(": ")?;
    (!name.contains(' ') && words.contains("; ")).then_some(name)
}
