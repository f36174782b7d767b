//! A guest tree with planned edits on top: fixups read what earlier fixups planned.

use crate::planned_keys::PlannedKeys;
use crate::{Action, Change, DirEntry, Edit, FileKind, FileMeta, GuestCommand, GuestTree, Ownership};
use format_core::{Error, ErrorKind, Result};
use std::cell::Cell;
use std::collections::BTreeMap;

/// Configuration files are small; larger ones are not what they claim to be.
pub const TEXT_LIMIT: u64 = 4 << 20;

/// A view of the guest in which planned edits have already happened. Nothing is written: every change becomes an
/// [`Edit`], in order.
pub struct Draft<'a> {
    tree: &'a GuestTree,
    planned: BTreeMap<String, Planned>,
    edits: Vec<Edit>,
    /// What `planned` said before each of `edits`.
    before: Vec<Option<Planned>>,
    /// What is planned for the registry.
    pub(crate) keys: PlannedKeys,
    /// The same before the first of `edits`.
    keys_before: PlannedKeys,
    notes: Vec<String>,
    outline: bool,
    /// Whether somebody wanted to run a program and could not.
    asked: Cell<bool>,
}

/// What the draft says about one path.
#[derive(Clone)]
enum Planned {
    File(Vec<u8>, Ownership),
    /// Extended by this many bytes; the content is the tree's plus what the edits add.
    Appended(Vec<u8>),
    Folder,
    Link(String),
    Gone,
}

impl<'a> Draft<'a> {
    /// A draft without edits.
    #[must_use]
    pub fn new(tree: &'a GuestTree) -> Self {
        Self {
            tree,
            planned: BTreeMap::new(),
            edits: Vec::new(),
            before: Vec::new(),
            keys: PlannedKeys::default(),
            keys_before: PlannedKeys::default(),
            notes: Vec::new(),
            outline: false,
            asked: Cell::new(false),
        }
    }

    /// A draft for an overview: it is never applied, and content that takes long to make may be left empty in it.
    #[must_use]
    pub(crate) fn outline(tree: &'a GuestTree) -> Self {
        Self { outline: true, ..Self::new(tree) }
    }

    /// Whether the edits are for an overview only.
    #[must_use]
    pub fn is_outline(&self) -> bool {
        self.outline
    }

    /// The guest as it is, without the planned edits.
    #[must_use]
    pub fn tree(&self) -> &'a GuestTree {
        self.tree
    }

    /// How many edits are planned and not taken yet.
    #[must_use]
    pub fn planned_edits(&self) -> usize {
        self.edits.len()
    }

    /// Takes the edits planned since the last call.
    pub fn take_edits(&mut self) -> Vec<Edit> {
        self.before.clear();
        self.keys_before = self.keys.clone();
        std::mem::take(&mut self.edits)
    }

    /// Forgets the edits planned since they were last taken.
    pub(crate) fn withdraw(&mut self) {
        self.keys = self.keys_before.clone();
        for (edit, before) in self.edits.drain(..).zip(self.before.drain(..)).rev() {
            match before {
                Some(planned) => self.planned.insert(edit.path, planned),
                None => self.planned.remove(&edit.path),
            };
        }
    }

    /// Why the guest's file systems cannot take one of the edits planned since they were last taken.
    ///
    /// # Errors
    /// As [`GuestTree::allows`], but not `NeedsPerson`.
    pub(crate) fn refusal(&self) -> Result<Option<Error>> {
        for edit in &self.edits {
            match self.tree.allows(&edit.path, edit.change()) {
                Ok(()) => {}
                Err(e) if e.kind() == ErrorKind::NeedsPerson => {
                    return Ok(Some(e.context(format!("{} {}", edit.verb(), edit.path))));
                }
                Err(e) => return Err(e),
            }
        }
        Ok(None)
    }

    /// Whether the file that `path` leads to can be changed so, as far as that can be told before.
    ///
    /// # Errors
    /// As [`GuestTree::allows`].
    pub fn allows(&self, path: &str, change: Change) -> Result<()> {
        self.tree.allows(&self.follow(path)?, change)
    }

    /// Adds a remark for people: what a fixup leaves as it is although it may matter.
    pub fn note(&mut self, text: String) {
        self.notes.push(text);
    }

    /// Whether programs of the guest can be run. Where not, and the fixup that asks then cannot be done, the plan says that
    /// an editor that can would help.
    #[must_use]
    pub fn can_run(&self) -> bool {
        self.asked.set(self.asked.get() || !self.tree.can_run());
        self.tree.can_run()
    }

    /// Whether [`Draft::can_run`] had to say no since the last call.
    pub(crate) fn take_asked(&mut self) -> bool {
        self.asked.take()
    }

    /// Plans that a program of the guest is run, which writes the file `path`. What it will hold is not known: it is seen as
    /// it was planned before.
    ///
    /// # Errors
    /// As [`GuestTree::metadata`].
    pub fn run(&mut self, path: &str, command: GuestCommand, reason: &str) -> Result<()> {
        let full = self.follow(path)?;
        self.before.push(self.planned.get(&full).cloned());
        self.edits.push(Edit { path: full, reason: reason.to_owned(), action: Action::Run { command } });
        Ok(())
    }

    /// Takes the remarks since the last call.
    pub(crate) fn take_notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }

    /// The content of the file that `path` leads to, `None` when there is none.
    ///
    /// # Errors
    /// As [`GuestTree::read_file`].
    pub fn read(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        let full = self.follow(path)?;
        match self.planned.get(&full) {
            Some(Planned::File(content, _)) => Ok(Some(content.clone())),
            Some(Planned::Gone | Planned::Folder | Planned::Link(_)) => Ok(None),
            Some(Planned::Appended(more)) => {
                let content = self.tree.read_file(&full, limit)?;
                Ok(content.map(|mut content| {
                    content.extend_from_slice(more);
                    content
                }))
            }
            None => self.tree.read_file(&full, limit),
        }
    }

    /// The text of a configuration file, `None` when there is none or it is no UTF-8.
    ///
    /// # Errors
    /// As [`GuestTree::read_file`].
    pub fn read_text(&self, path: &str) -> Result<Option<String>> {
        Ok(self.read(path, TEXT_LIMIT)?.and_then(|bytes| String::from_utf8(bytes).ok()))
    }

    /// Whether `path` leads to something.
    ///
    /// # Errors
    /// As [`GuestTree::metadata`].
    pub fn exists(&self, path: &str) -> Result<bool> {
        let full = self.follow(path)?;
        match self.planned.get(&full) {
            Some(Planned::Gone) => Ok(false),
            Some(_) => Ok(true),
            None => Ok(self.tree.metadata(&full)?.is_some()),
        }
    }

    /// Facts of what `path` leads to in the unchanged guest.
    ///
    /// # Errors
    /// As [`GuestTree::metadata`].
    pub fn metadata(&self, path: &str) -> Result<Option<FileMeta>> {
        self.tree.metadata(path)
    }

    /// Where the symbolic link `path` points, `None` when it is no link.
    ///
    /// # Errors
    /// As [`GuestTree::read_link`].
    pub fn read_link(&self, path: &str) -> Result<Option<String>> {
        let full = self.tree.canonical(path, false)?;
        match self.planned.get(&full) {
            Some(Planned::Link(target)) => Ok(Some(target.clone())),
            Some(_) => Ok(None),
            None => match self.tree.link_metadata(&full)? {
                Some(meta) if meta.kind == FileKind::Link => self.tree.read_link(&full).map(Some),
                _ => Ok(None),
            },
        }
    }

    /// The names in a folder, planned ones included, sorted; empty when there is no such folder.
    ///
    /// # Errors
    /// As [`GuestTree::read_dir`].
    pub fn read_dir(&self, path: &str) -> Result<Vec<DirEntry>> {
        let full = self.tree.canonical(path, true)?;
        let mut entries = self.tree.read_dir(&full)?;
        let prefix = if full == "/" { full } else { full + "/" };
        for (path, planned) in &self.planned {
            let Some(name) = path.strip_prefix(&prefix).filter(|name| !name.contains('/')) else { continue };
            entries.retain(|entry| entry.name != name);
            let kind = match planned {
                Planned::File(..) | Planned::Appended(_) => FileKind::File,
                Planned::Folder => FileKind::Folder,
                Planned::Link(_) => FileKind::Link,
                Planned::Gone => continue,
            };
            entries.push(DirEntry { name: name.to_owned(), kind });
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    /// Plans that `path` holds `content`: changes the file, or creates it and the folders above it. Plans nothing when
    /// it already does.
    ///
    /// # Errors
    /// As [`GuestTree::metadata`]; `Usage` when `path` is no file.
    pub fn write(&mut self, path: &str, content: impl Into<Vec<u8>>, reason: &str) -> Result<()> {
        let content = content.into();
        if let Some(before) = self.read(path, TEXT_LIMIT)? {
            if before == content {
                return Ok(());
            }
            let full = self.follow(path)?;
            let ownership = match self.planned.get(&full) {
                Some(Planned::File(_, ownership)) => *ownership,
                _ => Ownership::ROOT_FILE,
            };
            let action = Action::Replace { before, after: content.clone() };
            self.record(full, action, Planned::File(content, ownership), reason);
            return Ok(());
        }
        self.create(path, content, Ownership::ROOT_FILE, reason)
    }

    /// Plans a new file, and the folders above it where they are missing.
    ///
    /// # Errors
    /// `Usage` when the path exists.
    pub fn create(
        &mut self,
        path: &str,
        content: impl Into<Vec<u8>>,
        ownership: Ownership,
        reason: &str,
    ) -> Result<()> {
        let content = content.into();
        let full = self.vacant(path, reason)?;
        let action = Action::Create { content: content.clone(), ownership };
        self.record(full, action, Planned::File(content, ownership), reason);
        Ok(())
    }

    /// Plans a new folder, and the folders above it where they are missing. Plans nothing when it is there.
    ///
    /// # Errors
    /// `Usage` when something else has the path.
    pub fn create_folder(&mut self, path: &str, ownership: Ownership, reason: &str) -> Result<()> {
        let there = self.follow(path)?;
        let is_folder = match self.planned.get(&there) {
            Some(planned) => matches!(planned, Planned::Folder),
            None => self.tree.metadata(&there)?.is_some_and(|meta| meta.kind == FileKind::Folder),
        };
        if !is_folder {
            let full = self.vacant(path, reason)?;
            self.record(full, Action::CreateFolder { ownership }, Planned::Folder, reason);
        }
        Ok(())
    }

    /// Plans a symbolic link, and the folders above it where they are missing.
    ///
    /// # Errors
    /// `Usage` when the path exists.
    pub fn link(&mut self, path: &str, target: &str, reason: &str) -> Result<()> {
        let full = self.vacant(path, reason)?;
        let action = Action::CreateLink { target: target.to_owned() };
        self.record(full, action, Planned::Link(target.to_owned()), reason);
        Ok(())
    }

    /// Plans that a file is extended by `bytes`.
    ///
    /// # Errors
    /// `Usage` when there is no such file, or another fixup already changed it.
    pub fn append(&mut self, path: &str, bytes: Vec<u8>, reason: &str) -> Result<()> {
        let full = self.follow(path)?;
        let meta = self.tree.metadata(&full)?.filter(|meta| meta.kind == FileKind::File);
        let (Some(meta), None) = (meta, self.planned.get(&full)) else {
            return Err(Error::usage(format!("{full} cannot be extended: it is no unchanged file")));
        };
        let action = Action::Append { before_len: meta.size, bytes: bytes.clone() };
        self.record(full, action, Planned::Appended(bytes), reason);
        Ok(())
    }

    /// Plans that the content of a large file is replaced ([`Draft::write`] is for configuration files).
    ///
    /// # Errors
    /// As [`Draft::append`].
    pub fn replace(&mut self, path: &str, before: Vec<u8>, after: Vec<u8>, reason: &str) -> Result<()> {
        let full = self.follow(path)?;
        if self.planned.contains_key(&full) {
            return Err(Error::usage(format!("{full} was already changed by another fixup")));
        }
        let action = Action::Replace { before, after: after.clone() };
        self.record(full, action, Planned::File(after, Ownership::ROOT_FILE), reason);
        Ok(())
    }

    /// Plans that a file or link is removed. Plans nothing when there is none.
    ///
    /// # Errors
    /// `Usage` when it is a folder or something else.
    pub fn remove(&mut self, path: &str, reason: &str) -> Result<()> {
        if let Some(target) = self.read_link(path)? {
            let full = self.tree.canonical(path, false)?;
            self.record(full, Action::RemoveLink { target }, Planned::Gone, reason);
            return Ok(());
        }
        if let Some(before) = self.read(path, TEXT_LIMIT)? {
            let full = self.follow(path)?;
            self.record(full, Action::RemoveFile { before }, Planned::Gone, reason);
            return Ok(());
        }
        if self.exists(path)? {
            return Err(Error::usage(format!("{path} is neither a file nor a link")));
        }
        Ok(())
    }

    fn record(&mut self, path: String, action: Action, planned: Planned, reason: &str) {
        self.before.push(self.planned.insert(path.clone(), planned));
        self.edits.push(Edit { path, reason: reason.to_owned(), action });
    }

    /// Adds an edit of a hive, which is in `keys` already.
    pub(crate) fn record_edit(&mut self, path: String, action: Action, reason: &str) {
        self.before.push(self.planned.remove(&path));
        self.edits.push(Edit { path, reason: reason.to_owned(), action });
    }

    /// `path` after all links of the guest and one planned link at its end.
    fn follow(&self, path: &str) -> Result<String> {
        let itself = self.tree.canonical(path, false)?;
        match self.planned.get(&itself) {
            Some(Planned::Link(target)) if target.starts_with('/') => self.tree.canonical(target, true),
            Some(_) => Ok(itself),
            None => self.tree.canonical(path, true),
        }
    }

    /// A path that names nothing yet, with planned folders above it.
    fn vacant(&mut self, path: &str, reason: &str) -> Result<String> {
        let full = self.tree.canonical(path, false)?;
        let taken = match self.planned.get(&full) {
            Some(Planned::Gone) => false,
            Some(_) => true,
            None => self.tree.link_metadata(&full)?.is_some(),
        };
        if taken {
            return Err(Error::usage(format!("{full} already exists")));
        }
        let folders: Vec<usize> = full.match_indices('/').map(|(at, _)| at).filter(|&at| at > 0).collect();
        for at in folders {
            let folder = &full[..at];
            if !self.exists(folder)? {
                let action = Action::CreateFolder { ownership: Ownership::ROOT_FOLDER };
                self.record(folder.to_owned(), action, Planned::Folder, reason);
            }
        }
        Ok(full)
    }
}
