//! The chain of tables that holds logical partitions. Clonezilla saves its first table; sfdisk writes the rest anew.

use crate::error::ClonezillaError;
use crate::table::{Part, Table};

/// Where in a table its first entry is, and where its second.
const ENTRIES: [usize; 2] = [446, 462];
const LINK: u8 = 0x05;

/// Tables to put on the disk: where, and 512 bytes.
pub(crate) type Links = Vec<(u64, [u8; 512])>;

/// Makes the chain of `disk`. `saved` is the first table, where it is in the folder.
pub(crate) fn chain(disk: &str, table: &Table, saved: Option<&[u8]>) -> Result<Links, ClonezillaError> {
    let Some(extended) = table.parts.iter().find(|part| part.is_extended()) else { return Ok(Vec::new()) };
    let logical: Vec<&Part> = table.parts.iter().filter(|part| part.number > 4).collect();
    let sector = table.sector;
    let no_room = |part: &Part| ClonezillaError::NoRoomForLink { disk: disk.into(), part: part.name.clone() };
    let mut first = [0; 512];
    let saved =
        saved.and_then(|saved| saved.first_chunk::<512>()).filter(|saved| saved.ends_with(&[0x55, 0xaa]));
    if let Some(saved) = saved {
        first = *saved;
    }
    let next = saved.map(|saved| number(saved, ENTRIES[1] + 8)).filter(|start| *start > 0);
    // From a table to its partition it is as far as from the first.
    let distance = logical.first().map_or(2048 * sector, |part| part.start.saturating_sub(extended.start));
    let mut places = Vec::new();
    for (number, part) in logical.iter().enumerate() {
        let saved =
            next.filter(|_| number == 1).map(|next| extended.start.saturating_add(u64::from(next) * sector));
        let near = [distance, 2048 * sector, 63 * sector, sector].map(|far| part.start.checked_sub(far));
        let is_free = |place: &u64| {
            let inside = (extended.start..extended.end()).contains(place) && *place < part.start;
            inside
                && !places.contains(place)
                && !logical.iter().any(|other| (other.start..other.end()).contains(place))
        };
        let place = match number {
            0 => Some(extended.start),
            _ => std::iter::once(saved).chain(near).flatten().find(is_free),
        };
        places.push(place.ok_or_else(|| no_room(part))?);
    }
    let mut links = Links::new();
    for (at, (part, place)) in logical.iter().zip(&places).enumerate() {
        let mut bytes = if at == 0 { first } else { [0; 512] };
        let start = part.start.checked_sub(*place).ok_or_else(|| no_room(part))?;
        let first = (part.id, part.start / sector);
        let mut fits = put(&mut bytes, ENTRIES[0], first, start / sector, part.len / sector);
        let link = logical.get(at + 1).zip(places.get(at + 1));
        fits &= match link {
            Some((next, place)) => {
                let (start, count) = ((place - extended.start) / sector, (next.end() - place) / sector);
                put(&mut bytes, ENTRIES[1], (LINK, place / sector), start, count)
            }
            None => put(&mut bytes, ENTRIES[1], (0, 0), 0, 0),
        };
        if !fits {
            return Err(no_room(part));
        }
        bytes[510..].copy_from_slice(&[0x55, 0xaa]);
        links.push((*place, bytes));
    }
    if links.is_empty() {
        first[510..].copy_from_slice(&[0x55, 0xaa]);
        links.push((extended.start, first));
    }
    Ok(links)
}

fn number(bytes: &[u8; 512], at: usize) -> u32 {
    bytes.get(at..).and_then(|bytes| bytes.first_chunk()).map_or(0, |number| u32::from_le_bytes(*number))
}

/// The old address of a sector of the disk, for 255 heads and 63 sectors as every program takes them.
fn cylinder_head_sector(sector: u64) -> [u8; 3] {
    let (cylinder, head, sector) = (sector / (255 * 63), sector / 63 % 255, sector % 63 + 1);
    match u16::try_from(cylinder).ok().filter(|cylinder| *cylinder < 1024) {
        Some(cylinder) => [head as u8, sector as u8 | (cylinder >> 2) as u8 & 0xc0, cylinder as u8],
        // Beyond what fits: the numbers behind count.
        None => [0xfe, 0xff, 0xff],
    }
}

/// Writes an entry for a partition that begins at sector `first` of the disk, unless it is the one that is there: what was
/// saved may be marked as bootable.
fn put(bytes: &mut [u8; 512], at: usize, (id, first): (u8, u64), start: u64, count: u64) -> bool {
    let last = first.saturating_add(count).saturating_sub(1);
    let (Ok(start), Ok(count)) = (u32::try_from(start), u32::try_from(count)) else { return false };
    let is_link = id == LINK && bytes.get(at + 4).is_some_and(|id| matches!(id, 0x05 | 0x0f | 0x85));
    let is_there = number(bytes, at + 8) == start && number(bytes, at + 12) == count;
    if is_there && (is_link || bytes.get(at + 4) == Some(&id)) {
        return true;
    }
    let mut entry = [0; 16];
    if count > 0 {
        entry[1..4].copy_from_slice(&cylinder_head_sector(first));
        entry[4] = id;
        entry[5..8].copy_from_slice(&cylinder_head_sector(last));
        entry[8..12].copy_from_slice(&start.to_le_bytes());
        entry[12..].copy_from_slice(&count.to_le_bytes());
    }
    bytes[at..at + 16].copy_from_slice(&entry);
    true
}
