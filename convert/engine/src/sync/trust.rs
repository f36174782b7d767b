//! What has to be true of a target before ranges that something kept track of can stand for all differences.

use super::Changes;
use super::copy::Known;
use super::hashes::differing;
use crate::digest::BlockList;
use crate::manifest::{Manifest, manifest_path};
use crate::observer::Control;
use format_core::{Disk, RangeSet, Result, Warning};
use std::borrow::Cow;
use std::path::Path;

/// What the target's manifest says of the last run.
#[derive(Default)]
pub(super) struct Before {
    /// The hashes of what was written then.
    blocks: Option<BlockList>,
    /// Where that was not the source: fixups, and what could not be read.
    other: RangeSet,
}

impl Before {
    /// What the manifest of the image at `path` says of an image in this format; nothing where it is about another one.
    pub(super) fn of(path: &Path, format: &str, size: u64) -> Self {
        let Ok((manifest, blocks)) = Manifest::load(&manifest_path(path)) else { return Self::default() };
        if manifest.image.format != format || manifest.virtual_size != size {
            return Self::default();
        }
        let mut other = RangeSet::default();
        manifest
            .changed
            .iter()
            .chain(&manifest.unreadable)
            .for_each(|range| other.add(range.offset, range.len));
        Self { blocks: Some(blocks), other }
    }

    /// What the run goes by.
    pub(super) fn plan<'a>(
        &self,
        changes: Changes<'a>,
        old: &Disk,
        size: u64,
        control: Control<'_>,
    ) -> Result<Plan<'a, '_>> {
        Ok(match changes {
            Changes::Unknown => Plan { differ: None, target: None },
            Changes::ByHashes(remote) => {
                Plan { differ: Some(Cow::Owned(differing(remote, old, size, control)?)), target: None }
            }
            Changes::Tracked(ranges) if self.other.is_empty() => {
                Plan { differ: Some(Cow::Borrowed(ranges)), target: self.blocks.as_ref() }
            }
            Changes::Tracked(ranges) => {
                let mut all = ranges.clone();
                self.other.iter().for_each(|(offset, len)| all.add(offset, len));
                Plan { differ: Some(Cow::Owned(all)), target: self.blocks.as_ref() }
            }
        })
    }

    /// What a person should know when only tracked ranges were read.
    pub(super) fn warning(&self, changes: Changes<'_>, blocks_doubted: u64) -> Option<Warning> {
        if !matches!(changes, Changes::Tracked(_)) {
            return None;
        }
        if self.blocks.is_none() {
            let text = "the target has no manifest that tells what was written to it: that it still is what the changes were counted from was \
                taken on trust";
            return Some(Warning::new("sync-on-trust", text));
        }
        let text = format!(
            "{blocks_doubted} blocks of 4 MiB of the target were not what its manifest says: they were read from the source as a whole"
        );
        (blocks_doubted > 0).then(|| Warning::new("sync-target-changed", text))
    }
}

/// What is known before the run.
pub(super) struct Plan<'a, 'b> {
    differ: Option<Cow<'a, RangeSet>>,
    target: Option<&'b BlockList>,
}

impl Plan<'_, '_> {
    /// As the copy takes it; `None` where nothing is known.
    pub(super) fn known(&self) -> Option<Known<'_>> {
        Some(Known { differ: self.differ.as_deref()?, target: self.target })
    }
}
