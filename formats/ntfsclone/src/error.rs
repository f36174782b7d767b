//! Each way an ntfsclone image can contradict itself or ask for what we cannot do.

use format_core::{Code, Error, ErrorKind, codes};

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NtfscloneError {
    #[error("the file does not begin as an image of ntfsclone does")]
    Magic,
    #[error("the image's version is {major}.{minor}, only 10.0 and 10.1 are known")]
    Version { major: u8, minor: u8 },
    #[error("a cluster has {found:#x} bytes, not a power of two from 0x200 to 0x200000")]
    ClusterSize { found: u32 },
    #[error(
        "{clusters:#x} clusters of {cluster_size:#x} bytes and a device of {device:#x} bytes are more than 2^63 bytes"
    )]
    Size { clusters: u64, cluster_size: u64, device: u64 },
    #[error("the clusters begin at {found:#x} of the image, which is not from 0x32 to 0x100000")]
    DataPlace { found: u32 },
    #[error("the image ends at {at:#x} before cluster {cluster:#x} of {clusters:#x}")]
    Ends { at: u64, cluster: u64, clusters: u64 },
    #[error("{found:#04x} stands before cluster {cluster:#x}, only 0 and 1 are known")]
    Command { found: u8, cluster: u64 },
    #[error("{count} clusters are left out from cluster {cluster:#x} on, there are {clusters:#x}")]
    Gap { count: i64, cluster: u64, clusters: u64 },
    #[error(
        "the first cluster, with the boot sector, is left out: this image has the metadata of the volume alone, not its files"
    )]
    MetadataOnly,
    #[error("cluster {cluster:#x} lies behind the device's end at {device:#x}")]
    Behind { cluster: u64, device: u64 },
}

impl NtfscloneError {
    /// The entry of the vocabulary, where the kind alone does not tell.
    fn code(&self) -> Option<&'static Code> {
        Some(match self {
            Self::Version { .. } => &codes::VERSION_UNSUPPORTED,
            Self::Ends { .. } => &codes::SOURCE_CUT_OFF,
            _ => return None,
        })
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::Version { .. } | Self::ClusterSize { .. } | Self::MetadataOnly => ErrorKind::Unsupported,
            _ => ErrorKind::Corrupt,
        }
    }
}

impl From<NtfscloneError> for Error {
    fn from(error: NtfscloneError) -> Self {
        let made =
            Error::new(error.kind(), error.to_string()).with_code(error.code()).in_format(crate::FORMAT.name);
        match error {
            NtfscloneError::Version { .. } => {
                made.hint("restore it with ntfsclone --restore-image --overwrite FILE, and convert that")
            }
            NtfscloneError::MetadataOnly => {
                made.hint("save the volume again with ntfsclone --save-image, without --metadata")
            }
            _ => made,
        }
    }
}
