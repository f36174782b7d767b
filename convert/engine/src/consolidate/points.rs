//! The proof: every kept point reads through the new image as it read through the old chain.
//!
//! A point differs from the one below it only where its own image holds something, so only those blocks are hashed again.

use crate::blocks::BlockSet;
use crate::digest::{BLOCK_SIZE, BlockList, Digest};
use crate::manifest::{Manifest, manifest_path};
use crate::observer::Control;
use crate::pipeline::{digest_blocks, digest_disk};
use format_core::{Disk, Error, ErrorKind, ExtentKind, Layer, Result, Warning};
use std::path::PathBuf;
use std::sync::Arc;

/// The layers of the kept points, top first, the oldest of them last, with all that is below it.
pub(super) struct Points<'a> {
    /// All layers of the chain, top first.
    pub(super) layers: &'a [Arc<dyn Layer>],
    /// The files of the kept points, top first.
    pub(super) paths: &'a [PathBuf],
    /// The new image, which holds the oldest kept point.
    pub(super) new: Arc<dyn Layer>,
}

/// What was proven.
pub(super) struct Proven {
    /// The digests of the kept points, top first.
    pub(super) digests: Vec<Digest>,
    pub(super) warnings: Vec<Warning>,
}

impl Points<'_> {
    /// Compares all kept points; `oldest` are the hashes of the oldest one as the copy read it from the old chain.
    ///
    /// # Errors
    /// `Mismatch` when a point reads otherwise, or is not what its manifest says; what the images report.
    pub(super) fn prove(&self, oldest: &BlockList, control: Control<'_>) -> Result<Proven> {
        let full = Disk::new(vec![Arc::clone(&self.new)])?;
        let mut after = digest_disk(&full, "verify", control)?.blocks;
        let mut proven = Proven { digests: Vec::new(), warnings: Vec::new() };
        let last = self.paths.len().saturating_sub(1);
        self.compare(last, oldest, &after, &mut proven)?;
        let mut before: Option<BlockList> = None;
        for index in (0..last).rev() {
            let Some(layer) = self.layers.get(index) else { break };
            let below = before.as_ref().unwrap_or(oldest);
            let changed = changed_blocks(layer.as_ref(), below.virtual_size(), control)?;
            let own = rehashed(below, &self.through(index, false)?, &changed, control)?;
            after = rehashed(&after, &self.through(index, true)?, &changed, control)?;
            self.compare(index, &own, &after, &mut proven)?;
            before = Some(own);
        }
        proven.digests.reverse();
        Ok(proven)
    }

    /// The point through the old chain or through the new image.
    fn through(&self, index: usize, new: bool) -> Result<Disk> {
        let above = self.layers.iter().take(self.paths.len().saturating_sub(1));
        let above: Vec<_> = above.skip(index).cloned().collect();
        match new {
            true => Disk::new(above.into_iter().chain([Arc::clone(&self.new)]).collect()),
            false => Disk::new(self.layers.iter().skip(index).cloned().collect()),
        }
    }

    fn compare(
        &self,
        index: usize,
        before: &BlockList,
        after: &BlockList,
        proven: &mut Proven,
    ) -> Result<()> {
        let (old, new) = (before.digest()?, after.digest()?);
        let Some(path) = self.paths.get(index) else { return Ok(()) };
        if old != new {
            let text = format!("{} would not read as before: {old} before, {new} then", path.display());
            return Err(
                Error::new(ErrorKind::Mismatch, text).hint("nothing was changed; do not remove anything")
            );
        }
        match Manifest::load(&manifest_path(path)) {
            Ok((manifest, _)) if manifest.digest_value()? != old => {
                let text = format!("{} is not what its manifest says", path.display());
                // The newest image may be in use since it was written.
                if index > 0 {
                    return Err(Error::new(ErrorKind::Mismatch, text).hint(
                        "nothing was changed. Look with 'rehome verify'; if the change was meant, remove the manifest",
                    ));
                }
                proven.warnings.push(Warning::new("manifest-stale", text));
            }
            Err(e) if e.kind() != ErrorKind::SourceMissing => {
                proven.warnings.push(Warning::new("manifest-unreadable", e.to_string()));
            }
            _ => {}
        }
        proven.digests.push(old);
        Ok(())
    }
}

/// The blocks of which the layer holds something, and those in which the disk below it has another end.
fn changed_blocks(layer: &dyn Layer, size_below: u64, control: Control<'_>) -> Result<BlockSet> {
    let size = layer.virtual_size();
    let mut set = BlockSet::new(size);
    let mut insert = |start: u64, end: u64| {
        (start / BLOCK_SIZE..end.div_ceil(BLOCK_SIZE)).for_each(|index| set.insert(index));
    };
    if size != size_below {
        insert(size.min(size_below), size);
        // The block in which the shorter one ends.
        insert(size.min(size_below).saturating_sub(1), size.min(size_below));
    }
    let mut at = 0;
    while at < size {
        control.check()?;
        let extent = layer.extent_at(at)?;
        let end = extent.offset.checked_add(extent.len).filter(|end| *end > at && *end <= size);
        let end = end.ok_or_else(|| Error::contract("an extent that does not go on"))?;
        if extent.kind != ExtentKind::Unallocated {
            insert(at, end);
        }
        at = end;
    }
    Ok(set)
}

/// The hashes of `disk`, which reads like that of `below` but for these blocks.
fn rehashed(below: &BlockList, disk: &Disk, changed: &BlockSet, control: Control<'_>) -> Result<BlockList> {
    let read = digest_blocks(disk, "verify points", changed, control)?.blocks;
    let list = BlockList::new(disk.virtual_size())?;
    below.for_each(|index, hash| {
        if changed.contains(index) || index >= crate::digest::block_count(disk.virtual_size()) {
            return Ok(());
        }
        list.set(index, &hash)
    })?;
    for index in changed.iter() {
        list.set(index, &read.get(index)?)?;
    }
    Ok(list)
}
