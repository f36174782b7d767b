//! The reference counts that the file keeps.

use super::counts::limit;
use crate::layout::*;
use crate::parse::Header;
use crate::read::read_words;
use format_core::{ExtentKind, Page, PageCache, Result, Storage};

/// Largest refcount table that QEMU opens: 8 MiB.
const MAX_TABLE: u64 = 8 << 20;
/// `refcount table entry`: bits that are the block's host offset.
const BLOCK_MASK: u64 = !0x1ff;

/// The refcount table and the blocks that it names.
pub(super) struct Refcounts<'a> {
    storage: &'a dyn Storage,
    cluster_bits: u32,
    /// A count has two to the power of this many bits.
    order: u32,
    /// Host offsets of the blocks, 0 where there is none.
    pub table: Vec<u64>,
    pages: PageCache,
    last: Option<(u64, Page)>,
}

impl<'a> Refcounts<'a> {
    pub(super) fn load(storage: &'a dyn Storage, header: &Header) -> Result<Self> {
        let cluster_bits = header.geometry.cluster_bits;
        let (offset, file_size) = (header.v2.refcount_table_offset, header.geometry.file_size);
        let len = u64::from(header.v2.refcount_table_clusters) << cluster_bits;
        if len > MAX_TABLE {
            return Err(limit(&format!(
                "the refcount table has {len:#x} bytes, the limit is {MAX_TABLE:#x}"
            )));
        }
        // The table's last cluster may be cut short; what is missing there names no block.
        let stored = len.min(file_size.saturating_sub(offset)) / ENTRY_SIZE;
        let mut table = read_words(storage, offset, stored as usize)?;
        table.iter_mut().for_each(|entry| *entry &= BLOCK_MASK);
        Ok(Self {
            storage,
            cluster_bits,
            order: header.v3.refcount_order,
            table,
            pages: PageCache::default(),
            last: None,
        })
    }

    /// Counts in one block.
    pub(super) fn per_block(&self) -> u64 {
        (8 << self.cluster_bits) >> self.order
    }

    /// Whether the file keeps the counts of this block.
    pub(super) fn has_block(&self, block: u64) -> bool {
        self.table.get(usize::try_from(block).unwrap_or(usize::MAX)).is_some_and(|&block| block != 0)
    }

    /// The reference count of a host cluster.
    pub(super) fn get(&mut self, cluster: u64) -> Result<u64> {
        let per_block = self.per_block();
        let block = self.table.get(usize::try_from(cluster / per_block).unwrap_or(usize::MAX)).copied();
        let Some(block) = block.filter(|&block| block != 0) else { return Ok(0) };
        let page_len = (1u64 << self.cluster_bits).min(PageCache::MAX_PAGE as u64);
        let per_page = (8 * page_len) >> self.order;
        let index = cluster % per_block;
        let at = block.saturating_add(index / per_page * page_len);
        let page = match &self.last {
            Some((kept, page)) if *kept == at => page,
            _ => {
                let page = self.pages.page(self.storage, at, page_len as usize)?;
                &self.last.insert((at, page)).1
            }
        };
        Ok(decode(page, index % per_page, self.order))
    }

    /// The counts of `clusters` clusters from `first`, which lie in one block; `None` where all are 0.
    pub(super) fn piece(&self, first: u64, clusters: u64) -> Result<Option<Vec<u64>>> {
        let per_block = self.per_block();
        let block = self.table.get((first / per_block) as usize).copied().unwrap_or(0);
        let bits = 1u64 << self.order;
        let at = block.saturating_add(first % per_block * bits / 8);
        let len = (clusters * bits).div_ceil(8);
        if block == 0 {
            return Ok(None);
        }
        let mut bytes = vec![0; len as usize];
        self.storage.read_exact_at(at, &mut bytes)?;
        if format_core::is_zero(&bytes) {
            return Ok(None);
        }
        Ok(Some((0..clusters).map(|index| decode(&bytes, index, self.order)).collect()))
    }
}

/// Whether the file holds nothing there, which reads as zeros.
pub(super) fn is_hole(storage: &dyn Storage, at: u64, len: u64) -> Result<bool> {
    let extent = storage.data_at(at)?;
    Ok(extent.kind == ExtentKind::Zero && extent.len >= len)
}

/// Count `index`. Counts smaller than a byte start at its lowest bit, larger ones are big-endian.
pub(crate) fn decode(bytes: &[u8], index: u64, order: u32) -> u64 {
    let index = index as usize;
    if order >= 3 {
        let width = 1 << (order - 3);
        let count = bytes.get(index * width..).and_then(|rest| rest.get(..width)).unwrap_or_default();
        return count.iter().fold(0, |value, &byte| value << 8 | u64::from(byte));
    }
    let per_byte = 8 >> order;
    let byte = bytes.get(index / per_byte).copied().unwrap_or(0);
    let mask = (1u16 << (1 << order)) - 1;
    u64::from(u16::from(byte) >> ((index % per_byte) << order) & mask)
}

/// Sets count `index` of those that [`decode`] reads.
pub(crate) fn encode_at(bytes: &mut [u8], index: u64, order: u32, count: u64) {
    let index = index as usize;
    if order >= 3 {
        let width = 1 << (order - 3);
        let field = bytes.get_mut(index * width..).and_then(|rest| rest.get_mut(..width)).unwrap_or_default();
        field.iter_mut().rev().zip(count.to_le_bytes()).for_each(|(to, byte)| *to = byte);
        return;
    }
    let (per_byte, mask) = (8 >> order, (1u8 << (1 << order)) - 1);
    let shift = (index % per_byte) << order;
    if let Some(byte) = bytes.get_mut(index / per_byte) {
        *byte = *byte & !(mask << shift) | (count as u8 & mask) << shift;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_every_width_are_decoded() {
        let bytes = [0b1110_0100, 0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde];
        let all = |order, n| (0..n).map(|index| decode(&bytes, index, order)).collect::<Vec<_>>();
        assert_eq!(all(0, 8), [0, 0, 1, 0, 0, 1, 1, 1]);
        assert_eq!(all(1, 4), [0, 1, 2, 3]);
        assert_eq!(all(2, 4), [4, 14, 2, 1]);
        assert_eq!(all(3, 2), [0xe4, 0x12]);
        assert_eq!(all(4, 2), [0xe412, 0x3456]);
        assert_eq!(all(5, 2), [0xe412_3456, 0x789a_bcde]);
        assert_eq!(all(6, 2), [0xe412_3456_789a_bcde, 0]);
    }

    #[test]
    fn a_count_that_is_set_is_read_and_the_others_stay() {
        for order in 0..=6 {
            let mut bytes = vec![0xff; 32];
            let counts = (8 * 32) >> order;
            for index in 0..counts {
                encode_at(&mut bytes, index, order, index & 1);
            }
            for index in 0..counts {
                assert_eq!(decode(&bytes, index, order), index & 1, "{order} {index}");
            }
        }
    }
}
