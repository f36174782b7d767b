//! Where in the file each run of clusters lies: one pass over the commands.

use crate::error::NtfscloneError;
use crate::layout::{GAP, NEXT};
use crate::parse::Image;
use crate::walk::Walk;
use format_core::{Error, FileStorage, LayerContext, MemStorage, PageCache, Result, Storage, units::MIB};
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

/// Bytes of a run in the index.
const RECORD: usize = 24;
/// Runs in a page of the index.
const PER_PAGE: u64 = (PageCache::MAX_PAGE / RECORD) as u64;
/// A larger index goes into a temporary file.
const IN_MEMORY: usize = 8 << 20;
/// The commands are looked for in pieces of this size.
const WINDOW: u64 = MIB;

/// Clusters that follow each other in the partition and in the file, each with its command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) cluster: u64,
    pub(crate) count: u64,
    /// Where the first one's command is.
    pub(crate) host: u64,
}

/// All runs, ascending.
pub(crate) struct Index {
    storage: Arc<dyn Storage>,
    runs: u64,
    /// The first cluster of each page.
    firsts: Vec<u64>,
    cache: PageCache,
    /// How many clusters are in the image, the last part of the device counted as one.
    pub(crate) used: u64,
    /// Where the last command ends.
    pub(crate) end: u64,
    /// Whether the end of the device is in the image.
    pub(crate) has_tail: bool,
}

/// An index that is being made.
struct Builder<'a> {
    context: &'a LayerContext,
    bytes: Vec<u8>,
    file: Option<File>,
    runs: u64,
    firsts: Vec<u64>,
}

impl Index {
    pub(crate) fn build(storage: &dyn Storage, image: Image, context: &LayerContext) -> Result<Self> {
        let mut builder = Builder { context, bytes: Vec::new(), file: None, runs: 0, firsts: Vec::new() };
        let mut window = Window { storage, start: 0, bytes: Vec::new() };
        let mut walk = Walk::new(image);
        let (mut at, mut used, mut run) = (image.data, 0, None::<Run>);
        while !walk.is_complete() {
            if walk.may_end() && at >= storage.size() {
                break;
            }
            let cluster = walk.cluster;
            let [command] = window.read(at).ok_or_else(|| walk.ends(at))??;
            match command {
                GAP => {
                    walk.gap(window.read(at + 1).ok_or_else(|| walk.ends(at))??)?;
                    at += 9;
                }
                NEXT => {
                    let len = walk.next()? as u64;
                    if at + 1 + len > storage.size() {
                        return Err(walk.ends(at).into());
                    }
                    match &mut run {
                        Some(run) if run.cluster + run.count == cluster => run.count += 1,
                        _ => {
                            builder.take(run.replace(Run { cluster, count: 1, host: at }))?;
                        }
                    }
                    used += 1;
                    at += 1 + len;
                    continue;
                }
                found => return Err(NtfscloneError::Command { found, cluster }.into()),
            }
            builder.take(run.take())?;
        }
        let last = run.map(|run| run.cluster + run.count);
        builder.take(run)?;
        let has_tail = last.is_some_and(|end| end > image.clusters);
        builder.finish(used, at, has_tail)
    }

    /// The run that has `cluster`, or the first one behind it.
    pub(crate) fn find(&self, cluster: u64) -> Result<Option<Run>> {
        // The page that begins at or before it; the wanted run may be the first of the next page.
        let page = self.firsts.partition_point(|first| *first <= cluster).saturating_sub(1) as u64;
        for page in [page, page + 1] {
            let runs = self.runs.saturating_sub(page * PER_PAGE).min(PER_PAGE) as usize;
            if runs == 0 {
                break;
            }
            let at = page * PER_PAGE * RECORD as u64;
            let bytes = self.cache.page(self.storage.as_ref(), at, runs * RECORD)?;
            let (records, _) = bytes.as_chunks::<RECORD>();
            let found = records.partition_point(|record| {
                let run = Run::unpack(record);
                run.cluster + run.count <= cluster
            });
            if let Some(record) = records.get(found) {
                return Ok(Some(Run::unpack(record)));
            }
        }
        Ok(None)
    }
}

impl Run {
    fn pack(&self) -> [u8; RECORD] {
        let mut bytes = [0; RECORD];
        let numbers = [self.cluster, self.count, self.host];
        for (to, number) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(numbers) {
            *to = number.to_le_bytes();
        }
        bytes
    }

    fn unpack(bytes: &[u8; RECORD]) -> Self {
        let word = |at: usize| bytes.as_chunks::<8>().0.get(at).map_or(0, |word| u64::from_le_bytes(*word));
        Self { cluster: word(0), count: word(1), host: word(2) }
    }
}

impl Builder<'_> {
    fn take(&mut self, run: Option<Run>) -> Result<()> {
        let Some(run) = run else { return Ok(()) };
        if self.runs.is_multiple_of(PER_PAGE) {
            self.firsts.push(run.cluster);
        }
        self.runs += 1;
        self.bytes.extend_from_slice(&run.pack());
        if self.bytes.len() >= IN_MEMORY {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(self.context.opener.scratch()?),
        };
        file.write_all(&self.bytes).map_err(|e| {
            Error::io("cannot write a temporary file", e).hint("name another folder with --spool DIR")
        })?;
        self.bytes.clear();
        Ok(())
    }

    fn finish(mut self, used: u64, end: u64, has_tail: bool) -> Result<Index> {
        if self.file.is_some() {
            self.flush()?;
        }
        let storage: Arc<dyn Storage> = match self.file {
            Some(file) => Arc::new(FileStorage::from_file(file, Path::new("(temporary index of clusters)"))?),
            None => Arc::new(MemStorage(self.bytes)),
        };
        let (runs, firsts, cache) = (self.runs, self.firsts, PageCache::default());
        Ok(Index { storage, runs, firsts, cache, used, end, has_tail })
    }
}

/// The part of the file where the last command was.
struct Window<'a> {
    storage: &'a dyn Storage,
    start: u64,
    bytes: Vec<u8>,
}

impl Window<'_> {
    /// The bytes at `at`, or `None` where the file has ended.
    fn read<const N: usize>(&mut self, at: u64) -> Option<Result<[u8; N]>> {
        let size = self.storage.size();
        if at.checked_add(N as u64).is_none_or(|end| end > size) {
            return None;
        }
        let inside = |window: &Self| {
            let from = usize::try_from(at.checked_sub(window.start)?).ok()?;
            window.bytes.get(from..)?.first_chunk().copied()
        };
        if let Some(found) = inside(self) {
            return Some(Ok(found));
        }
        self.bytes.resize((size - at).min(WINDOW) as usize, 0);
        self.start = at;
        if let Err(error) = self.storage.read_exact_at(at, &mut self.bytes) {
            self.bytes.clear();
            return Some(Err(error));
        }
        inside(self).map(Ok)
    }
}
