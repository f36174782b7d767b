//! What is to be written: the `-o` keys and the request, checked.

use super::{GRAIN_SECTORS, TABLE_ENTRIES};
use crate::hardware;
use crate::layout::{MAX_DIRECTORY_ENTRIES, SECTOR};
use crate::names::host_name;
use format_core::units::format_size;
use format_core::{CreateOption, CreateRequest, Error, ErrorKind, ParentImage, Result};

pub(crate) static CREATE_OPTIONS: &[CreateOption] = &[
    CreateOption {
        key: "subformat",
        values: "monolithicSparse, monolithicFlat, twoGbMaxExtentSparse, twoGbMaxExtentFlat, streamOptimized, vmfs",
        default: "monolithicSparse",
        help: "the createType: one growing file, one flat file with a descriptor, either in files of 2 GiB, \
               one compressed file, or the flat file of ESXi",
    },
    CreateOption {
        key: "adapter_type",
        values: "lsilogic, buslogic, ide, legacyESX, pvscsi",
        default: "lsilogic",
        help: "the disk controller that the descriptor names",
    },
    CreateOption {
        key: "hwversion",
        values: "1 to 99",
        default: "4",
        help: "the version of the virtual hardware that the descriptor names",
    },
    CreateOption { key: "compat6", values: "on, off", default: "off", help: "the same as hwversion=6" },
    CreateOption {
        key: "toolsversion",
        values: "a number",
        default: "2147483647",
        help: "the version of VMware Tools that the descriptor names; the default says that they are not managed",
    },
    CreateOption {
        key: "zeroed_grain",
        values: "on, off",
        default: "off; on where a parent has to be hidden",
        help: "allow grains of zeros that take no space (header version 2)",
    },
    CreateOption {
        key: "compression_level",
        values: "1 to 12",
        default: "4",
        help: "how hard subformat=streamOptimized tries: 1 is the fastest",
    },
    CreateOption {
        key: "identity",
        values: "8 hexadecimal digits",
        default: "a new one",
        help: "the content ID (CID) that differences know the image by: for one that replaces another of the same content",
    },
];

/// The level that is a little larger than zlib's usual one and much faster.
const DEFAULT_LEVEL: u8 = 4;
const MAX_LEVEL: u8 = 12;

/// Sectors of a file of a disk that is split, but for the last one.
pub(crate) const SPLIT_SECTORS: u64 = 2047 << 11;
/// The most files that a disk is split into: all of them are open at once, and hosts allow 1024 as a rule.
const MAX_SPLIT: u64 = 480;

/// What the `createType` of a descriptor says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CreateType {
    MonolithicSparse,
    MonolithicFlat,
    TwoGbMaxExtentSparse,
    TwoGbMaxExtentFlat,
    StreamOptimized,
    Vmfs,
}

impl CreateType {
    const ALL: [Self; 6] = [
        Self::MonolithicSparse,
        Self::MonolithicFlat,
        Self::TwoGbMaxExtentSparse,
        Self::TwoGbMaxExtentFlat,
        Self::StreamOptimized,
        Self::Vmfs,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::MonolithicSparse => "monolithicSparse",
            Self::MonolithicFlat => "monolithicFlat",
            Self::TwoGbMaxExtentSparse => "twoGbMaxExtentSparse",
            Self::TwoGbMaxExtentFlat => "twoGbMaxExtentFlat",
            Self::StreamOptimized => "streamOptimized",
            Self::Vmfs => "vmfs",
        }
    }

    pub(crate) fn is_flat(self) -> bool {
        matches!(self, Self::MonolithicFlat | Self::TwoGbMaxExtentFlat | Self::Vmfs)
    }

    pub(crate) fn is_split(self) -> bool {
        matches!(self, Self::TwoGbMaxExtentSparse | Self::TwoGbMaxExtentFlat)
    }
}

/// What to write.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) create_type: CreateType,
    pub(crate) adapter_type: &'static str,
    pub(crate) hw_version: String,
    pub(crate) tools_version: String,
    /// Entry 1 of a grain table is a grain of zeros.
    pub(crate) zeroed_grain: bool,
    /// How hard the grains of a stream are compressed, on libdeflate's scale.
    pub(crate) compression_level: u8,
    /// The disk as the caller knows it.
    pub(crate) virtual_size: u64,
    /// The disk as the descriptor says it.
    pub(crate) capacity_sectors: u64,
    pub(crate) parent: Option<Parent>,
    /// What `-o identity` says.
    pub(crate) cid: Option<u32>,
}

/// What the descriptor says of the parent.
#[derive(Clone, Debug)]
pub(crate) struct Parent {
    pub(crate) cid: u32,
    pub(crate) name: String,
}

impl Plan {
    /// # Errors
    /// `Usage` for a value that is none, `Limit` for a disk that is too large, `Unsupported` for a parent that cannot be.
    pub(crate) fn new(request: &CreateRequest) -> Result<Self> {
        let option = |key| request.options.get(key).map(String::as_str);
        let named = option("subformat").unwrap_or("monolithicSparse");
        let create_type = CreateType::ALL.into_iter().find(|known| known.name().eq_ignore_ascii_case(named));
        let create_type = create_type.ok_or_else(|| refused("subformat", named, possible("subformat")))?;
        let hw_version = match (switch("compat6", option("compat6"))?, option("hwversion")) {
            (Some(true), Some(_)) => {
                return Err(usage("compat6=on already says hwversion=6: give one of them".into()));
            }
            (Some(true), None) => "6".into(),
            (_, version) => number("hwversion", version.unwrap_or("4"), hardware::MAX_HW_VERSION)?,
        };
        let plan = Self {
            create_type,
            adapter_type: adapter_type(option("adapter_type").unwrap_or("lsilogic"))?,
            hw_version,
            tools_version: number("toolsversion", option("toolsversion").unwrap_or("2147483647"), u32::MAX)?,
            zeroed_grain: switch("zeroed_grain", option("zeroed_grain"))?.unwrap_or(request.parent.is_some()),
            compression_level: compression_level(option("compression_level"), create_type)?,
            virtual_size: request.virtual_size,
            capacity_sectors: request.virtual_size.div_ceil(SECTOR),
            parent: request.parent.as_ref().map(|parent| take_parent(parent, request)).transpose()?,
            cid: option("identity").map(content_id).transpose()?,
        };
        plan.check()?;
        Ok(plan)
    }

    fn check(&self) -> Result<()> {
        let name = self.create_type.name();
        let can_hide =
            matches!(self.create_type, CreateType::MonolithicSparse | CreateType::TwoGbMaxExtentSparse);
        if self.zeroed_grain && !can_hide && self.parent.is_none() {
            return Err(usage(format!("subformat={name} has no zeroed grains: leave zeroed_grain out")));
        }
        if self.parent.is_some() && !can_hide {
            return Err(unsupported(format!("subformat={name} cannot have a parent"))
                .hint("use -o subformat=monolithicSparse or twoGbMaxExtentSparse"));
        }
        if self.parent.is_some() && !self.zeroed_grain {
            return Err(usage(
                "without zeroed grains the parent's data cannot be hidden: leave zeroed_grain=off out".into(),
            ));
        }
        if self.cid.is_some() && self.create_type == CreateType::StreamOptimized {
            return Err(usage(format!(
                "the identity of subformat={name} follows from its content: leave it out"
            )));
        }
        if self.virtual_size == 0 {
            return Err(usage("a VMDK disk cannot be empty".into()));
        }
        let size = format_size(self.virtual_size);
        // Flat files have no tables; what bounds them is the host.
        let tables = self.capacity_sectors.div_ceil(GRAIN_SECTORS * TABLE_ENTRIES);
        if !self.create_type.is_flat() && tables > MAX_DIRECTORY_ENTRIES {
            return Err(limit(format!("a disk of {size} is too large for subformat={name}")));
        }
        let files = self.capacity_sectors.div_ceil(SPLIT_SECTORS);
        if self.create_type.is_split() && files > MAX_SPLIT {
            let text = format!("a disk of {size} would be {files} files, at most {MAX_SPLIT} are written");
            return Err(limit(text).hint("use -o subformat=monolithicSparse or monolithicFlat"));
        }
        Ok(())
    }
}

fn take_parent(parent: &ParentImage, request: &CreateRequest) -> Result<Parent> {
    if parent.format != crate::FORMAT.name {
        let text =
            format!("the parent of a vmdk image must be one too, {} is {}", parent.name, parent.format);
        return Err(unsupported(text).hint("convert the parent to vmdk first, or write qcow2"));
    }
    if parent.virtual_size != request.virtual_size {
        let (own, its) = (request.virtual_size, parent.virtual_size);
        return Err(unsupported(format!(
            "a vmdk child has the size of its parent: the disk has {own:#x} bytes, {} has {its:#x}",
            parent.name
        )));
    }
    let cid = parent.identity.as_deref().and_then(|cid| u32::from_str_radix(cid, 16).ok());
    match cid.filter(|&cid| cid != u32::MAX) {
        Some(cid) => Ok(Parent { cid, name: quotable(&parent.name)?.to_owned() }),
        None => Err(unsupported(format!("{} has no content ID (CID) that a child could name", parent.name))),
    }
}

/// A file name that can stand between quotes in a descriptor, and that a reader takes for the same file: a backslash
/// is a folder to them, a colon a drive, and blanks at the ends are nothing.
pub(crate) fn quotable(name: &str) -> Result<&str> {
    let is_plain = !name.contains(|c: char| matches!(c, '"' | ':' | '\\') || c.is_control());
    if is_plain && name.trim() == name && host_name(name) == name {
        return Ok(name);
    }
    Err(unsupported(format!("a descriptor cannot name the file {name:?}"))
        .hint("use a name without quotes, colons, backslashes, and blanks at its ends"))
}

/// Any but all ones, which is "no parent": what takes the place of an image has that one's, whatever it is.
fn content_id(text: &str) -> Result<u32> {
    let digits = text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let cid = u32::from_str_radix(text, 16).ok().filter(|cid| digits && *cid != u32::MAX);
    cid.ok_or_else(|| refused("identity", text, possible("identity")))
}

fn adapter_type(named: &str) -> Result<&'static str> {
    hardware::adapter_type(named).ok_or_else(|| refused("adapter_type", named, possible("adapter_type")))
}

fn switch(key: &str, value: Option<&str>) -> Result<Option<bool>> {
    match value {
        None => Ok(None),
        Some("on") => Ok(Some(true)),
        Some("off") => Ok(Some(false)),
        Some(other) => Err(refused(key, other, "on, off")),
    }
}

fn compression_level(text: Option<&str>, create_type: CreateType) -> Result<u8> {
    let Some(text) = text else { return Ok(DEFAULT_LEVEL) };
    if create_type != CreateType::StreamOptimized {
        let name = create_type.name();
        return Err(usage(format!("subformat={name} is not compressed: leave compression_level out")));
    }
    let level = text.parse().ok().filter(|level| (1..=MAX_LEVEL).contains(level));
    level.ok_or_else(|| refused("compression_level", text, possible("compression_level")))
}

fn number(key: &str, value: &str, most: u32) -> Result<String> {
    let digits = value.bytes().all(|byte| byte.is_ascii_digit());
    match value.parse::<u32>() {
        Ok(number) if digits && (1..=most).contains(&number) => Ok(number.to_string()),
        _ => Err(refused(key, value, &format!("a number from 1 to {most}"))),
    }
}

fn possible(key: &str) -> &'static str {
    CREATE_OPTIONS.iter().find(|option| option.key == key).map_or("", |option| option.values)
}

fn refused(key: &str, value: &str, possible: &str) -> Error {
    usage(format!("-o {key}={value}: possible is {possible}"))
}

fn usage(message: String) -> Error {
    Error::usage(message).in_format(crate::FORMAT.name)
}

fn unsupported(message: String) -> Error {
    Error::unsupported(message).in_format(crate::FORMAT.name)
}

fn limit(message: String) -> Error {
    Error::new(ErrorKind::Limit, message).in_format(crate::FORMAT.name)
}
