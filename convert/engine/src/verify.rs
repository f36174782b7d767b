//! Does an image still hold what its manifest says?

use crate::digest::{BLOCK_SIZE, Digest};
use crate::manifest::Manifest;
use crate::observer::Control;
use crate::pipeline::digest_disk;
use format_core::{Disk, Result};
use serde::Serialize;
use std::path::Path;

/// What a verification found.
#[derive(Clone, Debug, Serialize)]
pub struct Verification {
    /// Whether the image holds what the manifest says.
    pub ok: bool,
    /// The digest that the manifest promises.
    pub expected: String,
    /// The digest of the disk as it reads now.
    pub found: String,
    /// Size that the manifest promises, in bytes.
    pub expected_size: u64,
    /// Size of the disk now, in bytes.
    pub found_size: u64,
    /// How many 4 MiB blocks differ.
    pub differing_blocks: u64,
    /// Guest offset of the first block that differs.
    pub first_difference: Option<u64>,
    /// Bytes of data that were read and hashed.
    pub data_bytes: u64,
    /// Bytes that are zeros because the source could not be read when the image was written.
    pub unreadable_bytes: u64,
}

/// Reads `disk` and compares it with the manifest at `manifest`.
///
/// # Errors
/// What the disk and the manifest report. A difference is no error but a result.
pub fn verify_image(disk: &Disk, manifest: &Path, control: Control<'_>) -> Result<Verification> {
    let (manifest, expected) = Manifest::load(manifest)?;
    let read = digest_disk(disk, "verify", control)?;
    let (found, wanted): (Digest, Digest) = (read.blocks.digest()?, manifest.digest_value()?);
    let differing = if found == wanted || disk.virtual_size() != manifest.virtual_size {
        Vec::new()
    } else {
        expected.differing_blocks(&read.blocks)?
    };
    Ok(Verification {
        ok: found == wanted,
        expected: wanted.to_hex().to_string(),
        found: found.to_hex().to_string(),
        expected_size: manifest.virtual_size,
        found_size: disk.virtual_size(),
        differing_blocks: differing.len() as u64,
        first_difference: differing.first().map(|index| index * BLOCK_SIZE),
        data_bytes: read.read,
        unreadable_bytes: manifest.unreadable.iter().fold(0, |sum, range| sum.saturating_add(range.len)),
    })
}
