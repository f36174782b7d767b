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

/// What a footer says, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Image {
    pub(crate) disk_type: DiskType,
    pub(crate) virtual_size: u64,
    pub(crate) unique_id: Uuid,
    pub(crate) is_saved_state: bool,
}

/// The footer that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) image: Image,
    /// Bytes of the footer at the end of the file, 0 where there is none that can be trusted.
    pub(crate) tail_len: u64,
    /// Why the footer at the end was not taken.
    pub(crate) tail_damage: Option<VhdError>,
    /// Whether the copy at the start is another footer than the one at the end.
    pub(crate) copy_differs: bool,
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
pub(crate) fn find_footer(head: &[u8], tail: &[u8]) -> Result<Found, VhdError> {
    let copy = head.get(..FOOTER_LEN).filter(|bytes| bytes.starts_with(&FOOTER_COOKIE));
    let at_end = tail_footer(tail);
    let damage = match at_end.map(|bytes| (bytes, checked(bytes))) {
        Some((bytes, Ok(footer))) => {
            let tail_len = bytes.len() as u64;
            let image = image(&footer)?;
            let copy_differs = image.disk_type != DiskType::Fixed && copy.map(checked) != Some(Ok(footer));
            return Ok(Found { image, tail_len, tail_damage: None, copy_differs });
        }
        Some((_, Err(damage))) => damage,
        None => VhdError::NoFooter,
    };
    let Some(Ok(footer)) = copy.map(checked) else { return Err(damage) };
    let image = image(&footer)?;
    if image.disk_type == DiskType::Fixed {
        // A fixed disk has its footer at the end alone: these bytes are the guest's.
        return Err(damage);
    }
    // What is left of a damaged footer is still no room for blocks.
    let tail_len = at_end.map_or(0, |bytes| bytes.len() as u64);
    Ok(Found { image, tail_len, tail_damage: Some(damage), copy_differs: false })
}

fn checked(bytes: &[u8]) -> Result<Footer, VhdError> {
    let footer = Footer::read(&mut Cursor::new(bytes)).map_err(|_| VhdError::NoFooter)?;
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
    Ok(Image {
        disk_type,
        virtual_size: virtual_size(footer),
        unique_id: Uuid::from_bytes(footer.unique_id),
        is_saved_state: footer.saved_state != 0,
    })
}

/// The size that the guest saw. A geometry that is full says nothing.
fn virtual_size(footer: &Footer) -> u64 {
    let geometry = footer.disk_geometry;
    let by_geometry = CREATORS_BY_GEOMETRY.contains(&footer.creator_application);
    let is_known = geometry != Geometry::MAX && geometry.bytes() > 0;
    if by_geometry && is_known { geometry.bytes() } else { footer.current_size }
}
