//! Records of `$MFT`: the multi-sector check, the header, and the attributes.

use crate::bytes::{part, u16_at, u32_at, u64_at, units_at};
use crate::error::NtfsError;
use crate::layout::{END_OF_ATTRIBUTES, IN_USE, IS_FOLDER, STRIDE};
use crate::runs::{self, Run};

/// One record, checked.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) number: u64,
    pub(crate) sequence: u16,
    pub(crate) links: u16,
    pub(crate) flags: u16,
    /// The record that this one extends, 0 for none.
    pub(crate) base: u64,
    pub(crate) attributes: Vec<Attribute>,
}

/// One attribute, or one piece of it.
#[derive(Clone, Debug)]
pub(crate) struct Attribute {
    pub(crate) kind: u32,
    pub(crate) name: Vec<u16>,
    pub(crate) flags: u16,
    pub(crate) body: Body,
}

/// Where an attribute's bytes are.
#[derive(Clone, Debug)]
pub(crate) enum Body {
    /// In the record.
    Resident(Vec<u8>),
    /// In clusters.
    Mapped(Mapping),
}

/// Bytes in clusters. The sizes are those of the whole attribute and only in its first piece.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mapping {
    /// The first cluster of this piece within the attribute.
    pub(crate) first: u64,
    /// The cluster behind the last one.
    pub(crate) end: u64,
    pub(crate) runs: Vec<Run>,
    pub(crate) size: u64,
    /// Bytes behind it read as zeros.
    pub(crate) initialized: u64,
    /// Clusters that are compressed together, as a power of two; 0 for none.
    pub(crate) unit: u8,
}

impl Attribute {
    pub(crate) fn is(&self, kind: u32, name: &[u16]) -> bool {
        self.kind == kind && self.name == name
    }

    pub(crate) fn size(&self) -> u64 {
        match &self.body {
            Body::Resident(bytes) => bytes.len() as u64,
            Body::Mapped(mapping) => mapping.size,
        }
    }

    pub(crate) fn resident(&self) -> Option<&[u8]> {
        match &self.body {
            Body::Resident(bytes) => Some(bytes),
            Body::Mapped(_) => None,
        }
    }
}

impl Record {
    pub(crate) fn is_in_use(&self) -> bool {
        self.flags & IN_USE != 0
    }

    pub(crate) fn is_folder(&self) -> bool {
        self.flags & IS_FOLDER != 0
    }

    /// Number and sequence number in one.
    pub(crate) fn reference(&self) -> u64 {
        self.number | u64::from(self.sequence) << 48
    }

    /// Parses record `number` of a volume of `clusters` clusters.
    pub(crate) fn parse(mut raw: Vec<u8>, number: u64, clusters: u64) -> Result<Self, NtfsError> {
        let broken = |what: String| NtfsError::Record { record: number, what };
        unprotect(&mut raw, *b"FILE").map_err(broken)?;
        let (offset, used) = (u16_at(&raw, 0x14).unwrap_or_default(), u32_at(&raw, 0x18).unwrap_or_default());
        let used = usize::try_from(used).unwrap_or(usize::MAX);
        if used > raw.len() || used % 8 != 0 || offset % 8 != 0 || usize::from(offset) + 8 > used {
            return Err(broken(format!("its attributes are at {offset:#x} of {used:#x} bytes")));
        }
        if u32_at(&raw, 0x1c).is_none_or(|room| room as usize != raw.len()) {
            return Err(broken("it gives another size of records".into()));
        }
        let mut record = Self {
            number,
            sequence: u16_at(&raw, 0x10).unwrap_or_default(),
            links: u16_at(&raw, 0x12).unwrap_or_default(),
            flags: u16_at(&raw, 0x16).unwrap_or_default(),
            base: u64_at(&raw, 0x20).unwrap_or_default(),
            attributes: Vec::new(),
        };
        record.attributes =
            attributes(raw.get(..used).unwrap_or_default(), offset.into(), clusters).map_err(broken)?;
        Ok(record)
    }
}

/// Checks the signature and the update sequence of a protected structure, and puts the bytes back that it replaced.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn unprotect(raw: &mut [u8], signature: [u8; 4]) -> Result<(), String> {
    if raw.get(..4) != Some(&signature) {
        let found = raw.get(..4).unwrap_or_default().escape_ascii().to_string();
        return Err(format!("it starts with {found:?}, not {:?}", signature.escape_ascii().to_string()));
    }
    let (at, count) = (u16_at(raw, 4).unwrap_or_default(), u16_at(raw, 6).unwrap_or_default());
    let sectors = raw.len() / STRIDE;
    let (at, count) = (usize::from(at), usize::from(count));
    if count != sectors + 1 || at % 2 != 0 || at < 8 || at + 2 * count > STRIDE - 2 {
        return Err(format!("its update sequence has {count} numbers at {at:#x}"));
    }
    let sequence = u16_at(raw, at).unwrap_or_default();
    for sector in 0..sectors {
        let place = (sector + 1) * STRIDE - 2;
        let found = u16_at(raw, place).unwrap_or_default();
        if found != sequence {
            return Err(format!(
                "its sector {sector} was not written with the others: {found:#x}, not {sequence:#x}"
            ));
        }
        let old = u16_at(raw, at + 2 * (sector + 1)).unwrap_or_default();
        if let Some(bytes) = raw.get_mut(place..place + 2) {
            bytes.copy_from_slice(&old.to_le_bytes());
        }
    }
    Ok(())
}

fn attributes(raw: &[u8], start: usize, clusters: u64) -> Result<Vec<Attribute>, String> {
    let (mut at, mut found, mut last) = (start, Vec::<Attribute>::new(), 0);
    loop {
        let kind = u32_at(raw, at).ok_or("its attributes have no end")?;
        if kind == END_OF_ATTRIBUTES {
            return Ok(found);
        }
        let len = u32_at(raw, at + 4).unwrap_or_default() as usize;
        let bytes = part(raw, at, len).filter(|_| len >= 24 && len.is_multiple_of(8));
        let bytes = bytes.ok_or_else(|| format!("the attribute {kind:#x} at {at:#x} has {len:#x} bytes"))?;
        if kind < last || kind % 16 != 0 || kind == 0 {
            return Err(format!("an attribute {kind:#x} follows one of {last:#x}"));
        }
        last = kind;
        let attribute = attribute(bytes, kind, clusters)
            .map_err(|what| format!("the attribute {kind:#x} at {at:#x}: {what}"))?;
        found.push(attribute);
        at += len;
    }
}

fn attribute(raw: &[u8], kind: u32, clusters: u64) -> Result<Attribute, String> {
    let name_len = usize::from(raw.get(9).copied().unwrap_or_default());
    let name_at = usize::from(u16_at(raw, 10).unwrap_or_default());
    let name = match name_len {
        0 => Vec::new(),
        _ if name_at < 24 => return Err(format!("its name is at {name_at:#x}")),
        _ => units_at(raw, name_at, name_len).ok_or("its name leaves it")?,
    };
    let body = match raw.get(8) {
        Some(0) => {
            let len = u32_at(raw, 16).unwrap_or_default() as usize;
            let at = usize::from(u16_at(raw, 20).unwrap_or_default());
            let value = part(raw, at, len).filter(|_| at >= 24 && at.is_multiple_of(8));
            Body::Resident(value.ok_or_else(|| format!("its {len:#x} bytes are at {at:#x}"))?.to_vec())
        }
        Some(1) => Body::Mapped(mapping(raw, clusters)?),
        _ => return Err("it is neither in the record nor in clusters".into()),
    };
    Ok(Attribute { kind, name, flags: u16_at(raw, 12).unwrap_or_default(), body })
}

fn mapping(raw: &[u8], clusters: u64) -> Result<Mapping, String> {
    let quad = |at: usize| u64_at(raw, at).ok_or("its header is cut");
    let (first, last) = (quad(16)?, quad(24)?);
    let pairs_at = usize::from(u16_at(raw, 32).unwrap_or_default());
    let unit = raw.get(34).copied().unwrap_or_default();
    let end = last.wrapping_add(1);
    let pairs = raw.get(pairs_at..).filter(|_| pairs_at >= 64).ok_or("its mapping pairs leave it")?;
    let runs = runs::parse(pairs, first, clusters)?;
    let mapped = runs.last().map_or(first, |run| run.vcn + run.len);
    if mapped != end {
        return Err(format!("its runs end at cluster {mapped:#x}, its header says {end:#x}"));
    }
    if unit > 4 {
        return Err(format!("2^{unit} of its clusters are compressed together"));
    }
    let (allocated, size, initialized) = (quad(40)?, quad(48)?, quad(56)?);
    if first == 0 && (size > i64::MAX as u64 || initialized > size || size > allocated) {
        return Err(format!("it has {size:#x} bytes, {initialized:#x} of them written, in {allocated:#x}"));
    }
    Ok(Mapping { first, end, runs, size, initialized, unit })
}
