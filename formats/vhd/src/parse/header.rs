//! The dynamic header of images that are not fixed.

use crate::error::VhdError;
use crate::layout::{
    BAT_ENTRY_LEN, DynamicHeader, FOOTER_LEN, HEADER_CHECKSUM_AT, HEADER_COOKIE, HEADER_LEN, MAX_BLOCK,
    MIN_BLOCK, VERSION, checksum,
};
use binrw::BinRead;
use std::io::Cursor;

/// Bytes of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Area {
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

impl Area {
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        self.offset < other.offset.saturating_add(other.length)
            && other.offset < self.offset.saturating_add(self.length)
    }

    fn ends_within(&self, size: u64) -> bool {
        self.offset.checked_add(self.length).is_some_and(|end| end <= size)
    }
}

/// What a dynamic header says, checked.
#[derive(Clone, Debug)]
pub(crate) struct Dynamic {
    pub(crate) block_size: u64,
    pub(crate) blocks: u64,
    /// As many entries as the disk has blocks.
    pub(crate) bat: Area,
    /// What no block may overlap: the footer's copy, this header and the BAT.
    pub(crate) used: [Area; 3],
    pub(crate) header: DynamicHeader,
    /// The header's wrong checksum, where that was to be ignored.
    pub(crate) ignored: Option<VhdError>,
}

/// Checks the header that lies at `offset` of a file that has `size` bytes before its footer.
pub(crate) fn parse_header(
    bytes: &[u8; HEADER_LEN],
    offset: u64,
    virtual_size: u64,
    size: u64,
    ignore_checksums: bool,
) -> Result<Dynamic, VhdError> {
    let found = *bytes.first_chunk::<8>().unwrap_or(&[0; 8]);
    if found != HEADER_COOKIE {
        return Err(VhdError::HeaderCookie { found });
    }
    let header =
        DynamicHeader::read(&mut Cursor::new(bytes)).map_err(|_| VhdError::HeaderCookie { found })?;
    let (found, computed) = (header.checksum, checksum(bytes, HEADER_CHECKSUM_AT));
    let ignored =
        (found != computed).then_some(VhdError::Checksum { structure: "dynamic header", found, computed });
    if let Some(wrong) = ignored.clone().filter(|_| !ignore_checksums) {
        return Err(wrong);
    }
    let found = header.header_version;
    if found >> 16 != VERSION >> 16 {
        return Err(VhdError::Version { structure: "dynamic header", found });
    }
    let block_size = u64::from(header.block_size);
    if !block_size.is_power_of_two() || !(MIN_BLOCK..=MAX_BLOCK).contains(&block_size) {
        return Err(VhdError::BlockSize { found: header.block_size });
    }
    let (blocks, entries) = (virtual_size.div_ceil(block_size), header.max_table_entries);
    if blocks > entries.into() {
        return Err(VhdError::BatTooSmall { entries, needed: blocks });
    }
    // At most 2^32 entries.
    let bat = Area { offset: header.table_offset, length: blocks * BAT_ENTRY_LEN };
    if !bat.ends_within(size) {
        return Err(VhdError::BatPlace { offset: bat.offset, length: bat.length, size });
    }
    let copy = Area { offset: 0, length: FOOTER_LEN as u64 };
    let own = Area { offset, length: HEADER_LEN as u64 };
    for (first, second) in [(copy, bat), (own, bat)] {
        if first.overlaps(&second) {
            return Err(VhdError::Overlap { first: first.offset, second: second.offset });
        }
    }
    Ok(Dynamic { block_size, blocks, bat, used: [copy, own, bat], header, ignored })
}
