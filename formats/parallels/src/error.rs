//! Each way a Parallels disk can contradict itself or ask for what we cannot do.

use format_core::{Code, Error, ErrorKind, codes};
use uuid::Uuid;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ParallelsError {
    #[error("the file has {size:#x} bytes, a header alone has 0x40")]
    TooShort { size: u64 },
    #[error("neither the header of an expanding image nor a disk descriptor")]
    NotParallels,
    #[error("the version is {found}, only 2 is known")]
    Version { found: u32 },
    #[error("a cluster has {found:#x} sectors, not 1 to 0x80000")]
    Tracks { found: u32 },
    #[error("the disk has {found:#x} sectors, the form of the image allows 32 bits")]
    Sectors { found: u64 },
    #[error("the BAT has {entries:#x} entries, the disk has {needed:#x} clusters")]
    BatTooSmall { entries: u32, needed: u64 },
    #[error("the BAT ends at {end:#x} of a file of {size:#x} bytes")]
    BatPlace { end: u64, size: u64 },
    #[error("cluster {cluster} is at {offset:#x}, in the header or the BAT, which end at {end:#x}")]
    ClusterInBat { cluster: u64, offset: u64, end: u64 },
    #[error("cluster {cluster} is at {offset:#x}, needs {length:#x} bytes there, the file has {size:#x}")]
    ClusterPlace { cluster: u64, offset: u64, length: u64, size: u64 },
    #[error("the descriptor has {size:#x} bytes, none has more than 0x100000")]
    DescriptorSize { size: u64 },
    #[error("the descriptor is no XML: {reason}")]
    Xml { reason: String },
    #[error("the descriptor's version is {found:?}, only 1.0 is known")]
    DescriptorVersion { found: String },
    #[error("the descriptor has no {name} in {parent}")]
    Missing { name: &'static str, parent: String },
    #[error("{name} is {found:?}, which is no {wanted}")]
    Value { name: &'static str, found: String, wanted: &'static str },
    #[error("the disk has a padding of {found}, only 0 is known")]
    Padding { found: u64 },
    #[error("the sectors have {found} bytes, only 512 is known")]
    SectorSize { found: u64 },
    #[error("the disk is encrypted by the engine {engine}")]
    Encrypted { engine: Uuid },
    #[error("a storage goes from sector {start:#x} to {end:#x}, where {expected:#x} was expected to begin")]
    StorageOrder { start: u64, end: u64, expected: u64 },
    #[error("the storages end at sector {end:#x}, the disk has {size:#x}")]
    StorageEnd { end: u64, size: u64 },
    #[error("the disk has {found:#x} sectors")]
    TooLarge { found: u64 },
    #[error("an image has the type {found:?}, only Compressed and Plain are known")]
    ImageType { found: String },
    #[error("the snapshot {guid} is described twice")]
    Twice { guid: Uuid },
    #[error("the snapshot {guid} is not described")]
    NoShot { guid: Uuid },
    #[error("none of the snapshots is the current state: {found} of them have no child")]
    NoTop { found: usize },
    #[error("no snapshot is called {wanted:?}")]
    NoSuchSnapshot { wanted: String },
    #[error("the image is one file of a disk without snapshots described")]
    NoSnapshots,
    #[error("the snapshot {guid} is its own ancestor, or has more than {limit} of them")]
    TooDeep { guid: Uuid, limit: usize },
    #[error("the storage at sector {start:#x} has no image of the snapshot {guid}")]
    NoImage { start: u64, guid: Uuid },
    #[error("the storage at sector {start:#x} has two images of the snapshot {guid}")]
    TwoImages { start: u64, guid: Uuid },
    #[error("{file:?} is the file of two images")]
    FileTwice { file: String },
    #[error("the disk needs more than {limit} files")]
    TooManyFiles { limit: usize },
    #[error("{file:?} is plain and lies over another image: it can have no holes to show that one")]
    PlainOverlay { file: String },
    #[error("{file:?} holds {found:#x} bytes of the {wanted:#x} of its storage")]
    ShortImage { file: String, found: u64, wanted: u64 },
    #[error("{file:?} is one of {storages} parts of the disk")]
    OnePart { file: String, storages: usize },
}

impl ParallelsError {
    /// The entry of the vocabulary, where the kind alone does not tell.
    fn code(&self) -> Option<&'static Code> {
        Some(match self {
            Self::TooShort { .. } | Self::ShortImage { .. } | Self::BatPlace { .. } => &codes::SOURCE_CUT_OFF,
            Self::Version { .. } | Self::DescriptorVersion { .. } => &codes::VERSION_UNSUPPORTED,
            Self::Encrypted { .. } => &codes::ENCRYPTED,
            _ => return None,
        })
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::Version { .. }
            | Self::DescriptorVersion { .. }
            | Self::Padding { .. }
            | Self::SectorSize { .. }
            | Self::ImageType { .. }
            | Self::OnePart { .. } => ErrorKind::Unsupported,
            Self::Encrypted { .. } | Self::NoTop { .. } => ErrorKind::NeedsPerson,
            Self::NoSuchSnapshot { .. } | Self::NoSnapshots => ErrorKind::Usage,
            Self::TooManyFiles { .. } | Self::DescriptorSize { .. } | Self::TooLarge { .. } => {
                ErrorKind::Limit
            }
            _ => ErrorKind::Corrupt,
        }
    }

    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Encrypted { .. } => {
                Some("take the encryption away in Parallels Desktop, then convert the disk")
            }
            Self::NoTop { .. } | Self::NoSuchSnapshot { .. } => {
                Some("name a snapshot by its GUID: rehome info lists them")
            }
            Self::OnePart { .. } => Some("open the folder, or the DiskDescriptor.xml in it"),
            Self::Padding { .. } => Some("let Parallels Desktop convert the disk to an expanding one"),
            _ => None,
        }
    }
}

impl From<ParallelsError> for Error {
    fn from(error: ParallelsError) -> Self {
        let told =
            Error::new(error.kind(), error.to_string()).with_code(error.code()).in_format(crate::FORMAT.name);
        match error.hint() {
            Some(hint) => told.hint(hint),
            None => told,
        }
    }
}
