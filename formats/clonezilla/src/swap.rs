//! Swap areas: Clonezilla saves what identifies them, and makes them anew.

use crate::error::ClonezillaError;
use uuid::Uuid;

const PAGE: usize = 4096;

/// The first page of a swap area of `size` bytes with the UUID and label that `text` has, as mkswap writes it.
pub(crate) fn header(part: &str, file: &str, text: &str, size: u64) -> Result<Vec<u8>, ClonezillaError> {
    let value = |key: &str| {
        let found = text.lines().find_map(|line| line.trim().strip_prefix(key)?.strip_prefix('='));
        found.map(|value| value.trim().trim_matches(['"', '\'']))
    };
    let bad = || ClonezillaError::Swap { part: part.into(), file: file.into(), size };
    let uuid = match value("UUID").filter(|uuid| !uuid.is_empty()) {
        Some(uuid) => Uuid::parse_str(uuid).map_err(|_| bad())?,
        None => Uuid::nil(),
    };
    // A header has to count two pages at least.
    let last = (size / PAGE as u64).checked_sub(1).filter(|last| *last > 0).ok_or_else(bad)?;
    let last = u32::try_from(last).unwrap_or(u32::MAX);
    let mut page = vec![0; PAGE];
    let mut put = |at: usize, bytes: &[u8]| page[at..at + bytes.len()].copy_from_slice(bytes);
    put(1024, &1u32.to_le_bytes());
    put(1028, &last.to_le_bytes());
    put(1036, uuid.as_bytes());
    let label = value("LABEL").unwrap_or_default().as_bytes();
    put(1052, &label[..label.len().min(15)]);
    put(PAGE - 10, b"SWAPSPACE2");
    Ok(page)
}
