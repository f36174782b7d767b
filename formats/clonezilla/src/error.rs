//! Each way a saved folder can contradict itself, be incomplete, or ask for what we cannot do.

use format_core::{Code, Error, ErrorKind, codes};

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ClonezillaError {
    #[error("a file is no Clonezilla image: name the folder that it lies in")]
    NoFolder,
    #[error("neither `disk` nor `parts` names a disk")]
    NoDisks,
    #[error("the folder has {found} {what}, at most {limit} are read")]
    Many { what: &'static str, found: usize, limit: usize },
    #[error("the folder was encrypted with eCryptfs by Clonezilla")]
    Encrypted,
    #[error("{name:?} is no name of a disk or partition")]
    Name { name: String },
    #[error("{disk} has no partition table: {disk}-pt.sf, {disk}-pt.parted and {disk}-gpt-1st are missing")]
    NoTable { disk: String },
    #[error("{file}: line {line} is no partition: {text:?}")]
    Line { file: String, line: usize, text: String },
    #[error("{file}: {what}")]
    Table { file: String, what: &'static str },
    #[error(
        "{file} says that {part} begins at sector {start:#x} and has {count:#x}: that is more than 2^63 bytes"
    )]
    Size { file: String, part: String, start: u64, count: u64 },
    #[error("{first} ends at {end:#x}, and {second} begins at {start:#x}")]
    Overlap { first: String, second: String, end: u64, start: u64 },
    #[error("{file} and {other} contradict each other about {what}: {left:#x}, {right:#x}")]
    Contradict { what: String, file: String, left: u64, other: String, right: u64 },
    #[error("{file} has {found:#x} bytes: it is no sector of 0x200 bytes that ends with 55 AA")]
    Sector { file: String, found: u64 },
    #[error("{file}: the CRC-32 of the GPT's {what} is {found:#010x}, it should be {wanted:#010x}")]
    Sum { file: String, what: &'static str, found: u32, wanted: u32 },
    #[error("the second GPT in {file}: {what}")]
    Second { file: String, what: &'static str },
    #[error("{disk} would have {size:#x} bytes, which no disk has")]
    DiskSize { disk: String, size: u64 },
    #[error("{disk} has the partition {part}, and {disk}-mbr, with the table, is missing")]
    NoMbr { disk: String, part: String },
    #[error("{name} is missing")]
    Missing { name: String },
    #[error("{file}: nothing in the folder tells where {subject} belongs, which was saved")]
    Unplaced { file: String, subject: String },
    #[error(
        "dev-fs.list says that {part} is a physical volume of LVM, and lvm_vg_dev.list does not name its group"
    )]
    NoGroup { part: String },
    #[error("{part} was saved, and no file with its content is there")]
    NoContent { part: String },
    #[error("{file} has {found:#x} bytes, the pieces before it {wanted:#x}")]
    PieceSize { file: String, found: u64, wanted: u64 },
    #[error("{file} is compressed with {tool}, which is not known here")]
    Compression { file: String, tool: &'static str },
    #[error("{file} is an image of partimage, which is not known here")]
    Partimage { file: String },
    #[error("{file} is no image of {wanted}, nor compressed in a known way")]
    Content { file: String, wanted: &'static str },
    #[error("the image of {part} has {found:#x} bytes, the partition {wanted:#x}")]
    TooLarge { part: String, found: u64, wanted: u64 },
    #[error("{device} was encrypted with LUKS, and Clonezilla saved what was inside")]
    Luks { device: String },
    #[error("there is no room for the link to {part} between the logical partitions of {disk}")]
    NoRoomForLink { disk: String, part: String },
    #[error("{file}: {what} (at byte {at:#x})")]
    Text { file: String, what: &'static str, at: usize },
    #[error("{file}: {what} of {name}")]
    Group { file: String, what: &'static str, name: String },
    #[error("{file}: the volumes {first} and {second} share the extents at byte {place:#x} of {physical}")]
    Shared { file: String, first: String, second: String, physical: String, place: u64 },
    #[error("the logical volume {name} is of type {kind:?}, only linear and striped ones are put together")]
    Volume { name: String, kind: String },
    #[error("{device} belongs to the volume group {group}, and it is no partition of a saved disk")]
    Device { device: String, group: String },
    #[error("the swap area {part} has {size:#x} bytes, or {file} has no UUID that can be read")]
    Swap { part: String, file: String, size: u64 },
}

impl ClonezillaError {
    /// The entry of the vocabulary, where the kind alone does not tell.
    fn code(&self) -> Option<&'static Code> {
        Some(match self {
            Self::Encrypted { .. } | Self::Luks { .. } => &codes::ENCRYPTED,
            Self::Sum { .. } => &codes::SOURCE_CHECKSUM,
            _ => return None,
        })
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::NoFolder => ErrorKind::Usage,
            Self::Many { .. } => ErrorKind::Limit,
            Self::Encrypted | Self::Luks { .. } => ErrorKind::NeedsPerson,
            Self::Unplaced { .. }
            | Self::NoGroup { .. }
            | Self::NoTable { .. }
            | Self::NoMbr { .. }
            | Self::Missing { .. }
            | Self::NoContent { .. } => ErrorKind::SourceMissing,
            Self::Compression { .. }
            | Self::Partimage { .. }
            | Self::Volume { .. }
            | Self::NoRoomForLink { .. }
            | Self::Device { .. } => ErrorKind::Unsupported,
            _ => ErrorKind::Corrupt,
        }
    }

    fn hint(&self) -> Option<String> {
        let restore = "restore the image with Clonezilla onto a virtual disk, and migrate that";
        Some(match self {
            Self::NoFolder => "a folder of Clonezilla has the files `parts` and `disk`".into(),
            Self::Encrypted => {
                "mount it with mount.ecryptfs and the passphrase that it was saved with, and name that folder"
                    .into()
            }
            Self::Compression { file, tool } => {
                let stem = file.split("-img").next().unwrap_or(file);
                format!(
                    "unpack it with {tool} into {stem}-img.uncomp (all pieces of it, in order), and move the pieces away"
                )
            }
            Self::Partimage { file } => {
                let stem = file.split('.').next().unwrap_or(file);
                format!(
                    "restore it with partimage, and put the partition into the folder as {stem}.dd-img.aa"
                )
            }
            Self::Sum { file, .. } if file.ends_with("-gpt-1st") => {
                format!(
                    "take the file as it was saved; where there is no other, move it out of the folder: the table is then read \
                     from {}-gpt.gdisk",
                    file.trim_end_matches("-gpt-1st")
                )
            }
            Self::Second { file, .. } => format!(
                "take the file as it was saved; where there is no other, move {file} out of the folder: the disk then has no \
                 second GPT, which guests make anew"
            ),
            Self::Unplaced { file, .. } => format!(
                "a table or list is missing or damaged; if {file} does not belong to what was saved, move it out of the folder"
            ),
            Self::Contradict { .. } => {
                "one of the two is damaged or of another disk: take both as they were saved together".into()
            }
            Self::Luks { .. } | Self::Volume { .. } | Self::NoRoomForLink { .. } | Self::Device { .. } => {
                restore.into()
            }
            _ => return None,
        })
    }
}

impl From<ClonezillaError> for Error {
    fn from(error: ClonezillaError) -> Self {
        let made =
            Error::new(error.kind(), error.to_string()).with_code(error.code()).in_format(crate::FORMAT.name);
        match error.hint() {
            Some(hint) => made.hint(hint),
            None => made,
        }
    }
}
