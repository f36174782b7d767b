//! The gate: an image may name files, only the operator may open them.

use crate::{Error, ErrorKind, FileStamp, FileStorage, Result, Storage, codes};
use rustix::fs::{Mode, OFlags, ResolveFlags};
use std::fs::File;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Decides which files an image may refer to.
pub trait Gate: Send + Sync {
    /// Opens the file that an image calls `name`.
    ///
    /// # Errors
    /// `Denied` when the name is not allowed, `SourceMissing` when there is no such file.
    fn open(&self, name: &str) -> Result<Referenced>;
}

/// A file that an image referred to, and the gate for what that file refers to in turn.
pub struct Referenced {
    /// The opened file.
    pub storage: FileStorage,
    /// The gate for names inside it.
    pub gate: Arc<dyn Gate>,
}

/// Lets nothing through: for images whose format was only guessed.
#[derive(Debug)]
pub struct DenyAll;

impl Gate for DenyAll {
    fn open(&self, name: &str) -> Result<Referenced> {
        Err(Error::new(
            ErrorKind::Denied,
            format!("the image refers to {name:?}, but its format was only guessed"),
        )
        .hint("if you trust the image, name its format with -f"))
    }
}

/// Lets plain relative names in the image's own folder through, and paths below folders that the operator allowed.
#[derive(Clone, Debug)]
pub struct FolderGate {
    folder: PathBuf,
    allowed: Arc<[PathBuf]>,
}

impl FolderGate {
    /// A gate for an image in `folder`; `allowed` are absolute, canonical folders from the operator.
    #[must_use]
    pub fn new(folder: PathBuf, allowed: Arc<[PathBuf]>) -> Self {
        let folder = if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder };
        Self { folder, allowed }
    }

    /// Whether the operator allowed the folder of `path`.
    fn allows(&self, path: &Path) -> bool {
        normalised(&self.folder, path)
            .is_some_and(|path| self.allowed.iter().any(|base| path.starts_with(base)))
    }

    fn opened(&self, base: &Path, inside: &Path) -> Result<Referenced> {
        let path = base.join(inside);
        let storage = FileStorage::from_file(open_beneath(base, inside)?, &path)?;
        let folder = path.parent().map(Path::to_owned).unwrap_or_default();
        Ok(Referenced { storage, gate: Arc::new(Self::new(folder, Arc::clone(&self.allowed))) })
    }
}

impl Gate for FolderGate {
    fn open(&self, name: &str) -> Result<Referenced> {
        let path = Path::new(name);
        if is_plain(name) {
            let found = self.opened(&self.folder, path)?;
            // Who unpacked the folder from an archive, or reads a guest's disk in /dev, has not chosen this device.
            if !found.storage.is_device() || self.allows(path) {
                return Ok(found);
            }
            let text = format!("the image refers to {name:?}, which is a device");
            let hint = "if you trust the image, allow that folder with --allow-parent DIR";
            return Err(Error::new(ErrorKind::Denied, text).with_code(&codes::GATE_DENIED).hint(hint));
        }
        let denied = || {
            Error::new(ErrorKind::Denied, format!("the image refers to {name:?}, outside its own folder"))
                .with_code(&codes::GATE_DENIED)
                .hint("if you trust the image, allow that folder with --allow-parent DIR")
        };
        if name.contains('\0') || has_scheme(name) {
            return Err(denied());
        }
        let Some(absolute) = normalised(&self.folder, path) else { return Err(denied()) };
        match self.allowed.iter().find_map(|base| Some((base, absolute.strip_prefix(base).ok()?))) {
            Some((base, inside)) => self.opened(base, inside),
            None => Err(denied()),
        }
    }
}

/// What a room opened beside its own file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartFile {
    /// Where it lies.
    pub path: PathBuf,
    /// Size of the file in bytes.
    pub file_size: u64,
    /// Bytes that the file occupies on the host.
    pub allocated_size: u64,
    /// Device and inode number.
    pub file_id: (u64, u64),
    /// What the host said of it when it was opened; `None` for a device.
    pub stamp: Option<FileStamp>,
}

impl PartFile {
    /// What is known of an open file.
    pub(crate) fn of(storage: &FileStorage) -> Result<Self> {
        Ok(Self {
            path: storage.path().to_owned(),
            file_size: storage.size(),
            allocated_size: storage.allocated_size()?,
            file_id: storage.file_id()?,
            stamp: storage.stamp(),
        })
    }
}

/// Passes everything on and remembers what was opened.
pub(crate) struct Recorder {
    pub(crate) gate: Arc<dyn Gate>,
    pub(crate) opened: Mutex<Vec<PartFile>>,
}

impl Gate for Recorder {
    fn open(&self, name: &str) -> Result<Referenced> {
        let found = self.gate.open(name)?;
        let part = PartFile::of(&found.storage)?;
        self.opened.lock().unwrap_or_else(PoisonError::into_inner).push(part);
        Ok(found)
    }
}

/// One name without folders, dots or anything a protocol could hide in.
fn is_plain(name: &str) -> bool {
    let mut components = Path::new(name).components();
    let one = matches!((components.next(), components.next()), (Some(Component::Normal(_)), None));
    one && !name.contains('/') && !name.contains('\0') && !has_scheme(name)
}

/// `json:{…}`, `nbd://…`, `file:…`: qemu gives these a meaning, we never do.
fn has_scheme(name: &str) -> bool {
    name.split_once(':').is_some_and(|(scheme, _)| {
        !scheme.is_empty() && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-._".contains(c))
    })
}

/// `path` as an absolute path without `.` and `..`, by spelling only; links are the kernel's to refuse later.
fn normalised(folder: &Path, path: &Path) -> Option<PathBuf> {
    let mut result = folder.canonicalize().ok()?;
    for component in path.components() {
        match component {
            Component::RootDir => result = PathBuf::from("/"),
            Component::CurDir => {}
            Component::ParentDir => {
                result.pop();
            }
            Component::Normal(name) => result.push(name),
            Component::Prefix(_) => return None,
        }
    }
    Some(result)
}

/// Opens `inside` below `base` with the kernel's word that no link or `..` led out of it.
fn open_beneath(base: &Path, inside: &Path) -> Result<File> {
    let failed = |e: rustix::io::Errno| {
        let what = format!("cannot open {}", base.join(inside).display());
        match e {
            rustix::io::Errno::XDEV | rustix::io::Errno::LOOP => {
                Error::new(ErrorKind::Denied, format!("{what}: it leads out of its folder"))
                    .with_code(&codes::GATE_DENIED)
            }
            other => Error::io(what, other.into()),
        }
    };
    let folder = rustix::fs::open(base, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(failed)?;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    rustix::fs::openat2(&folder, inside, flags, Mode::empty(), resolve).map(File::from).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(gate: &dyn Gate, name: &str) -> ErrorKind {
        gate.open(name).err().map(|e| e.kind()).unwrap()
    }

    #[test]
    fn only_plain_names_of_the_folder_pass() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("images");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(root.path().join("secret"), b"s").unwrap();
        std::fs::write(folder.join("base.raw"), b"b").unwrap();
        std::os::unix::fs::symlink("../secret", folder.join("link")).unwrap();
        let gate = FolderGate::new(folder.clone(), Arc::new([]));
        assert!(gate.open("base.raw").is_ok());
        let absolute = root.path().join("secret").display().to_string();
        for name in [
            "../secret",
            "link",
            "/etc/passwd",
            &absolute,
            "json:{}",
            "nbd://x/y",
            "file:base.raw",
            "./base.raw",
            ".",
        ] {
            assert_eq!(kind(&gate, name), ErrorKind::Denied, "{name}");
        }
        assert_eq!(kind(&gate, "none"), ErrorKind::SourceMissing);
        assert_eq!(kind(&DenyAll, "base.raw"), ErrorKind::Denied);
    }

    #[test]
    fn an_allowed_folder_opens_what_lies_below_it_only() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        for folder in ["images", "bases"] {
            std::fs::create_dir(root.join(folder)).unwrap();
            std::fs::write(root.join(folder).join("base.raw"), b"b").unwrap();
        }
        let gate = FolderGate::new(root.join("images"), Arc::new([root.join("bases")]));
        assert!(gate.open("../bases/base.raw").is_ok());
        assert!(gate.open(&root.join("bases/base.raw").display().to_string()).is_ok());
        assert_eq!(kind(&gate, "../bases/../images/base.raw"), ErrorKind::Denied);
        assert_eq!(kind(&gate, "/etc/passwd"), ErrorKind::Denied);
    }

    /// Needs a system that lets us make a device; elsewhere there is nothing to open.
    #[test]
    fn a_device_is_opened_only_where_it_is_allowed() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        let node = root.join("base.raw");
        let made = std::process::Command::new("mknod").arg(&node).args(["b", "7", "0"]).output().unwrap();
        if !made.status.success() || File::open(&node).is_err() {
            return;
        }
        assert_eq!(kind(&FolderGate::new(root.clone(), Arc::new([])), "base.raw"), ErrorKind::Denied);
        assert!(FolderGate::new(root.clone(), Arc::new([root])).open("base.raw").is_ok());
    }
}
