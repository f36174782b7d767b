//! What may stand in a source file, how long it may be, and how it may be called.

use super::{Violation, extension, read};
use std::path::{Path, PathBuf};

/// Lines of a source file, its tests at the end not counted.
const MAX_LINES: usize = 450;

/// Files that are tables: they may be longer.
const TABLES: [&str; 0] = [];

/// The folders that may hold unsafe code: each wraps one C library.
const UNSAFE: [&str; 3] = ["drivers/fs_ext_sys", "drivers/fs_ntfs_sys", "drivers/microvm_init/src/ioctl.rs"];

/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 7] = ["common", "helper", "helpers", "misc", "shared", "util", "utils"];

/// Signs of work that was not done. Split, so that this file is none.
const LEFT_OVER: [&str; 5] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X:"),
    concat!("to", "do!("),
    concat!("unimple", "mented!("),
];

pub(super) fn check(root: &Path, files: &[PathBuf]) -> Result<Vec<Violation>, String> {
    let mut violations = Vec::new();
    for path in files {
        violations.extend(name(path));
        if !matches!(extension(path), "rs" | "sh" | "ps1" | "toml") {
            continue;
        }
        let text = read(root, path)?;
        violations.extend(left_over(path, &text));
        if extension(path) == "rs" {
            violations.extend(length(path, &text));
            violations.extend(unsafe_code(path, &text));
        }
    }
    Ok(violations)
}

fn violation(path: &Path, line: usize, rule: String) -> Violation {
    Violation { path: path.to_path_buf(), line, rule }
}

fn name(path: &Path) -> Option<Violation> {
    let empty = path.iter().filter_map(|part| part.to_str()).find_map(|part| {
        let stem = part.split('.').next().unwrap_or(part);
        EMPTY_NAMES.into_iter().find(|name| stem.eq_ignore_ascii_case(name))
    })?;
    Some(violation(path, 1, format!("the name {empty} says nothing: name it after what is inside")))
}

fn left_over(path: &Path, text: &str) -> Vec<Violation> {
    let found = text.lines().enumerate().filter_map(|(number, line)| {
        let sign = LEFT_OVER.into_iter().find(|sign| line.contains(sign))?;
        Some(violation(path, number + 1, format!("{sign} is work left over: do it or take it out")))
    });
    found.collect()
}

fn length(path: &Path, text: &str) -> Option<Violation> {
    let in_tests = path.iter().any(|part| part == "tests" || part == "examples");
    let is_table = TABLES.iter().any(|table| path == Path::new(table));
    let lines = text.lines().take_while(|line| *line != "#[cfg(test)]").count();
    (lines > MAX_LINES && !in_tests && !is_table).then(|| {
        violation(
            path,
            MAX_LINES + 1,
            format!("{lines} lines, at most {MAX_LINES}: split it by what it does"),
        )
    })
}

fn unsafe_code(path: &Path, text: &str) -> Vec<Violation> {
    if UNSAFE.iter().any(|folder| path.starts_with(folder)) {
        return Vec::new();
    }
    let found = text.lines().enumerate().filter(|(_, line)| {
        let code = line.split("//").next().unwrap_or_default();
        let word = |c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '"');
        code.split(word).any(|word| word == concat!("uns", "afe"))
    });
    let rule = format!("unsafe code outside of {}", UNSAFE.join(" and "));
    found.map(|(number, _)| violation(path, number + 1, rule.clone())).collect()
}
