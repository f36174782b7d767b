//! Is there an XFS, and what does its superblock say?

use crate::superblock::{Superblock, peek};
use driver_core::Volume;
use format_core::Result;

/// Facts of the superblock, not checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct XfsFacts {
    /// The UUID, lower case with dashes.
    pub uuid: String,
    /// The label, empty when there is none.
    pub label: String,
    /// Bytes per block.
    pub block_size: u32,
    /// Size of the file system in bytes.
    pub size: u64,
    /// `v4` or `crc`, then the features as `mkfs.xfs` names them.
    pub features: Vec<String>,
}

impl XfsFacts {
    pub(crate) fn of(sb: &Superblock) -> Self {
        Self {
            uuid: sb.uuid_text(),
            label: sb.label.clone(),
            block_size: sb.block_size,
            size: sb.dblocks.saturating_mul(sb.block_size.into()),
            features: sb.features(),
        }
    }
}

/// The facts of the XFS on `volume`, `None` when there is none.
///
/// # Errors
/// What the volume reports.
pub fn probe(volume: &dyn Volume) -> Result<Option<XfsFacts>> {
    Ok(peek(volume)?.as_ref().map(XfsFacts::of))
}
