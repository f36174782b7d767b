//! Images made by mkfs.fat, and fsck.fat and mtools as judges.

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

/// Width, size in KiB, bytes of a sector, sectors of a cluster.
pub type Kind = (&'static str, u64, &'static str, &'static str);

/// Every width with small and large clusters and sectors.
pub const KINDS: [Kind; 9] = [
    ("12", 1440, "512", "1"),
    ("12", 8 << 10, "512", "8"),
    ("12", 12 << 10, "4096", "1"),
    ("16", 12 << 10, "512", "2"),
    ("16", 64 << 10, "512", "4"),
    ("16", 64 << 10, "4096", "2"),
    ("32", 40 << 10, "512", "1"),
    ("32", 300 << 10, "512", "8"),
    ("32", 300 << 10, "4096", "1"),
];

/// An image file as a volume. Writes reach the file: it is the test's copy.
pub struct FileVolume(File, u64);

impl Volume for FileVolume {
    fn size(&self) -> u64 {
        self.1
    }
    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.0.read_exact_at(buf, offset).map_err(|e| Error::io("read", e))
    }
    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        assert!(offset + bytes.len() as u64 <= self.1, "written beyond the end");
        self.0.write_all_at(bytes, offset).map_err(|e| Error::io("write", e))
    }
}

/// An image in memory; it counts the writes.
pub struct MemoryVolume(pub Mutex<(Vec<u8>, u64)>);

impl MemoryVolume {
    pub fn new(bytes: Vec<u8>) -> Arc<Self> {
        Arc::new(Self(Mutex::new((bytes, 0))))
    }
    pub fn writes(&self) -> u64 {
        self.0.lock().unwrap().1
    }
    pub fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().0.clone()
    }
}

impl Volume for MemoryVolume {
    fn size(&self) -> u64 {
        self.0.lock().unwrap().0.len() as u64
    }
    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let inner = self.0.lock().unwrap();
        let from = inner.0.get(offset as usize..).and_then(|rest| rest.get(..buf.len()));
        buf.copy_from_slice(from.ok_or_else(|| Error::usage("beyond the end"))?);
        Ok(())
    }
    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let mut inner = self.0.lock().unwrap();
        inner.1 += 1;
        let to = inner.0.get_mut(offset as usize..).and_then(|rest| rest.get_mut(..bytes.len()));
        to.ok_or_else(|| Error::usage("beyond the end"))?.copy_from_slice(bytes);
        Ok(())
    }
}

/// A temporary folder with an image in it.
pub struct Image {
    pub folder: TempDir,
    pub path: PathBuf,
}

/// Runs a tool; its absence is a failure that names the packages.
pub fn tool(name: &str, arguments: &[&str]) -> Output {
    Command::new("timeout")
        .args(["60", name])
        .args(arguments)
        .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
        .env("MTOOLS_SKIP_CHECK", "1")
        .env("TZ", "UTC")
        .output()
        .unwrap_or_else(|e| panic!("cannot run {name} (packages dosfstools, mtools, coreutils): {e}"))
}

pub fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn must(name: &str, arguments: &[&str]) {
    let done = tool(name, arguments);
    assert!(done.status.success(), "{name} {arguments:?} (packages dosfstools, mtools): {}", text(&done));
}

impl Image {
    pub fn make((bits, kib, sector, cluster): Kind) -> Self {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("image");
        File::create(&path).unwrap().set_len(kib << 10).unwrap();
        let image = path.to_str().unwrap();
        must("mkfs.fat", &["-F", bits, "-S", sector, "-s", cluster, "-i", "1234abcd", "-n", "EFI", image]);
        Self { folder, path }
    }

    pub fn volume(&self) -> Arc<FileVolume> {
        let file = OpenOptions::new().read(true).write(true).open(&self.path).unwrap();
        let size = file.metadata().unwrap().len();
        Arc::new(FileVolume(file, size))
    }

    pub fn bytes(&self) -> Vec<u8> {
        std::fs::read(&self.path).unwrap()
    }

    pub fn mmd(&self, folder: &str) {
        must("mmd", &["-i", self.path.to_str().unwrap(), &format!("::{folder}")]);
    }

    /// Puts a file there with mtools.
    pub fn mcopy_in(&self, path: &str, content: &[u8]) {
        let file = self.folder.path().join("in");
        std::fs::write(&file, content).unwrap();
        must(
            "mcopy",
            &["-o", "-i", self.path.to_str().unwrap(), file.to_str().unwrap(), &format!("::{path}")],
        );
    }

    /// A file as mtools reads it.
    pub fn mcopy_out(&self, path: &str) -> Vec<u8> {
        let file = self.folder.path().join("out");
        let _ = std::fs::remove_file(&file);
        must(
            "mcopy",
            &["-n", "-i", self.path.to_str().unwrap(), &format!("::{path}"), file.to_str().unwrap()],
        );
        std::fs::read(&file).unwrap()
    }

    pub fn mdir(&self, folder: &str) -> String {
        text(&tool("mdir", &["-a", "-i", self.path.to_str().unwrap(), &format!("::{folder}")]))
    }

    /// What fsck.fat says, without changing anything.
    pub fn assert_clean(&self, what: &str) {
        assert_clean(&self.path, what);
    }
}

pub fn assert_clean(path: &Path, what: &str) {
    let checked = tool("fsck.fat", &["-n", "-v", path.to_str().unwrap()]);
    assert!(checked.status.success(), "{what}: {}", text(&checked));
}

pub fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at / 5) as u8 ^ (at >> 8) as u8 ^ len as u8).collect()
}
