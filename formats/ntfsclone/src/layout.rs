//! Where everything lies in an image.

/// What an image begins with.
pub(crate) const MAGIC: &[u8] = b"\0ntfsclone-image";
pub(crate) const HEADER_LEN: usize = 50;

pub(crate) mod at {
    pub(crate) const MAJOR: usize = 16;
    pub(crate) const MINOR: usize = 17;
    pub(crate) const CLUSTER_SIZE: usize = 18;
    pub(crate) const DEVICE_SIZE: usize = 22;
    pub(crate) const CLUSTERS: usize = 30;
    pub(crate) const IN_USE: usize = 38;
    pub(crate) const DATA: usize = 46;
}

/// The only version whose numbers do not depend on the machine.
pub(crate) const MAJOR: u8 = 10;
/// From this minor version on the copy of the boot sector is in the image.
pub(crate) const NEWEST_MINOR: u8 = 1;

/// A count of clusters that are not in use follows, 8 bytes.
pub(crate) const GAP: u8 = 0;
/// One cluster follows.
pub(crate) const NEXT: u8 = 1;

/// Clusters of NTFS.
pub(crate) const MIN_CLUSTER: u64 = 512;
pub(crate) const MAX_CLUSTER: u64 = 2 << 20;
/// What may stand between the header and the first command.
pub(crate) const MAX_DATA: u64 = 1 << 20;
