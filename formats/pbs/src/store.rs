//! The chunks of a datastore, by their digests.

use crate::blob::unseal;
use crate::digest::{Digest, digest_of, hex};
use crate::error::PbsError;
use crate::key::BackupKey;
use crate::layout::{CHUNK_OVERHEAD, CHUNKS, MAX_CLIMB};
use crate::manifest::Mode;
use format_core::{Error, ErrorKind, Result, SourceFolder, Storage};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// Content of chunks that is kept for small reads, in bytes.
const KEPT: usize = 32 << 20;
/// Buffers that are kept for reading chunks.
const BUFFERS: usize = 8;

/// A datastore and the key to it.
pub(crate) struct Store {
    folder: Option<SourceFolder>,
    /// Whether `.chunks` is in `place`, but as a link that leads out of it.
    is_link: bool,
    /// What messages call the place where it was looked for.
    place: String,
    key: Option<BackupKey>,
    /// Why there is no key, where one was given.
    no_key: PbsError,
    kept: Mutex<VecDeque<(Digest, Arc<[u8]>)>>,
    buffers: Mutex<Vec<Vec<u8>>>,
}

/// What reading a chunk told about it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ChunkFacts {
    /// Size of its file in bytes.
    pub(crate) file_size: u64,
    pub(crate) is_packed: bool,
}

/// Which chunk is wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    pub(crate) digest: &'a Digest,
    /// Whether the manifest says that chunks are encrypted, and of which file; without a manifest all are taken.
    pub(crate) mode: Option<(Mode, &'a str)>,
}

/// The folder with `.chunks`: `folder` or one above it.
pub(crate) fn above(folder: &SourceFolder) -> Option<SourceFolder> {
    (0..=MAX_CLIMB).map_while(|levels| folder.climb(levels).ok()).find(|folder| folder.has_folder(CHUNKS))
}

/// The folder with a `.chunks` that leads out of it: `folder` or one above it.
fn linked_above(folder: &SourceFolder) -> Option<SourceFolder> {
    let leads_out =
        |folder: &SourceFolder| folder.entries(CHUNKS).is_err_and(|error| error.kind() == ErrorKind::Denied);
    let is_link = |folder: &SourceFolder| !folder.has_folder(CHUNKS) && leads_out(folder);
    (0..=MAX_CLIMB).map_while(|levels| folder.climb(levels).ok()).find(is_link)
}

impl Store {
    /// The datastore that `folder` lies in. `key` is the operator's, or why it cannot be used.
    pub(crate) fn new(folder: &SourceFolder, key: Result<Option<BackupKey>, PbsError>) -> Self {
        let (key, no_key) = match key {
            Ok(key) => (key, PbsError::NoKey),
            Err(error) => (None, error),
        };
        let (found, link) = (above(folder), linked_above(folder));
        Self {
            is_link: link.is_some(),
            place: link.as_ref().unwrap_or(folder).path().display().to_string(),
            folder: found,
            key,
            no_key,
            kept: Mutex::default(),
            buffers: Mutex::default(),
        }
    }

    /// The key, if there is one.
    pub(crate) fn key(&self) -> Option<&BackupKey> {
        self.key.as_ref()
    }

    /// A missing key is told with the reason.
    pub(crate) fn explained(&self, error: PbsError) -> PbsError {
        if error == PbsError::NoKey { self.no_key.clone() } else { error }
    }

    fn folder(&self) -> Result<&SourceFolder, PbsError> {
        let folder = || self.place.clone();
        let missing = || match self.is_link {
            true => PbsError::LinkedStore { folder: folder() },
            false => PbsError::NoStore { folder: folder() },
        };
        self.folder.as_ref().ok_or_else(missing)
    }

    /// Whether the chunk is there, with any content.
    pub(crate) fn has(&self, digest: &Digest) -> Result<bool> {
        Ok(self.folder()?.file_size(&path_of(digest))?.is_some())
    }

    /// Fills `out` with the content of a chunk, which is compared with its CRC and its digest.
    pub(crate) fn load(&self, wanted: Wanted<'_>, out: &mut [u8]) -> Result<ChunkFacts> {
        let mut bytes = self.take_buffer();
        let loaded = self.load_by(wanted, out, &mut bytes);
        self.give_buffer(bytes);
        loaded.map_err(|e| e.context(format!("chunk {}", hex(wanted.digest))))
    }

    fn load_by(&self, wanted: Wanted<'_>, out: &mut [u8], bytes: &mut Vec<u8>) -> Result<ChunkFacts> {
        let folder = self.folder()?;
        let path = path_of(wanted.digest);
        let file = folder.piece(&path).map_err(|error| match error.kind() {
            ErrorKind::SourceMissing => self.missing(folder, &path),
            _ => error,
        })?;
        let limit = (out.len() as u64).saturating_add(CHUNK_OVERHEAD);
        let file_size = file.size();
        if file_size > limit {
            return Err(PbsError::TooLong { limit }.into());
        }
        bytes.resize(file_size as usize, 0);
        file.read_exact_at(0, bytes)?;
        let blob = unseal(bytes, self.key.as_ref()).map_err(|e| self.explained(e))?;
        if let Some((mode, file)) = wanted.mode {
            let name = |sealed| if sealed { "encrypted" } else { "not encrypted" };
            let should = mode == Mode::Encrypt;
            if should != blob.is_sealed {
                let (found, wanted) = (name(blob.is_sealed), name(should));
                return Err(PbsError::Mode { file: file.to_owned(), found, wanted }.into());
            }
        }
        blob.unpack_into(out)?;
        let suffix = self.key.as_ref().filter(|_| blob.is_sealed).map(BackupKey::suffix).unwrap_or_default();
        let found = digest_of(&[out, suffix]);
        if found != *wanted.digest {
            return Err(PbsError::Digest { found: hex(&found) }.into());
        }
        Ok(ChunkFacts { file_size, is_packed: blob.is_packed })
    }

    /// The content of a chunk of `len` bytes, for reads of a part of it.
    pub(crate) fn content(&self, wanted: Wanted<'_>, len: usize) -> Result<Arc<[u8]>> {
        let lock = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        {
            let mut kept = lock();
            if let Some(found) =
                kept.iter().position(|(digest, content)| digest == wanted.digest && content.len() == len)
            {
                // The last one is the one used last.
                if let Some(entry) = kept.remove(found) {
                    let content = Arc::clone(&entry.1);
                    kept.push_back(entry);
                    return Ok(content);
                }
            }
        }
        // Read without the lock: others go on.
        let mut content = vec![0; len];
        self.load(wanted, &mut content)?;
        let content: Arc<[u8]> = content.into();
        let mut kept = lock();
        kept.push_back((*wanted.digest, Arc::clone(&content)));
        let mut bytes: usize = kept.iter().map(|(_, content)| content.len()).sum();
        while bytes > KEPT {
            bytes -= kept.pop_front().map_or(bytes, |(_, content)| content.len());
        }
        Ok(content)
    }

    /// The server renames chunks that its verification found to be damaged.
    fn missing(&self, folder: &SourceFolder, path: &str) -> Error {
        let is_bad = (0..10)
            .any(|number| folder.file_size(&format!("{path}.{number}.bad")).is_ok_and(|size| size.is_some()));
        let bad = if is_bad { ": a verification on the server found it damaged (.bad)" } else { "" };
        PbsError::ChunkMissing { bad }.into()
    }

    fn take_buffer(&self) -> Vec<u8> {
        self.buffers.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    fn give_buffer(&self, buffer: Vec<u8>) {
        let mut buffers = self.buffers.lock().unwrap_or_else(PoisonError::into_inner);
        if buffers.len() < BUFFERS {
            buffers.push(buffer);
        }
    }
}

/// Where a chunk lies below the root.
fn path_of(digest: &Digest) -> String {
    let name = hex(digest);
    format!("{CHUNKS}/{}/{name}", &name[..4])
}
