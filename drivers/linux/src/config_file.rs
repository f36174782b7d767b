//! Configuration files: read with bounds, edited line by line, every other byte kept.

use driver_core::{DirEntry, Draft, FileKind, TEXT_LIMIT};
use format_core::{Error, ErrorKind, Result};

/// The content of a configuration file; `None` when there is none (a loop of links leads to none either).
///
/// # Errors
/// `NeedsPerson` when it is larger than any configuration file; what the file system reports.
pub(crate) fn read(draft: &Draft<'_>, path: &str) -> Result<Option<Vec<u8>>> {
    match draft.read(path, TEXT_LIMIT) {
        Ok(content) => Ok(content),
        Err(e) if e.kind() == ErrorKind::Usage => Ok(None),
        Err(e) if e.kind() == ErrorKind::Limit => {
            Err(Error::needs_person(format!("{path} is larger than {} MiB", TEXT_LIMIT >> 20))
                .hint(format!("look at {path}: no configuration file is that large")))
        }
        Err(e) => Err(e.context(format!("read {path}"))),
    }
}

/// The same as text; bytes that are no UTF-8 are replaced: to look at, not to write back.
pub(crate) fn read_lossy(draft: &Draft<'_>, path: &str) -> Result<Option<String>> {
    Ok(read(draft, path)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

/// The text of a file that is looked at in passing: what is too large to be configuration is empty.
pub(crate) fn read_small(draft: &Draft<'_>, path: &str) -> Result<String> {
    match read_lossy(draft, path) {
        Ok(text) => Ok(text.unwrap_or_default()),
        Err(e) if e.kind() == ErrorKind::NeedsPerson => Ok(String::new()),
        Err(e) => Err(e),
    }
}

/// Whether `path` leads to something.
pub(crate) fn exists(draft: &Draft<'_>, path: &str) -> Result<bool> {
    match draft.exists(path) {
        Err(e) if e.kind() == ErrorKind::Usage => Ok(false),
        other => other,
    }
}

/// The paths of the files (or links) in a folder whose names end in `suffix`, sorted.
pub(crate) fn list(draft: &Draft<'_>, folder: &str, suffix: &str) -> Result<Vec<String>> {
    let mut paths = paths(draft, folder, &[FileKind::File, FileKind::Link])?;
    paths.retain(|path| path.ends_with(suffix));
    Ok(paths)
}

/// The paths of the folders in a folder, sorted.
pub(crate) fn folders(draft: &Draft<'_>, folder: &str) -> Result<Vec<String>> {
    paths(draft, folder, &[FileKind::Folder])
}

fn paths(draft: &Draft<'_>, folder: &str, kinds: &[FileKind]) -> Result<Vec<String>> {
    let entries = match draft.read_dir(folder) {
        Err(e) if e.kind() == ErrorKind::Usage => Vec::new(),
        other => other?,
    };
    // A name that is no UTF-8 cannot be opened.
    let fits = |entry: &DirEntry| kinds.contains(&entry.kind) && !entry.name.contains('\u{fffd}');
    Ok(entries.into_iter().filter(fits).map(|entry| format!("{folder}/{}", entry.name)).collect())
}

/// What happens to a line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// It stays as it is.
    Keep,
    /// It becomes this; its line end stays, and is that of each line where several take its place.
    Replace(String),
    /// It goes, with its line end.
    Drop,
}

/// The content with `edit` called for each line, without its line end. Lines that are no UTF-8 stay as they are.
pub(crate) fn edit_lines(content: &[u8], mut edit: impl FnMut(&str) -> Line) -> Vec<u8> {
    let mut edited = Vec::with_capacity(content.len() + 64);
    for raw in content.split_inclusive(|&byte| byte == b'\n') {
        let line = raw.strip_suffix(b"\n").unwrap_or(raw);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let end = raw.get(line.len()..).unwrap_or_default();
        match std::str::from_utf8(line).map(&mut edit) {
            Ok(Line::Replace(new)) => {
                for (number, part) in new.split('\n').enumerate() {
                    if number > 0 {
                        edited.extend_from_slice(if end.is_empty() { b"\n" } else { end });
                    }
                    edited.extend_from_slice(part.as_bytes());
                }
                edited.extend_from_slice(end);
            }
            Ok(Line::Drop) => {}
            Ok(Line::Keep) | Err(_) => edited.extend_from_slice(raw),
        }
    }
    edited
}

/// As [`edit_lines`], for files in which a backslash at the end of a line means that it goes on: `edit` is given such lines as
/// one, with what stands between them.
pub(crate) fn edit_continued_lines(content: &[u8], mut edit: impl FnMut(&str) -> Line) -> Vec<u8> {
    let mut edited = Vec::with_capacity(content.len() + 64);
    let (mut start, mut end) = (0, 0);
    // The first byte of the joined line that is no blank.
    let mut first = None;
    for raw in content.split_inclusive(|&byte| byte == b'\n') {
        end += raw.len();
        let line = raw.strip_suffix(b"\n").unwrap_or(raw);
        let backslashes = line.iter().rev().take_while(|&&byte| byte == b'\\').count();
        first = first.or_else(|| raw.iter().find(|byte| !byte.is_ascii_whitespace()));
        if backslashes % 2 == 1 && end < content.len() && first != Some(&b'#') {
            continue;
        }
        first = None;
        let whole = content.get(start..end).unwrap_or_default();
        let bare = whole.strip_suffix(b"\n").unwrap_or(whole);
        let bare = bare.strip_suffix(b"\r").unwrap_or(bare);
        match std::str::from_utf8(bare).map(&mut edit) {
            Ok(Line::Replace(new)) => {
                edited.extend_from_slice(new.as_bytes());
                edited.extend_from_slice(whole.get(bare.len()..).unwrap_or_default());
            }
            Ok(Line::Drop) => {}
            Ok(Line::Keep) | Err(_) => edited.extend_from_slice(whole),
        }
        start = end;
    }
    edited
}

/// `content` with a line added at its end, which gets a line end if it lacks one.
pub(crate) fn with_line(mut content: Vec<u8>, line: &str) -> Vec<u8> {
    if content.last().is_some_and(|&byte| byte != b'\n') {
        content.push(b'\n');
    }
    content.extend_from_slice(line.as_bytes());
    content.push(b'\n');
    content
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_edited_lines_change() {
        let content = b"one\r\ntwo\n\xff two\nthree";
        let edited = edit_lines(content, |line| match line {
            "two" => Line::Drop,
            "one" => Line::Replace("1".into()),
            "three" => Line::Replace("3".into()),
            _ => Line::Keep,
        });
        assert_eq!(edited, b"1\r\n\xff two\n3");
        assert_eq!(edit_lines(b"a\r\nb", |line| Line::Replace(format!("{line}\nx"))), b"a\r\nx\r\nb\nx");
        assert_eq!(edit_lines(b"", |_| Line::Drop), b"");
        assert_eq!(edit_lines(b"\n\n", |_| Line::Keep), b"\n\n");
        assert_eq!(with_line(b"a".to_vec(), "b"), b"a\nb\n");
        let continued = b"# a \\\nb\r\nc \\\n d\n\xff \\\ne\nf\\\\\ng\\";
        let mut seen = Vec::new();
        let edited = edit_continued_lines(continued, |line| {
            seen.push(line.to_owned());
            if line.starts_with('c') { Line::Replace("C".into()) } else { Line::Keep }
        });
        assert_eq!(seen, ["# a \\", "b", "c \\\n d", "f\\\\", "g\\"]);
        assert_eq!(edited, b"# a \\\nb\r\nC\n\xff \\\ne\nf\\\\\ng\\");
        assert_eq!(with_line(Vec::new(), "b"), b"b\n");
    }
}
