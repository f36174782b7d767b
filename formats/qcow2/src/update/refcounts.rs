//! Reference counts of an image that is changed in place. New clusters are handed out at the end of the file.

use super::tables::big_endian;
use crate::check::refcounts::{decode, encode_at};
use crate::layout::*;
use crate::parse::Header;
use crate::read::read_words;
use format_core::{Error, ErrorKind, Result, UpdateStorage};
use std::ops::Range;

/// Where `refcount_table_offset` and, behind it, `refcount_table_clusters` are in the header.
const TABLE_PLACE_OFFSET: u64 = 48;
/// Largest refcount table that QEMU opens: 8 MiB.
const MAX_TABLE: u64 = 8 << 20;

pub(super) struct Refcounts {
    cluster_bits: u32,
    order: u32,
    /// Host offset of the table in the file, and its entries there.
    table_offset: u64,
    table_entries: u64,
    /// Host offsets of the blocks, with those that are not in the file yet.
    blocks: Vec<u64>,
    /// Clusters before this one have their counts in the file.
    counted: u64,
    /// The next new cluster.
    next: u64,
}

/// What the refcount table is to say once the blocks are durable.
pub(super) struct NewTable {
    /// Numbers of the entries that changed.
    entries: Range<usize>,
    /// Where the whole table moves to, and how many clusters it has there.
    moved: Option<(u64, u64)>,
}

impl Refcounts {
    pub(super) fn load(storage: &dyn UpdateStorage, header: &Header) -> Result<Self> {
        let (bits, file_size) = (header.geometry.cluster_bits, header.geometry.file_size);
        let table_offset = header.v2.refcount_table_offset;
        let table_entries = (u64::from(header.v2.refcount_table_clusters) << bits) / ENTRY_SIZE;
        // The check of the image bounded it; a table whose last cluster is cut short names no blocks there.
        let stored = table_entries.min(file_size.saturating_sub(table_offset) / ENTRY_SIZE);
        let mut blocks = read_words(storage, table_offset, stored as usize)?;
        blocks.iter_mut().for_each(|entry| *entry &= !0x1ff);
        let used = blocks.iter().rposition(|&block| block != 0).map_or(0, |last| last + 1);
        blocks.truncate(used);
        let end = file_size.div_ceil(1 << bits);
        let order = header.v3.refcount_order;
        Ok(Self { cluster_bits: bits, order, table_offset, table_entries, blocks, counted: end, next: end })
    }

    /// Host offset of `count` new clusters in a row.
    pub(super) fn allocate(&mut self, count: u64) -> Result<u64> {
        let host = self.next << self.cluster_bits;
        self.next += count;
        // The offset of an L2 entry has 56 bits, and a compressed one fewer; hosts have files of 2^63 bytes at most.
        if self.next >= 1 << (55 - self.cluster_bits) {
            return Err(Error::new(ErrorKind::Limit, "the image file would become too large"));
        }
        Ok(host)
    }

    fn per_block(&self) -> u64 {
        (8 << self.cluster_bits) >> self.order
    }

    fn block(&self, cluster: u64) -> Option<u64> {
        let index = usize::try_from(cluster / self.per_block()).ok()?;
        self.blocks.get(index).copied().filter(|&block| block != 0)
    }

    /// Host offset of the bytes that hold the count of `cluster`, how many they are, and the count's number in them.
    fn bytes_of(&self, cluster: u64) -> Result<(u64, usize, u64)> {
        let block = self
            .block(cluster)
            .ok_or_else(|| Error::corrupt(format!("the cluster {cluster:#x} has no refcount block")))?;
        let (bits, index) = (1u64 << self.order, cluster % self.per_block());
        match bits.checked_div(8) {
            Some(len) if len > 0 => Ok((block + index * len, len as usize, 0)),
            _ => Ok((block + index * bits / 8, 1, index % (8 / bits))),
        }
    }

    /// The count that the file has for a cluster.
    pub(super) fn get(&self, storage: &dyn UpdateStorage, cluster: u64) -> Result<u64> {
        let (at, len, index) = self.bytes_of(cluster)?;
        let mut bytes = [0; 8];
        let bytes = bytes.get_mut(..len).unwrap_or_default();
        storage.read_exact_at(at, bytes)?;
        Ok(decode(bytes, index, self.order))
    }

    /// Changes the count that the file has for a cluster.
    pub(super) fn set(&self, storage: &dyn UpdateStorage, cluster: u64, count: u64) -> Result<()> {
        let (at, len, index) = self.bytes_of(cluster)?;
        let mut bytes = [0; 8];
        let bytes = bytes.get_mut(..len).unwrap_or_default();
        storage.read_exact_at(at, bytes)?;
        encode_at(bytes, index, self.order, count);
        storage.write_all_at(at, bytes)
    }

    /// Writes the counts of the new clusters, and the blocks that these need. Tells what the table is to say.
    pub(super) fn write_new(&mut self, storage: &dyn UpdateStorage) -> Result<NewTable> {
        let (bits, per_block, first_new) = (self.cluster_bits, self.per_block(), self.counted);
        let moved = self.make_blocks()?;
        let mut entries = 0..0;
        while self.counted < self.next {
            let index = self.counted / per_block;
            let clusters = self.counted..self.next.min((index + 1) * per_block);
            let host = self.blocks.get(index as usize).copied().unwrap_or(0);
            let mut bytes = vec![0; 1 << bits];
            if host >> bits >= first_new {
                let place = index as usize;
                entries =
                    if entries.start == entries.end { place..place + 1 } else { entries.start..place + 1 };
            } else {
                storage.read_exact_at(host, &mut bytes)?;
            }
            for cluster in clusters.clone() {
                encode_at(&mut bytes, cluster % per_block, self.order, 1);
            }
            storage.write_all_at(host, &bytes)?;
            self.counted = clusters.end;
        }
        if let Some((offset, clusters)) = moved {
            let mut words = self.blocks.clone();
            words.resize(((clusters << bits) / ENTRY_SIZE) as usize, 0);
            storage.write_all_at(offset, &big_endian(&words))?;
        }
        if storage.size() < self.next << bits {
            storage.set_len(self.next << bits)?;
        }
        Ok(NewTable { entries, moved })
    }

    /// Gives a block to all new clusters, the blocks themselves included, and a new place to a table that becomes too small.
    fn make_blocks(&mut self) -> Result<Option<(u64, u64)>> {
        let per_block = self.per_block();
        let (mut moved, mut index) = (None, self.counted / per_block);
        while index * per_block < self.next {
            if index >= self.table_entries && moved.is_none() {
                let clusters = self.larger_table()?;
                moved = Some((self.allocate(clusters)?, clusters));
            }
            let place = index as usize;
            self.blocks.resize(self.blocks.len().max(place + 1), 0);
            if self.blocks.get(place) == Some(&0) {
                let host = self.allocate(1)?;
                self.blocks.splice(place..=place, [host]);
            }
            index += 1;
        }
        Ok(moved)
    }

    /// Clusters of a table that has room for twice of what is needed now.
    fn larger_table(&self) -> Result<u64> {
        let needed = self.next / self.per_block() + 2;
        let most = MAX_TABLE / ENTRY_SIZE;
        if needed > most {
            return Err(Error::new(
                ErrorKind::Limit,
                "the image needs a larger refcount table than QEMU opens",
            )
            .hint("convert it anew, with larger clusters"));
        }
        Ok(((needed * 2).min(most) * ENTRY_SIZE).div_ceil(1 << self.cluster_bits))
    }

    /// Makes the new blocks known; tells whether there were any. A table that moved leaves its old clusters in `freed`.
    pub(super) fn write_table(
        &mut self,
        storage: &dyn UpdateStorage,
        new: NewTable,
        freed: &mut Vec<u64>,
    ) -> Result<bool> {
        let bits = self.cluster_bits;
        if let Some((offset, clusters)) = new.moved {
            let mut place = offset.to_be_bytes().to_vec();
            place.extend((clusters as u32).to_be_bytes());
            storage.write_all_at(TABLE_PLACE_OFFSET, &place)?;
            let old = (self.table_entries * ENTRY_SIZE) >> bits;
            freed.extend((self.table_offset >> bits..).take(old as usize));
            (self.table_offset, self.table_entries) = (offset, (clusters << bits) / ENTRY_SIZE);
            return Ok(true);
        }
        let words = self.blocks.get(new.entries.clone()).unwrap_or_default();
        if words.is_empty() {
            return Ok(false);
        }
        storage
            .write_all_at(self.table_offset + new.entries.start as u64 * ENTRY_SIZE, &big_endian(words))?;
        Ok(true)
    }
}
