//! Reads one physical volume: its label and what its metadata areas say. Nothing is decided here.

use crate::label::{self, LABEL_SECTORS, Label, MDA_HEADER, SECTOR, TextPlace};
use crate::metadata::{GroupText, parse_group};
use driver_core::Volume;
use format_core::{Error, Result};

/// A physical volume as it was found.
#[derive(Clone, Debug)]
pub struct PhysicalVolume {
    pub(crate) label: Label,
    /// Bytes that are really there.
    pub(crate) size: u64,
    /// What the readable areas say, the same text only once.
    pub(crate) texts: Vec<GroupText>,
    /// Why areas could not be read.
    pub(crate) damaged: Vec<String>,
}

impl PhysicalVolume {
    /// UUID as `pvs` prints it.
    #[must_use]
    pub fn uuid(&self) -> String {
        label::printed(&self.label.uuid)
    }
}

/// The physical volume on `volume`; `None` when it has no label. A metadata area that cannot be read is remembered and
/// matters only where no other has its group's text.
///
/// # Errors
/// `Corrupt` when the only label is damaged; what the volume reports.
pub fn probe(volume: &dyn Volume) -> Result<Option<PhysicalVolume>> {
    let Some(label) = find_label(volume)? else { return Ok(None) };
    let mut found =
        PhysicalVolume { size: volume.size(), texts: Vec::new(), damaged: Vec::new(), label: label.clone() };
    let mut seen: Vec<Vec<u8>> = Vec::new();
    for (start, size) in label.areas {
        let read = read_area(volume, start, size)?;
        match read.and_then(|text| match text {
            // Both areas of a volume hold the same text: it is parsed once.
            Some(text) if seen.contains(&text) => Ok(None),
            Some(text) => {
                let parsed = parse_group(&text).map(Some);
                seen.push(text);
                parsed
            }
            None => Ok(None),
        }) {
            Ok(text) => found.texts.extend(text),
            Err(error) => found.damaged.push(format!("metadata area at {start:#x}: {error}")),
        }
    }
    Ok(Some(found))
}

fn find_label(volume: &dyn Volume) -> Result<Option<Label>> {
    let sectors = (volume.size() / SECTOR as u64).min(LABEL_SECTORS as u64);
    let mut bytes = vec![0; sectors as usize * SECTOR];
    volume.read_exact_at(0, &mut bytes)?;
    let mut damage = None;
    for (number, sector) in
        (0..).zip(bytes.chunks_exact(SECTOR)).filter(|(_, sector)| label::is_label(sector))
    {
        match label::parse(sector, number) {
            Ok(label) => return Ok(Some(label)),
            Err(error) => damage = damage.or(Some(error)),
        }
    }
    damage.map_or(Ok(None), |error| Err(error.context("LVM physical volume")))
}

/// The committed text of an area. The outer error is the volume's, the inner one says what is wrong with the area.
fn read_area(volume: &dyn Volume, start: u64, size: u64) -> Result<Result<Option<Vec<u8>>>> {
    if size < MDA_HEADER || start.checked_add(size).is_none_or(|end| end > volume.size()) {
        let text = format!("{start:#x}+{size:#x} is no place on a volume of {:#x} bytes", volume.size());
        return Ok(Err(Error::corrupt(text)));
    }
    let mut header = [0; MDA_HEADER as usize];
    volume.read_exact_at(start, &mut header)?;
    let TextPlace { pieces, checksum } = match label::parse_area(&header, start, size) {
        Ok(Some(place)) => place,
        Ok(None) => return Ok(Ok(None)),
        Err(error) => return Ok(Err(error)),
    };
    let mut text = Vec::new();
    for (at, len) in pieces {
        let from = text.len();
        text.resize(from + len as usize, 0);
        volume.read_exact_at(at, text.get_mut(from..).unwrap_or_default())?;
    }
    let computed = label::crc(&[&text]);
    if computed != checksum {
        let text = format!("the text's CRC is {computed:#010x}, the header says {checksum:#010x}");
        return Ok(Err(Error::corrupt(text)));
    }
    Ok(Ok(Some(text)))
}
