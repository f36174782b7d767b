//! The checksum of metadata in version 5.

/// CRC32c of `bytes` with the four bytes at `at`, where it is stored (little endian, alone among XFS's numbers), as zeros.
pub(crate) fn checksum(bytes: &[u8], at: usize) -> u32 {
    let before = crc32c::crc32c(bytes.get(..at).unwrap_or_default());
    let zeros = crc32c::crc32c_append(before, &[0; 4]);
    crc32c::crc32c_append(zeros, bytes.get(at + 4..).unwrap_or_default())
}
