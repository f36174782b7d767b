//! What a file or device holds, in two hashes, and which one it is.

use super::attachment::{AttachmentKind, HEAD, recognise};
use super::device::DeviceIdentity;
use super::event::SourceKind;
use crate::clock::rfc3339;
use format_core::{Error, FileStorage, Result, Storage, Tick};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Read at once.
const PART: u64 = 4 << 20;

/// The host bytes of a file or device, and its identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Fingerprint {
    /// As it was opened.
    pub path: String,
    /// File or device.
    pub kind: SourceKind,
    /// In bytes.
    pub size: u64,
    /// SHA-256 of all bytes.
    pub sha256: String,
    /// BLAKE3 of all bytes.
    pub blake3: String,
    /// Device and inode number.
    pub file_id: (u64, u64),
    /// When it was last written, for a file.
    pub modified: Option<String>,
    /// How it was opened.
    pub opened: String,
    /// For a block device.
    pub device: Option<DeviceIdentity>,
    /// What it begins like.
    pub content: AttachmentKind,
}

impl Fingerprint {
    /// Whether both are of the same bytes.
    #[must_use]
    pub fn has_bytes_of(&self, other: &Self) -> bool {
        (self.size, &self.sha256, &self.blake3) == (other.size, &other.sha256, &other.blake3)
    }
}

/// Reads the file or device at `path` from its start to its end; `tick` is told how many bytes were read since its last call.
///
/// # Errors
/// As [`FileStorage::open`]; `Io` while reading, and what `tick` returns.
pub fn fingerprint(path: &Path, tick: Tick<'_>) -> Result<Fingerprint> {
    let storage = FileStorage::open(path)?;
    let failed = |e| Error::io(format!("cannot examine {}", path.display()), e);
    let metadata = std::fs::metadata(path).map_err(failed)?;
    let size = storage.size();
    let (mut sha256, mut blake3) = (Sha256::new(), blake3::Hasher::new());
    let mut buf = vec![0; size.min(PART) as usize];
    let (mut at, mut content) = (0, AttachmentKind::Other);
    while at < size {
        let part = buf.get_mut(..(size - at).min(PART) as usize).unwrap_or_default();
        storage.read_exact_at(at, part)?;
        if at == 0 {
            content = recognise(part.get(..HEAD).unwrap_or(part));
        }
        let part = &*part;
        // Both are chains; each has a core of its own.
        std::thread::scope(|scope| {
            scope.spawn(|| sha256.update(part));
            blake3.update(part);
        });
        tick(part.len() as u64)?;
        at += part.len() as u64;
    }
    let numbers = (rustix::fs::major(metadata.rdev()), rustix::fs::minor(metadata.rdev()));
    let is_device = storage.is_device();
    Ok(Fingerprint {
        path: path.display().to_string(),
        kind: if is_device { SourceKind::Device } else { SourceKind::File },
        size,
        sha256: sha256.finalize().iter().map(|byte| format!("{byte:02x}")).collect(),
        blake3: blake3.finalize().to_hex().to_string(),
        file_id: storage.file_id()?,
        modified: metadata.modified().ok().filter(|_| !is_device).map(rfc3339),
        opened: "read-only".to_owned(),
        device: is_device.then(|| DeviceIdentity::read(Path::new("/sys"), numbers)),
        content,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by a panic")]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[test]
    fn files_have_the_hashes_of_the_system_s_tools() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.lime");
        let bytes: Vec<u8> =
            b"EMiL".iter().copied().chain((0..9_000_000u32).map(|at| (at / 999) as u8)).collect();
        std::fs::write(&path, &bytes).unwrap();
        let seen = AtomicU64::new(0);
        let count = |bytes| {
            seen.fetch_add(bytes, Ordering::Relaxed);
            Ok(())
        };
        let found = fingerprint(&path, &count).unwrap();
        let printed = std::process::Command::new("sha256sum").arg(&path).output().unwrap().stdout;
        assert!(String::from_utf8(printed).unwrap().starts_with(&found.sha256));
        assert_eq!(found.blake3, blake3::hash(&bytes).to_hex().to_string());
        assert_eq!((found.size, seen.into_inner()), (bytes.len() as u64, bytes.len() as u64));
        assert_eq!((found.kind, found.content), (SourceKind::File, AttachmentKind::Lime));
        assert!(found.has_bytes_of(&fingerprint(&path, &|_| Ok(())).unwrap()));
        std::fs::write(&path, &bytes[1..]).unwrap();
        assert!(!found.has_bytes_of(&fingerprint(&path, &|_| Ok(())).unwrap()));
        assert!(fingerprint(folder.path(), &|_| Ok(())).is_err());
    }
}
