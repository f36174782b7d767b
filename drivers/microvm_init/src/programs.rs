//! A program of the guest with the libraries that it needs, copied so that it runs when the guest's file systems are unmounted.

use crate::failing::{Result, While};
use crate::run::{Log, run};
use crate::tree::{Trees, open_inside, open_root};
use microvm_init::{Failure, FailureKind, Reply};
use rustix::fs::OFlags;
use std::fs::File;
use std::io::Read;
use std::time::Duration;

/// All files together; file system checkers need a tenth of it.
const MAX_BYTES: u64 = 64 << 20;
/// How long the guest's loader may take to say what a program needs.
const LIMIT: Duration = Duration::from_secs(60);
/// Files at most.
const MAX_FILES: usize = 64;
/// Where the loader finds libraries that are in no common folder.
const LOADER_CACHE: &str = "/etc/ld.so.cache";

/// Copies the first of `programs` that exists.
pub(crate) fn extract(trees: &mut Trees, tree: u32, programs: &[String]) -> Result<Option<(u32, String)>> {
    let root = trees.root(tree)?.to_owned();
    let mut left = MAX_BYTES;
    for program in programs {
        let Some(image) = read(&root, program, &mut left)? else { continue };
        let mut files = Vec::new();
        if let Some(loader) = interpreter(&image) {
            let needed = libraries(&root, &loader, program)?;
            for path in needed.into_iter().chain([loader, LOADER_CACHE.to_owned()]) {
                if files.iter().all(|(known, _)| *known != path)
                    && let Some(content) = read(&root, &path, &mut left)?
                {
                    files.push((path, content));
                }
            }
        }
        files.push((program.clone(), image));
        return Ok(Some((trees.small(&files)?, program.clone())));
    }
    Ok(None)
}

fn read(root: &str, path: &str, left: &mut u64) -> Result<Option<Vec<u8>>> {
    let Some(file) = open_inside(open_root(root)?, path, OFlags::RDONLY | OFlags::NONBLOCK)? else {
        return Ok(None);
    };
    let file = File::from(file);
    if !file.metadata().during(path)?.is_file() {
        return Ok(None);
    }
    let mut content = Vec::new();
    file.take(*left + 1).read_to_end(&mut content).during(path)?;
    *left = left.checked_sub(content.len() as u64).ok_or_else(|| {
        Failure::new(FailureKind::Limit, format!("{path} and what it needs have more than {MAX_BYTES} bytes"))
    })?;
    Ok(Some(content))
}

/// What the guest's loader says that a program needs.
fn libraries(root: &str, loader: &str, program: &str) -> Result<Vec<String>> {
    let mut log = Log::default();
    let ended = run(root, loader, &["--list".to_owned(), program.to_owned()], LIMIT, &mut log)?;
    let text = String::from_utf8_lossy(log.end()).into_owned();
    if !matches!(ended, Reply::Ended { status: Some(0), .. }) {
        let text = format!("the guest's {loader} does not tell what {program} needs: {}", text.trim());
        return Err(Failure::new(FailureKind::Unsupported, text));
    }
    let paths = text.split_whitespace().filter(|word| is_path(word)).map(str::to_owned);
    Ok(paths.take(MAX_FILES).collect())
}

/// An absolute path that stays where it says.
fn is_path(word: &str) -> bool {
    word.starts_with('/') && !word.split('/').any(|name| name == ".." || name == ".")
}

/// `PT_INTERP` of a 64-bit ELF file (elf(5)); a program that was linked statically has none.
fn interpreter(image: &[u8]) -> Option<String> {
    const PT_INTERP: u32 = 3;
    let bytes = |at: usize, length: usize| image.get(at..at.checked_add(length)?);
    let half = |at| Some(u16::from_le_bytes(bytes(at, 2)?.try_into().ok()?));
    let long = |at| usize::try_from(u64::from_le_bytes(bytes(at, 8)?.try_into().ok()?)).ok();
    if bytes(0, 6)? != b"\x7fELF\x02\x01" {
        return None;
    }
    let (table, entry, count) = (long(0x20)?, half(0x36)?, half(0x38)?);
    for number in 0..usize::from(count) {
        let at = table.checked_add(number.checked_mul(usize::from(entry))?)?;
        if u32::from_le_bytes(bytes(at, 4)?.try_into().ok()?) == PT_INTERP {
            let name = bytes(long(at.checked_add(8)?)?, long(at.checked_add(32)?)?.min(4096))?;
            let name = name.split(|byte| *byte == 0).next()?;
            return std::str::from_utf8(name).ok().filter(|name| is_path(name)).map(str::to_owned);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loader_of_a_program_is_found() {
        let shell = std::fs::read("/bin/sh").unwrap();
        assert!(interpreter(&shell).is_some_and(|path| std::path::Path::new(&path).exists()));
        assert_eq!(interpreter(b"#!/bin/sh\n"), None);
        for length in 0..shell.len().min(2000) {
            let _ = interpreter(&shell[..length]);
        }
    }
}
