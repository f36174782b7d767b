//! Tables of 8-byte entries that lie plain in the file, read in pages.

use crate::{Error, ExtentKind, Page, PageCache, Result, Storage};

/// Bytes of an entry.
const WORD: u64 = 8;

/// Where a table lies and how its entries are read.
#[derive(Clone, Copy, Debug)]
pub struct WordTable {
    /// Host offset of the first entry.
    pub at: u64,
    /// Bytes, a multiple of 8.
    pub len: u64,
    /// The byte order: `u64::from_be_bytes` or `u64::from_le_bytes`.
    pub order: fn([u8; 8]) -> u64,
}

/// An entry, with the rest of its page behind it.
#[derive(Debug)]
pub struct WordEntry {
    /// The entry's value.
    pub value: u64,
    /// Host offset of the entry.
    pub at: u64,
    page: Page,
    place: usize,
    order: fn([u8; 8]) -> u64,
}

impl WordEntry {
    /// The entry `steps` further on in this page.
    #[must_use]
    pub fn further(&self, steps: u64) -> Option<u64> {
        let place = self.place.checked_add(usize::try_from(steps.checked_mul(WORD)?).ok()?)?;
        word_at(&self.page, place, self.order)
    }
}

fn word_at(page: &[u8], place: usize, order: fn([u8; 8]) -> u64) -> Option<u64> {
    Some(order(*page.get(place..)?.first_chunk()?))
}

impl WordTable {
    /// Entry `index`, by way of the cache.
    ///
    /// # Errors
    /// What the storage reports; `Contract` for an entry that the table does not have.
    pub fn entry(&self, cache: &PageCache, storage: &dyn Storage, index: u64) -> Result<WordEntry> {
        let missing = || Error::contract(format!("a table of {:#x} bytes has no entry {index:#x}", self.len));
        let inside = index.checked_mul(WORD).filter(|inside| *inside < self.len).ok_or_else(missing)?;
        let most = PageCache::MAX_PAGE as u64;
        let start = inside / most * most;
        let page = cache.page(storage, self.at + start, (self.len - start).min(most) as usize)?;
        let place = (inside - start) as usize;
        let value = word_at(&page, place, self.order).ok_or_else(missing)?;
        Ok(WordEntry { value, at: self.at + inside, page, place, order: self.order })
    }

    /// Calls `each` with the number and the value of all entries that are not 0, and passes over holes of the file.
    ///
    /// # Errors
    /// What the storage and `each` report.
    pub fn for_entries(
        &self,
        storage: &dyn Storage,
        mut each: impl FnMut(u64, u64) -> Result<()>,
    ) -> Result<()> {
        let most = PageCache::MAX_PAGE as u64;
        let (mut page, mut at) = (vec![0; self.len.min(most) as usize], 0);
        while at < self.len {
            let hole = storage.data_at(self.at + at)?;
            if hole.kind != ExtentKind::Data && hole.len >= WORD {
                at += hole.len / WORD * WORD;
                continue;
            }
            let page = page.get_mut(..(self.len - at).min(most) as usize).unwrap_or_default();
            storage.read_exact_at(self.at + at, page)?;
            let words = page.as_chunks::<8>().0.iter().map(|word| (self.order)(*word));
            for (index, word) in (at / WORD..).zip(words).filter(|(_, word)| *word != 0) {
                each(index, word)?;
            }
            at += page.len() as u64;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ErrorKind, MemStorage};

    #[test]
    fn entries_are_found_one_by_one_and_all_at_once() {
        let words = 20_000u64;
        let bytes: Vec<u8> = (0..words).flat_map(|n| if n % 3 == 0 { n } else { 0 }.to_be_bytes()).collect();
        let storage = MemStorage([vec![0xee; 40], bytes, vec![0xee; 8]].concat());
        let table = WordTable { at: 40, len: words * WORD, order: u64::from_be_bytes };
        let cache = PageCache::default();
        let mut seen = Vec::new();
        let keep = |index, word| {
            seen.push((index, word));
            Ok(())
        };
        table.for_entries(&storage, keep).unwrap();
        assert_eq!(seen, (1..words).filter(|n| n % 3 == 0).map(|n| (n, n)).collect::<Vec<_>>());
        for index in [0, 3, 8191, 8192, 9000, words - 1] {
            let entry = table.entry(&cache, &storage, index).unwrap();
            let value = |n: u64| if n.is_multiple_of(3) { n } else { 0 };
            assert_eq!((entry.value, entry.at), (value(index), 40 + index * WORD));
            assert!(entry.further(1).is_none_or(|next| next == value(index + 1)), "{index}");
        }
        assert!(
            table.entry(&cache, &storage, words - 1).unwrap().further(1).is_none(),
            "not behind the table"
        );
        for index in [words, u64::MAX] {
            assert_eq!(table.entry(&cache, &storage, index).unwrap_err().kind(), ErrorKind::Contract);
        }
    }
}
