//! A disk of a snapshot as a layer.

use crate::digest::{Digest, fingerprint_text, hex};
use crate::index::Index;
use crate::manifest::Mode;
use crate::store::{Store, Wanted};
use format_core::{ContentId, Details, Extent, ExtentKind, Layer, Result, check_guest_range};
use std::sync::Arc;

/// The chunks that an index lists.
pub(crate) struct PbsDisk {
    pub(crate) index: Index,
    pub(crate) store: Arc<Store>,
    /// The name of the index file.
    pub(crate) file: String,
    /// What the manifest says about the chunks.
    pub(crate) mode: Option<Mode>,
}

/// A part of a chunk.
struct Part {
    number: u64,
    /// Where in the chunk it begins.
    inside: usize,
    /// Length of the chunk.
    chunk: usize,
}

impl PbsDisk {
    /// Where the byte at guest offset `at` lies.
    fn part_at(&self, at: u64) -> Part {
        let header = &self.index.header;
        let number = at / header.chunk_size;
        // Chunks have 16 MiB at most.
        Part { number, inside: (at % header.chunk_size) as usize, chunk: header.len_of(number) as usize }
    }

    pub(crate) fn wanted<'a>(&'a self, digest: &'a Digest) -> Wanted<'a> {
        Wanted { digest, mode: self.mode.map(|mode| (mode, self.file.as_str())) }
    }

    fn check_range(&self, offset: u64, len: u64) -> Result<()> {
        check_guest_range(self.index.header.size, offset, len).map_err(|e| e.in_format(crate::FORMAT.name))
    }
}

impl Layer for PbsDisk {
    fn format(&self) -> &'static str {
        crate::FORMAT.name
    }

    fn virtual_size(&self) -> u64 {
        self.index.header.size
    }

    fn chunk_size(&self) -> u64 {
        self.index.header.chunk_size
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        self.check_range(offset, 1)?;
        let (is_zero, chunks) = self.index.run_at(self.part_at(offset).number)?;
        let header = &self.index.header;
        let end = (offset / header.chunk_size).saturating_add(chunks).saturating_mul(header.chunk_size);
        let kind = if is_zero { ExtentKind::Zero } else { ExtentKind::Data };
        Ok(Extent { offset, len: end.min(header.size) - offset, kind })
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.check_range(offset, buf.len() as u64)?;
        let (mut at, mut rest) = (offset, buf);
        while !rest.is_empty() {
            let part = self.part_at(at);
            let len = rest.len().min(part.chunk.saturating_sub(part.inside));
            let (now, later) = rest.split_at_mut(len);
            let digest = self.index.digest(part.number)?;
            if self.index.is_zero(part.number, &digest) {
                now.fill(0);
            } else if len == part.chunk {
                self.store.load(self.wanted(&digest), now)?;
            } else {
                let content = self.store.content(self.wanted(&digest), part.chunk)?;
                now.copy_from_slice(&content[part.inside..part.inside + len]);
            }
            (at, rest) = (at + len as u64, later);
        }
        Ok(())
    }

    fn content_id_at(&self, offset: u64) -> Option<ContentId> {
        self.check_range(offset, 1).ok()?;
        let Part { number, inside, chunk } = self.part_at(offset);
        let id = self.index.digest(number).ok()?;
        Some(ContentId { len: (chunk - inside) as u64, inside: inside as u64, id })
    }

    fn details(&self) -> Details {
        let header = &self.index.header;
        let mut details = Details::new();
        let mut put = |key: &str, value: serde_json::Value| details.insert(key.into(), value);
        put("chunk-size", header.chunk_size.into());
        put("chunks", header.chunks.into());
        put("index-checksum", hex(&header.sum).into());
        put("index-uuid", hex(&header.uuid).into());
        put("index-time", header.time.into());
        if let Some(mode) = self.mode {
            put("crypt-mode", mode.name().into());
        }
        if let Some(key) = self.store.key() {
            put("key-fingerprint", fingerprint_text(&key.fingerprint).into());
        }
        details
    }
}
