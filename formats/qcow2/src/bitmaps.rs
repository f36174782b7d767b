//! The directory of persistent dirty bitmaps. What one of them records is read by [`crate::changes`].

use crate::details::shown;
use crate::error::Qcow2Error;
use crate::layout::*;
use crate::parse::Header;
use binrw::BinRead;
use format_core::units::align_up;
use format_core::{Details, Result, Storage};
use serde_json::Value;
use std::io::Cursor;

/// A bitmap of the directory.
#[derive(Clone, Debug)]
pub(crate) struct Bitmap {
    pub name: Box<[u8]>,
    pub table_offset: u64,
    pub table_entries: u32,
    pub flags: u32,
    pub kind: u8,
    pub granularity_bits: u8,
    pub extra_data_size: u32,
}

/// The bitmaps of an image; none where the header says that they are stale.
pub(crate) fn load(storage: &dyn Storage, header: &Header) -> Result<Vec<Bitmap>> {
    let Some(place) = header.extensions.bitmaps else { return Ok(Vec::new()) };
    if header.bitmaps_are_stale() {
        return Ok(Vec::new());
    }
    let (count, offset, len) = (place.count, place.directory_offset, place.directory_size);
    let fault = |why| Qcow2Error::Bitmaps { count, offset, len, why };
    if count > MAX_BITMAPS || len > MAX_BITMAP_DIRECTORY {
        return Err(fault("QEMU opens no such directory").into());
    }
    if offset.checked_add(len).is_none_or(|end| end > header.geometry.file_size) {
        return Err(fault("it leaves the file").into());
    }
    let mut directory = vec![0; len as usize];
    if len > 0 {
        storage.read_exact_at(offset, &mut directory)?;
    }
    let (mut found, mut rest) = (Vec::new(), directory.as_slice());
    for _ in 0..count {
        let (bitmap, size) = entry(rest).ok_or_else(|| fault("an entry leaves the directory"))?;
        found.push(bitmap);
        rest = rest.get(size..).unwrap_or_default();
    }
    Ok(found)
}

/// The first entry and its length with padding.
fn entry(bytes: &[u8]) -> Option<(Bitmap, usize)> {
    let fixed = BitmapHeader::read(&mut Cursor::new(bytes)).ok()?;
    let name_at = BITMAP_HEADER_LENGTH.checked_add(fixed.extra_data_size as usize)?;
    let end = name_at.checked_add(fixed.name_size.into())?;
    let name = bytes.get(name_at..end)?.into();
    let bitmap = Bitmap {
        name,
        table_offset: fixed.bitmap_table_offset,
        table_entries: fixed.bitmap_table_size,
        flags: fixed.flags,
        kind: fixed.kind,
        granularity_bits: fixed.granularity_bits,
        extra_data_size: fixed.extra_data_size,
    };
    Some((bitmap, align_up(end as u64, 8)? as usize))
}

impl Bitmap {
    pub(crate) fn details(&self) -> Value {
        let names = [(BITMAP_IN_USE, "in-use"), (BITMAP_AUTO, "auto")];
        let flags: Vec<_> =
            names.iter().filter(|(bit, _)| self.flags & bit != 0).map(|(_, name)| *name).collect();
        let mut details = Details::new();
        details.insert("name".into(), shown(&self.name).into());
        details.insert("flags".into(), flags.into());
        let granularity = 1u64.checked_shl(self.granularity_bits.into()).unwrap_or(0);
        details.insert("granularity".into(), granularity.into());
        details.into()
    }
}
