//! What a differencing image says about its parent.

use super::tables::put;
use crate::layout::{
    PARENT_LOCATOR_ENTRY_LEN, PARENT_LOCATOR_HEADER_LEN, ParentLocatorEntry, ParentLocatorHeader,
    VHDX_LOCATOR,
};
use crate::parse::{LINKAGE, RELATIVE_PATH};
use crate::read::{DISK_ID_KEY, LOGICAL_SECTOR_KEY};
use format_core::{Error, ParentImage, Result};
use uuid::Uuid;

/// The parent as the locator names it.
#[derive(Clone, Debug)]
pub(super) struct Parent {
    linkage: Uuid,
    relative_path: String,
    /// The disk that the guest sees, where the parent says it.
    pub(super) virtual_disk: Option<Uuid>,
}

impl Parent {
    pub(super) fn new(image: &ParentImage, virtual_size: u64, logical_sector_size: u64) -> Result<Self> {
        if image.format != crate::FORMAT.name {
            let text = format!("the parent of a vhdx image is a vhdx image, not {}", image.format);
            return Err(Error::unsupported(text).hint("write the difference in the format of its parent"));
        }
        if image.virtual_size != virtual_size {
            let text = format!(
                "a difference has the size of its parent, {:#x} bytes, not {virtual_size:#x}",
                image.virtual_size
            );
            return Err(Error::unsupported(text).hint("write a whole image"));
        }
        if let Some(sector) = Self::sector_size(image).filter(|sector| *sector != logical_sector_size) {
            let text = format!(
                "a difference has the logical sectors of its parent, {sector} bytes, not {logical_sector_size}"
            );
            return Err(Error::unsupported(text).hint("leave -o logical_sector_size away"));
        }
        let guid = |text: Option<&str>| text.and_then(|text| Uuid::try_parse(text).ok());
        let Some(linkage) = guid(image.identity.as_deref()).filter(|guid| !guid.is_nil()) else {
            return Err(Error::unsupported(
                "the parent has no DataWriteGuid by which it could be known again",
            ));
        };
        // A colon is a drive to some readers and a scheme to others.
        if image.name.is_empty() || image.name.contains(['\\', '\0', ':']) {
            let text = format!("a path of Windows cannot say {:?}", image.name);
            return Err(Error::unsupported(text).hint("give the parent another name"));
        }
        let path = image.name.replace('/', "\\");
        let relative_path = if path.starts_with("..\\") { path } else { format!(".\\{path}") };
        let virtual_disk = guid(image.details.get(DISK_ID_KEY).and_then(|id| id.as_str()));
        let parent = Self { linkage, relative_path, virtual_disk };
        parent.locator().map(|_| parent)
    }

    /// The logical sector size of the parent, where it says it.
    pub(super) fn sector_size(image: &ParentImage) -> Option<u64> {
        image.details.get(LOGICAL_SECTOR_KEY).and_then(serde_json::Value::as_u64)
    }

    /// The parent locator item. No absolute path is in it: those of this host mean nothing to Windows.
    pub(super) fn locator(&self) -> Result<Vec<u8>> {
        let pairs =
            [(LINKAGE, self.linkage.braced().to_string()), (RELATIVE_PATH, self.relative_path.clone())];
        let mut bytes = Vec::new();
        put(
            &mut bytes,
            &ParentLocatorHeader {
                locator_type: VHDX_LOCATOR.to_bytes_le(),
                reserved: 0,
                key_value_count: pairs.len() as u16,
            },
        )?;
        let mut texts = Vec::new();
        let mut at = PARENT_LOCATOR_HEADER_LEN + pairs.len() * PARENT_LOCATOR_ENTRY_LEN;
        let mut text = |text: &str| {
            let encoded: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
            let too_long = || Error::unsupported(format!("the parent's path has {} bytes", encoded.len()));
            let length = u16::try_from(encoded.len()).map_err(|_| too_long())?;
            let offset = at as u32;
            at += encoded.len();
            texts.extend(encoded);
            Ok::<_, Error>((offset, length))
        };
        for (key, value) in pairs {
            let ((key_offset, key_length), (value_offset, value_length)) = (text(key)?, text(&value)?);
            put(&mut bytes, &ParentLocatorEntry { key_offset, value_offset, key_length, value_length })?;
        }
        bytes.extend(texts);
        Ok(bytes)
    }
}
