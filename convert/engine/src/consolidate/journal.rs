//! What a consolidation that was interrupted left, so that the next run finishes or undoes it.
//!
//! ```text
//!  Copying   the new full image is being written: nothing else has changed, the next run starts over
//!  Ready     it is written and proven for every kept point; its inode number tells whether the names were exchanged
//!  Removing  every kept point opens through it: what remains is to remove the old files
//! ```

use super::host::{FileFacts, save};
use format_core::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use std::path::{Component, Path, PathBuf};

/// The journal's name in the run's own folder.
pub(super) const JOURNAL: &str = "journal.json";
/// A journal is small; a larger file is none.
const MAX_LEN: u64 = 16 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum State {
    Copying,
    Ready,
    Removing,
}

/// One run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Journal {
    pub(super) version: u32,
    pub(super) tool: String,
    pub(super) state: State,
    /// How many points were to be kept.
    pub(super) keep: usize,
    /// The oldest point that is kept, as it was: the file whose name the new full image takes.
    pub(super) replaced: FileFacts,
    /// The points above it, top first.
    pub(super) kept: Vec<FileFacts>,
    /// The files to be removed besides.
    pub(super) old: Vec<FileFacts>,
    /// The new full image, from `Ready` on.
    pub(super) new: Option<FileFacts>,
    /// Where old files go that are kept.
    pub(super) keep_old: Option<PathBuf>,
}

impl Journal {
    /// # Errors
    /// What the host reports.
    pub(super) fn save(&self, folder: &Path) -> Result<()> {
        let text = serde_json::to_vec_pretty(self)
            .map_err(|e| Error::contract("the journal cannot be written as JSON").with_source(e))?;
        save(&folder.join(JOURNAL), &text)
    }

    /// The journal in `folder`; `None` where there is none.
    ///
    /// # Errors
    /// `Corrupt` for what is none, `Unsupported` for one of another version, `Io` from the host.
    pub(super) fn load(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(JOURNAL);
        let named = |e: Error| e.context(format!("journal {}", path.display()));
        let found = match path.symlink_metadata() {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(named(Error::io("cannot examine it", e))),
            Ok(found) => found,
        };
        if !found.is_file() || found.len() > MAX_LEN {
            return Err(named(Error::corrupt("it is no journal")));
        }
        let text = std::fs::read(&path).map_err(|e| named(Error::io("cannot read it", e)))?;
        let journal: Self = serde_json::from_slice(&text)
            .map_err(|e| named(Error::corrupt("it is no journal").with_source(e)))?;
        if journal.version != 1 {
            let text = format!("version {} is unknown to this program", journal.version);
            return Err(named(Error::unsupported(text)));
        }
        journal.check().map_err(named)?;
        Ok(Some(journal))
    }

    /// Files are removed by these names: they must be names of the folder.
    fn check(&self) -> Result<()> {
        let all = [&self.replaced].into_iter().chain(&self.kept).chain(&self.old).chain(&self.new);
        for file in all {
            let mut parts = Path::new(&file.name).components();
            let is_plain = matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None));
            if !is_plain || file.name.contains('/') {
                return Err(Error::corrupt(format!("{:?} is no file of the folder", file.name)));
            }
        }
        let is_kept =
            |old: &FileFacts| self.kept.iter().any(|kept| kept.name == old.name || kept.inode == old.inode);
        if let Some(both) = self.old.iter().find(|old| is_kept(old)) {
            return Err(Error::corrupt(format!("{:?} is to be kept and to be removed", both.name)));
        }
        if self.state != State::Copying && self.new.is_none() {
            return Err(Error::corrupt("the new image is missing in it"));
        }
        Ok(())
    }

    /// The new full image.
    ///
    /// # Errors
    /// `Contract` before it was written.
    pub(super) fn new_image(&self) -> Result<&FileFacts> {
        self.new.as_ref().ok_or_else(|| Error::contract("no new image yet"))
    }
}

/// The error for names that are in no state that a run leaves.
pub(super) fn unclear(work: &Path, text: String) -> Error {
    Error::new(ErrorKind::NeedsPerson, text).hint(format!(
        "{} tells what an interrupted run did; the image with the old content is there or under its own name",
        work.join(JOURNAL).display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn journal() -> Journal {
        let file = |name: &str, inode| FileFacts {
            name: name.into(),
            inode,
            size: 1,
            modified: (2, 3),
            born: Some((4, 5)),
            changed: Some((6, 7)),
        };
        Journal {
            version: 1,
            tool: "rehome".into(),
            state: State::Ready,
            keep: 2,
            replaced: file("b", 2),
            kept: vec![file("c", 3)],
            old: vec![file("a", 1)],
            new: Some(file("b", 4)),
            keep_old: None,
        }
    }

    #[test]
    fn a_journal_is_read_as_it_was_saved_and_names_only_files_of_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Journal::load(folder.path()).unwrap(), None);
        journal().save(folder.path()).unwrap();
        assert_eq!(Journal::load(folder.path()).unwrap(), Some(journal()));
        for name in ["../a", "/etc/passwd", "", ".", "..", "x/y", "c"] {
            let mut bad = journal();
            bad.old[0].name = name.into();
            bad.save(folder.path()).unwrap();
            assert!(Journal::load(folder.path()).is_err(), "{name:?}");
        }
        let mut bad = journal();
        bad.new = None;
        bad.save(folder.path()).unwrap();
        assert!(Journal::load(folder.path()).is_err());
        std::fs::write(folder.path().join(JOURNAL), "{").unwrap();
        assert_eq!(Journal::load(folder.path()).unwrap_err().kind(), ErrorKind::Corrupt);
    }
}
