//! What a differencing image says about its parent.

use crate::layout::{
    DynamicHeader, MAX_LOCATOR, PARENT_NAME_LEN, ParentLocatorEntry, SECTOR, W2KU, W2RU, time_stamp,
};
use format_core::{Error, ParentImage, Result};
use uuid::Uuid;

/// A path of the parent and where it goes in the file.
#[derive(Clone, Debug)]
pub(super) struct Locator {
    code: [u8; 4],
    pub(super) offset: u64,
    pub(super) bytes: Vec<u8>,
}

/// The parent as the dynamic header and the locators name it.
#[derive(Clone, Debug)]
pub(super) struct Parent {
    unique_id: Uuid,
    time_stamp: u32,
    unicode_name: Vec<u8>,
    pub(super) locators: [Locator; 2],
}

impl Parent {
    /// The parent of a disk of `virtual_size` bytes; the locators lie from `offset` on.
    pub(super) fn new(image: &ParentImage, virtual_size: u64, offset: u64) -> Result<Self> {
        let hint = "write the difference in the format of its parent";
        if image.format != crate::FORMAT.name {
            let text = format!("the parent of a vhd image is a vhd image, not {}", image.format);
            return Err(Error::unsupported(text).hint(hint));
        }
        if image.virtual_size != virtual_size {
            let text = format!(
                "a difference has the size of its parent, {:#x} bytes, not {virtual_size:#x}",
                image.virtual_size
            );
            return Err(Error::unsupported(text).hint("write a whole image"));
        }
        let identity = image.identity.as_deref().and_then(|text| Uuid::try_parse(text).ok());
        let Some(unique_id) = identity.filter(|id| !id.is_nil()) else {
            return Err(Error::unsupported("the parent has no unique id by which it could be known again"));
        };
        let absolute = image.path.to_str().unwrap_or_default();
        let unspeakable = |path: &str| path.is_empty() || path.contains(['\\', '\0']);
        // A colon is a drive to some readers and a scheme to others.
        if unspeakable(&image.name) || unspeakable(absolute) || image.name.contains(':') {
            let text = format!("a path of Windows cannot say {:?}", image.path);
            return Err(Error::unsupported(text).hint("give the parent another name"));
        }
        // Relative paths begin with a dot for every reader.
        let relative =
            if image.name.starts_with("../") { image.name.clone() } else { format!("./{}", image.name) };
        let first = Locator::new(W2KU, absolute, offset)?;
        let second = Locator::new(W2RU, &relative, offset + first.space())?;
        Ok(Self {
            unique_id,
            time_stamp: image.modified.map_or(0, time_stamp),
            unicode_name: unicode_name(&image.name),
            locators: [first, second],
        })
    }

    /// Where the locators end.
    pub(super) fn end(&self) -> u64 {
        self.locators.iter().map(|locator| locator.offset + locator.space()).max().unwrap_or(0)
    }

    /// Puts it in the header.
    pub(super) fn fill(&self, header: &mut DynamicHeader) {
        header.parent_unique_id = *self.unique_id.as_bytes();
        header.parent_time_stamp = self.time_stamp;
        for (field, byte) in header.parent_unicode_name.iter_mut().zip(&self.unicode_name) {
            *field = *byte;
        }
        for (entry, locator) in header.parent_locator_entries.iter_mut().zip(&self.locators) {
            *entry = ParentLocatorEntry {
                platform_code: locator.code,
                // Both at most 64 KiB. In bytes, as Windows and XenServer have it.
                platform_data_space: locator.space() as u32,
                platform_data_length: locator.bytes.len() as u32,
                reserved: 0,
                platform_data_offset: locator.offset,
            };
        }
    }
}

impl Locator {
    fn new(code: [u8; 4], path: &str, offset: u64) -> Result<Self> {
        let bytes: Vec<u8> = path.replace('/', "\\").encode_utf16().flat_map(u16::to_le_bytes).collect();
        if bytes.len() > MAX_LOCATOR as usize {
            return Err(Error::unsupported(format!("the parent's path has {} bytes", bytes.len())));
        }
        Ok(Self { code, offset, bytes })
    }

    fn space(&self) -> u64 {
        (self.bytes.len() as u64).next_multiple_of(SECTOR)
    }
}

/// The file name for the header; none where it does not fit, since a cut one would be another file's.
fn unicode_name(path: &str) -> Vec<u8> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let bytes: Vec<u8> = name.encode_utf16().flat_map(u16::to_be_bytes).collect();
    if bytes.len() < PARENT_NAME_LEN { bytes } else { Vec::new() }
}
