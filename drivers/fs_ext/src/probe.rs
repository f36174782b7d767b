//! Is there an ext file system, and what does its superblock say?

use crate::error::ExtError;
use crate::layout::{EXT4_ERROR_FS, EXT4_VALID_FS, SUPERBLOCK_LEN, SUPERBLOCK_OFFSET};
use crate::superblock::Superblock;
use driver_core::{CachedVolume, Volume};
use format_core::Result;

/// Facts of the superblock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtFacts {
    /// `ext2`, `ext3` or `ext4`, by the features in use.
    pub kind: &'static str,
    /// The UUID, lower case with dashes.
    pub uuid: String,
    /// The label, empty when there is none.
    pub label: String,
    /// Where the guest mounted it last.
    pub last_mounted: String,
    /// Bytes per block.
    pub block_size: u32,
    /// Size of the file system in bytes.
    pub size: u64,
    /// Features, as `dumpe2fs` names them.
    pub features: Vec<String>,
    /// The journal holds changes that have to be replayed before anything else.
    pub needs_recovery: bool,
    /// The state says "clean".
    pub clean: bool,
    /// The state says that the guest's kernel found errors.
    pub has_errors: bool,
    /// There are inodes that were deleted or cut while still open.
    pub has_orphans: bool,
}

impl ExtFacts {
    pub(crate) fn of(sb: &Superblock) -> Self {
        Self {
            kind: sb.kind(),
            uuid: sb.uuid(),
            label: sb.label(),
            last_mounted: sb.last_mounted(),
            block_size: sb.block_size(),
            size: sb.blocks_count().saturating_mul(sb.block_size().into()),
            features: sb.features(),
            needs_recovery: sb.needs_recovery(),
            clean: sb.state() & EXT4_VALID_FS != 0,
            has_errors: sb.state() & EXT4_ERROR_FS != 0,
            has_orphans: sb.last_orphan() != 0 || sb.orphan_present(),
        }
    }
}

/// The facts of the ext file system on `volume`, `None` when there is none.
///
/// # Errors
/// What the volume reports.
pub fn probe(volume: &dyn Volume) -> Result<Option<ExtFacts>> {
    if volume.size() < SUPERBLOCK_OFFSET + SUPERBLOCK_LEN as u64 {
        return Ok(None);
    }
    let mut raw = [0; SUPERBLOCK_LEN];
    volume.read_exact_at(SUPERBLOCK_OFFSET, &mut raw)?;
    Ok(Superblock::parse(&raw).as_ref().map(ExtFacts::of))
}

/// The superblock of a file system that can at least be read.
pub(crate) fn readable_superblock(io: &CachedVolume) -> Result<Superblock> {
    let sb = Superblock::load(io)?;
    sb.check_readable(io.size()).map_err(|error: ExtError| format_core::Error::from(error))?;
    Ok(sb)
}
