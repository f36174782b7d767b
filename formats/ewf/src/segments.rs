//! The segments of an image as one storage, one behind the other.

use crate::error::EwfError;
use crate::names::Naming;
use format_core::{FolderEntry, LayerContext, Result, SourceFolder, Storage};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Files that are kept open; of an image with more, the ones that were used last.
const KEPT: usize = 128;
/// Segments without a folder, all of which stay open.
const MOST_OPEN: u32 = 512;

/// All segments: the bytes of the second follow those of the first.
pub(crate) struct Segments {
    parts: Vec<Part>,
    size: u64,
    folder: Option<Arc<SourceFolder>>,
    open: Mutex<Vec<(usize, Arc<dyn Storage>)>>,
}

struct Part {
    start: u64,
    size: u64,
    file: File,
}

/// The bytes of a segment.
pub(crate) enum File {
    Open(Arc<dyn Storage>),
    /// To be opened again in the folder.
    Named(String),
}

impl Segments {
    pub(crate) fn new(folder: Option<Arc<SourceFolder>>) -> Self {
        Self { parts: Vec::new(), size: 0, folder, open: Mutex::default() }
    }

    /// Adds the next segment and returns where it begins.
    pub(crate) fn push(&mut self, file: File, size: u64) -> u64 {
        let start = self.size;
        self.parts.push(Part { start, size, file });
        // Sizes of files, and at most some thousands of them.
        self.size = self.size.saturating_add(size);
        start
    }

    pub(crate) fn count(&self) -> usize {
        self.parts.len()
    }

    /// The number of the segment, from 1, that holds the byte at `offset`, and where in it that is.
    pub(crate) fn place(&self, offset: u64) -> (u32, u64) {
        let after = self.parts.partition_point(|part| part.start <= offset);
        let start = after.checked_sub(1).and_then(|index| self.parts.get(index)).map_or(0, |part| part.start);
        (u32::try_from(after.max(1)).unwrap_or(u32::MAX), offset - start)
    }

    fn storage(&self, index: usize) -> Result<Arc<dyn Storage>> {
        let (name, folder) = match (self.parts.get(index).map(|part| &part.file), &self.folder) {
            (Some(File::Open(storage)), _) => return Ok(Arc::clone(storage)),
            (Some(File::Named(name)), Some(folder)) => (name, folder),
            _ => return Err(format_core::Error::contract("a segment without a file")),
        };
        let lock = || self.open.lock().unwrap_or_else(PoisonError::into_inner);
        {
            let mut open = lock();
            if let Some(found) = open.iter().position(|(kept, _)| *kept == index) {
                open[found..].rotate_left(1);
                if let Some((_, storage)) = open.last() {
                    return Ok(Arc::clone(storage));
                }
            }
        }
        let storage: Arc<dyn Storage> = Arc::new(folder.piece(name)?);
        let mut open = lock();
        if open.len() >= KEPT {
            open.remove(0);
        }
        open.push((index, Arc::clone(&storage)));
        Ok(storage)
    }
}

impl Storage for Segments {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, offset: u64, mut buf: &mut [u8]) -> Result<()> {
        let mut at = offset;
        let mut index = self.parts.partition_point(|part| part.start <= at).saturating_sub(1);
        while !buf.is_empty() {
            let Some(part) = self.parts.get(index) else {
                let text = format!("{:#x} bytes wanted behind the last segment", buf.len());
                return Err(format_core::Error::corrupt(text).in_format(crate::FORMAT.name));
            };
            let inside = at - part.start;
            let len = usize::try_from(part.size.saturating_sub(inside)).unwrap_or(usize::MAX).min(buf.len());
            let (now, rest) = buf.split_at_mut(len);
            if len > 0 {
                self.storage(index)?.read_exact_at(inside, now)?;
            }
            buf = rest;
            at += len as u64;
            index += 1;
        }
        Ok(())
    }
}

/// Finds the segments beside the first one.
pub(crate) struct Finder<'a> {
    context: &'a LayerContext,
    naming: Option<Naming>,
    listed: OnceLock<Vec<FolderEntry>>,
}

impl<'a> Finder<'a> {
    pub(crate) fn new(context: &'a LayerContext) -> Self {
        let naming = context.name.as_deref().and_then(Naming::of);
        Self { context, naming, listed: OnceLock::new() }
    }

    /// Opens segment `number`: its name and size, and the file, once to be read now and once to be kept.
    pub(crate) fn find(&self, number: u32) -> Result<(String, Arc<dyn Storage>, File)> {
        let Some(naming) = &self.naming else { return Err(EwfError::NoName { wanted: number }.into()) };
        let most = if self.context.folder.is_some() { naming.most() } else { MOST_OPEN.min(naming.most()) };
        let Some(name) = naming.name(number).filter(|_| number <= most) else {
            return Err(EwfError::TooManySegments { most }.into());
        };
        let Some(folder) = &self.context.folder else {
            let storage: Arc<dyn Storage> = Arc::new(self.context.gate.open(&name)?.storage);
            return Ok((name, Arc::clone(&storage), File::Open(storage)));
        };
        let (found, is_packed) = match folder.file_size(&name)? {
            Some(_) => (name, false),
            None => self.similar(&name)?.ok_or_else(|| self.missing(naming, number, name))?,
        };
        // Opening it in this way makes it a file of the source, which no target can replace.
        let storage: Arc<dyn Storage> = Arc::new(folder.file(&found)?);
        if is_packed {
            let storage = self.context.opener.unpacked(storage, &found)?;
            return Ok((found, Arc::clone(&storage), File::Open(storage)));
        }
        let kept = File::Named(found.clone());
        Ok((found, storage, kept))
    }

    fn entries(&self) -> &[FolderEntry] {
        // A folder that cannot be listed only makes messages poorer.
        self.listed.get_or_init(|| {
            self.context.folder.as_ref().and_then(|folder| folder.entries("").ok()).unwrap_or_default()
        })
    }

    /// The file that is called `name` but for the case of letters, or that and the extension of a compression.
    fn similar(&self, name: &str) -> Result<Option<(String, bool)>> {
        let files = || self.entries().iter().filter(|entry| !entry.is_folder);
        let same = files().find(|entry| entry.name.eq_ignore_ascii_case(name));
        if let Some(entry) = same {
            return Ok(Some((entry.name.clone(), false)));
        }
        let packed = |entry: &&FolderEntry| {
            let stem = entry.name.rsplit_once('.').map(|(stem, _)| stem);
            stem.is_some_and(|stem| stem.eq_ignore_ascii_case(name))
        };
        let mut found = files().filter(packed);
        match (found.next(), found.next()) {
            (Some(entry), None) => Ok(Some((entry.name.clone(), true))),
            _ => Ok(None),
        }
    }

    fn missing(&self, naming: &Naming, number: u32, name: String) -> EwfError {
        let there: std::collections::BTreeSet<_> =
            self.entries().iter().filter_map(|entry| naming.number_beside(&entry.name)).collect();
        let last = there.last().copied().unwrap_or(0).min(naming.most());
        let gaps: Vec<_> = (number + 1..last).filter(|other| !there.contains(other)).collect();
        let names: Vec<_> = gaps.iter().take(5).filter_map(|gap| naming.name(*gap)).collect();
        let others = match gaps.len() {
            0 => String::new(),
            count => format!(", and {count} more before segment {last}: {}", names.join(", ")),
        };
        EwfError::SegmentMissing { number, name, others }
    }
}
