//! What is mounted, and the folders of the mount itself.

use crate::names::is_name;
use driver_core::{DirEntry, FileKind, FileMeta, GuestTree, Volume};
use format_core::{Error, Result};
use std::collections::BTreeMap;
use std::sync::Arc;

/// File systems of a guest as one tree.
pub struct Tree {
    tree: GuestTree,
    /// Where file systems are mounted in it: a mount point need not be a folder of the file system above it.
    points: Vec<String>,
}

impl Tree {
    /// The tree with its mount points.
    #[must_use]
    pub fn new(tree: GuestTree, points: Vec<String>) -> Self {
        Self { tree, points }
    }

    pub(crate) fn guest(&self) -> &GuestTree {
        &self.tree
    }

    pub(crate) fn metadata(&self, path: &str) -> Result<Option<FileMeta>> {
        self.tree.link_metadata(path)
    }

    /// The names in a folder, also those of mount points that it does not have.
    pub(crate) fn read_dir(&self, path: &str) -> Result<Vec<DirEntry>> {
        let mut entries = self.tree.read_dir(path)?;
        for point in &self.points {
            let Some((above, name)) = point.rsplit_once('/') else { continue };
            let is_here = if above.is_empty() { path == "/" } else { path == above };
            if is_here && is_name(name) && !entries.iter().any(|entry| entry.name == name) {
                entries.push(DirEntry { name: name.to_owned(), kind: FileKind::Folder });
            }
        }
        Ok(entries)
    }
}

/// What stands at a place of the mount.
#[derive(Debug)]
pub(crate) enum Item {
    /// A folder of the mount itself: names and the numbers of their items.
    Folder(BTreeMap<String, usize>),
    /// A volume's bytes, by its number.
    Volume(usize),
    /// The root of a tree, by its number.
    Tree(usize),
}

/// What is mounted.
pub struct Contents {
    items: Vec<Item>,
    volumes: Vec<Arc<dyn Volume>>,
    trees: Vec<Tree>,
}

impl Default for Contents {
    fn default() -> Self {
        Self { items: vec![Item::Folder(BTreeMap::new())], volumes: Vec::new(), trees: Vec::new() }
    }
}

impl Contents {
    /// Shows the bytes of `volume` as a file at `path`, such as `partitions/1.raw`.
    ///
    /// # Errors
    /// `Usage` when there is something already, or the path has a component that is no name.
    pub fn add_volume(&mut self, path: &str, volume: Arc<dyn Volume>) -> Result<()> {
        self.add(path, Item::Volume(self.volumes.len()))?;
        self.volumes.push(volume);
        Ok(())
    }

    /// Shows `tree` as a folder at `path`, such as `fs/1`.
    ///
    /// # Errors
    /// As [`Contents::add_volume`].
    pub fn add_tree(&mut self, path: &str, tree: Tree) -> Result<()> {
        self.add(path, Item::Tree(self.trees.len()))?;
        self.trees.push(tree);
        Ok(())
    }

    fn add(&mut self, path: &str, item: Item) -> Result<()> {
        let refused = || Error::usage(format!("{path:?} cannot be a place in a mount"));
        let names: Vec<&str> = path.split('/').collect();
        if names.iter().any(|name| !is_name(name)) {
            return Err(refused());
        }
        let (mut at, mut item) = (0, Some(item));
        for (depth, name) in names.iter().enumerate() {
            let next = self.items.len();
            let is_last = depth + 1 == names.len();
            let Some(Item::Folder(folder)) = self.items.get_mut(at) else { return Err(refused()) };
            match folder.get(*name) {
                Some(_) if is_last => return Err(refused()),
                Some(found) => at = *found,
                None => {
                    folder.insert((*name).to_owned(), next);
                    let new = if is_last { item.take() } else { None };
                    self.items.push(new.unwrap_or_else(|| Item::Folder(BTreeMap::new())));
                    at = next;
                }
            }
        }
        Ok(())
    }

    pub(crate) fn volumes(&self) -> &[Arc<dyn Volume>] {
        &self.volumes
    }

    pub(crate) fn volume(&self, number: usize) -> Option<&Arc<dyn Volume>> {
        self.volumes.get(number)
    }

    pub(crate) fn tree(&self, number: usize) -> Option<&Tree> {
        self.trees.get(number)
    }

    /// The item with an inode number: they have the first, the root 1.
    pub(crate) fn item(&self, inode: u64) -> Option<&Item> {
        self.items.get(usize::try_from(inode).ok()?.checked_sub(1)?)
    }

    /// The inode number of an item.
    pub(crate) fn inode(item: usize) -> u64 {
        item as u64 + 1
    }

    /// The first inode number that is no item's.
    pub(crate) fn first_free_inode(&self) -> u64 {
        Self::inode(self.items.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use driver_core::MemFs;

    fn tree() -> Tree {
        let mut tree = GuestTree::new();
        tree.mount("/", Box::new(MemFs::new().with_folder("/boot")));
        tree.mount("/boot:", Box::new(MemFs::new().with_file("/bootmgr", "x")));
        Tree::new(tree, vec!["/".into(), "/boot:".into()])
    }

    #[test]
    fn places_are_taken_once_and_have_names() {
        let mut contents = Contents::default();
        contents.add_tree("fs/1", tree()).unwrap();
        contents.add_tree("fs/vg/root", tree()).unwrap();
        for taken in ["fs/1", "fs", "fs/1/below", "", "/", "a//b", "../x", "a/.."] {
            assert!(contents.add_tree(taken, tree()).is_err(), "{taken}");
        }
        let Some(Item::Folder(root)) = contents.item(1) else { unreachable!() };
        assert_eq!(root.len(), 1);
        assert_eq!((contents.trees.len(), contents.first_free_inode()), (2, 6));
        assert!(contents.item(0).is_none() && contents.item(6).is_none());
    }

    #[test]
    fn a_mount_point_without_a_folder_is_listed() {
        let names: Vec<_> = tree().read_dir("/").unwrap().into_iter().map(|entry| entry.name).collect();
        assert_eq!(names, ["boot", "boot:"]);
        assert!(tree().metadata("/boot:").unwrap().is_some_and(|meta| meta.kind == FileKind::Folder));
        assert_eq!(tree().read_dir("/boot:").unwrap().len(), 1);
    }
}
