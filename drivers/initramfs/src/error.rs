//! Every way an image or a module folder can be wrong, with the numbers.

use crate::segment::Compression;

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of trouble an [`Error`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The bytes contradict themselves.
    Corrupt,
    /// Valid, but not something this crate handles.
    Unsupported,
    /// More than [`crate::Limits`] allows.
    Limit,
    /// Reading failed.
    Io,
}

/// Errors of this crate. `segment` is the offset of a segment in the image, `at` the offset in its unpacked bytes.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Neither a cpio header nor a compression the kernel knows.
    #[error(
        "initramfs: bytes {found} at {offset:#x} are neither a cpio header nor a compression the kernel knows"
    )]
    UnknownMagic {
        /// Offset in the image.
        offset: u64,
        /// The bytes in hex.
        found: String,
    },
    /// The file is a PE program: a unified kernel image.
    #[error("initramfs: the file starts with MZ: a unified kernel image, which cannot be extended in place")]
    UnifiedKernelImage,
    /// A compression that the kernel may read but this crate does not.
    #[error("initramfs: compression {name} at {offset:#x} is not supported")]
    UnsupportedCompression {
        /// Offset in the image.
        offset: u64,
        /// Name of the compression.
        name: &'static str,
    },
    /// A plain archive must start at a multiple of 4.
    #[error("initramfs: a plain cpio archive starts at {offset:#x}, which is not a multiple of 4")]
    Misaligned {
        /// Offset in the image.
        offset: u64,
    },
    /// No archive at all.
    #[error("initramfs: no archive in {size:#x} bytes")]
    Empty {
        /// Size of the image in bytes.
        size: u64,
    },
    /// Not "070701" or "070702" where a header must be.
    #[error(
        "initramfs: segment {segment:#x}: bytes {found} at {at:#x} are no newc header (070701 or 070702)"
    )]
    BadMagic {
        /// Segment.
        segment: u64,
        /// Offset in the unpacked bytes.
        at: u64,
        /// The bytes in hex.
        found: String,
    },
    /// A header field is not a hexadecimal number.
    #[error("initramfs: segment {segment:#x}: header at {at:#x}: field {field} is not hexadecimal")]
    BadField {
        /// Segment.
        segment: u64,
        /// Offset of the header in the unpacked bytes.
        at: u64,
        /// Name of the field in cpio(5).
        field: &'static str,
    },
    /// Name length outside of 1..=4096.
    #[error("initramfs: segment {segment:#x}: header at {at:#x}: c_namesize {size} is not in 1 to 4096")]
    NameSize {
        /// Segment.
        segment: u64,
        /// Offset of the header.
        at: u64,
        /// `c_namesize`.
        size: u32,
    },
    /// A name without its NUL, or with one inside.
    #[error("initramfs: segment {segment:#x}: header at {at:#x}: the name is not one NUL-terminated string")]
    NameTerminator {
        /// Segment.
        segment: u64,
        /// Offset of the header.
        at: u64,
    },
    /// A symbolic link whose target is too long.
    #[error(
        "initramfs: segment {segment:#x}: header at {at:#x}: symbolic link target of {size} bytes, at most 4096 possible"
    )]
    LinkSize {
        /// Segment.
        segment: u64,
        /// Offset of the header.
        at: u64,
        /// `c_filesize`.
        size: u32,
    },
    /// The data end inside an entry or before `TRAILER!!!`.
    #[error("initramfs: segment {segment:#x}: data end at {at:#x}, before the end of the archive")]
    Truncated {
        /// Segment.
        segment: u64,
        /// Offset in the unpacked bytes.
        at: u64,
    },
    /// Something that is no archive follows an archive inside one compressed segment.
    #[error("initramfs: segment {segment:#x}: byte {byte:#04x} at {at:#x} after the end of an archive")]
    Junk {
        /// Segment.
        segment: u64,
        /// Offset in the unpacked bytes.
        at: u64,
        /// The byte.
        byte: u8,
    },
    /// The decompressor refused the data.
    #[error(
        "initramfs: segment {segment:#x}: {compression} data are damaged after {at:#x} unpacked bytes: {reason}"
    )]
    Decode {
        /// Segment.
        segment: u64,
        /// Its compression.
        compression: Compression,
        /// Offset in the unpacked bytes.
        at: u64,
        /// Message of the decompressor.
        reason: String,
    },
    /// One of [`crate::Limits`] is exceeded.
    #[error("initramfs: segment {segment:#x}: more than {limit} {what}")]
    Limit {
        /// Segment.
        segment: u64,
        /// What is counted.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// Reading the image failed.
    #[error("initramfs: reading at {offset:#x} failed")]
    Io {
        /// Offset in the image.
        offset: u64,
        /// Cause.
        source: std::io::Error,
    },
    /// Reading a file of the module folder failed.
    #[error("kernel modules: reading {path} failed")]
    Source {
        /// Path below the module folder.
        path: String,
        /// Cause.
        source: std::io::Error,
    },
    /// A module index with impossible content.
    #[error("kernel modules: {file} line {line}: {reason}")]
    BadIndex {
        /// File name.
        file: &'static str,
        /// Line, from 1.
        line: usize,
        /// What is wrong.
        reason: &'static str,
    },
    /// A compressed module that cannot be unpacked.
    #[error("kernel modules: {path} cannot be unpacked: {reason}")]
    BadModule {
        /// Path below the module folder.
        path: String,
        /// Message of the decompressor, or the limit.
        reason: String,
    },
    /// The image belongs to another kernel.
    #[error("initramfs: the image holds modules of kernel {found}, not of {wanted}")]
    OtherKernel {
        /// Kernel versions in the image.
        found: String,
        /// Kernel version asked for.
        wanted: String,
    },
    /// A kernel version that is no plain folder name.
    #[error("kernel modules: {version:?} is not a kernel version")]
    BadVersion {
        /// What was given.
        version: String,
    },
    /// The list of modules to load early cannot be extended.
    #[error("initramfs: {path} cannot be extended: {reason}")]
    EarlyList {
        /// Path in the image.
        path: String,
        /// Why.
        reason: &'static str,
    },
    /// A file or folder to add stands where the image has something else.
    #[error("initramfs: {path} in the image is not a {wanted}")]
    InTheWay {
        /// Path in the image.
        path: String,
        /// What is needed there.
        wanted: &'static str,
    },
    /// Image and listing do not belong together.
    #[error(
        "initramfs: the listing has a segment at {offset:#x} of {len:#x} bytes, the image has {size:#x} bytes"
    )]
    OtherImage {
        /// Offset of the segment.
        offset: u64,
        /// Size of the segment.
        len: u64,
        /// Size of the image.
        size: u64,
    },
    /// An archive that does not fit the fields of the newc form.
    #[error("cpio: {path}: {size} bytes do not fit the newc form")]
    TooLarge {
        /// Path in the archive.
        path: String,
        /// Size of name or content in bytes.
        size: u64,
    },
}

impl Error {
    /// Kind of this error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::UnifiedKernelImage
            | Error::UnsupportedCompression { .. }
            | Error::UnknownMagic { .. }
            | Error::OtherKernel { .. }
            | Error::InTheWay { .. }
            | Error::EarlyList { .. } => ErrorKind::Unsupported,
            Error::Limit { .. } | Error::TooLarge { .. } => ErrorKind::Limit,
            Error::Io { .. } | Error::Source { .. } => ErrorKind::Io,
            _ => ErrorKind::Corrupt,
        }
    }
}

/// The first bytes of `bytes` in hex, for messages.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().take(8).map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(" ")
}
