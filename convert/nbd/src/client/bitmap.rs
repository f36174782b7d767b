//! Changed ranges by a bitmap that QEMU keeps (`docs/interop/nbd.rst` of QEMU: `qemu:dirty-bitmap`, its lowest bit is "dirty").

use super::endpoint::Endpoint;
use super::extents::ask;
use super::facts::listed;
use super::fault::Fault;
use super::pool::Pool;
use crate::wire::{MAX_STRING, option};
use format_core::{Error, ErrorKind, RangeSet, Result};

/// Ranges that are held in memory; beyond, the closest become one.
const MAX_RANGES: usize = 1 << 19;
/// Contexts of a server that a message can name.
const MAX_CONTEXTS: usize = 1000;

/// The dirty ranges of the bitmap `name`.
pub(crate) fn dirty(endpoint: &Endpoint, name: &str) -> Result<RangeSet> {
    let wanted = format!("qemu:dirty-bitmap:{name}");
    if name.is_empty() || wanted.len() > MAX_STRING || wanted.contains('\0') {
        return Err(Error::usage("the name of a bitmap has 1 to 4000 bytes and no NUL").in_format("nbd"));
    }
    let mut endpoint = endpoint.clone();
    endpoint.limits.connections = 1;
    let pool = Pool::connect(endpoint, vec![wanted.clone()])?;
    let Some(context) = pool.facts.context(&wanted) else {
        return Err(pool.endpoint.named(missing(&pool.endpoint, name)));
    };
    let (mut ranges, mut at) = (Dirty::default(), 0);
    while at < pool.facts.size {
        let runs = ask(&pool, &wanted, context, |flags| flags & 1 == 0, at)?;
        for (start, end, is_clean) in runs.iter() {
            if !is_clean {
                ranges.add(start, end);
            }
        }
        at = runs.end();
    }
    Ok(ranges.into_set())
}

fn missing(endpoint: &Endpoint, name: &str) -> Error {
    let text = format!("the export has no bitmap {:?}", format_core::printable(name));
    let error = Error::new(ErrorKind::SourceMissing, text).in_format("nbd");
    match contexts(endpoint) {
        Ok(names) => error
            .context(format!("its metadata contexts are {}", listed(&names)))
            .hint("qemu-nbd exports the bitmap NAME with -B NAME"),
        Err(_) => error,
    }
}

/// What the server tells of its metadata contexts.
fn contexts(endpoint: &Endpoint) -> Result<Vec<String>, Fault> {
    let (mut haggle, _clock) = endpoint.haggle(endpoint.limits.handshake)?;
    let mut found = Vec::new();
    if haggle.agree_on_structure()? {
        let all = haggle.contexts(option::LIST_META_CONTEXT, &endpoint.export, &[], MAX_CONTEXTS)?;
        found = all.into_iter().map(|(name, _)| name).collect();
    }
    haggle.leave();
    Ok(found)
}

/// Ascending ranges, with a bound on their number.
#[derive(Default)]
struct Dirty {
    ranges: Vec<(u64, u64)>,
    /// Ranges that are no further apart than this are one.
    gap: u64,
}

impl Dirty {
    fn add(&mut self, start: u64, end: u64) {
        match self.ranges.last_mut() {
            Some((_, last)) if start.saturating_sub(*last) <= self.gap => *last = end,
            _ => self.ranges.push((start, end)),
        }
        while self.ranges.len() > MAX_RANGES {
            self.gap = (self.gap * 2).max(64 << 10);
            let gap = self.gap;
            self.ranges.dedup_by(|next, before| {
                let is_close = next.0 - before.1 <= gap;
                if is_close {
                    before.1 = next.1;
                }
                is_close
            });
        }
    }

    fn into_set(self) -> RangeSet {
        let mut set = RangeSet::default();
        self.ranges.iter().for_each(|(start, end)| set.add(*start, end - start));
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_ranges_become_coarse_and_lose_nothing() {
        let mut dirty = Dirty::default();
        let count = MAX_RANGES as u64 + 1000;
        (0..count).for_each(|n| dirty.add(n * (1 << 17), n * (1 << 17) + 4096));
        assert!(dirty.ranges.len() <= MAX_RANGES);
        let set = dirty.into_set();
        assert!((0..count).step_by(997).all(|n| set.run_at(n * (1 << 17)).0));
    }
}
