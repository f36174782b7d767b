//! What is mounted, and the folders of the mount itself.

use crate::names::{is_name, shown};
use driver_core::{DirEntry, FileKind, FileMeta, GuestTree, Volume};
use format_core::Result;
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
    /// Shows the bytes of `volume` as a file at `path`, such as `partitions/1.raw`, and gives the path where it stands: another, when
    /// names of guests collide or are none.
    pub fn add_volume(&mut self, path: &str, volume: Arc<dyn Volume>) -> String {
        self.volumes.push(volume);
        self.add(path, Item::Volume(self.volumes.len() - 1))
    }

    /// Shows `tree` as a folder at `path`, such as `fs/1`, and gives the path where it stands.
    pub fn add_tree(&mut self, path: &str, tree: Tree) -> String {
        self.trees.push(tree);
        self.add(path, Item::Tree(self.trees.len() - 1))
    }

    fn add(&mut self, path: &str, item: Item) -> String {
        let mut names: Vec<String> = path.split('/').map(shown).collect();
        if !self.is_free(&names) {
            // A volume group can be called like a partition, and two can have one name.
            let (first, rest) = names.split_first().map_or(("", &[][..]), |(first, rest)| (first, rest));
            let candidate = |number: u32| match rest {
                [] => vec![format!("{first}~{number}")],
                _ => vec![first.to_owned(), format!("{}~{number}", rest.join("~"))],
            };
            names = (2..).map(candidate).find(|names| self.is_free(names)).unwrap_or_default();
        }
        self.put(&names, item);
        names.join("/")
    }

    fn is_free(&self, names: &[String]) -> bool {
        let mut at = 0;
        for name in names {
            match self.items.get(at) {
                Some(Item::Folder(folder)) => match folder.get(name) {
                    Some(next) => at = *next,
                    None => return true,
                },
                _ => return false,
            }
        }
        false
    }

    fn put(&mut self, names: &[String], item: Item) {
        let (mut at, mut item) = (0, Some(item));
        for (depth, name) in names.iter().enumerate() {
            let next = self.items.len();
            let Some(Item::Folder(folder)) = self.items.get_mut(at) else { return };
            at = *folder.entry(name.clone()).or_insert(next);
            if at == next {
                let new = if depth + 1 == names.len() { item.take() } else { None };
                self.items.push(new.unwrap_or_else(|| Item::Folder(BTreeMap::new())));
            }
        }
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
    fn every_place_is_one_of_its_own() {
        let mut contents = Contents::default();
        for (wanted, given) in [
            ("fs/1", "fs/1"),
            ("fs/vg/root", "fs/vg/root"),
            ("fs/vg/root", "fs/vg~root~2"),
            ("fs/vg/root", "fs/vg~root~3"),
            ("fs/1/below", "fs/1~below~2"),
            ("fs/vg", "fs/vg~2"),
            ("fs/../etc", "fs/..\u{fffd}/etc"),
            ("fs//x", "fs/\u{fffd}/x"),
            ("guest", "guest"),
            ("guest", "guest~2"),
        ] {
            assert_eq!(contents.add_tree(wanted, tree()), given);
        }
        let Some(Item::Folder(root)) = contents.item(1) else { unreachable!() };
        assert_eq!(root.keys().collect::<Vec<_>>(), ["fs", "guest", "guest~2"]);
        assert!(contents.item(0).is_none() && contents.item(contents.first_free_inode()).is_none());
    }

    #[test]
    fn a_mount_point_without_a_folder_is_listed() {
        let names: Vec<_> = tree().read_dir("/").unwrap().into_iter().map(|entry| entry.name).collect();
        assert_eq!(names, ["boot", "boot:"]);
        assert!(tree().metadata("/boot:").unwrap().is_some_and(|meta| meta.kind == FileKind::Folder));
        assert_eq!(tree().read_dir("/boot:").unwrap().len(), 1);
    }
}
