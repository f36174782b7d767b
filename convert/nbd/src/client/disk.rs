//! An export as storage that is read.

use super::address::NbdAddress;
use super::connection::Pieces;
use super::endpoint::Endpoint;
use super::extents::ExtentCache;
use super::limits::ClientLimits;
use super::pool::Pool;
use super::transport::Connector;
use crate::wire::{ALLOCATION, able};
use format_core::{Error, Extent, PIECE_STEP, RangeSet, Result, Seen, Storage};
use std::sync::Arc;

/// An export of an NBD server, read-only here. Reads from several threads go over several connections where the server says that these
/// see the same; a lost one is replaced, and what was asked is asked again.
///
/// What the server says of zeros is remembered for a while: an export that is written meanwhile is no source to copy.
pub struct NbdDisk {
    pool: Pool,
    extents: ExtentCache,
}

impl NbdDisk {
    /// Connects to an export.
    ///
    /// # Errors
    /// `SourceMissing` when there is no such socket or export, `Denied` when the server or its certificate is not to be dealt with,
    /// `Unsupported` for what it speaks, `Corrupt` when it breaks the protocol, `Temporary` when it does not answer.
    pub fn connect(address: &NbdAddress, limits: &ClientLimits) -> Result<Self> {
        Self::at(Endpoint::of(address, limits)?)
    }

    /// Connects to `export` by way of `connector`: the standard input and output of a program, for example.
    ///
    /// # Errors
    /// As [`NbdDisk::connect`].
    pub fn over(connector: Arc<dyn Connector>, export: &str, limits: &ClientLimits) -> Result<Self> {
        Self::at(Endpoint { connector, export: export.to_owned(), tls: None, limits: *limits })
    }

    fn at(endpoint: Endpoint) -> Result<Self> {
        let pool = Pool::connect(endpoint, vec![ALLOCATION.to_owned()])?;
        Ok(Self { pool, extents: ExtentCache::default() })
    }

    /// Whether the server lets nobody write.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.pool.facts.can(able::READ_ONLY)
    }

    /// Whether the server tells where the export reads as zeros.
    #[must_use]
    pub fn knows_zeros(&self) -> bool {
        self.pool.facts.has_allocation()
    }

    /// The changed ranges by the bitmap `name` that QEMU keeps for the export (`qemu:dirty-bitmap:NAME`). Ranges that are less than 4 KiB
    /// apart become one, and so do the closest ones where there are too many to hold: what is in none of them is unchanged.
    ///
    /// # Errors
    /// `SourceMissing` with the contexts that there are when this one is not; else as for reading.
    pub fn bitmap(&self, name: &str) -> Result<RangeSet> {
        super::bitmap::dirty(&self.pool.endpoint, name)
    }
}

impl Storage for NbdDisk {
    fn size(&self) -> u64 {
        self.pool.facts.size
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let (len, size) = (buf.len() as u64, self.size());
        if offset.checked_add(len).is_none_or(|end| end > size) {
            let text = format!("{len:#x} bytes wanted at {offset:#x}, the export ends at {size:#x}");
            return Err(Error::corrupt(text).in_format("nbd").at(offset));
        }
        if buf.is_empty() {
            return Ok(());
        }
        self.pool.run(|connection| connection.read(offset, buf))
    }

    fn read_pieces_at(&self, offset: u64, buf: &mut [u8], seen: &mut Seen<'_>) -> Result<()> {
        let facts = &self.pool.facts;
        let (len, size) = (buf.len() as u64, self.size());
        let is_inside = offset.checked_add(len).is_some_and(|end| end <= size) && len > 0;
        let fits =
            facts.is_aligned(offset) && facts.is_aligned(len) && facts.piece.is_multiple_of(PIECE_STEP);
        if !is_inside || !fits {
            self.read_exact_at(offset, buf)?;
            return seen(0, buf);
        }
        // What whoever looks has to say is no fault of the server's.
        let mut complaint = None;
        let seen: &mut Seen<'_> = &mut |from, bytes| {
            seen(from, bytes).map_err(|error| {
                complaint = Some(error);
                Error::contract("a piece was refused")
            })
        };
        let mut pieces = Pieces { offset, shown: Vec::new(), seen };
        let done = self.pool.run(|connection| connection.read_pieces(&mut pieces, buf));
        complaint.map_or(done, Err)
    }

    fn data_at(&self, offset: u64) -> Result<Extent> {
        self.extents.at(&self.pool, offset)
    }

    /// The server's minimum block size, where it is that of a sector.
    fn sector_size(&self) -> Option<u32> {
        u32::try_from(self.pool.facts.min_block).ok().filter(|size| (512..=4096).contains(size))
    }
}
