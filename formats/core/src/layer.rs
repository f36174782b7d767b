//! One image file as the guest sees it.

use crate::{Error, Extent, RangeSet, Result, Storage, Warning};
use std::sync::Arc;

/// What is particular to an image's format.
pub type Details = serde_json::Map<String, serde_json::Value>;

/// The guest view of one image file. Implemented by format rooms, read only through [`crate::Disk`].
///
/// The contract is in the [crate docs](crate), lines 1 to 3 and 9.
pub trait Layer: Send + Sync {
    /// The format's name as in its [`crate::Format`].
    fn format(&self) -> &'static str;

    /// Size of the disk in bytes; need not be a multiple of anything.
    fn virtual_size(&self) -> u64;

    /// Allocation granularity in bytes: cluster, grain, block; 1 where there is none.
    fn chunk_size(&self) -> u64;

    /// The run of one kind that starts at `offset`.
    ///
    /// # Errors
    /// `Usage` when `offset` is at or beyond the virtual size; `Corrupt` or `Io` when the table entry cannot be
    /// trusted or read.
    fn extent_at(&self, offset: u64) -> Result<Extent>;

    /// Fills `buf` with the layer's bytes from `offset`; zeros where the layer holds no data.
    ///
    /// # Errors
    /// `Usage` when the range leaves the disk; `Corrupt` or `Io` as for the file.
    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()>;

    /// Where the bytes from `offset` lie plain in a host storage, if they do.
    fn host_range(&self, _offset: u64) -> Option<HostRange> {
        None
    }

    /// What the data from `offset` are known by, where the image itself names its chunks by their content.
    fn content_id_at(&self, _offset: u64) -> Option<ContentId> {
        None
    }

    /// Whether the data at `offset` lie compressed in the file.
    fn is_compressed_at(&self, _offset: u64) -> bool {
        false
    }

    /// The ranges that the bitmap `name`, which the image itself keeps, says have changed since it began.
    ///
    /// # Errors
    /// `SourceMissing` with the names that there are when this one is not; `Unsupported` for a bitmap that does not say all that changed, and
    /// for formats that keep none; `Corrupt` or `Io` as for the file.
    fn changed_by_bitmap(&self, _name: &str) -> Result<RangeSet> {
        Err(Error::unsupported(format!("{} images keep no bitmaps of what changed", self.format()))
            .in_format(self.format())
            .hint("leave --bitmap away: both sides are read then, and only what differs is rewritten"))
    }

    /// What is particular to the format, for `info`: keys as `qemu-img info` spells them where it has them. The key
    /// `snapshots` holds a list of objects.
    fn details(&self) -> Details {
        Details::new()
    }

    /// The image this one is a difference to.
    fn parent(&self) -> Option<&ParentRef> {
        None
    }

    /// What a person should know about the image that was found as the parent; its identity is checked elsewhere.
    fn remark_on_parent(&self, _parent: &dyn Layer) -> Option<Warning> {
        None
    }

    /// What a child must name as its parent's identity (VHDX DataWriteGuid, VMDK CID, …).
    fn identity(&self) -> Option<&str> {
        None
    }

    /// Whether a child that wants this identity means this image; for images that have more than one.
    fn is_identified_by(&self, wanted: &str) -> bool {
        self.identity() == Some(wanted)
    }

    /// What a person should know about this image.
    fn warnings(&self) -> &[Warning] {
        &[]
    }
}

/// A name that only one content has: the same name means the same bytes, in all images of one format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentId {
    /// How many bytes from the offset that was asked for to the end of the chunk.
    pub len: u64,
    /// Where in the chunk that offset lies.
    pub inside: u64,
    /// The chunk's name, as the format has it.
    pub id: [u8; 32],
}

/// Guest bytes that lie plain and in order in a host storage.
#[derive(Clone)]
pub struct HostRange {
    /// The storage that holds them.
    pub storage: Arc<dyn Storage>,
    /// Host offset of the first byte.
    pub offset: u64,
    /// How many bytes.
    pub len: u64,
}

/// How an image names its parent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParentRef {
    /// File names to try in this order, as the image spells them but with `/` between folders.
    pub names: Vec<String>,
    /// The parent's format, if the image says it (a [`crate::Format`] name).
    pub format: Option<String>,
    /// What the parent's [`Layer::identity`] must be, if the image says it.
    pub identity: Option<String>,
}
