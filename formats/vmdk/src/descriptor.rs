//! The text descriptor: `key = "value"` lines and extent lines, in whatever case, line ends and encoding.

use crate::error::VmdkError;
use crate::layout::SECTOR;
use crate::parse::Header;
use encoding_rs::{Encoding, UTF_8};
use format_core::ParentRef;

/// `parentCID` of a disk without a parent.
const NO_PARENT: u32 = u32::MAX;
/// Keys that only encrypted disks have.
const ENCRYPTION_KEYS: [&str; 4] = ["encryptionkeys", "keyid", "encryption.keysafe", "encryption.data"];
/// The I/O filter that encrypts the disks of a virtual machine.
const ENCRYPTION_FILTER: &str = "vmcrypt";

/// What the descriptor says, not yet judged.
#[derive(Clone, Debug, Default)]
pub(crate) struct Descriptor {
    cid: Option<u32>,
    parent_cid: Option<u32>,
    create_type: Option<String>,
    parent_hint: Option<String>,
    parent_uuid: Option<String>,
    extents: Vec<ExtentLine>,
    encrypted_by: Option<String>,
    undecodable: Option<String>,
}

/// One line `ACCESS SECTORS TYPE …`.
#[derive(Clone, Debug)]
struct ExtentLine {
    access: String,
    sectors: u64,
    extent_type: String,
}

/// What a descriptor that is embedded in a sparse extent says about the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Described {
    /// Size of the disk in bytes.
    pub(crate) virtual_size: u64,
    /// The content ID as children name it.
    pub(crate) cid: Option<String>,
    pub(crate) parent: Option<ParentRef>,
}

impl Descriptor {
    /// Reads the text up to the first NUL.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, VmdkError> {
        let bytes = bytes.split(|&byte| byte == 0).next().unwrap_or_default();
        if bytes.trim_ascii().is_empty() {
            return Err(VmdkError::NoDescriptor);
        }
        let (text, undecodable) = decode(bytes);
        let mut descriptor = Self { undecodable, ..Self::default() };
        for line in text.split(['\n', '\r']).map(str::trim) {
            if line.starts_with('#') {
                continue;
            }
            match line.split_once('=') {
                Some((key, value)) if !is_extent(line) => descriptor.take(key, value)?,
                _ if is_extent(line) => descriptor.extents.push(parse_extent(line)?),
                _ => {}
            }
        }
        Ok(descriptor)
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
            "ddb.uuid.parent" if value.chars().any(|c| !matches!(c, '0' | '-' | '{' | '}')) => {
                set("ddb.uuid.parent", &mut self.parent_uuid, value.to_owned())
            }
            "ddb.iofilters" if value.to_ascii_lowercase().contains(ENCRYPTION_FILTER) => {
                self.encrypted_by = Some(key);
                Ok(())
            }
            known if ENCRYPTION_KEYS.contains(&known) => {
                self.encrypted_by = Some(key);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Why a descriptor in a file of its own cannot be opened: its extents are other files.
    pub(crate) fn refusal(&self) -> VmdkError {
        match self.check_readable() {
            Err(error) => error,
            Ok(name) => VmdkError::SeparateDescriptor { create_type: name.to_owned() },
        }
    }

    fn check_readable(&self) -> Result<&str, VmdkError> {
        if let Some(key) = &self.encrypted_by {
            return Err(VmdkError::Encrypted { key: key.clone() });
        }
        let name = self.create_type.as_deref().ok_or(VmdkError::Missing { key: "createType" })?;
        let supported =
            ["monolithicSparse", "streamOptimized"].iter().any(|known| known.eq_ignore_ascii_case(name));
        if supported { Ok(name) } else { Err(VmdkError::CreateType { name: name.to_owned() }) }
    }

    /// Judges a descriptor that is embedded in the extent with `header`.
    pub(crate) fn describe(&self, header: &Header) -> Result<Described, VmdkError> {
        let create_type = self.check_readable()?;
        let [extent] = self.extents.as_slice() else {
            let count = self.extents.len();
            return Err(VmdkError::ExtentCount { count, create_type: create_type.to_owned() });
        };
        let readable = ["RW", "RDONLY"].contains(&extent.access.as_str());
        if !readable || extent.extent_type != "SPARSE" {
            let (access, extent_type) = (extent.access.clone(), extent.extent_type.clone());
            return Err(VmdkError::ExtentType { access, extent_type });
        }
        let (described, capacity, grain) = (extent.sectors, header.capacity_sectors, header.grain_sectors);
        // VirtualBox rounds the header's capacity up to a grain; the descriptor has the disk's size.
        if described == 0 || described > capacity || capacity - described >= grain {
            return Err(VmdkError::SizesDiffer { described, capacity, grain });
        }
        let virtual_size = described * SECTOR;
        Ok(Described { virtual_size, cid: self.cid.map(cid_text), parent: self.parent()? })
    }

    fn parent(&self) -> Result<Option<ParentRef>, VmdkError> {
        let parent_cid = self.parent_cid.unwrap_or(NO_PARENT);
        let Some(hint) = &self.parent_hint else {
            return match (&self.parent_uuid, parent_cid) {
                (Some(uuid), _) => Err(VmdkError::ParentByUuid { uuid: uuid.clone() }),
                (None, NO_PARENT) => Ok(None),
                (None, parent_cid) => Err(VmdkError::ParentUnnamed { parent_cid }),
            };
        };
        if parent_cid == NO_PARENT {
            return Err(VmdkError::ParentDenied { hint: hint.clone() });
        }
        if let Some(encoding) = &self.undecodable {
            return Err(VmdkError::ParentName { encoding: encoding.clone() });
        }
        let (names, format) = (vec![host_name(hint)], Some(crate::FORMAT.name.to_owned()));
        Ok(Some(ParentRef { names, format, identity: Some(cid_text(parent_cid)) }))
    }
}

/// The text, and the name of its encoding if not all of it could be decoded.
fn decode(bytes: &[u8]) -> (String, Option<String>) {
    // Keys are ASCII in every encoding that products write, so the key `encoding` can be found first.
    let raw = String::from_utf8_lossy(bytes);
    let label = raw.split(['\n', '\r']).find_map(|line| {
        let (key, value) = line.split_once('=')?;
        key.trim().eq_ignore_ascii_case("encoding").then(|| value.trim().trim_matches('"').to_owned())
    });
    let label = label.unwrap_or_else(|| UTF_8.name().to_owned());
    let encoding = Encoding::for_label(label.as_bytes()).unwrap_or(UTF_8);
    let (text, damaged) = encoding.decode_with_bom_removal(bytes);
    (text.into_owned(), damaged.then_some(label))
}

fn is_extent(line: &str) -> bool {
    let mut words = line.split_ascii_whitespace();
    let access = words.next().unwrap_or_default();
    let known = ["RW", "RDONLY", "NOACCESS"].iter().any(|known| known.eq_ignore_ascii_case(access));
    known && words.next().is_some_and(|word| !word.starts_with('='))
}

fn parse_extent(line: &str) -> Result<ExtentLine, VmdkError> {
    let bad = || VmdkError::Value { key: "extent line", value: line.chars().take(200).collect() };
    let mut words = line.split_ascii_whitespace();
    let access = words.next().ok_or_else(bad)?.to_ascii_uppercase();
    let sectors = words.next().and_then(|word| word.parse().ok()).ok_or_else(bad)?;
    let extent_type = words.next().ok_or_else(bad)?.to_ascii_uppercase();
    Ok(ExtentLine { access, sectors, extent_type })
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

/// The name as it is looked for here: a path of another machine says nothing, so of those only the last part counts.
fn host_name(hint: &str) -> String {
    let (bytes, slashed) = (hint.as_bytes(), hint.replace('\\', "/"));
    let has_drive = bytes.first().is_some_and(u8::is_ascii_alphabetic) && bytes.get(1) == Some(&b':');
    if has_drive || slashed.starts_with("//") || slashed.starts_with("/vmfs/") {
        return slashed.rsplit(['/', ':']).next().unwrap_or_default().to_owned();
    }
    slashed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parent_name(text: &[u8]) -> String {
        let parent = Descriptor::parse(text).unwrap().parent().unwrap().unwrap();
        parent.names.into_iter().next().unwrap()
    }

    #[test]
    fn case_blanks_line_ends_and_comments_do_not_matter() {
        let text = b"\xef\xbb\xbf# Disk DescriptorFile\r\n  # CID=9\r\n\t cId = 0Aa \r\rCREATETYPE= \"MonolithicSparse\"\n\
            ParentCid=\"12\"\nparentfilenamehint = \"a = b.vmdk\"\r\n  rw\t10  sparse \"x = y\" 0\nnonsense\n\0CID=3\n";
        let descriptor = Descriptor::parse(text).unwrap();
        assert_eq!((descriptor.cid, descriptor.parent_cid), (Some(0xaa), Some(0x12)));
        assert_eq!(descriptor.check_readable(), Ok("MonolithicSparse"));
        assert_eq!(parent_name(text), "a = b.vmdk");
        let [extent] = descriptor.extents.as_slice() else { panic!("{:?}", descriptor.extents) };
        assert_eq!(
            (extent.access.as_str(), extent.sectors, extent.extent_type.as_str()),
            ("RW", 10, "SPARSE")
        );
    }

    #[test]
    fn names_are_decoded_by_the_encoding_key() {
        let named = |encoding: &str, name: &[u8]| {
            let head = format!("encoding=\"{encoding}\"\nparentCID=1\nparentFileNameHint=\"");
            parent_name(&[head.as_bytes(), name, b"\"\n"].concat())
        };
        assert_eq!(named("UTF-8", "Büro.vmdk".as_bytes()), "Büro.vmdk");
        assert_eq!(named("windows-1252", b"B\xfcro.vmdk"), "Büro.vmdk");
        assert_eq!(named("GBK", b"\xd6\xd0.vmdk"), "中.vmdk");
        assert_eq!(named("never-heard-of", "Büro.vmdk".as_bytes()), "Büro.vmdk");
    }

    #[test]
    fn an_all_zero_parent_uuid_is_no_parent() {
        let none = "ddb.uuid.parent=\"00000000-0000-0000-0000-000000000000\"\nparentFileNameHint=\"\"";
        assert_eq!(Descriptor::parse(none.as_bytes()).unwrap().parent(), Ok(None));
    }
}
