//! Which host bytes are used, for checks: everything is claimed once.

use crate::{Error, ErrorKind, Result};
use std::collections::BTreeMap;

/// Units on one page of the map.
const PAGE_UNITS: u64 = 1 << 15;
/// Pages of 4 KiB that are kept: 96 MiB, which is 3 TiB of 4 KiB units in use or 48 TiB of 64 KiB clusters.
const MAX_PAGES: usize = 24 << 10;

/// A bit for every unit of a file, kept only where something is claimed.
#[derive(Debug)]
pub struct Claims {
    unit: u64,
    pages: BTreeMap<u64, Box<[u64]>>,
}

impl Claims {
    /// Nothing claimed yet; `unit` bytes is the granularity, at least 1.
    #[must_use]
    pub fn new(unit: u64) -> Self {
        Self { unit: unit.max(1), pages: BTreeMap::new() }
    }

    /// Claims all units that `len` bytes from `offset` touch. Gives the number of units that had been claimed before.
    ///
    /// # Errors
    /// `Limit` when the map would grow beyond its bound.
    pub fn claim(&mut self, offset: u64, len: u64) -> Result<u64> {
        let (mut unit, end) = (offset / self.unit, offset.saturating_add(len).div_ceil(self.unit));
        let mut again = 0;
        if len == 0 {
            return Ok(0);
        }
        while unit < end {
            let stop = end.min((unit / PAGE_UNITS + 1) * PAGE_UNITS);
            let page = self.page(unit / PAGE_UNITS)?;
            while unit < stop {
                let (word, bit) = ((unit % PAGE_UNITS / 64) as usize, unit % 64);
                let take = (64 - bit).min(stop - unit);
                let mask = (u64::MAX >> (64 - take)) << bit;
                if let Some(word) = page.get_mut(word) {
                    again += u64::from((*word & mask).count_ones());
                    *word |= mask;
                }
                unit += take;
            }
        }
        Ok(again)
    }

    /// Whether the unit around `offset` is claimed.
    #[must_use]
    pub fn contains(&self, offset: u64) -> bool {
        let unit = offset / self.unit;
        let word =
            self.pages.get(&(unit / PAGE_UNITS)).and_then(|page| page.get((unit % PAGE_UNITS / 64) as usize));
        word.is_some_and(|word| word >> (unit % 64) & 1 != 0)
    }

    /// How many units are claimed.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.pages.values().flat_map(|page| page.iter()).map(|word| u64::from(word.count_ones())).sum()
    }

    fn page(&mut self, number: u64) -> Result<&mut [u64]> {
        if self.pages.len() >= MAX_PAGES && !self.pages.contains_key(&number) {
            return Err(Error::new(ErrorKind::Limit, "the file uses too much room to be checked in memory"));
        }
        Ok(self.pages.entry(number).or_insert_with(|| vec![0; (PAGE_UNITS / 64) as usize].into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
        #[test]
        fn claims_agree_with_a_set(ranges in prop::collection::vec((0u64..200_000, 0u64..70_000), 0..12)) {
            let (mut claims, mut set) = (Claims::new(2), BTreeSet::new());
            for (offset, len) in ranges {
                let units = offset / 2..if len == 0 { 0 } else { (offset + len).div_ceil(2) };
                let again = units.filter(|unit| !set.insert(*unit)).count();
                prop_assert_eq!(claims.claim(offset, len).unwrap(), again as u64);
            }
            prop_assert_eq!(claims.count(), set.len() as u64);
            for unit in 0..150_000 {
                prop_assert_eq!(claims.contains(unit * 2 + 1), set.contains(&unit));
            }
        }
    }

    #[test]
    fn the_map_is_bounded() {
        let mut claims = Claims::new(1);
        assert_eq!(claims.claim(0, u64::MAX).unwrap_err().kind(), ErrorKind::Limit);
    }
}
