//! The label of a physical volume and the headers of its metadata areas: bytes to trusted numbers, no I/O.
//!
//! Structures: LVM2 `lib/format_text/layout.h` and `lib/label/label.h` as documented by the source; numbers are
//! little-endian. Checksums are CRC-32 without the final inversion, begun with 0xf597a6cf.

use format_core::{Bytes, Error, Result};

pub(crate) const SECTOR: usize = 512;
/// A label is looked for in this many sectors.
pub(crate) const LABEL_SECTORS: usize = 4;
/// A metadata area's header; its ring of text begins behind it.
pub(crate) const MDA_HEADER: u64 = 512;
/// pvcreate makes two at most.
const MAX_AREAS: usize = 4;
/// LVM's default area is 1 MiB; a text of this size speaks of tens of thousands of volumes.
pub(crate) const MAX_TEXT: u64 = 4 << 20;

const LABEL_ID: &[u8; 8] = b"LABELONE";
const LABEL_TYPE: &[u8; 8] = b"LVM2 001";
const MDA_MAGIC: &[u8; 16] = b"\x20LVM2\x20x[5A%r0N*>";
const INITIAL_CRC: u32 = 0xf597_a6cf;
/// `raw_locn.flags`: the area is not used.
const IGNORED: u32 = 1;
/// Identifiers are 32 characters.
const ID_LEN: usize = 32;

/// A checked label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Label {
    /// The sector that holds it.
    pub(crate) sector: u64,
    /// UUID of the physical volume, without hyphens.
    pub(crate) uuid: String,
    /// Size of the device in bytes, as written.
    pub(crate) device_size: u64,
    /// Metadata areas: first byte, bytes.
    pub(crate) areas: Vec<(u64, u64)>,
    /// The extension says that a group uses it.
    pub(crate) used: bool,
}

/// LVM's checksum.
pub(crate) fn crc(parts: &[&[u8]]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(!INITIAL_CRC);
    parts.iter().for_each(|part| hasher.update(part));
    !hasher.finalize()
}

/// Whether a label begins at this sector.
pub(crate) fn is_label(sector: &[u8]) -> bool {
    sector.starts_with(LABEL_ID) && sector.get(24..32) == Some(LABEL_TYPE)
}

/// Checks the label in sector number `number` of a physical volume.
///
/// # Errors
/// `Corrupt` when a checksum or a number is wrong.
pub(crate) fn parse(sector: &[u8], number: u64) -> Result<Label> {
    let bytes = Bytes::new(sector, number * SECTOR as u64);
    let (stored, computed) = (bytes.u32_le(16)?, crc(&[bytes.slice(20, SECTOR - 20)?]));
    if stored != computed {
        return Err(Error::corrupt(format!("the label's CRC is {computed:#010x}, it says {stored:#010x}")));
    }
    let own = bytes.u64_le(8)?;
    if own != number {
        return Err(Error::corrupt(format!("the label in sector {number} says that it is in sector {own}")));
    }
    let header = bytes.u32_le(20)? as usize;
    let uuid = id(bytes.slice(header, ID_LEN)?)?;
    let device_size = bytes.u64_le(header.saturating_add(ID_LEN))?;
    let mut at = header.saturating_add(ID_LEN + 8);
    let _data = locations(bytes, &mut at)?;
    let areas = locations(bytes, &mut at)?;
    if areas.len() > MAX_AREAS {
        return Err(Error::corrupt(format!("{} metadata areas, {MAX_AREAS} are possible", areas.len())));
    }
    // `pv_header_extension`: version, flags; absent in labels of old tools, which leave zeros there.
    let (version, flags) = (bytes.u32_le(at).unwrap_or(0), bytes.u32_le(at.saturating_add(4)).unwrap_or(0));
    Ok(Label { sector: number, uuid, device_size, areas, used: version >= 2 && flags & 1 != 0 })
}

/// `disk_locn` entries up to the one that is all zeros.
fn locations(bytes: Bytes<'_>, at: &mut usize) -> Result<Vec<(u64, u64)>> {
    let mut found = Vec::new();
    loop {
        let entry = (bytes.u64_le(*at)?, bytes.u64_le(at.saturating_add(8))?);
        *at = at.saturating_add(16);
        if entry.0 == 0 {
            return Ok(found);
        }
        found.push(entry);
    }
}

/// An identifier without hyphens.
///
/// # Errors
/// `Corrupt` when it is none.
pub(crate) fn id(text: &[u8]) -> Result<String> {
    let plain: String = text.iter().filter(|&&byte| byte != b'-').map(|&byte| char::from(byte)).collect();
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '!' || c == '#';
    if plain.len() == ID_LEN && plain.chars().all(fits) {
        Ok(plain)
    } else {
        Err(Error::corrupt(format!("{:?} is no identifier", String::from_utf8_lossy(text))))
    }
}

/// An identifier as LVM's tools print it.
pub(crate) fn printed(id: &str) -> String {
    let mut text = String::with_capacity(ID_LEN + 6);
    for (at, c) in id.chars().enumerate() {
        if matches!(at, 6 | 10 | 14 | 18 | 22 | 26) {
            text.push('-');
        }
        text.push(c);
    }
    text
}

/// Where in its area the committed text lies: the first byte and the length of up to two pieces, and the checksum
/// over them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TextPlace {
    pub(crate) pieces: Vec<(u64, u64)>,
    pub(crate) checksum: u32,
}

/// Checks the header of the metadata area at `start` of `size` bytes. `None` when the area is empty or not used.
///
/// # Errors
/// `Corrupt` when it contradicts itself or the label, `Limit` when the text is too long.
pub(crate) fn parse_area(header: &[u8], start: u64, size: u64) -> Result<Option<TextPlace>> {
    let bytes = Bytes::new(header, start);
    let (stored, computed) = (bytes.u32_le(0)?, crc(&[bytes.slice(4, MDA_HEADER as usize - 4)?]));
    if stored != computed {
        return Err(Error::corrupt(format!(
            "the metadata header's CRC is {computed:#010x}, it says {stored:#010x}"
        ))
        .at(start));
    }
    if bytes.slice(4, 16)? != MDA_MAGIC || bytes.u32_le(20)? != 1 {
        return Err(Error::corrupt("the metadata header has another magic or version").at(start));
    }
    let own = (bytes.u64_le(24)?, bytes.u64_le(32)?);
    if own != (start, size) {
        let text =
            format!("the metadata header says {:#x}+{:#x}, the label {start:#x}+{size:#x}", own.0, own.1);
        return Err(Error::corrupt(text).at(start));
    }
    let (offset, len) = (bytes.u64_le(40)?, bytes.u64_le(48)?);
    let (checksum, flags) = (bytes.u32_le(56)?, bytes.u32_le(60)?);
    if offset == 0 || flags & IGNORED != 0 {
        return Ok(None);
    }
    if len > MAX_TEXT {
        return Err(Error::new(
            format_core::ErrorKind::Limit,
            format!("the metadata text has {len} bytes, {MAX_TEXT} are read at most"),
        ));
    }
    let room = size.saturating_sub(MDA_HEADER);
    if len == 0 || len > room || offset < MDA_HEADER || offset >= size {
        let text = format!("the metadata text is {offset:#x}+{len:#x} of an area of {size:#x} bytes");
        return Err(Error::corrupt(text).at(start));
    }
    let first = len.min(size - offset);
    let mut pieces = vec![(start + offset, first)];
    if first < len {
        pieces.push((start + MDA_HEADER, len - first));
    }
    Ok(Some(TextPlace { pieces, checksum }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_printed_in_groups() {
        let id = id(b"abcdef-ghij-klmn-opqr-stuv-wxyz-012345").unwrap();
        assert_eq!(id.len(), 32);
        assert_eq!(printed(&id), "abcdef-ghij-klmn-opqr-stuv-wxyz-012345");
        assert!(super::id(b"short").is_err() && super::id(&[0; 32]).is_err());
    }

    #[test]
    fn text_that_wraps_goes_on_behind_the_header() {
        let mut header = [0u8; 512];
        header[4..20].copy_from_slice(MDA_MAGIC);
        header[20] = 1;
        for (at, value) in [(24, 4096u64), (32, 8192), (40, 8000), (48, 500)] {
            header[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
        let seal = |header: &mut [u8; 512]| {
            let sum = crc(&[&header[4..]]);
            header[..4].copy_from_slice(&sum.to_le_bytes());
        };
        seal(&mut header);
        let place = parse_area(&header, 4096, 8192).unwrap().unwrap();
        assert_eq!(place.pieces, [(4096 + 8000, 192), (4096 + 512, 308)]);
        assert!(parse_area(&header, 4096, 8193).is_err(), "the label says otherwise");
        for (at, value) in [(40, 8192u64), (40, 511), (48, 8000), (48, u64::MAX)] {
            let mut bad = header;
            bad[at..at + 8].copy_from_slice(&value.to_le_bytes());
            seal(&mut bad);
            assert!(parse_area(&bad, 4096, 8192).is_err(), "{at} {value}");
        }
        header[60] = 1;
        assert!(parse_area(&header, 4096, 8192).is_err(), "checksum");
        seal(&mut header);
        assert_eq!(parse_area(&header, 4096, 8192).unwrap(), None);
    }
}
