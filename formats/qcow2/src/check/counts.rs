//! How often each host cluster is used, as the tables say.

use format_core::{Error, ErrorKind, Result};
use std::collections::HashMap;

/// Clusters on one page.
pub(super) const PAGE: u64 = 4096;
/// Pages of 8 KiB that are kept: 160 MiB, which is 5 TiB of 64 KiB clusters.
const MAX_PAGES: usize = 20 << 10;
/// The two high bits of a count are its use.
const COUNT: u16 = 0x3fff;

/// What a cluster is used for. Tables of one use may be shared by snapshots, others are alone in their clusters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    Data = 0x4000,
    L2 = 0x8000,
    Alone = 0xc000,
}

/// A count and a use for every host cluster, kept only where there is one.
#[derive(Default)]
pub(super) struct Counts {
    pages: HashMap<u64, Box<[u16]>>,
}

impl Counts {
    /// Counts `times` uses more. Tells whether the cluster has another use already, which excludes this one.
    pub(super) fn add(&mut self, cluster: u64, kind: Use, times: u64) -> Result<bool> {
        if self.pages.len() >= MAX_PAGES && !self.pages.contains_key(&(cluster / PAGE)) {
            return Err(limit("the file uses too much room to be checked in memory"));
        }
        let page = self.pages.entry(cluster / PAGE).or_insert_with(|| vec![0; PAGE as usize].into());
        let Some(entry) = page.get_mut((cluster % PAGE) as usize) else { return Ok(false) };
        let count = u64::from(*entry & COUNT).saturating_add(times);
        if count > COUNT.into() {
            return Err(limit("a cluster is used too often to be counted"));
        }
        let before = *entry & !COUNT;
        let overlap = before != 0 && (before != kind as u16 || kind == Use::Alone);
        *entry = kind as u16 | count as u16;
        Ok(overlap)
    }

    /// How often the cluster is used.
    pub(super) fn get(&self, cluster: u64) -> u64 {
        let page = self.pages.get(&(cluster / PAGE));
        page.and_then(|page| page.get((cluster % PAGE) as usize)).map_or(0, |entry| (entry & COUNT).into())
    }

    /// The numbers of all pages, ascending.
    pub(super) fn pages(&self) -> Vec<u64> {
        let mut pages: Vec<_> = self.pages.keys().copied().collect();
        pages.sort_unstable();
        pages
    }
}

pub(super) fn limit(text: &str) -> Error {
    Error::new(ErrorKind::Limit, text).in_format(crate::FORMAT.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uses_exclude_each_other() {
        let mut counts = Counts::default();
        assert!(!counts.add(5, Use::Data, 2).unwrap());
        assert!(!counts.add(5, Use::Data, 1).unwrap());
        assert_eq!(counts.get(5), 3);
        assert!(counts.add(5, Use::L2, 1).unwrap());
        assert!(!counts.add(PAGE, Use::Alone, 1).unwrap());
        assert!(counts.add(PAGE, Use::Alone, 1).unwrap());
        assert_eq!(counts.pages(), [0, 1]);
        assert_eq!(counts.add(5, Use::L2, 1 << 14).unwrap_err().kind(), ErrorKind::Limit);
    }

    #[test]
    fn the_map_is_bounded() {
        let mut counts = Counts::default();
        let end = (0..).find(|page| counts.add(page * PAGE, Use::Data, 1).is_err()).unwrap();
        assert_eq!(end, MAX_PAGES as u64);
    }
}
