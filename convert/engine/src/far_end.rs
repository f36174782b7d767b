//! Hashes that the source's side takes of its disk, against those of what arrived here.

use crate::digest::{BLOCK_SIZE, BlockList};
use crate::sync::source_blocks;
use format_core::units::format_size;
use format_core::{Error, ErrorKind, OpenedImage, Remote, Result, codes};

/// The other side of a source whose disk is, byte for byte, what it gives: only then its hashes are those of the disk.
#[must_use]
pub fn hashing_side(source: &OpenedImage) -> Option<&dyn Remote> {
    let [link] = source.chain.as_slice() else { return None };
    let is_plain = source.inside.is_none() && link.parts.is_empty() && link.format.name == "raw";
    link.remote.as_deref().filter(|remote| is_plain && remote.can_hash())
}

/// Compares what was copied with the hashes that the source's side takes now. Disks that the target's format made longer are
/// compared up to where the source ends.
///
/// # Errors
/// `Temporary` when the source is another by now; what the other side reports.
pub(crate) fn refuse_differences(source: &OpenedImage, copied: &BlockList) -> Result<()> {
    let Some(remote) = hashing_side(source).filter(|_| copied.is_taken()) else { return Ok(()) };
    let mut blocks = 0u64;
    let (theirs, unreadable) = source_blocks(remote, source.disk.virtual_size())?;
    // What a failing disk gave once it may not give again; what was lost is told elsewhere.
    theirs.for_each_difference(copied, |block| {
        blocks += u64::from(unreadable.binary_search(&block).is_err())
    })?;
    if blocks == 0 {
        return Ok(());
    }
    let text = format!(
        "the source changed while it was read: at its side, {blocks} blocks of {} have other hashes by now",
        format_size(BLOCK_SIZE)
    );
    Err(Error::new(ErrorKind::Temporary, text)
        .with_code(&codes::SOURCE_CHANGED)
        .hint("take a snapshot there, or capture a running machine with 'rehome capture', which follows its changes"))
}
