//! Reading through `fatfs`.

use crate::boot_sector::{FatFacts, probe};
use crate::window::Window;
use driver_core::{DirEntry, FileKind, FileMeta, GuestFs, Ownership, Volume};
use fatfs::{Dir, FileSystem, FsOptions};
use format_core::{Error, ErrorKind, Result};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Reads of one look-up or listing at most.
const MAX_READS: u64 = 1 << 20;
/// Names in one folder at most: the specification allows 65536 entries.
const MAX_ENTRIES: usize = 1 << 16;

/// A FAT file system on a volume, for reading.
pub struct FatFs {
    fs: FileSystem<Window>,
    facts: FatFacts,
    budget: Arc<AtomicU64>,
}

/// One entry, taken out of the folder it was found in.
struct Found {
    name: String,
    short_name: String,
    kind: FileKind,
    size: u64,
}

/// Opens the FAT file system on `volume`.
///
/// # Errors
/// `Unsupported` when there is none; `Corrupt` when it contradicts itself; what the volume reports.
pub fn open(volume: Arc<dyn Volume>) -> Result<FatFs> {
    let facts =
        probe(volume.as_ref())?.ok_or_else(|| Error::unsupported("no FAT boot sector").in_format("vfat"))?;
    let budget = Arc::new(AtomicU64::new(MAX_READS));
    let window = Window::new(volume, facts.size, Arc::clone(&budget));
    let fs = guarded(|| FileSystem::new(window, FsOptions::new()))?;
    Ok(FatFs { fs, facts, budget })
}

/// Runs a call of `fatfs`, which panics where cluster numbers of a folder or table make no sense.
fn guarded<T>(call: impl FnOnce() -> std::io::Result<T>) -> Result<T> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => {
            Err(Error::io("cannot read", error).with_kind(ErrorKind::Corrupt).in_format("vfat"))
        }
        Err(_) => Err(Error::corrupt("a cluster number is outside the file system").in_format("vfat")),
    }
}

impl FatFs {
    /// Facts of the boot sector.
    #[must_use]
    pub fn facts(&self) -> &FatFacts {
        &self.facts
    }

    fn list(folder: &Dir<'_, Window>) -> std::io::Result<Vec<Found>> {
        let mut found = Vec::new();
        for entry in folder.iter() {
            let entry = entry?;
            let name = entry.file_name();
            if name == "." || name == ".." {
                continue;
            }
            if found.len() >= MAX_ENTRIES {
                return Err(std::io::Error::other("a folder with too many names"));
            }
            let kind = if entry.is_dir() { FileKind::Folder } else { FileKind::File };
            let size = if entry.is_dir() { 0 } else { entry.len() };
            found.push(Found { name, short_name: entry.short_file_name(), kind, size });
        }
        Ok(found)
    }

    /// The folder at the end of `names`, `None` when there is none.
    fn folder(&self, names: &[&str]) -> Result<Option<Dir<'_, Window>>> {
        let mut folder = self.fs.root_dir();
        for name in names {
            let next = guarded(|| {
                let found = Self::list(&folder)?.into_iter().find(|entry| entry.is_called(name));
                match found {
                    Some(entry) if entry.kind == FileKind::Folder => folder.open_dir(&entry.name).map(Some),
                    _ => Ok(None),
                }
            })?;
            match next {
                Some(next) => folder = next,
                None => return Ok(None),
            }
        }
        Ok(Some(folder))
    }

    /// The folder that holds the last of `names`, and its entry.
    fn find(&self, names: &[&str]) -> Result<Option<(Dir<'_, Window>, Found)>> {
        self.budget.store(MAX_READS, Ordering::Relaxed);
        let Some((last, parents)) = names.split_last() else { return Ok(None) };
        let Some(folder) = self.folder(parents)? else { return Ok(None) };
        let entries = guarded(|| Self::list(&folder))?;
        let found = entries.into_iter().find(|entry| entry.is_called(last));
        Ok(found.map(|entry| (folder, entry)))
    }
}

impl Found {
    /// FAT keeps the case of long names but does not tell names apart by it.
    fn is_called(&self, name: &str) -> bool {
        let name = name.to_lowercase();
        self.name.to_lowercase() == name || self.short_name.to_lowercase() == name
    }
}

fn components(path: &str) -> Result<Vec<&str>> {
    let Some(inner) = path.strip_prefix('/') else {
        return Err(Error::usage(format!("{path:?} is not an absolute path")));
    };
    let names: Vec<&str> = inner.split('/').filter(|name| !name.is_empty()).collect();
    if names.iter().any(|name| *name == "." || *name == "..") {
        return Err(Error::usage(format!("{path:?} holds \".\" or \"..\"")));
    }
    Ok(names)
}

/// FAT has no inode numbers; a name has no second name there, so its path can stand for it.
fn number(names: &[&str]) -> u64 {
    let mut hasher = DefaultHasher::new();
    names.iter().for_each(|name| name.to_lowercase().hash(&mut hasher));
    hasher.finish()
}

fn refuse<T>() -> Result<T> {
    let hint = "change the EFI system partition in the guest";
    Err(Error::unsupported("FAT file systems are only read").in_format("vfat").hint(hint))
}

impl GuestFs for FatFs {
    fn kind(&self) -> &'static str {
        "vfat"
    }

    fn metadata(&self, path: &str) -> Result<Option<FileMeta>> {
        let names = components(path)?;
        let (kind, size) = match self.find(&names)? {
            _ if names.is_empty() => (FileKind::Folder, 0),
            Some((_, entry)) => (entry.kind, entry.size),
            None => return Ok(None),
        };
        // As Linux shows them with its default mask.
        Ok(Some(FileMeta { kind, size, mode: 0o755, uid: 0, gid: 0, inode: number(&names) }))
    }

    fn read_dir(&self, path: &str) -> Result<Vec<DirEntry>> {
        self.budget.store(MAX_READS, Ordering::Relaxed);
        let folder = self.folder(&components(path)?)?;
        let folder = folder.ok_or_else(|| Error::usage(format!("{path:?} is no folder")))?;
        let entries = guarded(|| Self::list(&folder))?;
        Ok(entries
            .into_iter()
            .map(|entry| DirEntry { name: entry.name.replace(['/', '\0'], "\u{fffd}"), kind: entry.kind })
            .collect())
    }

    fn read_file(&self, path: &str, limit: u64) -> Result<Vec<u8>> {
        let missing = || Error::usage(format!("{path:?} is no regular file"));
        let (folder, entry) = self.find(&components(path)?)?.ok_or_else(missing)?;
        if entry.kind != FileKind::File {
            return Err(missing());
        }
        if entry.size > limit {
            let message = format!("the file has {:#x} bytes, the limit is {limit:#x}", entry.size);
            return Err(Error::new(ErrorKind::Limit, message));
        }
        self.budget.store(MAX_READS + entry.size / 64, Ordering::Relaxed);
        let mut content = Vec::new();
        guarded(|| folder.open_file(&entry.name)?.take(entry.size).read_to_end(&mut content))?;
        if content.len() as u64 != entry.size {
            let message =
                format!("{path:?} has {:#x} bytes but {:#x} in its clusters", entry.size, content.len());
            return Err(Error::corrupt(message).in_format("vfat"));
        }
        Ok(content)
    }

    fn read_link(&self, path: &str) -> Result<String> {
        Err(Error::usage(format!("{path:?} is no link: FAT has none")))
    }

    fn replace_file(&mut self, _: &str, _: &[u8]) -> Result<()> {
        refuse()
    }

    fn append_file(&mut self, _: &str, _: &[u8]) -> Result<()> {
        refuse()
    }

    fn create_file(&mut self, _: &str, _: &[u8], _: Ownership) -> Result<()> {
        refuse()
    }

    fn create_folder(&mut self, _: &str, _: Ownership) -> Result<()> {
        refuse()
    }

    fn create_link(&mut self, _: &str, _: &str) -> Result<()> {
        refuse()
    }

    fn rename(&mut self, _: &str, _: &str) -> Result<()> {
        refuse()
    }

    fn remove(&mut self, _: &str) -> Result<()> {
        refuse()
    }

    fn finish(&mut self) -> Result<()> {
        Ok(())
    }
}
