//! Runs of guest or host bytes of one kind.

/// What the bytes of an extent are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExtentKind {
    /// Bytes are stored.
    Data,
    /// Reads as zeros and hides the parent.
    Zero,
    /// Nothing here: the parent shows through, without a parent it reads as zeros.
    Unallocated,
}

/// A run of bytes of one kind; offsets and lengths are bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Extent {
    /// First byte.
    pub offset: u64,
    /// Number of bytes, never 0.
    pub len: u64,
    /// What they are.
    pub kind: ExtentKind,
}

impl Extent {
    /// The first byte after the extent.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.offset.saturating_add(self.len)
    }
}
