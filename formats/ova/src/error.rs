//! Each way a package can contradict itself or ask for what we cannot do.

use format_core::{Code, Error, ErrorKind, codes};

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OvaError {
    #[error("the archive holds no .ovf")]
    NoEnvelope,
    #[error("the archive holds {count} .ovf files and none is its first member")]
    Envelopes { count: usize },
    #[error("{name:?} has {size} bytes, {limit} are taken")]
    TooLarge { name: String, size: u64, limit: u64 },
    #[error("the envelope is not UTF-8")]
    Encoding,
    #[error("the envelope cannot be read at byte {at}: {why}")]
    Xml { at: u64, why: String },
    #[error("the envelope has a document type")]
    DocType,
    #[error("the envelope has more than {limit} {what}")]
    Many { what: &'static str, limit: usize },
    #[error("it is no OVF envelope: the first element is {found:?}")]
    Root { found: String },
    #[error("element {element} of the envelope has no {attribute}")]
    NoAttribute { element: &'static str, attribute: &'static str },
    #[error("{attribute} of element {element} is {value:?}, no number that is possible")]
    Number { element: &'static str, attribute: &'static str, value: String },
    #[error("two elements {element} have the id {id:?}")]
    Twice { element: &'static str, id: String },
    #[error("disk {disk:?} refers to the file {file:?}, which is not in the References")]
    NoFile { disk: String, file: String },
    #[error("file {href:?} is compressed with {with:?}, only gzip is known")]
    Compression { href: String, with: String },
    #[error("file {href:?} is said to be compressed with gzip and is not")]
    NotGzip { href: String },
    #[error("{name:?} is not in the package")]
    Missing { name: String },
    #[error("file {href:?} lies elsewhere, and nothing is fetched from there")]
    Remote { href: String },
    #[error("member {name:?} of the archive would lie outside of a folder that it is unpacked into")]
    Outside { name: String },
    #[error("two members of the archive are called {name:?}")]
    TwiceMember { name: String },
    #[error("member {name:?} of the archive is no regular file")]
    NoRegular { name: String },
    #[error("the archive has more than {limit} members")]
    Members { limit: usize },
    #[error("disk {disk:?} is a difference to disk {parent:?}")]
    Delta { disk: String, parent: String },
    #[error("disk {disk:?} has no file, and its capacity is not known")]
    Capacity { disk: String },
    #[error("chunk {name:?} has {found} bytes, {wanted} were announced")]
    Chunk { name: String, found: u64, wanted: u64 },
    #[error("file {href:?} has {found} bytes, {wanted} were announced")]
    Size { href: String, found: u64, wanted: u64 },
    #[error("line {line} of the manifest cannot be read")]
    ManifestLine { line: usize },
    #[error("line {line} of the manifest: a {algorithm} has {wanted} digits, not {found}")]
    ManifestDigits { line: usize, algorithm: &'static str, wanted: usize, found: usize },
    #[error("the manifest has two lines for {name:?} that do not agree")]
    ManifestTwice { name: String },
    #[error("the {algorithm} of {name:?} is {found}, the manifest says {said}")]
    Digest { algorithm: &'static str, name: String, found: String, said: String },
    #[error("{name:?} names {other:?}, another file of the archive")]
    Further { name: String, other: String },
}

impl OvaError {
    /// The entry of the vocabulary, where the kind alone does not tell.
    fn code(&self) -> Option<&'static Code> {
        Some(match self {
            Self::Digest { .. } => &codes::SOURCE_CHECKSUM,
            _ => return None,
        })
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::TooLarge { .. } | Self::Many { .. } | Self::Members { .. } => ErrorKind::Limit,
            Self::Missing { .. } => ErrorKind::SourceMissing,
            Self::Outside { .. } => ErrorKind::Denied,
            Self::Digest { .. } => ErrorKind::Mismatch,
            Self::Envelopes { .. }
            | Self::Encoding
            | Self::DocType
            | Self::Compression { .. }
            | Self::Remote { .. }
            | Self::NoRegular { .. }
            | Self::Delta { .. }
            | Self::Capacity { .. }
            | Self::Further { .. } => ErrorKind::Unsupported,
            _ => ErrorKind::Corrupt,
        }
    }

    fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::NoEnvelope | Self::Envelopes { .. } => "read the archive's disks with -f tar",
            Self::Remote { .. } => {
                "fetch the files into one folder and write their plain names into the .ovf"
            }
            Self::Further { .. } | Self::NoRegular { .. } => "unpack the archive with tar and read the .ovf",
            Self::Capacity { .. } => "write the capacity into the envelope as a number",
            Self::Delta { .. } => "export the machine again without snapshots",
            Self::Digest { .. } => "the package was damaged or changed after it was made: get it again",
            _ => return None,
        })
    }
}

impl From<OvaError> for Error {
    fn from(error: OvaError) -> Self {
        let made =
            Error::new(error.kind(), error.to_string()).with_code(error.code()).in_format(crate::FORMAT.name);
        match error.hint() {
            Some(hint) => made.hint(hint),
            None => made,
        }
    }
}
