//! Directory records, ECMA-119 section 9.1.

use super::corrupt;
use format_core::Result;

const FOLDER: u8 = 0x02;
const ASSOCIATED: u8 = 0x04;
const GOES_ON: u8 = 0x80;

/// Bytes in front of the name.
const HEADER: usize = 33;

/// A directory record.
#[derive(Clone, Debug)]
pub(super) struct Record {
    /// Of the record itself, in bytes.
    pub(super) len: usize,
    /// First logical block.
    pub(super) extent: u32,
    /// Logical blocks of extended attributes in front of the data.
    pub(super) attributes: u8,
    /// Of the data, in bytes.
    pub(super) size: u32,
    flags: u8,
    is_interleaved: bool,
    name: Vec<u8>,
    /// What follows the name.
    pub(super) system_use: Vec<u8>,
}

impl Record {
    /// The record at the start of `bytes`. `None`: the sector has no more.
    pub(super) fn parse(bytes: &[u8]) -> Result<Option<Self>> {
        let len = bytes.first().copied().map_or(0, usize::from);
        if len == 0 {
            return Ok(None);
        }
        let bad = |what: &str| corrupt(format!("a directory record of {len} bytes {what}"));
        let record = bytes.get(..len).ok_or_else(|| bad("crosses the end of its sector"))?;
        let header: &[u8; HEADER] = record.first_chunk().ok_or_else(|| bad("is too short"))?;
        let [_, attributes, e0, e1, e2, e3, _, _, _, _, s0, s1, s2, s3, .., unit, gap, _, _, _, _, name_len] =
            *header;
        let behind = record.get(HEADER..).unwrap_or_default();
        let (name, rest) =
            behind.split_at_checked(usize::from(name_len)).ok_or_else(|| bad("is shorter than its name"))?;
        // A byte makes the record's part up to here even.
        let rest = if name.len().is_multiple_of(2) { rest.get(1..).unwrap_or_default() } else { rest };
        Ok(Some(Self {
            len,
            extent: u32::from_le_bytes([e0, e1, e2, e3]),
            attributes,
            size: u32::from_le_bytes([s0, s1, s2, s3]),
            flags: header.get(25).copied().unwrap_or_default(),
            is_interleaved: unit != 0 || gap != 0,
            name: name.to_vec(),
            system_use: rest.to_vec(),
        }))
    }

    pub(super) fn is_folder(&self) -> bool {
        self.flags & FOLDER != 0
    }

    /// A resource fork or its like, beside the file of the same name.
    pub(super) fn is_associated(&self) -> bool {
        self.flags & ASSOCIATED != 0
    }

    /// Whether the next record has more of this file.
    pub(super) fn goes_on(&self) -> bool {
        self.flags & GOES_ON != 0
    }

    pub(super) fn is_interleaved(&self) -> bool {
        self.is_interleaved
    }

    pub(super) fn is_self_or_parent(&self) -> bool {
        matches!(self.name.as_slice(), [0 | 1])
    }

    /// UCS-2, high byte first.
    pub(super) fn joliet_name(&self) -> String {
        let units = self.name.as_chunks::<2>().0.iter().map(|unit| u16::from_be_bytes(*unit));
        let name: String =
            char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
        without_version(&name).to_owned()
    }

    /// Upper case and digits, by the letter of the standard; nobody keeps to that.
    pub(super) fn plain_name(&self) -> String {
        let name: String = self.name.iter().map(|byte| char::from(*byte)).collect();
        let name = without_version(&name);
        name.strip_suffix('.').unwrap_or(name).to_owned()
    }
}

/// Takes `;1` off.
fn without_version(name: &str) -> &str {
    match name.rsplit_once(';') {
        Some((name, version)) if version.bytes().all(|digit| digit.is_ascii_digit()) => name,
        _ => name,
    }
}
