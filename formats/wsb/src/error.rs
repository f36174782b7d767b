//! Each way a folder of Windows Server Backup can be none.

use format_core::{Error, ErrorKind};

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WsbError {
    #[error("{0} is a file: a backup of Windows is a folder")]
    File(String),
    #[error("there is no backup of a computer in {0}")]
    NoHost(String),
    #[error("there are backups of {} computers: {}", .0.len(), .0.join(", "))]
    Hosts(Vec<String>),
    #[error("the backup {0:?} holds no image of a volume")]
    NoVolume(String),
    #[error("the backup {name:?} holds {found} images of volumes, {most} at most are taken")]
    TooMany { name: String, found: usize, most: usize },
}

impl WsbError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::File(_) | Self::Hosts(_) => ErrorKind::Usage,
            Self::NoHost(_) => ErrorKind::SourceMissing,
            Self::NoVolume(_) => ErrorKind::Unsupported,
            Self::TooMany { .. } => ErrorKind::Limit,
        }
    }

    fn hint(&self) -> &'static str {
        match self {
            Self::File(_) => {
                "name the folder WindowsImageBackup, or one in it; a single VHD or VHDX is read by its own format"
            }
            Self::NoHost(_) => "name the folder WindowsImageBackup, or the folder of a computer in it",
            Self::Hosts(_) => "name the folder of one computer",
            Self::NoVolume(_) => {
                "backups to DVD and older points in time, which are shadow copies of the target, cannot be read"
            }
            Self::TooMany { .. } => "name the image of a volume itself",
        }
    }
}

impl From<WsbError> for Error {
    fn from(error: WsbError) -> Self {
        Error::new(error.kind(), error.to_string()).hint(error.hint()).in_format(crate::FORMAT.name)
    }
}
