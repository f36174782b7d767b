//! From command to command: which clusters they mean, and when the image is complete.

use crate::error::NtfscloneError;
use crate::parse::Image;

/// Where in the partition the next command is about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Walk {
    image: Image,
    /// The next cluster.
    pub(crate) cluster: u64,
}

impl Walk {
    pub(crate) fn new(image: Image) -> Self {
        Self { image, cluster: 0 }
    }

    /// Whether no command follows.
    pub(crate) fn is_complete(&self) -> bool {
        self.cluster >= self.places()
    }

    /// Whether the image may end here: the copy of the boot sector may be missing.
    pub(crate) fn may_end(&self) -> bool {
        self.cluster >= self.image.clusters
    }

    /// From version 10.1 on the rest of the device counts as one more cluster.
    fn places(&self) -> u64 {
        self.image.clusters + u64::from(self.image.minor > 0)
    }

    /// Takes a command that leaves clusters out.
    pub(crate) fn gap(&mut self, count: [u8; 8]) -> Result<(), NtfscloneError> {
        let count = i64::from_le_bytes(count);
        let (cluster, clusters) = (self.cluster, self.places());
        let end = u64::try_from(count).ok().and_then(|count| cluster.checked_add(count));
        match end.filter(|end| *end <= clusters && *end > cluster) {
            // Every volume has its boot sector there; ntfsclone --metadata leaves it out.
            Some(_) if cluster == 0 && self.image.clusters > 0 => Err(NtfscloneError::MetadataOnly),
            Some(end) => {
                self.cluster = end;
                Ok(())
            }
            None => Err(NtfscloneError::Gap { count, cluster, clusters }),
        }
    }

    /// Takes a cluster: how many bytes of it follow. The last one ends with the device.
    pub(crate) fn next(&mut self) -> Result<usize, NtfscloneError> {
        let (cluster, size, device) = (self.cluster, self.image.cluster_size, self.image.device);
        let start = cluster.saturating_mul(size);
        let left = device.checked_sub(start).ok_or(NtfscloneError::Behind { cluster, device })?;
        self.cluster += 1;
        Ok(left.min(size) as usize)
    }

    /// The error for an image that ends at `at`.
    pub(crate) fn ends(&self, at: u64) -> NtfscloneError {
        NtfscloneError::Ends { at, cluster: self.cluster, clusters: self.image.clusters }
    }
}
