//! Options and sizes to the layout of a new image.

use super::parent::Parent;
use super::tables::HEADER_OFFSET;
use crate::layout::{BAT_ENTRY_LEN, Geometry, HEADER_LEN, MAX_VIRTUAL_SIZE, SECTOR, bitmap_len};
use format_core::units::{KIB, MIB, TIB, align_up, format_size};
use format_core::{CreateRequest, Error, ErrorKind, Result};
use uuid::Uuid;

/// The block size that all products use; some read no other.
pub(super) const BLOCK: u64 = 2 * MIB;
/// Data starts at multiples of this, so that a guest's pages are pages of the host.
const ALIGNMENT: u64 = 4 * KIB;
/// From one block to the next: its bitmap, its data, and room up to the next bitmap.
pub(super) const STRIDE: u64 = BLOCK + ALIGNMENT;

/// What Azure takes.
const AZURE_STEP: u64 = MIB;
const AZURE_MIN: u64 = 20 * MIB;
const AZURE_MAX: u64 = 32 * TIB;

/// Everything about the new file that is known before the first byte.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) virtual_size: u64,
    pub(super) fixed: bool,
    pub(super) geometry: Geometry,
    /// 0 for a fixed disk.
    pub(super) blocks: u32,
    pub(super) bat_offset: u64,
    /// In whole sectors.
    pub(super) bat_length: u64,
    pub(super) parent: Option<Parent>,
    /// Where the bitmap of the first block goes.
    pub(super) first_block: u64,
    /// What `-o identity` says.
    pub(super) unique_id: Option<Uuid>,
}

/// The disk is whole sectors, and for Azure whole MiB and at least 20. What [`create`](super::create) will refuse
/// counts as nothing here.
pub(crate) fn size_step(request: &CreateRequest) -> u64 {
    match is_azure(request) {
        Ok(true) if request.virtual_size < AZURE_MIN => AZURE_MIN,
        Ok(true) => AZURE_STEP,
        _ => SECTOR,
    }
}

fn is_azure(request: &CreateRequest) -> Result<bool> {
    match request.options.get("azure").map(String::as_str) {
        None | Some("off") => Ok(false),
        Some("on" | "") => Ok(true),
        Some(other) => Err(Error::usage(format!("azure is on or off, not '{other}'"))),
    }
}

impl Plan {
    pub(super) fn new(request: &CreateRequest) -> Result<Self> {
        let azure = is_azure(request)?;
        let fixed = is_fixed(request, azure)?;
        let (most, said) = if azure { (AZURE_MAX, "32 TiB") } else { (MAX_VIRTUAL_SIZE, "2040 GiB") };
        let virtual_size = align_up(request.virtual_size, size_step(request))
            .filter(|size| *size <= most)
            .ok_or_else(|| {
                let asked = format_size(request.virtual_size);
                Error::new(ErrorKind::Limit, format!("the disk has at most {said}, not {asked}"))
                    .hint("vhdx holds up to 64 TiB")
            })?;
        if azure && virtual_size < AZURE_MIN {
            return Err(Error::usage("azure takes disks of at least 20 MiB, not empty ones"));
        }
        // A dynamic disk has at most 2040 GiB.
        let blocks = if fixed { 0 } else { virtual_size.div_ceil(BLOCK) };
        let bat_offset = HEADER_OFFSET + HEADER_LEN as u64;
        let bat_length = (blocks * BAT_ENTRY_LEN).next_multiple_of(SECTOR);
        let bat_end = bat_offset + bat_length;
        let parent = request.parent.as_ref().map(|parent| Parent::new(parent, virtual_size, bat_end));
        let parent = parent.transpose()?;
        let tables_end = parent.as_ref().map_or(bat_end, Parent::end);
        let first_data = (tables_end + bitmap_len(BLOCK)).next_multiple_of(ALIGNMENT);
        Ok(Self {
            virtual_size,
            fixed,
            geometry: geometry(virtual_size),
            blocks: blocks as u32,
            bat_offset,
            bat_length,
            parent,
            first_block: first_data - bitmap_len(BLOCK),
            unique_id: identity(request)?,
        })
    }
}

/// Nil is no id: a difference that names it has a raw disk for its parent.
fn identity(request: &CreateRequest) -> Result<Option<Uuid>> {
    let Some(text) = request.options.get("identity") else { return Ok(None) };
    match Uuid::try_parse(text) {
        Ok(id) if !id.is_nil() => Ok(Some(id)),
        _ => Err(Error::usage(format!("identity is a UUID, not '{text}'"))),
    }
}

fn is_fixed(request: &CreateRequest, azure: bool) -> Result<bool> {
    let option = |key: &str| request.options.get(key).map(String::as_str);
    if let Some(other) = option("force_size").filter(|value| !["on", ""].contains(value)) {
        let text = format!("force_size is on, not '{other}': a disk is never rounded to cylinders");
        return Err(Error::usage(text));
    }
    let fixed = match option("subformat") {
        None => azure,
        Some("dynamic") if azure => {
            return Err(Error::usage("azure takes fixed disks, not dynamic ones"));
        }
        Some("dynamic") => false,
        Some("fixed") => true,
        Some(other) => return Err(Error::usage(format!("subformat is dynamic or fixed, not '{other}'"))),
    };
    if fixed && request.parent.is_some() {
        return Err(Error::usage("a fixed disk holds everything, it cannot be a difference to a parent"));
    }
    Ok(fixed)
}

/// The geometry of a disk ("CHS Calculation" of the specification): never more than the disk has.
fn geometry(virtual_size: u64) -> Geometry {
    let sectors = virtual_size / SECTOR;
    if sectors * SECTOR >= Geometry::MAX.bytes() {
        return Geometry::MAX;
    }
    let (per_track, heads, tracks);
    if sectors >= 65535 * 16 * 63 {
        (per_track, heads, tracks) = (255, 16, sectors / 255);
    } else {
        let few = sectors / 17;
        let needed = few.div_ceil(1024).max(4);
        if few < needed * 1024 && needed <= 16 {
            (per_track, heads, tracks) = (17, needed, few);
        } else if sectors / 31 < 16 * 1024 {
            (per_track, heads, tracks) = (31, 16, sectors / 31);
        } else {
            (per_track, heads, tracks) = (63, 16, sectors / 63);
        }
    }
    // Below the largest geometry each of the three fits its field.
    Geometry { cylinders: (tracks / heads) as u16, heads: heads as u8, sectors: per_track }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Footers of Windows, Hyper-V and VirtualBox say the same.
    #[test]
    fn geometries_are_those_of_other_products() {
        for (size, cylinders, heads, sectors) in [
            (0x40_0000, 0x78, 4, 17),
            (0xa0_0000, 0x12d, 4, 17),
            (0x1f_c000_0000, 0xfefe, 16, 255),
            (0x140_0e00, 0x25a, 4, 17),
            (2040 << 30, 65535, 16, 255),
            (0, 0, 4, 17),
        ] {
            assert_eq!(geometry(size), Geometry { cylinders, heads, sectors }, "{size:#x}");
        }
    }

    #[test]
    fn a_geometry_holds_no_more_than_the_disk_and_loses_no_cylinder() {
        for size in (0..4096u64).map(|n| n * n * n * 37 * SECTOR).take_while(|size| *size < 130 << 30) {
            let found = geometry(size);
            assert!(found.bytes() <= size, "{size:#x}: {found:?}");
            let cylinder = u64::from(found.heads) * u64::from(found.sectors) * SECTOR;
            assert!(found == Geometry::MAX || size - found.bytes() < cylinder, "{size:#x}: {found:?}");
        }
    }
}
