//! The proof: the written image reads as the planned disk, and differs from the source only where fixups wrote.

use convert_engine::{BLOCK_SIZE, BlockList, Control, digest_disk};
use format_core::{Disk, Error, ErrorKind, Format, OpenOptions, Result, open_image};
use std::path::Path;

/// What was proven for one disk.
pub(crate) struct Proof {
    /// Digest of the source's disk.
    pub(crate) source_digest: String,
    /// How many 4 MiB blocks differ from the source, all of them planned.
    pub(crate) differing_blocks: u64,
}

/// Reads the image back and the disk as it was `before` it was `changed`, and compares the block hashes.
///
/// # Errors
/// `Mismatch` when the image does not read as it was written, or differs from the source where nothing was planned.
pub(crate) fn prove(
    image: &Path,
    format: &'static Format,
    written: &BlockList,
    before: &Disk,
    changed: &[(u64, u64)],
    control: Control<'_>,
) -> Result<Proof> {
    let options = OpenOptions::new(format_all::FORMATS, Some(format));
    let opened = open_image(image, &options)?;
    let found = digest_disk(&opened.disk, "verify target", control)?.blocks;
    let (found_digest, wanted) = (found.digest()?, written.digest()?);
    if found_digest != wanted {
        let text = format!("{} reads back as {found_digest}, {wanted} was written", image.display());
        return Err(Error::new(ErrorKind::Mismatch, text));
    }
    let source = digest_disk(&before.grown_to(written.virtual_size()), "verify source", control)?.blocks;
    let differing = source.differing_blocks(&found)?;
    let planned = |block: u64| {
        let (start, end) = (block * BLOCK_SIZE, (block + 1) * BLOCK_SIZE);
        changed.iter().any(|(offset, len)| *offset < end && offset + len > start)
    };
    if let Some(block) = differing.iter().find(|block| !planned(**block)) {
        let text = format!(
            "the block at {:#x} differs from the source, and nothing was planned there",
            block * BLOCK_SIZE
        );
        return Err(Error::new(ErrorKind::Mismatch, text));
    }
    Ok(Proof {
        source_digest: source.digest()?.to_hex().to_string(),
        differing_blocks: differing.len() as u64,
    })
}
