//! The index of a partition: for each block its place in a file of the set.

use crate::error::MrimgxError;
use crate::layout::element;
use crate::metadata::BlockHeader;
use format_core::{Bytes, Error, PageCache, Result, Storage};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// Elements in a page of the cache.
const IN_PAGE: u64 = (PageCache::MAX_PAGE / element::LEN) as u64;

/// Where a block lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Element {
    /// In the file with that number; 0 is a place like any other.
    pub(crate) position: u64,
    /// Of the content.
    pub(crate) md5: [u8; 16],
    /// Bytes in the file; none for a block of zeros.
    pub(crate) length: u32,
    pub(crate) file: u16,
}

/// Elements one after the other, read when they are needed: a disk of 1 TiB has 500 MB of them.
pub(crate) struct Elements {
    storage: Arc<dyn Storage>,
    at: u64,
    pub(crate) count: u64,
    pages: PageCache,
}

/// Where the elements of a partition lie in one file of the set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IndexPlace {
    /// The block, for its MD5.
    pub(crate) block: BlockHeader,
    pub(crate) reserved_at: u64,
    pub(crate) reserved: u64,
    pub(crate) blocks_at: u64,
    pub(crate) blocks: u64,
}

impl Element {
    fn parse(bytes: &[u8]) -> Result<Self> {
        let fields = Bytes::new(bytes, 0);
        Ok(Self {
            // A place beyond the middle of what numbers can say is outside of every file.
            position: fields.u64_le(element::POSITION)?,
            md5: fields.array(element::MD5)?,
            length: fields.u32_le(element::LENGTH)?,
            file: fields.u16_le(element::FILE)?,
        })
    }
}

impl IndexPlace {
    /// Reads the counts of the index in `block`.
    pub(crate) fn load(
        storage: &dyn Storage,
        block: &BlockHeader,
        is_delta: bool,
        partition: i32,
    ) -> Result<Self> {
        block.demand_plain()?;
        let element_len = if is_delta { element::DELTA_LEN } else { element::LEN } as u64;
        let wrong = |wanted| MrimgxError::IndexLength { partition, found: block.length, wanted };
        let count_at = |at: u64, wanted: u64| -> Result<u64> {
            if wanted > block.length {
                return Err(wrong(wanted).into());
            }
            let mut bytes = [0; 4];
            storage.read_exact_at(at, &mut bytes)?;
            Ok(u64::from(u32::from_le_bytes(bytes)))
        };
        let reserved = count_at(block.at, 8)?;
        let reserved_len = reserved.saturating_mul(element::LEN as u64);
        let blocks = count_at(block.at + 4 + reserved_len, reserved_len + 8)?;
        let wanted = reserved_len + 8 + blocks.saturating_mul(element_len);
        if wanted != block.length {
            return Err(wrong(wanted).into());
        }
        Ok(Self {
            block: block.clone(),
            reserved_at: block.at + 4,
            reserved,
            blocks_at: block.at + 8 + reserved_len,
            blocks,
        })
    }
}

impl Elements {
    pub(crate) fn new(storage: Arc<dyn Storage>, at: u64, count: u64) -> Self {
        Self { storage, at, count, pages: PageCache::default() }
    }

    /// The element of the block with this number.
    pub(crate) fn get(&self, number: u64) -> Result<Element> {
        let first = number / IN_PAGE * IN_PAGE;
        let len = self.count.saturating_sub(first).min(IN_PAGE) as usize * element::LEN;
        let at = self.at.saturating_add(first.saturating_mul(element::LEN as u64));
        let page = self.pages.page(self.storage.as_ref(), at, len)?;
        let inside = (number - first) as usize * element::LEN;
        Element::parse(Bytes::new(&page, at).slice(inside, element::LEN)?)
    }

    /// Whether the block with this number holds nothing, and how many from it on are alike, itself included; it looks no
    /// further than a page.
    pub(crate) fn run_at(&self, number: u64) -> Result<(bool, u64)> {
        let first = number / IN_PAGE * IN_PAGE;
        let end = self.count.min(first.saturating_add(IN_PAGE));
        let is_empty = self.get(number)?.length == 0;
        let mut next = number.saturating_add(1);
        while next < end && (self.get(next)?.length == 0) == is_empty {
            next += 1;
        }
        Ok((is_empty, next - number))
    }
}

/// An index that is put together from a full one and the changes of later files, in a temporary file.
pub(crate) struct Merged {
    file: File,
    count: u64,
    partition: i32,
}

impl Merged {
    /// A copy of the full index at `place`.
    pub(crate) fn new(file: File, full: &dyn Storage, place: &IndexPlace, partition: i32) -> Result<Self> {
        let merged = Self { file, count: place.blocks, partition };
        copy_pieces(full, place.blocks_at, place.blocks, element::LEN, |at, bytes| {
            merged.write(at.saturating_mul(element::LEN as u64), bytes)
        })?;
        Ok(merged)
    }

    /// Puts the changed elements at `place` in; `most` blocks fit into the partition.
    pub(crate) fn apply(&mut self, delta: &dyn Storage, place: &IndexPlace, most: u64) -> Result<()> {
        let mut count = self.count;
        copy_pieces(delta, place.blocks_at, place.blocks, element::DELTA_LEN, |_, bytes| {
            for changed in bytes.chunks_exact(element::DELTA_LEN) {
                let (content, number) = changed.split_at(element::LEN);
                let block = u64::from(Bytes::new(number, 0).u32_le(0)?);
                if block >= most {
                    let (partition, count) = (self.partition, most);
                    return Err(MrimgxError::DeltaBlock { partition, block, count }.into());
                }
                self.write(block * element::LEN as u64, content)?;
                // What lies between is a hole of the file: blocks of zeros.
                count = count.max(block + 1);
            }
            Ok(())
        })?;
        self.count = count;
        Ok(())
    }

    /// The finished index.
    pub(crate) fn finish(self) -> Result<Elements> {
        let failed = |e| Error::io("cannot use a temporary file", e);
        self.file.set_len(self.count.saturating_mul(element::LEN as u64)).map_err(failed)?;
        let name = std::path::Path::new("a temporary file");
        let storage = format_core::FileStorage::from_file(self.file, name)?;
        Ok(Elements::new(Arc::new(storage), 0, self.count))
    }

    fn write(&self, at: u64, bytes: &[u8]) -> Result<()> {
        self.file.write_all_at(bytes, at).map_err(|e| Error::io("cannot write a temporary file", e))
    }
}

/// Reads `count` pieces of `len` bytes from `at`, many at a time; each lot is given with the number of its first piece.
fn copy_pieces(
    storage: &dyn Storage,
    at: u64,
    count: u64,
    len: usize,
    mut take: impl FnMut(u64, &[u8]) -> Result<()>,
) -> Result<()> {
    let in_lot = (1 << 20) / len as u64;
    let mut buffer = vec![0; count.min(in_lot) as usize * len];
    let mut done = 0;
    while done < count {
        let lot = (count - done).min(in_lot);
        let bytes = &mut buffer[..lot as usize * len];
        storage.read_exact_at(at.saturating_add(done.saturating_mul(len as u64)), bytes)?;
        take(done, bytes)?;
        done += lot;
    }
    Ok(())
}
