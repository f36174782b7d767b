//! A snapshot's folders: which of the files are disks, and which tell about the machine.

use crate::error::ResticError;
use crate::index::TreeIndex;
use crate::layout::{
    LEAST_IMAGE, LEAST_UNNAMED, MAX_DEPTH, MAX_DISKS, MAX_FOLDERS, MAX_MACHINE, MAX_MACHINES, MAX_TREE,
};
use crate::parse::{self, Id, Node, Tree, plain_name};
use crate::repository::Repository;
use format_core::{Result, has_extension, is_image_name};
use std::collections::{BTreeMap, HashSet};

/// Extensions of files that describe machines.
const MACHINES: [&str; 4] = ["vmx", "ovf", "xml", "conf"];
/// Folders that hold nothing which are remembered: the same folder can lie in many places.
const MAX_EMPTY: usize = 256 << 10;

/// A file of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileEntry {
    /// Its path in the snapshot, for people.
    pub(crate) path: String,
    /// Its name as the folder has it.
    pub(crate) name: String,
    /// Bytes that it has.
    pub(crate) size: u64,
    /// The folder's list.
    pub(crate) tree: Id,
}

impl FileEntry {
    /// Its name without folders, for people.
    pub(crate) fn plain_name(&self) -> String {
        plain_name(&self.name)
    }
}

/// What was found in a snapshot.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) disks: Vec<FileEntry>,
    /// Small files beside the disks.
    pub(crate) machines: Vec<FileEntry>,
}

/// Where the walk is to go on.
enum Step {
    Enter {
        path: String,
        id: Id,
        depth: usize,
    },
    /// The folder and all below it was looked at; so many candidates there were before.
    Leave {
        id: Id,
        before: u64,
    },
}

#[derive(Default)]
struct Walk {
    steps: Vec<Step>,
    named: Vec<FileEntry>,
    unnamed: Vec<FileEntry>,
    unnamed_count: u64,
    machines: BTreeMap<String, Vec<FileEntry>>,
    empty: HashSet<Id>,
}

/// Looks through the folders below `root`.
pub(crate) fn find(repository: &Repository, index: &TreeIndex, root: Id) -> Result<Found> {
    let mut walk = Walk::default();
    walk.steps.push(Step::Enter { path: String::new(), id: root, depth: 0 });
    let mut folders = 0;
    while let Some(step) = walk.steps.pop() {
        match step {
            Step::Leave { id, before } => {
                if before == walk.candidates() && walk.empty.len() < MAX_EMPTY {
                    walk.empty.insert(id);
                }
            }
            Step::Enter { id, .. } if walk.empty.contains(&id) => {}
            Step::Enter { path, id, depth } => {
                folders += 1;
                if folders > MAX_FOLDERS || depth > MAX_DEPTH {
                    let what = if depth > MAX_DEPTH { "folders in each other" } else { "folders" };
                    let most = if depth > MAX_DEPTH { MAX_DEPTH } else { MAX_FOLDERS };
                    return Err(ResticError::TooMany { what, most: most as u64 }.into());
                }
                let bytes = index.tree(repository, id, MAX_TREE)?;
                let tree: Tree = parse::json(&bytes, &format!("the folder {path:?}"))?;
                drop(bytes);
                walk.enter(&path, id, depth, tree)?;
            }
        }
    }
    walk.finish()
}

impl Walk {
    fn candidates(&self) -> u64 {
        self.named.len() as u64 + self.unnamed_count
    }

    fn enter(&mut self, path: &str, id: Id, depth: usize, tree: Tree) -> Result<(), ResticError> {
        self.steps.push(Step::Leave { id, before: self.candidates() });
        let mut folders = Vec::new();
        for node in tree.nodes {
            let inside = format!("{path}/{}", plain_name(&node.name));
            match node.kind.as_str() {
                "dir" => {
                    let id = node.subtree.ok_or_else(|| ResticError::NoSubtree { path: inside.clone() })?;
                    folders.push(Step::Enter { path: inside, id, depth: depth + 1 });
                }
                "file" => self.file(path, inside, id, node)?,
                _ => {}
            }
        }
        self.steps.extend(folders.into_iter().rev());
        Ok(())
    }

    fn file(&mut self, folder: &str, path: String, tree: Id, node: Node) -> Result<(), ResticError> {
        let entry = FileEntry { path, name: node.name, size: node.size, tree };
        let name = entry.plain_name();
        if entry.size >= LEAST_IMAGE && is_image_name(&name) {
            if self.named.len() >= MAX_DISKS {
                return Err(ResticError::TooMany { what: "disks", most: MAX_DISKS as u64 });
            }
            self.named.push(entry);
        } else if entry.size >= LEAST_UNNAMED {
            self.unnamed_count += 1;
            if self.unnamed.len() < MAX_DISKS {
                self.unnamed.push(entry);
            }
        } else if entry.size <= MAX_MACHINE && has_extension(&name, &MACHINES) {
            // Only those beside disks are of interest in the end.
            let beside = self.machines.entry(folder.to_owned()).or_default();
            if beside.len() < MAX_MACHINES {
                beside.push(entry);
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Found> {
        if self.named.is_empty() && self.unnamed_count > self.unnamed.len() as u64 {
            let what = "files that could be disks, none of which is called like one";
            return Err(ResticError::TooMany { what, most: MAX_DISKS as u64 }.into());
        }
        let disks = if self.named.is_empty() { self.unnamed } else { self.named };
        let mut folders: Vec<_> =
            disks.iter().filter_map(|disk| disk.path.rsplit_once('/')).map(|(folder, _)| folder).collect();
        folders.sort_unstable();
        folders.dedup();
        let beside = folders.iter().filter_map(|folder| self.machines.remove(*folder)).flatten();
        let machines = beside.take(MAX_MACHINES).collect();
        Ok(Found { disks, machines })
    }
}
