//! The snapshots of a group, from either side.

use crate::metadata::{GroupText, SegmentKind};
use std::collections::{BTreeMap, BTreeSet};

/// Which volume is a snapshot of which.
#[derive(Default)]
pub(crate) struct Snapshots<'a> {
    /// The stores of an origin's snapshots.
    by_origin: BTreeMap<&'a str, Vec<&'a str>>,
    /// The origin of what a store keeps.
    pub(crate) by_store: BTreeMap<&'a str, &'a str>,
    /// Origins into which a snapshot is being merged.
    merging: BTreeSet<&'a str>,
    /// Sectors of a store's chunks.
    chunks: BTreeMap<&'a str, u64>,
}

impl<'a> Snapshots<'a> {
    pub(crate) fn of(text: &'a GroupText) -> Self {
        let mut found = Self::default();
        for segment in text.logical.iter().flat_map(|logical| &logical.segments) {
            if let SegmentKind::Snapshot { origin, store, is_merging, chunk_size } = &segment.kind {
                found.by_origin.entry(origin).or_default().push(store);
                found.by_store.insert(store, origin);
                found.merging.extend(is_merging.then_some(origin.as_str()));
                found.chunks.extend(chunk_size.map(|size| (store.as_str(), size)));
            }
        }
        found
    }

    /// The stores of the snapshots of `origin`.
    pub(crate) fn stores(&self, origin: &str) -> &[&'a str] {
        self.by_origin.get(origin).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn is_merging(&self, origin: &str) -> bool {
        self.merging.contains(origin)
    }

    pub(crate) fn chunk(&self, store: &str) -> Option<u64> {
        self.chunks.get(store).copied()
    }
}
