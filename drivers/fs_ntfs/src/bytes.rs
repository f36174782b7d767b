//! Little-endian numbers at places that may not be there.

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// `len` bytes from `at`.
pub(crate) fn part(bytes: &[u8], at: usize, len: usize) -> Option<&[u8]> {
    bytes.get(at..at.checked_add(len)?)
}

/// `len` UTF-16 units from byte `at`.
pub(crate) fn units_at(bytes: &[u8], at: usize, len: usize) -> Option<Vec<u16>> {
    let bytes = part(bytes, at, len.checked_mul(2)?)?;
    Some(bytes.chunks_exact(2).filter_map(|unit| u16_at(unit, 0)).collect())
}
