//! The text descriptor: `key = "value"` lines and extent lines, in whatever case, line ends and encoding.

use crate::error::VmdkError;
use crate::extent_line::{ExtentLine, ExtentType};
use crate::hardware::Hardware;
use crate::layout::{MAX_EXTENTS, SECTOR};
use crate::names::{decode, host_name, is_decoded};
use crate::parse::Header;
use crate::uuids::{Uuids, parse_parent};
use format_core::ParentRef;

/// `parentCID` of a disk without a parent.
const NO_PARENT: u32 = u32::MAX;
/// Keys that only encrypted disks have.
const ENCRYPTION_KEYS: [&str; 4] = ["encryptionkeys", "keyid", "encryption.keysafe", "encryption.data"];
/// The I/O filter that encrypts the disks of a virtual machine.
const ENCRYPTION_FILTER: &str = "vmcrypt";
/// The createTypes of disks that are devices of the machine that wrote the descriptor.
const DEVICE_TYPES: [&str; 7] = [
    "fulldevice",
    "partitioneddevice",
    "vmfsrdm",
    "vmfsrdmp",
    "vmfsraw",
    "vmfsrawdevicemap",
    "vmfspassthroughrawdevicemap",
];

/// What the descriptor says, not yet judged.
#[derive(Clone, Debug, Default)]
pub(crate) struct Descriptor {
    cid: Option<u32>,
    parent_cid: Option<u32>,
    create_type: Option<String>,
    parent_hint: Option<String>,
    uuids: Uuids,
    hardware: Hardware,
    pub(crate) extents: Vec<ExtentLine>,
    encrypted_by: Option<String>,
    pub(crate) encoding: String,
}

/// What a descriptor says about the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Described {
    /// Size of the disk in bytes.
    pub(crate) virtual_size: u64,
    pub(crate) cid: Option<u32>,
    /// The content ID as children name it.
    pub(crate) identity: Option<String>,
    pub(crate) parent_cid: u32,
    pub(crate) create_type: String,
    pub(crate) parent: Option<ParentRef>,
    pub(crate) uuids: Uuids,
    pub(crate) hardware: Hardware,
}

impl Described {
    /// What is known of a disk whose descriptor is not there.
    pub(crate) fn alone(virtual_size: u64, create_type: &str) -> Self {
        Self {
            virtual_size,
            cid: None,
            identity: None,
            parent_cid: NO_PARENT,
            create_type: create_type.into(),
            parent: None,
            uuids: Uuids::default(),
            hardware: Hardware::default(),
        }
    }
}

impl Descriptor {
    /// Reads the text up to the first NUL.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, VmdkError> {
        let bytes = bytes.split(|&byte| byte == 0).next().unwrap_or_default();
        if bytes.trim_ascii().is_empty() {
            return Err(VmdkError::NoDescriptor);
        }
        let (text, encoding) = decode(bytes);
        let mut descriptor = Self { encoding, ..Self::default() };
        for line in text.split(['\n', '\r']).map(str::trim) {
            if line.starts_with('#') {
                continue;
            }
            match line.split_once('=') {
                _ if ExtentLine::is_one(line) => descriptor.add_extent(line)?,
                Some((key, value)) => descriptor.take(key, value)?,
                None => {}
            }
        }
        Ok(descriptor)
    }

    fn add_extent(&mut self, line: &str) -> Result<(), VmdkError> {
        if self.extents.len() >= MAX_EXTENTS {
            return Err(VmdkError::TooManyExtents);
        }
        self.extents.push(ExtentLine::parse(line)?);
        Ok(())
    }

    fn take(&mut self, key: &str, value: &str) -> Result<(), VmdkError> {
        let key = key.trim().to_ascii_lowercase();
        let value = value.trim().trim_matches('"').trim();
        match key.as_str() {
            "cid" => set("CID", &mut self.cid, parse_cid("CID", value)?),
            "parentcid" => set("parentCID", &mut self.parent_cid, parse_cid("parentCID", value)?),
            "createtype" => set("createType", &mut self.create_type, value.to_owned()),
            "parentfilenamehint" if !value.is_empty() => {
                set("parentFileNameHint", &mut self.parent_hint, value.to_owned())
            }
            "ddb.uuid.parent" => match parse_parent("ddb.uuid.parent", value)? {
                Some(uuid) => set("ddb.uuid.parent", &mut self.uuids.parent, uuid),
                None => Ok(()),
            },
            "ddb.iofilters" if value.to_ascii_lowercase().contains(ENCRYPTION_FILTER) => {
                self.encrypted_by = Some(key);
                Ok(())
            }
            known if ENCRYPTION_KEYS.contains(&known) => {
                self.encrypted_by = Some(key);
                Ok(())
            }
            _ => {
                self.uuids.take(&key, value);
                self.hardware.take(&key, value);
                Ok(())
            }
        }
    }

    fn check_readable(&self) -> Result<&str, VmdkError> {
        if let Some(key) = &self.encrypted_by {
            return Err(VmdkError::Encrypted { key: key.clone() });
        }
        let name = self.create_type.as_deref().ok_or(VmdkError::Missing { key: "createType" })?;
        if DEVICE_TYPES.contains(&name.to_ascii_lowercase().as_str()) {
            let names: Vec<_> = self.extents.iter().take(4).map(|extent| extent.name.as_str()).collect();
            return Err(VmdkError::Device { what: name.to_owned(), names: names.join(", ") });
        }
        Ok(name)
    }

    fn described(&self, sectors: u64) -> Result<Described, VmdkError> {
        Ok(Described {
            virtual_size: sectors.checked_mul(SECTOR).ok_or(VmdkError::Capacity { sectors })?,
            cid: self.cid,
            identity: self.cid.map(cid_text),
            parent_cid: self.parent_cid.unwrap_or(NO_PARENT),
            create_type: self.check_readable()?.to_owned(),
            parent: self.parent()?,
            uuids: self.uuids,
            hardware: self.hardware,
        })
    }

    /// Judges a descriptor that is embedded in the extent with `header`.
    pub(crate) fn describe_embedded(&self, header: &Header) -> Result<Described, VmdkError> {
        let create_type = self.check_readable()?;
        let [extent] = self.extents.as_slice() else {
            let count = self.extents.len();
            return Err(VmdkError::ExtentCount { count, create_type: create_type.to_owned() });
        };
        let extent_type = extent.readable()?;
        if extent_type != ExtentType::Sparse {
            return Err(VmdkError::EmbeddedExtent { extent_type: extent.extent_type.clone() });
        }
        header.check_described(extent.sectors)?;
        self.described(extent.sectors)
    }

    /// Judges a descriptor in a file of its own.
    pub(crate) fn describe(&self) -> Result<Described, VmdkError> {
        self.check_readable()?;
        self.check_places()?;
        let all = self.extents.iter().try_fold(0u64, |sum, extent| sum.checked_add(extent.sectors));
        match all.ok_or(VmdkError::Capacity { sectors: u64::MAX })? {
            0 => Err(VmdkError::NoExtents),
            sectors => self.described(sectors),
        }
    }

    /// Two extents of the same bytes are a slip of whoever wrote the lines, or files of two folders of another machine
    /// that have the same name here: either way some part of the disk is elsewhere.
    fn check_places(&self) -> Result<(), VmdkError> {
        let mut places = Vec::with_capacity(self.extents.len());
        for line in self.extents.iter().filter(|line| line.sectors > 0) {
            let (start, end) = match line.readable() {
                Ok(ExtentType::Flat) => (line.offset, line.offset.saturating_add(line.sectors)),
                Ok(ExtentType::Sparse | ExtentType::Cowd | ExtentType::SeSparse) => (0, u64::MAX),
                // What cannot be read is refused elsewhere.
                Ok(ExtentType::Zero) | Err(_) => continue,
            };
            places.push((line.host_name(&self.encoding)?, start, end));
        }
        places.sort_unstable();
        let overlap = |pair: &&[(String, u64, u64)]| match pair {
            [(first, _, end), (second, start, _)] => first == second && start < end,
            _ => false,
        };
        match places.windows(2).find(overlap).and_then(|pair| pair.first()) {
            Some((name, _, _)) => Err(VmdkError::SharedExtent { name: name.clone() }),
            None => Ok(()),
        }
    }

    fn parent(&self) -> Result<Option<ParentRef>, VmdkError> {
        let parent_cid = self.parent_cid.filter(|cid| *cid != NO_PARENT);
        let unnamed = |identity| Ok(Some(ParentRef { identity: Some(identity), ..ParentRef::default() }));
        let (hint, parent_cid) = match (&self.parent_hint, parent_cid, self.uuids.parent) {
            (None, None, None) => return Ok(None),
            // VirtualBox keeps the file names of all disks in the machine's settings. The parent need not be a VMDK.
            (None, _, Some(uuid)) => return unnamed(uuid.to_string()),
            (None, Some(parent_cid), None) => return unnamed(cid_text(parent_cid)),
            (Some(hint), None, _) => return Err(VmdkError::ParentDenied { hint: hint.clone() }),
            (Some(hint), Some(parent_cid), _) => (hint, parent_cid),
        };
        if !is_decoded(hint) {
            return Err(VmdkError::FileName { what: "parent", encoding: self.encoding.clone() });
        }
        let (names, format) = (vec![host_name(hint)], Some(crate::FORMAT.name.to_owned()));
        Ok(Some(ParentRef { names, format, identity: Some(cid_text(parent_cid)) }))
    }
}

fn parse_cid(key: &'static str, value: &str) -> Result<u32, VmdkError> {
    u32::from_str_radix(value, 16)
        .ok()
        .filter(|_| !value.starts_with('+'))
        .ok_or_else(|| VmdkError::Value { key, value: value.chars().take(200).collect() })
}

fn cid_text(cid: u32) -> String {
    format!("{cid:08x}")
}

/// Takes a value; two different ones would leave it to chance which disk is read.
fn set<T: PartialEq>(key: &'static str, slot: &mut Option<T>, value: T) -> Result<(), VmdkError> {
    match slot {
        Some(old) if *old != value => Err(VmdkError::Twice { key }),
        _ => {
            *slot = Some(value);
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_blanks_line_ends_and_comments_do_not_matter() {
        let text = b"\xef\xbb\xbf# Disk DescriptorFile\r\n  # CID=9\r\n\t cId = 0Aa \r\rCREATETYPE= \"MonolithicSparse\"\n\
            ParentCid=\"12\"\nparentfilenamehint = \"a = b.vmdk\"\r\n  rw\t10  sparse \"x = y\" 0\nnonsense\n\0CID=3\n";
        let descriptor = Descriptor::parse(text).unwrap();
        let described = descriptor.describe().unwrap();
        assert_eq!((described.cid, described.parent_cid), (Some(0xaa), 0x12));
        assert_eq!((described.create_type.as_str(), described.virtual_size), ("MonolithicSparse", 5120));
        assert_eq!(described.parent.unwrap().names, ["a = b.vmdk"]);
        assert_eq!(descriptor.extents[0].name, "x = y");
    }

    #[test]
    fn an_all_zero_parent_uuid_is_no_parent() {
        let none = "ddb.uuid.parent=\"00000000-0000-0000-0000-000000000000\"\nparentFileNameHint=\"\"";
        assert_eq!(Descriptor::parse(none.as_bytes()).unwrap().parent(), Ok(None));
    }

    #[test]
    fn sizes_are_added_without_wrapping() {
        let sum = |lines: &str| {
            let text = format!("#\ncreateType=custom\n{lines}");
            Descriptor::parse(text.as_bytes()).unwrap().describe().map(|d| d.virtual_size)
        };
        assert_eq!(sum("RW 3 ZERO\nRW 5 ZERO"), Ok(4096));
        assert_eq!(sum("RW 0 ZERO"), Err(VmdkError::NoExtents));
        assert_eq!(sum(""), Err(VmdkError::NoExtents));
        let most = u64::MAX;
        assert!(sum(&format!("RW {most} ZERO\nRW 1 ZERO")).is_err());
        assert!(sum(&format!("RW {most} ZERO")).is_err());
    }

    #[test]
    fn the_number_of_extents_is_bounded() {
        let text = "RW 1 ZERO\n".repeat(MAX_EXTENTS + 1);
        assert_eq!(Descriptor::parse(text.as_bytes()).unwrap_err(), VmdkError::TooManyExtents);
    }
}
