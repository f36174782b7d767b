//! Numbers out of a block, zero where the block is too short. Callers check lengths where it matters.

fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
}

pub(crate) fn byte(bytes: &[u8], at: usize) -> u8 {
    bytes.get(at).copied().unwrap_or_default()
}

pub(crate) fn be16(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes(array(bytes, at))
}

pub(crate) fn be32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(array(bytes, at))
}

pub(crate) fn be64(bytes: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(array(bytes, at))
}

pub(crate) fn le32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array(bytes, at))
}

pub(crate) fn uuid(bytes: &[u8], at: usize) -> [u8; 16] {
    array(bytes, at)
}

/// Writes `value` at `at`, if it fits.
pub(crate) fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(place) = bytes.get_mut(at..).and_then(|rest| rest.get_mut(..value.len())) {
        place.copy_from_slice(value);
    }
}

/// CRC32c of `bytes` with the four bytes at `at`, where it is stored (little endian, alone among XFS's numbers), as zeros.
pub(crate) fn checksum(bytes: &[u8], at: usize) -> u32 {
    let before = crc32c::crc32c(bytes.get(..at).unwrap_or_default());
    let zeros = crc32c::crc32c_append(before, &[0; 4]);
    crc32c::crc32c_append(zeros, bytes.get(at + 4..).unwrap_or_default())
}
