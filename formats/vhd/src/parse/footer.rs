//! The footer, its copy, and what they say about the disk.

use crate::error::VhdError;
use crate::layout::{
    DISK_TYPE_DIFFERENCING, DISK_TYPE_DYNAMIC, DISK_TYPE_FIXED, FOOTER_CHECKSUM_AT, FOOTER_COOKIE,
    FOOTER_LEN, Footer, Geometry, OLD_FOOTER_LEN, VERSION, checksum,
};
use binrw::BinRead;
use format_core::Score;
use std::io::Cursor;
use uuid::Uuid;

/// Products whose guests see the size that cylinders, heads and sectors make; all others mean Current Size.
const CREATORS_BY_GEOMETRY: [[u8; 4]; 3] = [*b"vpc ", *b"vs  ", *b"qemu"];

/// What kind of image it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DiskType {
    Fixed,
    /// With the place of its dynamic header.
    Dynamic(u64),
    /// With the place of its dynamic header.
    Differencing(u64),
}

impl DiskType {
    /// The place of the dynamic header, where there is one.
    pub(crate) fn header_at(self) -> Option<u64> {
        match self {
            Self::Fixed => None,
            Self::Dynamic(at) | Self::Differencing(at) => Some(at),
        }
    }
}

/// What a footer says, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Image {
    pub(crate) disk_type: DiskType,
    pub(crate) virtual_size: u64,
    /// Whether that is what the geometry says, and not Current Size.
    pub(crate) is_by_geometry: bool,
    pub(crate) unique_id: Uuid,
    pub(crate) is_saved_state: bool,
}

/// The footer that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) footer: Footer,
    pub(crate) image: Image,
    /// Bytes of the footer at the end of the file, 0 where there is none that can be trusted.
    pub(crate) tail_len: u64,
    /// Why the footer at the end was not taken.
    pub(crate) tail_damage: Option<VhdError>,
    /// Whether the copy at the start is another footer than the one at the end.
    pub(crate) copy_differs: bool,
    /// The wrong checksum of the footer that was taken all the same.
    pub(crate) ignored: Option<VhdError>,
}

/// A footer at the end, or its copy at the start. A fixed disk has no copy.
pub(crate) fn probe(head: &[u8], tail: &[u8]) -> Score {
    if head.starts_with(&FOOTER_COOKIE) || tail_footer(tail).is_some() { Score::Magic } else { Score::No }
}

fn tail_footer(tail: &[u8]) -> Option<&[u8]> {
    [FOOTER_LEN, OLD_FOOTER_LEN]
        .into_iter()
        .filter_map(|len| tail.get(tail.len().checked_sub(len)?..))
        .find(|bytes| bytes.starts_with(&FOOTER_COOKIE))
}

/// Takes the footer from the last bytes of the file, or its copy from the first where that one is damaged.
pub(crate) fn find_footer(head: &[u8], tail: &[u8], ignore_checksums: bool) -> Result<Found, VhdError> {
    let copy = head.get(..FOOTER_LEN).filter(|bytes| bytes.starts_with(&FOOTER_COOKIE));
    let at_end = tail_footer(tail);
    let damage = match at_end.map(|bytes| (bytes, checked(bytes))) {
        Some((bytes, Ok(footer))) => {
            let tail_len = bytes.len() as u64;
            let image = image(&footer)?;
            let copy_differs =
                image.disk_type != DiskType::Fixed && copy.map(checked) != Some(Ok(footer.clone()));
            return Ok(Found { footer, image, tail_len, tail_damage: None, copy_differs, ignored: None });
        }
        Some((_, Err(damage))) => damage,
        None => VhdError::NoFooter,
    };
    let Some(Ok(footer)) = copy.map(checked) else {
        return if ignore_checksums { unchecked(copy, at_end, damage) } else { Err(damage) };
    };
    let image = image(&footer)?;
    if image.disk_type == DiskType::Fixed {
        // A fixed disk has its footer at the end alone: these bytes are the guest's.
        return if ignore_checksums { unchecked(None, at_end, damage) } else { Err(damage) };
    }
    // What is left of a damaged footer is still no room for blocks.
    let tail_len = at_end.map_or(0, |bytes| bytes.len() as u64);
    Ok(Found { footer, image, tail_len, tail_damage: Some(damage), copy_differs: false, ignored: None })
}

/// Takes a footer whose checksum is wrong, when there is none with a right one.
fn unchecked(copy: Option<&[u8]>, at_end: Option<&[u8]>, damage: VhdError) -> Result<Found, VhdError> {
    let tail_len = at_end.map_or(0, |bytes| bytes.len() as u64);
    let Some(bytes) = at_end.or(copy) else { return Err(damage) };
    let footer = parsed(bytes)?;
    let image = image(&footer)?;
    if image.disk_type == DiskType::Fixed && at_end.is_none() {
        return Err(damage);
    }
    let (found, computed) = (footer.checksum, checksum(bytes, FOOTER_CHECKSUM_AT));
    let ignored = Some(VhdError::Checksum { structure: "footer", found, computed });
    let tail_damage = at_end.is_none().then_some(damage);
    Ok(Found { footer, image, tail_len, tail_damage, copy_differs: false, ignored })
}

fn parsed(bytes: &[u8]) -> Result<Footer, VhdError> {
    Footer::read(&mut Cursor::new(bytes)).map_err(|_| VhdError::NoFooter)
}

fn checked(bytes: &[u8]) -> Result<Footer, VhdError> {
    let footer = parsed(bytes)?;
    let (found, computed) = (footer.checksum, checksum(bytes, FOOTER_CHECKSUM_AT));
    if found != computed {
        return Err(VhdError::Checksum { structure: "footer", found, computed });
    }
    Ok(footer)
}

fn image(footer: &Footer) -> Result<Image, VhdError> {
    let found = footer.file_format_version;
    if found >> 16 != VERSION >> 16 {
        return Err(VhdError::Version { structure: "footer", found });
    }
    let disk_type = match footer.disk_type {
        DISK_TYPE_FIXED => DiskType::Fixed,
        DISK_TYPE_DYNAMIC => DiskType::Dynamic(footer.data_offset),
        DISK_TYPE_DIFFERENCING => DiskType::Differencing(footer.data_offset),
        found => return Err(VhdError::DiskType { found }),
    };
    let by_geometry = size_by_geometry(footer);
    Ok(Image {
        disk_type,
        virtual_size: by_geometry.unwrap_or(footer.current_size),
        is_by_geometry: by_geometry.is_some(),
        unique_id: Uuid::from_bytes(footer.unique_id),
        is_saved_state: footer.saved_state != 0,
    })
}

/// The size that the guest saw, where that is what the geometry says. One that is full says nothing.
fn size_by_geometry(footer: &Footer) -> Option<u64> {
    let geometry = footer.disk_geometry;
    let by_geometry = CREATORS_BY_GEOMETRY.contains(&footer.creator_application);
    let is_known = geometry != Geometry::MAX && geometry.bytes() > 0;
    (by_geometry && is_known).then(|| geometry.bytes())
}
