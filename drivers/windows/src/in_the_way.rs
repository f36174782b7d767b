//! What lies where a file is to be written.

use driver_core::{Draft, FileKind, TEXT_LIMIT};
use format_core::{Error, Result};

/// Refuses `path` unless there are folders above it, or nothing, and at `path` a file, or nothing. Links are refused, too: one would
/// lead to a folder that others may write to.
///
/// # Errors
/// `NeedsPerson` when something else lies there; what the file system reports.
pub(crate) fn nothing_in_the_way(draft: &Draft<'_>, path: &str) -> Result<()> {
    let ends = path.match_indices('/').map(|(at, _)| at).skip(1).chain([path.len()]);
    for part in ends.filter_map(|end| path.get(..end)) {
        let Some(meta) = draft.tree().link_metadata(part)? else { return Ok(()) };
        let is_last = part.len() == path.len();
        let why = match meta.kind {
            FileKind::File if is_last => continue,
            FileKind::Folder if !is_last => continue,
            FileKind::File => "a file",
            FileKind::Folder => "a folder",
            FileKind::Link => "a link",
            FileKind::Other => "neither a file nor a folder",
        };
        return Err(in_the_way(part, why));
    }
    Ok(())
}

/// The same for a file of ours, which is compared with what lies there.
///
/// # Errors
/// As [`nothing_in_the_way`]; `NeedsPerson` for a file that cannot be one of ours.
pub(crate) fn at_most_ours(draft: &Draft<'_>, path: &str) -> Result<()> {
    nothing_in_the_way(draft, path)?;
    match draft.tree().link_metadata(path)? {
        Some(meta) if meta.size > TEXT_LIMIT => Err(in_the_way(path, "another file of that name")),
        _ => Ok(()),
    }
}

fn in_the_way(path: &str, what: &str) -> Error {
    Error::needs_person(format!("{path} is in the way: it is {what}"))
        .hint("remove or rename it in the running guest, then export and migrate it again")
}

#[cfg(test)]
mod tests {
    use super::*;
    use driver_core::{GuestTree, MemFs};
    use format_core::ErrorKind;

    #[test]
    fn only_folders_may_be_above_and_a_file_at_the_place() {
        let mut tree = GuestTree::new();
        let files = MemFs::new()
            .with_file("/a/file", "x")
            .with_file("/a/large", vec![0; 4 << 20])
            .with_file("/a/larger", vec![0; (4 << 20) + 1])
            .with_link("/link", "/a");
        tree.mount("/", Box::new(files));
        let draft = Draft::new(&tree);
        for path in ["/a/file", "/a/new", "/b/new", "/a/large", "/a/larger"] {
            assert!(nothing_in_the_way(&draft, path).is_ok(), "{path}");
        }
        for (path, what) in
            [("/a", "a folder"), ("/a/file/x", "a file"), ("/link", "a link"), ("/link/file", "a link")]
        {
            let error = nothing_in_the_way(&draft, path).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NeedsPerson);
            assert!(error.to_string().ends_with(&format!("is in the way: it is {what}")), "{error}");
        }
        assert!(at_most_ours(&draft, "/a/large").is_ok());
        assert!(at_most_ours(&draft, "/a/larger").is_err());
    }
}
