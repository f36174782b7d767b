//! Hosted sparse extents ("KDMV"), plain and compressed.

use super::{GrainExtent, Shared, load};
use crate::error::VmdkError;
use crate::layout::SECTOR;
use crate::parse::{self, Header, Reserved, parse_footer, parse_header};
use crate::tables::{Directory, Entries, Shape};
use format_core::units::align_down;
use format_core::{ErrorKind, Result, Storage};
use std::sync::Arc;

/// What messages call it.
pub(crate) const HOSTED: &str = "hosted sparse";
/// The warning that the first grain directory could not be used.
pub(crate) const REDUNDANT_USED: &str = "vmdk-redundant-directory";
/// How far from the file's end a footer is looked for; streams may be padded.
const FOOTER_WITHIN: u64 = 64 << 10;

/// Reads the header.
pub(crate) fn open_hosted_header(storage: &dyn Storage) -> Result<Header> {
    let size = storage.size();
    if size < SECTOR {
        return Err(VmdkError::HeaderCut { size }.into());
    }
    let mut sector = [0; SECTOR as usize];
    storage.read_exact_at(0, &mut sector)?;
    Ok(parse_header(&sector)?)
}

impl Header {
    /// The shape of an extent with this header, of which `size` bytes belong to the disk.
    pub(crate) fn shape(&self, size: u64) -> Shape {
        Shape {
            entries: Entries::Sectors {
                zeroed_grains: self.has_zeroed_grains(),
                compressed: self.is_compressed(),
            },
            grain_bytes: self.grain_bytes(),
            table_entries: self.table_entries.into(),
            size,
        }
    }

    /// This header with what the footer says about the directory, where it is the footer that says it.
    pub(crate) fn completed(self, storage: &dyn Storage) -> Result<Self> {
        if self.directory != parse::Directory::InFooter {
            return Ok(self);
        }
        let end = align_down(storage.size(), SECTOR);
        let len = end.min(FOOTER_WITHIN);
        let footer = parse_footer(&load(storage, "footer", end - len, len)?)?;
        Ok(self.with_footer(&footer)?)
    }
}

impl GrainExtent {
    /// Opens the extent that starts with `header` and gives `size` bytes to the disk.
    pub(crate) fn hosted(
        storage: Arc<dyn Storage>,
        header: Header,
        size: u64,
        shared: &mut Shared,
    ) -> Result<Self> {
        let header = header.completed(storage.as_ref())?;
        shared.take_entries(header.directory_entries()?)?;
        let shape = header.shape(size);
        let first = match header.directory {
            parse::Directory::At(at) => load_directory(storage.as_ref(), &header, at, &shape),
            parse::Directory::Nowhere | parse::Directory::InFooter => Err(VmdkError::NoDirectory.into()),
        };
        let directory = match (first, header.redundant_directory) {
            (Err(first), Some(at)) if first.kind() == ErrorKind::Corrupt => {
                // The redundant directory may be broken as well; the first one's error says more.
                let Ok(loaded) = load_directory(storage.as_ref(), &header, at, &shape) else {
                    return Err(first);
                };
                let message = format!("the grain directory is broken, the redundant one is used: {first}");
                shared.warn(REDUNDANT_USED, message);
                loaded
            }
            (first, _) => first?,
        };
        if header.unclean_shutdown {
            shared.warn_unclean();
        }
        Self::new(storage, shape, directory, shared)
    }
}

fn load_directory(storage: &dyn Storage, header: &Header, at: u64, shape: &Shape) -> Result<Directory> {
    let directory = read_directory(storage, header, at)?;
    directory.check(shape, storage.size())?;
    Ok(directory)
}

/// Reads the directory at `at`; its entries are not yet checked.
pub(crate) fn read_directory(storage: &dyn Storage, header: &Header, at: u64) -> Result<Directory> {
    let bytes = load(storage, "grain directory", at, header.directory_entries()? * 4)?;
    let (entries, _) = bytes.as_chunks::<4>();
    let tables = entries.iter().map(|entry| u64::from(u32::from_le_bytes(*entry)) * SECTOR).collect();
    let end = at + bytes.len() as u64;
    Ok(Directory { tables, reserved: Reserved(vec![0..SECTOR, header.descriptor.clone(), at..end]) })
}
