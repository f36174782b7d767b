//! From a recipe to disks.

use crate::hive;
use crate::layout::{self, Holds};
use crate::maker;
use crate::recipe::{Layout, Recipe, Special};
use crate::registry::{self, Hives};
use crate::tree::{self, File, Tree};
use crate::volumes;
use std::path::{Path, PathBuf};

/// What was built.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Built {
    /// Raw, sparse images, the system's disk first.
    pub disks: Vec<PathBuf>,
}

impl Built {
    /// The system's disk.
    #[must_use]
    pub fn disk(&self) -> &Path {
        &self.disks[0]
    }
}

/// Files that a guest with CompactOS has compressed.
const PACKED: [&str; 3] =
    ["Windows/System32/cmd.exe", "Windows/System32/drivers/disk.sys", "Windows/explorer.exe"];

/// Builds the disks of a recipe in a folder, as `disk0.raw` and so on.
///
/// # Panics
///
/// When a tool is missing or fails; the message names the packages.
#[must_use]
pub fn build(recipe: &Recipe, folder: &Path) -> Built {
    std::fs::create_dir_all(folder).unwrap();
    let tables = layout::tables(recipe);
    let hives = registry::hives(recipe, &tables);
    let mut disks = Vec::new();
    for (number, table) in tables.iter().enumerate() {
        let disk = folder.join(format!("disk{number}.raw"));
        table.make(&disk);
        for place in &table.partitions {
            fill(recipe, &hives, &disk, place);
        }
        disks.push(disk);
    }
    Built { disks }
}

fn fill(recipe: &Recipe, hives: &Hives, disk: &Path, place: &layout::Partition) {
    match place.holds {
        Holds::Reserved => {}
        Holds::Esp => {
            let mut tree = tree::esp(recipe.layout == Layout::Uefi { fallback: true });
            tree.insert("EFI/Microsoft/Boot/BCD".to_owned(), bcd(hives));
            volumes::fat(disk, place, &tree);
        }
        Holds::BootManager => volumes::ntfs(disk, place, "System Reserved", &boot_manager(hives), &[]),
        Holds::Recovery => volumes::ntfs(disk, place, "Recovery", &tree::recovery(), &[]),
        Holds::Data => {
            let letter = File::Content(b"data of the user\r\n".to_vec());
            volumes::ntfs(disk, place, "Data", &Tree::from([("Shares/data.txt".to_owned(), letter)]), &[]);
        }
        Holds::System if recipe.has(Special::BitLocker) => volumes::bitlocker(disk, place),
        Holds::System => {
            let mut tree = tree::system(recipe, hives);
            tree.extend(configuration(hives));
            if recipe.layout == Layout::BiosSingle {
                tree.extend(boot_manager(hives));
            }
            let packed: &[&str] = if recipe.has(Special::CompactOs) { &PACKED } else { &[] };
            volumes::ntfs(disk, place, "", &tree, packed);
        }
    }
}

fn boot_manager(hives: &Hives) -> Tree {
    let mut tree = tree::boot_manager();
    tree.insert("Boot/BCD".to_owned(), bcd(hives));
    tree
}

fn bcd(hives: &Hives) -> File {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("BCD");
    hive::make(&hives.bcd, &path);
    File::Content(std::fs::read(path).unwrap())
}

/// `Windows\System32\config`.
fn configuration(hives: &Hives) -> Tree {
    let folder = tempfile::tempdir().unwrap();
    let system = folder.path().join("SYSTEM");
    hive::make(&hives.system, &system);
    hive::make(&hives.software, &folder.path().join("SOFTWARE"));
    for name in ["SAM", "SECURITY", "DEFAULT"] {
        std::fs::write(folder.path().join(name), maker::empty(5)).unwrap();
    }
    if let Some(late) = &hives.late {
        hive::soil(&system, late);
    }
    let mut tree = Tree::new();
    for name in ["SYSTEM", "SOFTWARE", "SAM", "SECURITY", "DEFAULT"] {
        for file in [name.to_owned(), format!("{name}.LOG1"), format!("{name}.LOG2")] {
            // A clean hive has logs, too: empty ones.
            let content = std::fs::read(folder.path().join(&file)).unwrap_or_default();
            tree.insert(format!("Windows/System32/config/{file}"), File::Content(content));
        }
    }
    tree
}
