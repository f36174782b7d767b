//! ext4's checksum.

/// The kernel's crc32c: seeded with `seed`, without inverting the result.
pub(crate) fn crc32c(seed: u32, bytes: &[u8]) -> u32 {
    !crc32c::crc32c_append(!seed, bytes)
}
