//! Images made by mkfs.xfs and filled by the kernel, and xfs_repair, xfs_db and the kernel as judges.

#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use driver_core::{FileKind, GuestFs, Volume};
use format_core::{Error, Result};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt};
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

/// An image in memory that many tests share, with a few bytes of their own on top.
pub struct PatchedVolume {
    base: Arc<Vec<u8>>,
    size: u64,
    pub patches: Mutex<BTreeMap<u64, u8>>,
}

impl PatchedVolume {
    pub fn new(base: &Arc<Vec<u8>>, patches: impl IntoIterator<Item = (u64, u8)>) -> Arc<Self> {
        let patches = Mutex::new(patches.into_iter().collect());
        Arc::new(Self { base: Arc::clone(base), size: base.len() as u64, patches })
    }

    /// Only the first `size` bytes.
    pub fn prefix(base: &Arc<Vec<u8>>, size: u64) -> Arc<Self> {
        Arc::new(Self { base: Arc::clone(base), size, patches: Mutex::default() })
    }
}

impl Volume for PatchedVolume {
    fn size(&self) -> u64 {
        self.size
    }
    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let end = offset + buf.len() as u64;
        assert!(end <= self.size, "a read of {} bytes at {offset:#x}", buf.len());
        buf.copy_from_slice(&self.base[offset as usize..end as usize]);
        for (at, byte) in self.patches.lock().unwrap().range(offset..end) {
            buf[(at - offset) as usize] = *byte;
        }
        Ok(())
    }
    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        assert!(offset + bytes.len() as u64 <= self.size);
        self.patches.lock().unwrap().extend((offset..).zip(bytes.iter().copied()));
        Ok(())
    }
}

/// A temporary folder with an image in it.
pub struct Image {
    pub folder: TempDir,
    pub path: PathBuf,
}

/// Runs a tool; its absence is a failure that names it.
pub fn tool(name: &str, arguments: &[&str]) -> Output {
    Command::new("timeout")
        .args(["120", name])
        .args(arguments)
        .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
        .output()
        .unwrap_or_else(|e| panic!("cannot run {name} (packages xfsprogs, mount and coreutils): {e}"))
}

pub fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

pub fn must(name: &str, arguments: &[&str]) -> String {
    let done = tool(name, arguments);
    assert!(done.status.success(), "{name} {arguments:?} (the tests need root): {}", text(&done));
    text(&done)
}

/// Unmounts also when the test fails.
pub struct Mounted(pub PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        tool("umount", &[self.0.to_str().unwrap()]);
    }
}

/// Mounts an image with the kernel while `work` goes on.
pub fn mounted<T>(image: &Path, options: &str, work: impl FnOnce(&Path) -> T) -> T {
    let point = TempDir::new().unwrap();
    must(
        "mount",
        &["-o", &format!("loop,{options}"), image.to_str().unwrap(), point.path().to_str().unwrap()],
    );
    let mounted = Mounted(point.path().to_owned());
    let result = work(point.path());
    drop(mounted);
    result
}

impl Image {
    /// An image of `size` (as truncate takes it), with what `fill` puts into the mounted file system.
    pub fn make(options: &[&str], size: &str, fill: impl FnOnce(&Path)) -> Self {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("image");
        must("truncate", &["-s", size, path.to_str().unwrap()]);
        // Small ones are not made without being asked.
        let mut arguments = vec!["-q", "--unsupported", "-L", "guest"];
        arguments.extend(options);
        arguments.push(path.to_str().unwrap());
        must("mkfs.xfs", &arguments);
        mounted(&path, "rw", fill);
        Self { folder, path }
    }

    pub fn volume(&self) -> Arc<FileVolume> {
        FileVolume::open(&self.path)
    }

    pub fn copy(&self, name: &str) -> PathBuf {
        let copy = self.folder.path().join(name);
        must("cp", &["--sparse=always", self.path.to_str().unwrap(), copy.to_str().unwrap()]);
        copy
    }

    pub fn db(&self, commands: &[&str]) -> String {
        let mut arguments: Vec<&str> = commands.iter().flat_map(|command| ["-c", *command]).collect();
        arguments.insert(0, "-r");
        arguments.push(self.path.to_str().unwrap());
        must("xfs_db", &arguments)
    }
}

/// What xfs_repair says about a file system, without changing it.
pub fn assert_clean(path: &Path, what: &str) {
    let checked = tool("xfs_repair", &["-n", "-f", path.to_str().unwrap()]);
    assert!(checked.status.success(), "{what}: {}", text(&checked));
}

/// A path's kind, permissions, owner, size, and content or target.
pub type Entry = (FileKind, u32, u32, u64, Vec<u8>);

/// All that the kernel finds below `folder`.
pub fn kernel_view(folder: &Path) -> BTreeMap<String, Entry> {
    let mut found = BTreeMap::new();
    collect_kernel(folder, "", &mut found);
    found
}

fn collect_kernel(host: &Path, guest: &str, found: &mut BTreeMap<String, Entry>) {
    for entry in std::fs::read_dir(host).unwrap() {
        let entry = entry.unwrap();
        let (host, guest) = (entry.path(), format!("{guest}/{}", entry.file_name().to_string_lossy()));
        let meta = host.symlink_metadata().unwrap();
        let (kind, content) = if meta.is_symlink() {
            (FileKind::Link, std::fs::read_link(&host).unwrap().into_os_string().into_encoded_bytes())
        } else if meta.is_dir() {
            collect_kernel(&host, &guest, found);
            (FileKind::Folder, Vec::new())
        } else if meta.is_file() {
            (FileKind::File, std::fs::read(&host).unwrap())
        } else {
            (FileKind::Other, Vec::new())
        };
        found.insert(guest, (kind, meta.mode() & 0o7777, meta.uid(), meta.size(), content));
    }
}

/// A file read by pieces that fit no block, from its end to its start.
fn in_pieces(fs: &dyn GuestFs, path: &str) -> Vec<u8> {
    let file = fs.open_file(path).unwrap();
    assert!(file.read_at(file.size(), &mut [0]).is_err(), "{path}");
    let mut content = vec![1; file.size() as usize];
    for (number, piece) in content.chunks_mut(7919).enumerate().collect::<Vec<_>>().into_iter().rev() {
        file.read_at(number as u64 * 7919, piece).unwrap();
    }
    content
}

/// All that the room finds.
pub fn own_view(fs: &dyn GuestFs) -> BTreeMap<String, Entry> {
    let mut found = BTreeMap::new();
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        let entries = fs.read_dir(if folder.is_empty() { "/" } else { &folder }).unwrap();
        for entry in entries {
            let path = format!("{folder}/{}", entry.name);
            let meta = fs.metadata(&path).unwrap().unwrap();
            assert_eq!(meta.kind, entry.kind, "{path}");
            let content = match meta.kind {
                FileKind::File => {
                    let content = fs.read_file(&path, 1 << 30).unwrap();
                    assert!(content == in_pieces(fs, &path), "{path} differs by pieces");
                    content
                }
                FileKind::Link => fs.read_link(&path).unwrap().into_bytes(),
                FileKind::Folder => {
                    folders.push(path.clone());
                    Vec::new()
                }
                FileKind::Other => Vec::new(),
            };
            found.insert(path, (meta.kind, meta.mode, meta.uid, meta.size, content));
        }
    }
    found
}

/// Compares two views and, when they differ, says where.
pub fn assert_same(found: &BTreeMap<String, Entry>, wanted: &BTreeMap<String, Entry>, what: &str) {
    for (path, wanted) in wanted {
        let found = found.get(path).unwrap_or_else(|| panic!("{what}: {path} is missing"));
        assert_eq!(
            (found.0, found.1, found.2, found.3),
            (wanted.0, wanted.1, wanted.2, wanted.3),
            "{what}: {path}"
        );
        let first = found.4.iter().zip(&wanted.4).position(|(a, b)| a != b);
        assert!(found.4 == wanted.4, "{what}: {path}, first difference {first:?}");
    }
    assert_eq!(found.len(), wanted.len(), "{what}");
}

/// Bytes that do not repeat.
pub fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..len).map(|_| next()).collect()
}
