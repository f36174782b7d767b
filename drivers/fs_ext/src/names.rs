//! The paths that lead to some inodes.

use crate::fs::{ExtFs, shown};
use crate::layout::{ROOT_INODE, S_IFDIR, S_IFMT};
use crate::owners::as_gap;
use ext2fs_sys::Entry;
use format_core::Result;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// Folders that are remembered at most.
const MAX_FOLDERS: usize = 1 << 17;
/// Names that are looked at, and block reads of it, at most.
const MAX_NAMES: u64 = 1 << 25;
const MAX_READS: u64 = 1 << 19;
/// Names of one inode that are kept.
const MAX_PATHS: usize = 4;
/// Longer paths are shown by their end.
const MAX_PATH: usize = 4096;
/// Bytes of all paths together.
const MAX_TEXT: usize = 32 << 20;
/// Errors after which the walk ends.
const MAX_GAPS: usize = 20;
/// `EXT4_FT_DIR`
const FOLDER: u8 = 2;

/// A name in a folder.
type Name = (u32, Vec<u8>);

/// The paths of the inodes that were asked for.
pub(crate) type Paths = BTreeMap<u32, Arc<[String]>>;

/// The names in the folders that were walked.
struct Names {
    /// The name that each folder was found under.
    folders: BTreeMap<u32, Name>,
    found: BTreeMap<u32, Vec<Name>>,
}

/// Walks the folders for names of the wanted inodes. What keeps the walk from its end is added to `gaps`.
///
/// # Errors
/// What the volume reports.
pub(crate) fn paths_of(fs: &ExtFs, wanted: &BTreeSet<u32>, gaps: &mut Vec<String>) -> Result<Paths> {
    if wanted.is_empty() {
        return Ok(Paths::new());
    }
    let names = Names::of(fs, wanted, gaps)?;
    let mut left = MAX_TEXT;
    let mut paths = Paths::new();
    for &inode in wanted {
        let of_inode = names.paths(inode);
        let text: usize = of_inode.iter().map(String::len).sum();
        if text > left {
            gaps.push("there is too much text in paths to tell all of them".into());
            break;
        }
        left -= text;
        paths.insert(inode, of_inode.into());
    }
    Ok(paths)
}

impl Names {
    fn of(fs: &ExtFs, wanted: &BTreeSet<u32>, gaps: &mut Vec<String>) -> Result<Self> {
        let mut names = Self { folders: BTreeMap::new(), found: BTreeMap::new() };
        fs.io.grant(MAX_READS);
        names.folders.insert(ROOT_INODE, (ROOT_INODE, Vec::new()));
        let (mut waiting, mut left) = (VecDeque::from([ROOT_INODE]), MAX_NAMES);
        while let Some(folder) = waiting.pop_front() {
            let mut untyped = Vec::new();
            let listed = fs.fs.for_each_entry(folder, &mut |entry| {
                left = left.saturating_sub(1);
                names.take(folder, entry, wanted, &mut waiting, &mut untyped);
                left > 0
            });
            gaps.extend(
                as_gap(fs.check(listed))?.map(|gap| format!("the folder with inode {folder}: {gap}")),
            );
            for entry in untyped {
                if fs.check(fs.fs.stat(entry.ino)).is_ok_and(|inode| inode.mode & S_IFMT == S_IFDIR) {
                    names.add_folder(folder, entry, &mut waiting);
                }
            }
            if left == 0 || names.folders.len() >= MAX_FOLDERS || gaps.len() > MAX_GAPS {
                gaps.push("there are too many folders, names or errors to look at all of them".into());
                break;
            }
        }
        Ok(names)
    }

    fn take(
        &mut self,
        folder: u32,
        entry: Entry,
        wanted: &BTreeSet<u32>,
        waiting: &mut VecDeque<u32>,
        untyped: &mut Vec<Entry>,
    ) {
        if entry.name == b"." || entry.name == b".." {
            return;
        }
        if wanted.contains(&entry.ino) {
            let names = self.found.entry(entry.ino).or_default();
            if names.len() < MAX_PATHS {
                names.push((folder, entry.name.clone()));
            }
        }
        match entry.file_type {
            FOLDER => self.add_folder(folder, entry, waiting),
            0 if untyped.len() < MAX_FOLDERS => untyped.push(entry),
            _ => {}
        }
    }

    /// A folder has one name; a second one is damage, and a way to run in circles.
    fn add_folder(&mut self, parent: u32, entry: Entry, waiting: &mut VecDeque<u32>) {
        if self.folders.len() < MAX_FOLDERS && !self.folders.contains_key(&entry.ino) {
            self.folders.insert(entry.ino, (parent, entry.name));
            waiting.push_back(entry.ino);
        }
    }

    fn paths(&self, inode: u32) -> Vec<String> {
        if inode == ROOT_INODE {
            return vec!["/".into()];
        }
        let names = self.found.get(&inode).map(Vec::as_slice).unwrap_or_default();
        names.iter().map(|(folder, name)| self.path(*folder, name)).collect()
    }

    fn path(&self, mut folder: u32, name: &[u8]) -> String {
        let mut path = format!("/{}", shown(name));
        while folder != ROOT_INODE {
            let Some((parent, name)) = self.folders.get(&folder) else { break };
            if path.len() + name.len() > MAX_PATH {
                return format!("…{path}");
            }
            path.insert_str(0, &format!("/{}", shown(name)));
            folder = *parent;
        }
        path
    }
}
