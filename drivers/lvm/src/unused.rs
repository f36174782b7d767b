//! Extents of physical volumes that no logical volume has, hidden ones included.

use crate::label::printed;
use crate::metadata::{GroupText, SegmentKind};
use crate::text::Section;
use std::collections::BTreeMap;
use std::ops::Range;

/// What is unused of each physical volume, in bytes, by its UUID as `pvs` prints it. Nothing where a segment of a type that
/// is not mapped here names a physical volume itself, as moving extents does: then nobody here knows which extents it has.
///
/// The segments were checked: their ends lie on their physical volumes, or they are not used.
pub(crate) fn unused(text: &GroupText) -> BTreeMap<String, Vec<Range<u64>>> {
    let mut used: BTreeMap<&str, Vec<Range<u64>>> = BTreeMap::new();
    for segment in text.logical.iter().flat_map(|logical| &logical.segments) {
        match &segment.kind {
            SegmentKind::Striped { stripes, .. } => {
                let count = segment.count / (stripes.len() as u64).max(1);
                for (name, first) in stripes {
                    used.entry(name).or_default().push(*first..first.saturating_add(count));
                }
            }
            SegmentKind::Snapshot { .. } => {}
            SegmentKind::Other(_, section) if names_physical(section, text) => return BTreeMap::new(),
            SegmentKind::Other(..) => {}
        }
    }
    let mut found = BTreeMap::new();
    for (name, physical) in &text.physical {
        let mut own = used.remove(name.as_str()).unwrap_or_default();
        own.sort_unstable_by_key(|extents| extents.start);
        let (mut free, mut at) = (Vec::new(), 0);
        for extents in own.into_iter().chain(std::iter::once(physical.count..physical.count)) {
            if at < extents.start {
                let byte = |extent: u64| physical.start + extent * text.extent_size;
                free.push(byte(at)..byte(extents.start.min(physical.count)));
            }
            at = at.max(extents.end);
        }
        free.retain(|range| range.start < range.end);
        found.insert(printed(&physical.id), free);
    }
    found
}

fn names_physical(section: &Section, text: &GroupText) -> bool {
    section.iter().flat_map(|(_, node)| node.texts()).any(|name| text.physical.contains_key(name))
        || section.sections().any(|(_, inner)| names_physical(inner, text))
}
