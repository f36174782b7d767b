//! Bytes to trusted types: every check of the header is here, and nothing here does I/O.

use crate::error::NtfscloneError;
use crate::layout::{HEADER_LEN, MAGIC, MAJOR, MAX_CLUSTER, MAX_DATA, MIN_CLUSTER, NEWEST_MINOR, at};
use format_core::{Bytes, Details, Result, Score, Warning};

/// The smallest sector.
const SECTOR: u64 = 512;

/// What an image says about itself, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Image {
    pub(crate) minor: u8,
    pub(crate) cluster_size: u64,
    pub(crate) clusters: u64,
    /// Size of the device in bytes, which ends the last cluster.
    pub(crate) device: u64,
    /// Size of the partition in bytes: the device, or all clusters if these are larger.
    pub(crate) virtual_size: u64,
    /// How many clusters are said to be in the image.
    pub(crate) said_used: u64,
    /// Where the first command is.
    pub(crate) data: u64,
}

pub(crate) fn probe(head: &[u8], _: &[u8]) -> Score {
    if head.starts_with(MAGIC) { Score::Magic } else { Score::No }
}

impl Image {
    pub(crate) fn parse(header: &[u8; HEADER_LEN]) -> Result<Self> {
        let bytes = Bytes::new(header, 0);
        if !header.starts_with(MAGIC) {
            return Err(NtfscloneError::Magic.into());
        }
        let (major, minor) = (bytes.u8(at::MAJOR)?, bytes.u8(at::MINOR)?);
        if major != MAJOR || minor > NEWEST_MINOR {
            return Err(NtfscloneError::Version { major, minor }.into());
        }
        let found = bytes.u32_le(at::CLUSTER_SIZE)?;
        let cluster_size = u64::from(found);
        if !found.is_power_of_two() || !(MIN_CLUSTER..=MAX_CLUSTER).contains(&cluster_size) {
            return Err(NtfscloneError::ClusterSize { found }.into());
        }
        let (device, clusters) = (bytes.u64_le(at::DEVICE_SIZE)?, bytes.u64_le(at::CLUSTERS)?);
        let virtual_size = clusters
            .checked_mul(cluster_size)
            .map(|bytes| bytes.max(device))
            .filter(|size| i64::try_from(*size).is_ok())
            .ok_or(NtfscloneError::Size { clusters, cluster_size, device })?;
        let found = bytes.u32_le(at::DATA)?;
        let data = u64::from(found);
        if !(HEADER_LEN as u64..=MAX_DATA).contains(&data) {
            return Err(NtfscloneError::DataPlace { found }.into());
        }
        let said_used = bytes.u64_le(at::IN_USE)?;
        Ok(Self { minor, cluster_size, clusters, device, virtual_size, said_used, data })
    }

    /// The only sign of a damaged size: the device is not as large as the clusters, with a rest of one cluster and a sector at most: programs
    /// leave the last sector to the copy of the boot sector. A volume that was not grown with its partition looks the same.
    pub(crate) fn doubt(&self) -> Option<String> {
        let end = self.clusters.saturating_mul(self.cluster_size);
        let rest = self.device.checked_sub(end);
        if rest.is_some_and(|rest| rest <= self.cluster_size + SECTOR) {
            return None;
        }
        let (device, clusters, size) = (self.device, self.clusters, self.cluster_size);
        Some(format!(
            "the header tells of a device of {device:#x} bytes, and of {clusters:#x} clusters of {size:#x} bytes, which end at \
             {end:#x}: either number is damaged, or the volume is not as large as its partition"
        ))
    }

    pub(crate) fn doubts(&self) -> Vec<Warning> {
        self.doubt().map(|text| Warning::new("ntfsclone-size", text)).into_iter().collect()
    }

    pub(crate) fn details(&self) -> Details {
        let mut details = Details::new();
        details.insert("image-version".into(), format!("10.{}", self.minor).into());
        details.insert("cluster-size".into(), self.cluster_size.into());
        details.insert("clusters".into(), self.clusters.into());
        details.insert("clusters-used".into(), self.said_used.into());
        details.insert("checksum".into(), "none".into());
        details
    }
}
