//! Bytes to trusted types: every check of the header and of extents' heads is here, and nothing here does I/O.

use crate::error::VmaError;
use crate::layout::{
    BLOBS_AT, BLOBS_LEN_AT, BLOCK, BLOCKS, CLUSTER, CONFIG_DATA_AT, CONFIG_NAMES_AT, CREATED_AT, DEVICE_LEN,
    DEVICE_SIZE_AT, DEVICES_AT, ENTRIES, EXTENT_MAGIC, FIXED_LEN, HEAD_COUNT_AT, HEAD_LEN, HEAD_MD5_AT,
    HEAD_SLOTS_AT, HEAD_UUID_AT, HEADER_LEN_AT, MAGIC, MAX_DEVICE, MAX_HEADER, MD5_AT, SECTOR, SLOTS,
    UUID_AT, VERSION, VERSION_AT, VM_STATE,
};
use format_core::{Bytes, MachineFile, Result, Score};
use md5::{Digest, Md5};
use uuid::Uuid;

pub(crate) fn probe(head: &[u8], _: &[u8]) -> Score {
    if head.starts_with(&MAGIC) { Score::Magic } else { Score::No }
}

/// What the header says, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) uuid: Uuid,
    /// Seconds since 1970.
    pub(crate) created: i64,
    /// Bytes of the header: where the first extent begins.
    pub(crate) len: u64,
    pub(crate) configs: Vec<MachineFile>,
    /// In the order of their numbers.
    pub(crate) devices: Vec<Device>,
    /// Devices without a single byte: their names.
    pub(crate) empty: Vec<String>,
    /// Index in `devices` by the number of a device; none is `u8::MAX`.
    numbers: Box<[u8; ENTRIES]>,
    /// A checksum that does not fit and that the operator wants to be ignored.
    pub(crate) ignored: Option<VmaError>,
}

/// A disk of the machine, or its memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Device {
    pub(crate) name: String,
    /// Bytes.
    pub(crate) size: u64,
}

impl Device {
    pub(crate) fn clusters(&self) -> u64 {
        self.size.div_ceil(CLUSTER)
    }

    /// The memory comes as a stream whose length nobody knew when the header was written.
    pub(crate) fn is_memory(&self) -> bool {
        self.name == VM_STATE
    }
}

/// A cluster in the head of an extent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    /// Index in [`Header::devices`].
    pub(crate) device: usize,
    pub(crate) cluster: u32,
    /// Which blocks are there, the first one in bit 0.
    pub(crate) mask: u16,
}

impl Slot {
    /// Bytes of its blocks in the file.
    pub(crate) fn stored(&self) -> u64 {
        u64::from(self.mask.count_ones()) * BLOCK
    }
}

/// The head of an extent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    slots: [Slot; SLOTS],
    used: usize,
    /// As in [`Header::ignored`].
    pub(crate) ignored: Option<VmaError>,
}

impl Extent {
    pub(crate) fn slots(&self) -> &[Slot] {
        self.slots.get(..self.used).unwrap_or_default()
    }

    /// Bytes of its blocks, which follow its head.
    pub(crate) fn stored(&self) -> u64 {
        self.slots().iter().map(Slot::stored).sum()
    }
}

/// How long the header is, by its fixed part.
pub(crate) fn header_len(fixed: &[u8]) -> Result<u64> {
    let bytes = Bytes::new(fixed, 0);
    let found = bytes.array(0)?;
    if found != MAGIC {
        return Err(VmaError::Magic { found }.into());
    }
    let found = bytes.u32_be(VERSION_AT)?;
    if found != VERSION {
        return Err(VmaError::Version { found }.into());
    }
    let found = u64::from(bytes.u32_be(HEADER_LEN_AT)?);
    if found < FIXED_LEN as u64 || !found.is_multiple_of(SECTOR) {
        return Err(VmaError::HeaderSize { found }.into());
    }
    if found > MAX_HEADER {
        return Err(VmaError::HeaderLimit { found, most: MAX_HEADER }.into());
    }
    Ok(found)
}

/// The MD5 of `bytes` with zeros in its own place, where that differs from what stands there.
fn wrong_md5(bytes: &[u8], at: usize) -> Option<(String, String)> {
    let (before, rest) = bytes.split_at_checked(at)?;
    let (said, after) = rest.split_at_checked(16)?;
    let found = Md5::new().chain_update(before).chain_update([0; 16]).chain_update(after).finalize();
    (found.as_slice() != said).then(|| (hex(said), hex(&found)))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What may be ignored is told to the caller, anything else is an error.
fn unless_ignored(wrong: Option<VmaError>, ignore: bool) -> Result<Option<VmaError>> {
    match wrong {
        Some(wrong) if !(ignore && wrong.is_checksum()) => Err(wrong.into()),
        other => Ok(other),
    }
}

impl Header {
    /// Checks the whole header, as long as [`header_len`] says.
    pub(crate) fn parse(header: &[u8], ignore_checksums: bool) -> Result<Self> {
        let len = header_len(header)?;
        let wrong = wrong_md5(header, MD5_AT).map(|(said, found)| VmaError::HeaderChecksum { said, found });
        let ignored = unless_ignored(wrong, ignore_checksums)?;
        let bytes = Bytes::new(header, 0);
        let blobs = blobs(&bytes, len)?;
        let mut parsed = Self {
            uuid: Uuid::from_bytes(bytes.array(UUID_AT)?),
            created: bytes.u64_be(CREATED_AT)?.cast_signed(),
            len,
            configs: configs(&bytes, blobs)?,
            devices: Vec::new(),
            empty: Vec::new(),
            numbers: Box::new([u8::MAX; ENTRIES]),
            ignored,
        };
        parsed.read_devices(&bytes, blobs)?;
        Ok(parsed)
    }

    fn read_devices(&mut self, bytes: &Bytes<'_>, blobs: &[u8]) -> Result<()> {
        for index in 0..ENTRIES {
            let at = DEVICES_AT + index * DEVICE_LEN;
            let (name, size) = (bytes.u32_be(at)?, bytes.u64_be(at + DEVICE_SIZE_AT)?);
            if (name, size) == (0, 0) {
                continue;
            }
            if index == 0 {
                return Err(VmaError::DeviceZero.into());
            }
            if name == 0 {
                return Err(VmaError::Nameless { index, size }.into());
            }
            if size > MAX_DEVICE {
                return Err(VmaError::DeviceSize { index, size }.into());
            }
            let name = text(blobs, name, &format!("the name of device {index}"))?;
            if self.devices.iter().any(|device| device.name == name) || self.empty.contains(&name) {
                return Err(VmaError::SameName { name }.into());
            }
            if size == 0 {
                self.empty.push(name);
                continue;
            }
            // There are 255 at most, so the number of none is never one.
            if let Some(number) = self.numbers.get_mut(index) {
                *number = self.devices.len() as u8;
            }
            self.devices.push(Device { name, size });
        }
        Ok(())
    }

    /// Checks the head of an extent.
    pub(crate) fn extent(&self, head: &[u8; HEAD_LEN], ignore_checksums: bool) -> Result<Extent> {
        let bytes = Bytes::new(head, 0);
        let found = bytes.array(0)?;
        if found != EXTENT_MAGIC {
            return Err(VmaError::ExtentMagic { found }.into());
        }
        let found = Uuid::from_bytes(bytes.array(HEAD_UUID_AT)?);
        if found != self.uuid {
            let (wanted, found) = (self.uuid.to_string(), found.to_string());
            return Err(VmaError::ExtentUuid { wanted, found }.into());
        }
        let wrong =
            wrong_md5(head, HEAD_MD5_AT).map(|(said, found)| VmaError::ExtentChecksum { said, found });
        let ignored = unless_ignored(wrong, ignore_checksums)?;
        let reserved = bytes.u16_be(4)?;
        if reserved != 0 {
            return Err(VmaError::Reserved { found: reserved.into() }.into());
        }
        let empty = Slot { device: 0, cluster: 0, mask: 0 };
        let mut extent = Extent { slots: [empty; SLOTS], used: 0, ignored };
        let mut blocks = 0;
        for slot in 0..SLOTS {
            let Some(found) = self.slot(bytes.u64_be(HEAD_SLOTS_AT + slot * 8)?)? else { continue };
            blocks += found.mask.count_ones();
            if let Some(place) = extent.slots.get_mut(extent.used) {
                *place = found;
            }
            extent.used += 1;
        }
        let said = u32::from(bytes.u16_be(HEAD_COUNT_AT)?);
        if said != blocks {
            return Err(VmaError::BlockCount { said, found: blocks }.into());
        }
        Ok(extent)
    }

    /// One entry of a head: the mask, a reserved byte, the device, the cluster.
    fn slot(&self, word: u64) -> Result<Option<Slot>, VmaError> {
        let (mask, reserved) = ((word >> 48) as u16, word >> 40 & 0xff);
        let (device, cluster) = ((word >> 32) as u8, word as u32);
        if reserved != 0 || (device == 0 && word != 0) {
            return Err(VmaError::Reserved { found: word });
        }
        if device == 0 {
            return Ok(None);
        }
        let number = self.numbers.get(usize::from(device)).copied().unwrap_or(u8::MAX);
        let Some(found) = self.devices.get(usize::from(number)) else {
            return Err(VmaError::UnknownDevice { device });
        };
        if !found.is_memory() {
            check_inside(found, cluster, mask)?;
        }
        Ok(Some(Slot { device: number.into(), cluster, mask }))
    }
}

/// The last block of a device may go beyond its end, no other one.
fn check_inside(device: &Device, cluster: u32, mask: u16) -> Result<(), VmaError> {
    let (name, clusters) = (|| device.name.clone(), device.clusters());
    if u64::from(cluster) >= clusters {
        return Err(VmaError::Cluster { name: name(), cluster, clusters });
    }
    let blocks = (device.size - u64::from(cluster) * CLUSTER).div_ceil(BLOCK);
    if blocks < BLOCKS && u64::from(mask) >> blocks != 0 {
        return Err(VmaError::BeyondEnd { name: name(), cluster, mask, last: blocks - 1 });
    }
    Ok(())
}

fn blobs<'a>(bytes: &Bytes<'a>, header: u64) -> Result<&'a [u8]> {
    let (offset, length) = (bytes.u32_be(BLOBS_AT)?, bytes.u32_be(BLOBS_LEN_AT)?);
    let found = bytes.slice(offset as usize, length as usize);
    if (offset as usize) < FIXED_LEN || found.is_err() {
        return Err(VmaError::Blobs { offset: offset.into(), length: length.into(), header }.into());
    }
    found
}

/// The blob at `at`: a little-endian length of two bytes, then as many bytes.
fn blob<'a>(blobs: &'a [u8], at: u32, what: &str) -> Result<&'a [u8], VmaError> {
    let found = || {
        let (len, rest) = blobs.get(at as usize..)?.split_first_chunk()?;
        rest.get(..usize::from(u16::from_le_bytes(*len)))
    };
    found().ok_or_else(|| VmaError::Blob { what: what.to_owned(), at: at.into(), length: blobs.len() as u64 })
}

/// A name: text that can stand in a message, a list, and the name of a file.
fn text(blobs: &[u8], at: u32, what: &str) -> Result<String, VmaError> {
    let bytes = blob(blobs, at, what)?;
    let bytes = bytes.strip_suffix(&[0]).unwrap_or(bytes);
    let name = String::from_utf8_lossy(bytes).into_owned();
    let fits = !name.is_empty()
        && name.len() <= 255
        && name != "."
        && name != ".."
        && !name.chars().any(|c| c.is_control() || matches!(c, '/' | '\\' | char::REPLACEMENT_CHARACTER));
    if !fits {
        let found = name.chars().take(80).collect();
        return Err(VmaError::Name { what: what.to_owned(), found });
    }
    Ok(name)
}

fn configs(bytes: &Bytes<'_>, blobs: &[u8]) -> Result<Vec<MachineFile>> {
    let mut configs = Vec::new();
    for index in 0..ENTRIES {
        let name = bytes.u32_be(CONFIG_NAMES_AT + index * 4)?;
        let data = bytes.u32_be(CONFIG_DATA_AT + index * 4)?;
        match (name, data) {
            (0, 0) => {}
            (0, _) | (_, 0) => return Err(VmaError::HalfConfig { index }.into()),
            (name, data) => configs.push(MachineFile {
                name: text(blobs, name, &format!("the name of configuration file {index}"))?,
                bytes: blob(blobs, data, &format!("configuration file {index}"))?.to_vec(),
            }),
        }
    }
    Ok(configs)
}
