//! What a VM has told of a file system: a folder's listing has the facts of all that is in it.

use driver_core::{DirEntry, FileMeta};
use std::collections::HashMap;

/// More names than this are forgotten, all at once.
const MAX_NAMES: usize = 1 << 16;

/// Folders by their paths, as they were at one generation.
#[derive(Default)]
pub(crate) struct Seen {
    generation: u64,
    names: usize,
    folders: HashMap<String, Folder>,
}

struct Folder {
    entries: Vec<DirEntry>,
    metadata: HashMap<String, FileMeta>,
}

/// The path without what does not matter: one `/` between names, none at the end.
pub(crate) fn plain(path: &str) -> String {
    path.split('/').filter(|name| !name.is_empty()).fold(String::new(), |path, name| path + "/" + name)
}

impl Seen {
    /// Forgets what was before `generation`.
    pub(crate) fn at(&mut self, generation: u64) -> &mut Self {
        if self.generation != generation {
            *self = Self { generation, ..Self::default() };
        }
        self
    }

    pub(crate) fn keep(&mut self, path: &str, listed: &[(DirEntry, FileMeta)]) {
        if self.names + listed.len() > MAX_NAMES {
            *self = Self { generation: self.generation, ..Self::default() };
        }
        if listed.len() > MAX_NAMES {
            return;
        }
        self.names += listed.len() + 1;
        let entries = listed.iter().map(|(entry, _)| entry.clone()).collect();
        let metadata = listed.iter().map(|(entry, meta)| (entry.name.clone(), *meta)).collect();
        self.folders.insert(plain(path), Folder { entries, metadata });
    }

    pub(crate) fn entries(&self, path: &str) -> Option<Vec<DirEntry>> {
        Some(self.folders.get(&plain(path))?.entries.clone())
    }

    /// Facts of a path whose folder was listed. A name that is shown with U+FFFD may be another one.
    pub(crate) fn metadata(&self, path: &str) -> Option<Option<FileMeta>> {
        let path = plain(path);
        let (folder, name) = path.rsplit_once('/')?;
        let folder = self.folders.get(folder)?;
        (!name.contains('\u{fffd}')).then(|| folder.metadata.get(name).copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use driver_core::FileKind;

    #[test]
    fn a_listing_answers_for_what_is_in_it_until_something_changes() {
        let meta = FileMeta { kind: FileKind::File, size: 3, mode: 0o644, uid: 0, gid: 0, inode: 7 };
        let entry = DirEntry { name: "a".into(), kind: FileKind::File };
        let mut seen = Seen::default();
        seen.at(1).keep("/etc/", &[(entry.clone(), meta)]);
        assert_eq!(seen.at(1).metadata("/etc//a"), Some(Some(meta)));
        assert_eq!(seen.metadata("/etc/b"), Some(None));
        assert_eq!(seen.metadata("/usr/b"), None);
        assert_eq!(seen.entries("/etc"), Some(vec![entry]));
        assert_eq!(seen.at(2).metadata("/etc/a"), None);
        seen.keep("/", &[]);
        assert_eq!(seen.metadata("/etc"), Some(None));
    }
}
