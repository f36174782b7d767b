//! Copies of what fixups change, kept beside the result.

use driver_core::{Action, Edit, GuestTree};
use format_core::{Error, ErrorKind, Result, printable_json};
use serde::Serialize;
use std::io::Write;
use std::path::{Component, Path, PathBuf};

/// The list of what was done, for whoever wants it back.
pub(crate) const LIST: &str = "undo.json";

/// The folder of the copies, which have the guest's paths in it.
const COPIES: &str = "files";

#[derive(Serialize)]
struct Undo<'a> {
    /// Path in the guest.
    path: &'a str,
    /// How to take the edit back.
    undo: &'static str,
    /// The copy to put back, relative to the list; absent where nothing was there.
    copy: Option<String>,
    /// Where a removed link pointed.
    target: Option<&'a str>,
}

/// Saves the original of every file that `edits` change or remove below `folder`, with a list in the order in which
/// the edits have to be undone.
///
/// # Errors
/// `Destination` when the folder exists or cannot be written; what the guest's file system reports.
pub(crate) fn save(folder: &Path, tree: &GuestTree, edits: &[Edit]) -> Result<()> {
    private_folder(folder).map_err(|e| failed(folder, e))?;
    // From the start, so that a later run knows whose folder this is.
    write(&folder.join(LIST), b"[]")?;
    let mut list = Vec::new();
    for edit in edits.iter().rev() {
        // Of the registry it is the hive that is kept, once for all its edits.
        if edit.key().is_some() && list.iter().any(|undo: &Undo<'_>| undo.path == edit.path) {
            continue;
        }
        let mut undo = Undo { path: &edit.path, undo: "remove", copy: None, target: None };
        match &edit.action {
            Action::Replace { .. }
            | Action::Append { .. }
            | Action::RemoveFile { .. }
            | Action::SetValue { .. }
            | Action::DeleteValue { .. }
            | Action::CreateKey { .. }
            | Action::DeleteKey { .. } => {
                undo.undo = "restore";
                undo.copy = save_copy(folder, tree, &edit.path)?;
            }
            Action::Run { .. } => {
                undo.copy = save_copy(folder, tree, &edit.path)?;
                undo.undo = if undo.copy.is_some() { "restore" } else { "remove" };
            }
            Action::RemoveLink { target } => (undo.undo, undo.target) = ("link", Some(target.as_str())),
            Action::Create { .. } | Action::CreateFolder { .. } | Action::CreateLink { .. } => {}
        }
        list.push(undo);
    }
    let text =
        serde_json::to_string_pretty(&list).map_err(|e| Error::contract("the undo list").with_source(e))?;
    write(&folder.join(LIST), printable_json(&text).as_bytes())
}

/// Whether `folder` holds nothing but what [`save`] puts there.
pub(crate) fn is_part(folder: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(folder) else { return false };
    entries
        .into_iter()
        .all(|entry| entry.is_ok_and(|entry| [LIST, COPIES].iter().any(|name| entry.file_name() == *name)))
}

/// For its owner's eyes: in the guest some of these files can be read by root alone.
fn private_folder(path: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Copies the guest's file as it is now; `None` when it does not exist yet because an earlier edit creates it.
fn save_copy(folder: &Path, tree: &GuestTree, path: &str) -> Result<Option<String>> {
    let Some(meta) = tree.metadata(path)? else { return Ok(None) };
    let Some(content) = tree.read_file(path, meta.size)? else { return Ok(None) };
    let inside: PathBuf =
        Path::new(path).components().filter(|c| matches!(c, Component::Normal(_))).collect();
    let copy = Path::new(COPIES).join(inside);
    let host = folder.join(&copy);
    if host.exists() {
        return Ok(Some(copy.display().to_string()));
    }
    let parent = host.parent().unwrap_or(folder);
    std::fs::create_dir_all(parent).map_err(|e| failed(parent, e))?;
    write(&host, &content)?;
    Ok(Some(copy.display().to_string()))
}

fn write(path: &Path, content: &[u8]) -> Result<()> {
    // The list is written twice; nothing else of the folder is.
    let _ = std::fs::remove_file(path);
    let written = std::fs::File::create_new(path).and_then(|mut file| file.write_all(content));
    written.map_err(|e| failed(path, e))
}

fn failed(path: &Path, error: std::io::Error) -> Error {
    let what = format!("cannot write {}", path.display());
    Error::io(what, error).with_kind(ErrorKind::Destination)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use driver_core::MemFs;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn copies_of_guest_files_are_for_their_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let undo = folder.path().join("x.undo");
        let mut tree = GuestTree::new();
        tree.mount("/", Box::new(MemFs::new().with_file("/etc/key", "secret")));
        let action = Action::RemoveFile { before: b"secret".to_vec() };
        let edit = Edit { path: "/etc/key".into(), reason: String::new(), action };
        save(&undo, &tree, &[edit]).unwrap();
        assert_eq!(std::fs::read(undo.join("files/etc/key")).unwrap(), b"secret");
        assert_eq!(std::fs::metadata(&undo).unwrap().permissions().mode() & 0o777, 0o700);
    }
}
