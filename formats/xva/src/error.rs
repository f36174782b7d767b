//! Each way an XVA file can contradict itself or ask for what we cannot do.

use format_core::{Code, Error, ErrorKind, codes};

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum XvaError {
    #[error("the checksum of a tar header is {found}, it says {said}")]
    HeaderChecksum { said: u64, found: u64 },
    #[error("the {what} of a tar header is {found:?}, not a number")]
    Number { what: &'static str, found: String },
    #[error("the tar member {name:?} is of type {kind:?}, only files and folders are known here")]
    MemberType { name: String, kind: char },
    #[error("the tar member has a name or a size in a pax header, which XVA has not")]
    Pax,
    #[error("the first member is {found:?}, not \"ova.xml\"")]
    NoOva { found: String },
    #[error("{what} has {len:#x} bytes, more than {most:#x} are not read")]
    TooLong { what: &'static str, len: u64, most: u64 },
    #[error("the {what} cannot be read: {reason}")]
    Xml { what: &'static str, reason: String },
    #[error("the export is one of XenServer 3 (an appliance with chunks), which is not known")]
    Appliance,
    #[error("ova.xml describes {found} disks or uses of them, more than {most}")]
    TooMany { found: usize, most: usize },
    #[error("the disk {reference} is described twice")]
    SameDisk { reference: String },
    #[error("the disk {reference} has the virtual size {found:?}")]
    VirtualSize { reference: String, found: String },
    #[error("{found:?} cannot be the name of a disk")]
    Reference { found: String },
    #[error("{name:?} belongs to no disk of ova.xml")]
    UnknownDisk { name: String },
    #[error("block {number} of {disk} is the first one, not 0")]
    FirstBlock { disk: String, number: u64 },
    #[error("block {number} of {disk} comes after block {last}")]
    Order { disk: String, number: u64, last: u64 },
    #[error("block {number} of {disk} has {len:#x} bytes at {offset:#x}, the disk has {size:#x}")]
    BeyondEnd { disk: String, number: u64, offset: u64, len: u64, size: u64 },
    #[error("block {number} of {disk} has no checksum behind it")]
    NoSum { disk: String, number: u64 },
    #[error("a checksum is for block {number} of {disk}, which is not the one before it")]
    StraySum { disk: String, number: u64 },
    #[error("the checksum of block {number} of {disk} is {found:?}, which is none")]
    BadSum { disk: String, number: u64, found: String },
    #[error("blocks have checksums of two kinds")]
    MixedSums,
    #[error("block {number} of {disk} has the checksum {found}, the export says {said}")]
    Mismatch { disk: String, number: u64, said: String, found: String },
    #[error("the table of checksums is missing")]
    NoTable,
    #[error("the table of checksums has none for block {number} of {disk}")]
    NotInTable { disk: String, number: u64 },
    #[error("truncated: {disk} ends at {end:#x} of {size:#x} bytes, the file at {at:#x}")]
    Missing { disk: String, end: u64, size: u64, at: u64 },
    #[error("truncated: {what} needs {need:#x} bytes, the file ends at {end:#x}")]
    Cut { what: &'static str, need: u64, end: u64 },
    #[error("the export describes a machine and holds none of its disks")]
    OnlyMetadata,
    #[error(
        "{disk} is said to have {size:#x} bytes: a stream shows only at its end whether that is true, and more than {most:#x} are not believed"
    )]
    Unbelievable { disk: String, size: u64, most: u64 },
    #[error("{wanted:?} is what {named} is called, and the number of {numbered}")]
    TwoMeanings { wanted: String, named: String, numbered: String },
    #[error("the disks are in more than {most} pieces")]
    Pieces { most: usize },
}

impl XvaError {
    /// The entry of the vocabulary, where the kind alone does not tell.
    fn code(&self) -> Option<&'static Code> {
        Some(match self {
            Self::Missing { .. } | Self::Cut { .. } => &codes::SOURCE_CUT_OFF,
            Self::Mismatch { .. } | Self::HeaderChecksum { .. } => &codes::SOURCE_CHECKSUM,
            _ => return None,
        })
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::MemberType { .. } | Self::Pax | Self::Appliance | Self::MixedSums | Self::OnlyMetadata => {
                ErrorKind::Unsupported
            }
            Self::TooLong { .. } | Self::TooMany { .. } | Self::Pieces { .. } => ErrorKind::Limit,
            Self::TwoMeanings { .. } => ErrorKind::Usage,
            _ => ErrorKind::Corrupt,
        }
    }

    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Missing { .. } | Self::Cut { .. } => {
                Some("the export did not end well or was not copied whole: copy or export it again")
            }
            Self::Appliance => Some("import it into a XenServer and export it again"),
            Self::OnlyMetadata => Some("export the machine without metadata=true"),
            Self::MemberType { .. } | Self::Pax => {
                Some("use the file as it was exported, or pack it again as ustar")
            }
            Self::NoOva { .. } => {
                Some("pack it again in the order of an export: tar --format=ustar -cf NEW.xva ova.xml Ref:*")
            }
            Self::TwoMeanings { .. } => Some("pick it by its name in the export: --pick Ref:N"),
            Self::Unbelievable { .. } => {
                Some("name the unpacked export as a file: its length shows whether it is true")
            }
            _ => None,
        }
    }
}

impl From<XvaError> for Error {
    fn from(error: XvaError) -> Self {
        let known =
            Error::new(error.kind(), error.to_string()).with_code(error.code()).in_format(crate::FORMAT.name);
        match error.hint() {
            Some(hint) => known.hint(hint),
            None => known,
        }
    }
}
