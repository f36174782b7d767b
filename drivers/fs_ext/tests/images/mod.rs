//! Images made by mke2fs, and e2fsck and debugfs as judges.

#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use driver_core::Volume;
use format_core::{Error, Result};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use tempfile::TempDir;

/// An image file as a volume. Writes reach the file: it is the test's copy.
pub struct FileVolume(File, u64);

impl FileVolume {
    pub fn open(path: &Path) -> Arc<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
        let size = file.metadata().unwrap().len();
        Arc::new(Self(file, size))
    }
}

impl Volume for FileVolume {
    fn size(&self) -> u64 {
        self.1
    }
    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.0.read_exact_at(buf, offset).map_err(|e| Error::io("read", e))
    }
    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        if offset + bytes.len() as u64 > self.1 {
            return Err(Error::usage("beyond the end"));
        }
        self.0.write_all_at(bytes, offset).map_err(|e| Error::io("write", e))
    }
}

/// An image in memory.
pub struct MemoryVolume(Mutex<Vec<u8>>);

impl MemoryVolume {
    pub fn new(bytes: Vec<u8>) -> Arc<Self> {
        Arc::new(Self(Mutex::new(bytes)))
    }
}

impl Volume for MemoryVolume {
    fn size(&self) -> u64 {
        self.0.lock().unwrap().len() as u64
    }
    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        buf.copy_from_slice(&self.0.lock().unwrap()[offset as usize..][..buf.len()]);
        Ok(())
    }
    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.0.lock().unwrap()[offset as usize..][..bytes.len()].copy_from_slice(bytes);
        Ok(())
    }
}

/// A temporary folder with an image in it.
pub struct Image {
    pub folder: TempDir,
    pub path: PathBuf,
}

/// Runs a tool of e2fsprogs; its absence is a failure that names the package.
pub fn tool(name: &str, arguments: &[&str]) -> Output {
    Command::new("timeout")
        .args(["60", name])
        .args(arguments)
        .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
        .output()
        .unwrap_or_else(|e| panic!("cannot run {name} (packages e2fsprogs and coreutils): {e}"))
}

pub fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

impl Image {
    /// An image of `size` (as mke2fs writes it) with the files that `fill` puts into the folder it is given.
    pub fn make(options: &[&str], size: &str, fill: impl FnOnce(&Path)) -> Self {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("image");
        let root = folder.path().join("root");
        std::fs::create_dir(&root).unwrap();
        fill(&root);
        let mut arguments = vec!["-q", "-F", "-L", "guest", "-d", root.to_str().unwrap()];
        arguments.extend(options);
        arguments.extend([path.to_str().unwrap(), size]);
        let made = tool("mke2fs", &arguments);
        assert!(made.status.success(), "mke2fs (package e2fsprogs) {options:?}: {}", text(&made));
        Self { folder, path }
    }

    pub fn volume(&self) -> Arc<FileVolume> {
        FileVolume::open(&self.path)
    }

    pub fn copy(&self, name: &str) -> PathBuf {
        let copy = self.folder.path().join(name);
        std::fs::copy(&self.path, &copy).unwrap();
        copy
    }

    pub fn debugfs(&self, request: &str) -> String {
        debugfs(&self.path, request)
    }

    /// Runs debugfs commands that change the image.
    pub fn damage(&self, requests: &[&str]) -> String {
        let script = self.folder.path().join("requests");
        std::fs::write(&script, requests.join("\n") + "\n").unwrap();
        let done = tool("debugfs", &["-w", "-f", script.to_str().unwrap(), self.path.to_str().unwrap()]);
        assert!(done.status.success(), "{}", text(&done));
        text(&done)
    }

    pub fn assert_clean(&self, what: &str) {
        assert_clean(&self.path, what);
    }
}

pub fn debugfs(path: &Path, request: &str) -> String {
    text(&tool("debugfs", &["-R", request, path.to_str().unwrap()]))
}

/// What e2fsck says about a file system, without changing it.
pub fn assert_clean(path: &Path, what: &str) {
    let checked = tool("e2fsck", &["-fn", path.to_str().unwrap()]);
    assert!(checked.status.success(), "{what}: {}", text(&checked));
}

/// A file's content as debugfs reads it.
pub fn dump(path: &Path, file: &str) -> Vec<u8> {
    let folder = TempDir::new().unwrap();
    let to = folder.path().join("dumped");
    debugfs(path, &format!("dump \"{file}\" {}", to.display()));
    std::fs::read(&to).unwrap_or_else(|e| panic!("debugfs cannot dump {file}: {e}"))
}

/// Compares contents and, when they differ, says where.
pub fn assert_same(found: &[u8], wanted: &[u8], what: &str) {
    let first = found.iter().zip(wanted).position(|(a, b)| a != b);
    assert!(
        found == wanted,
        "{what}: {} and {} bytes, first difference {first:?}",
        found.len(),
        wanted.len()
    );
}
