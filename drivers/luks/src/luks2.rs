//! Version 2: the two copies of its header ("LUKS2 On-Disk Format Specification", version 1.1.3, section 2), and which of
//! them counts.

use crate::hash::Hash;
use crate::header::{Header, MAGIC, START, text, uuid};
use crate::json;
use driver_core::Volume;
use format_core::{Bytes, Error, Result};

const SECOND_MAGIC: [u8; 6] = *b"SKUL\xba\xbe";
/// Sizes that a copy may have (section 2.2), which is also where the second copy begins.
const SIZES: [u64; 9] =
    [0x4000, 0x8000, 0x1_0000, 0x2_0000, 0x4_0000, 0x8_0000, 0x10_0000, 0x20_0000, 0x40_0000];
/// Where the checksum lies, and its room.
const CHECKSUM: std::ops::Range<usize> = 448..512;

/// One copy, whose checksum is right.
struct Copy {
    /// Bytes.
    size: u64,
    seqid: u64,
    label: String,
    uuid: String,
    /// The JSON text.
    json: Vec<u8>,
}

/// The newer of the copies that are whole.
///
/// # Errors
/// `Corrupt` when none is, or the one that counts contradicts itself.
pub(crate) fn load(volume: &dyn Volume, start: &[u8]) -> Result<Header> {
    let first = copy(volume, start, &MAGIC, 0)?;
    let second = match &first {
        Ok(first) => second_at(volume, first.size)?,
        Err(_) => find_second(volume)?,
    };
    match (first, second) {
        (Ok(first), Some(Ok(second))) if second.seqid > first.seqid => {
            header(volume, &second, vec!["the second copy of its header is newer than the first".into()])
        }
        (Ok(first), second) => {
            let warning = match second {
                Some(Ok(_)) => None,
                Some(Err(error)) => Some(format!("the second copy of its header is damaged: {error}")),
                None => Some("the second copy of its header is not there".into()),
            };
            header(volume, &first, warning.into_iter().collect())
        }
        (Err(damage), Some(Ok(second))) => {
            header(volume, &second, vec![format!("the first copy of its header is damaged: {damage}")])
        }
        (Err(damage), _) => Err(damage),
    }
}

/// The second copy, where the first is not there any more.
///
/// # Errors
/// `Corrupt` when it is whole and contradicts itself. A damaged one is none: nothing else says that this is LUKS.
pub(crate) fn load_second(volume: &dyn Volume) -> Result<Option<Header>> {
    match find_second(volume)? {
        Some(Ok(second)) => {
            header(volume, &second, vec!["the first copy of its header was overwritten".into()]).map(Some)
        }
        _ => Ok(None),
    }
}

fn header(volume: &dyn Volume, copy: &Copy, mut warnings: Vec<String>) -> Result<Header> {
    let parts = json::parse(&copy.json, copy.size, volume.size())?;
    warnings.extend(parts.warnings);
    Ok(Header {
        version: 2,
        uuid: copy.uuid.clone(),
        label: Some(copy.label.clone()).filter(|label| !label.is_empty()),
        cipher: parts.cipher,
        keyslots: parts.keyslots,
        tokens: parts.tokens,
        warnings,
        usable: parts.usable,
    })
}

/// The first whole second copy, else what is wrong with one.
fn find_second(volume: &dyn Volume) -> Result<Option<Result<Copy>>> {
    let mut damaged = None;
    for size in SIZES {
        match second_at(volume, size)? {
            Some(Ok(copy)) => return Ok(Some(Ok(copy))),
            found => damaged = damaged.or(found),
        }
    }
    Ok(damaged)
}

fn second_at(volume: &dyn Volume, at: u64) -> Result<Option<Result<Copy>>> {
    if at.checked_add(START as u64).is_none_or(|end| end > volume.size()) {
        return Ok(None);
    }
    let mut start = vec![0; START];
    volume.read_exact_at(at, &mut start)?;
    if start.first_chunk() != Some(&SECOND_MAGIC) {
        return Ok(None);
    }
    copy(volume, &start, &SECOND_MAGIC, at).map(Some)
}

/// The outer error is the volume's, the inner one says what is wrong with the copy.
fn copy(volume: &dyn Volume, start: &[u8], magic: &[u8; 6], at: u64) -> Result<Result<Copy>> {
    let size = match check_start(start, magic, at, volume.size()) {
        Ok(size) => size,
        Err(error) => return Ok(Err(error)),
    };
    // One of the sizes of the list: 4 MiB at most.
    let mut bytes = vec![0; size as usize];
    volume.read_exact_at(at, &mut bytes)?;
    Ok(parse_copy(bytes, size, at))
}

fn check_start(start: &[u8], magic: &[u8; 6], at: u64, volume_size: u64) -> Result<u64> {
    let bytes = Bytes::new(start, at);
    let (size, offset) = (bytes.u64_be(8)?, bytes.u64_be(256)?);
    if bytes.slice(0, 6)? != magic || bytes.u16_be(6)? != 2 {
        return Err(Error::corrupt("no magic of LUKS2").at(at));
    }
    let known = SIZES.contains(&size) && (at == 0 || at == size);
    if !known || offset != at || at.checked_add(size).is_none_or(|end| end > volume_size) {
        return Err(
            Error::corrupt(format!("it says that it has {size:#x} bytes and lies at {offset:#x}")).at(at)
        );
    }
    Ok(size)
}

fn parse_copy(mut bytes: Vec<u8>, size: u64, at: u64) -> Result<Copy> {
    let start = Bytes::new(&bytes, at);
    let algorithm = text(start.slice(72, 32)?, "checksum's name")?;
    let hash = Hash::by_name(&algorithm).map_err(Error::unsupported)?;
    let (seqid, label) = (start.u64_be(16)?, text(start.slice(24, 48)?, "label")?);
    let written = start.slice(CHECKSUM.start, hash.len())?.to_vec();
    let uuid = start.slice(168, 40)?.to_vec();
    bytes.get_mut(CHECKSUM).unwrap_or_default().fill(0);
    if hash.of(&bytes) != written {
        return Err(Error::corrupt(format!("its checksum ({algorithm}) is wrong")).at(at));
    }
    let json = bytes.get(START..).unwrap_or_default();
    let json = json.split(|&byte| byte == 0).next().unwrap_or_default().to_vec();
    Ok(Copy { size, seqid, label, uuid: self::uuid(&uuid)?, json })
}
