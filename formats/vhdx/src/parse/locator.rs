//! The parent locator of a differencing image (MS-VHDX 2.6.2.6).

use super::record;
use crate::error::VhdxError;
use crate::layout::{
    PARENT_LOCATOR_ENTRY_LEN, PARENT_LOCATOR_HEADER_LEN, ParentLocatorEntry, ParentLocatorHeader,
    VHDX_LOCATOR,
};
use std::collections::HashMap;
use uuid::Uuid;

pub(crate) const LINKAGE: &str = "parent_linkage";
const LINKAGE2: &str = "parent_linkage2";
pub(crate) const RELATIVE_PATH: &str = "relative_path";
const VOLUME_PATH: &str = "volume_path";
const ABSOLUTE_PATH: &str = "absolute_win32_path";
/// The keys that mean something. Others are passed over, and not even decoded: 65,535 entries may all share one long text.
const KEYS: [&str; 5] = [LINKAGE, LINKAGE2, RELATIVE_PATH, VOLUME_PATH, ABSOLUTE_PATH];

type Pairs = HashMap<&'static str, String>;

/// Who the parent is and where it may lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ParentLocator {
    /// `parent_linkage`, then `parent_linkage2` where it is there and not nil.
    pub(crate) linkages: Vec<Uuid>,
    /// Paths to try, with `/` between folders.
    pub(crate) names: Vec<String>,
}

/// Checks the parent locator item.
pub(crate) fn parse_locator(bytes: &[u8]) -> Result<ParentLocator, VhdxError> {
    let header: ParentLocatorHeader = record(bytes, 0, PARENT_LOCATOR_HEADER_LEN)?;
    let found = Uuid::from_bytes_le(header.locator_type);
    if found != VHDX_LOCATOR {
        return Err(VhdxError::LocatorType { found });
    }
    let mut pairs = Pairs::new();
    for index in 0..usize::from(header.key_value_count) {
        let at = PARENT_LOCATOR_HEADER_LEN + index * PARENT_LOCATOR_ENTRY_LEN;
        let entry: ParentLocatorEntry = record(bytes, at, PARENT_LOCATOR_ENTRY_LEN)?;
        let (Some(key), Some(value)) = (
            utf16(bytes, entry.key_offset, entry.key_length),
            utf16(bytes, entry.value_offset, entry.value_length),
        ) else {
            return Err(VhdxError::LocatorEntry { index, len: bytes.len() });
        };
        let Some(known) = KEYS.into_iter().find(|known| key.clone().eq(known.chars())) else { continue };
        if pairs.contains_key(known) {
            return Err(VhdxError::LocatorTwice { key: known });
        }
        pairs.insert(known, value.collect());
    }
    let mut linkages = vec![linkage(&pairs, LINKAGE)?.ok_or(VhdxError::LocatorLacks { what: LINKAGE })?];
    linkages.extend(linkage(&pairs, LINKAGE2)?.filter(|guid| !guid.is_nil()));
    let names = names(&pairs);
    if names.is_empty() {
        return Err(VhdxError::LocatorLacks { what: "path" });
    }
    Ok(ParentLocator { linkages, names })
}

/// The characters of a text inside the item, decoded as they are asked for.
fn utf16(bytes: &[u8], offset: u32, length: u16) -> Option<impl Iterator<Item = char> + Clone> {
    let start = offset as usize;
    let slice = bytes.get(start..start.checked_add(length.into())?)?;
    let (units, rest) = slice.as_chunks::<2>();
    let text = char::decode_utf16(units.iter().map(|unit| u16::from_le_bytes(*unit)))
        .map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER));
    rest.is_empty().then_some(text)
}

fn linkage(pairs: &Pairs, key: &'static str) -> Result<Option<Uuid>, VhdxError> {
    let Some(text) = pairs.get(key) else { return Ok(None) };
    Uuid::try_parse(text).map(Some).map_err(|_| VhdxError::Linkage { key, found: text.clone() })
}

/// The relative path alone where there is one: the others are places of a Windows host, and a missing neighbour
/// should be reported as missing, not as a forbidden drive letter.
fn names(pairs: &Pairs) -> Vec<String> {
    let path = |key: &str| pairs.get(key).filter(|path| !path.is_empty()).map(|path| path.replace('\\', "/"));
    if let Some(relative) = path(RELATIVE_PATH) {
        return vec![relative.strip_prefix("./").map(str::to_owned).unwrap_or(relative)];
    }
    [VOLUME_PATH, ABSOLUTE_PATH].into_iter().filter_map(path).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn locator(pairs: &[(&str, &str)]) -> Vec<u8> {
        let mut bytes = VHDX_LOCATOR.to_bytes_le().to_vec();
        bytes.extend([0, 0]);
        bytes.extend((pairs.len() as u16).to_le_bytes());
        let mut texts = Vec::new();
        let start = PARENT_LOCATOR_HEADER_LEN + pairs.len() * PARENT_LOCATOR_ENTRY_LEN;
        for (key, value) in pairs {
            let mut put = |text: &str| {
                let offset = start + texts.len();
                texts.extend(text.encode_utf16().flat_map(u16::to_le_bytes));
                (offset as u32, (text.encode_utf16().count() * 2) as u16)
            };
            let ((key_offset, key_length), (value_offset, value_length)) = (put(key), put(value));
            bytes.extend(key_offset.to_le_bytes());
            bytes.extend(value_offset.to_le_bytes());
            bytes.extend(key_length.to_le_bytes());
            bytes.extend(value_length.to_le_bytes());
        }
        bytes.extend(texts);
        bytes
    }

    const ONE: &str = "{83ed0ec3-24c8-49a6-a959-5e4bf1288bfb}";

    #[test]
    fn paths_become_slashed_and_lose_their_leading_dot() {
        let parse = |pairs: &[(&str, &str)]| parse_locator(&locator(pairs)).unwrap();
        let one = ("parent_linkage", ONE);
        let nil = ("parent_linkage2", "{00000000-0000-0000-0000-000000000000}");
        let found = parse(&[one, nil, ("relative_path", r".\p q.vhdx"), ("volume_path", r"\\?\Volume{0}\x")]);
        assert_eq!(found.names, ["p q.vhdx"]);
        assert_eq!(found.linkages, [Uuid::try_parse(ONE).unwrap()]);
        assert_eq!(parse(&[one, ("relative_path", r"..\a\p.vhdx")]).names, ["../a/p.vhdx"]);
        let found =
            parse(&[one, ("absolute_win32_path", r"C:\a\p.vhdx"), ("volume_path", r"\\?\V{0}\p.vhdx")]);
        assert_eq!(found.names, ["//?/V{0}/p.vhdx", "C:/a/p.vhdx"]);
        let two = ("parent_linkage2", "{93ed0ec3-24c8-49a6-a959-5e4bf1288bfb}");
        assert_eq!(parse(&[one, two, ("relative_path", "x")]).linkages.len(), 2);
    }

    #[test]
    fn what_cannot_name_a_parent_is_refused() {
        let one = ("parent_linkage", ONE);
        let parse = |bytes: &[u8]| parse_locator(bytes).unwrap_err();
        assert!(matches!(parse(&locator(&[one])), VhdxError::LocatorLacks { what: "path" }));
        assert!(matches!(
            parse(&locator(&[("relative_path", "x")])),
            VhdxError::LocatorLacks { what: "parent_linkage" }
        ));
        assert!(matches!(parse(&locator(&[("parent_linkage", "{x}")])), VhdxError::Linkage { .. }));
        let mut bytes = locator(&[one]);
        bytes[PARENT_LOCATOR_HEADER_LEN + 3] = 0x80;
        assert!(matches!(parse(&bytes), VhdxError::LocatorEntry { index: 0, .. }));
        bytes[0] ^= 1;
        assert!(matches!(parse(&bytes), VhdxError::LocatorType { .. }));
        bytes.truncate(19);
        assert!(matches!(parse(&bytes), VhdxError::Short { .. }));
    }

    #[test]
    fn a_key_named_twice_is_refused_and_unknown_keys_are_not() {
        let one = ("parent_linkage", ONE);
        let twice = locator(&[one, ("relative_path", "a"), ("relative_path", "b")]);
        assert!(matches!(
            parse_locator(&twice).unwrap_err(),
            VhdxError::LocatorTwice { key: "relative_path" }
        ));
        let unknown = locator(&[one, ("x", "a"), ("x", "b"), ("relative_path", "c")]);
        assert_eq!(parse_locator(&unknown).unwrap().names, ["c"]);
    }

    #[test]
    fn many_entries_that_share_one_long_text_cost_nothing() {
        let mut bytes = VHDX_LOCATOR.to_bytes_le().to_vec();
        bytes.extend([0, 0, 0xff, 0xff]);
        let texts = PARENT_LOCATOR_HEADER_LEN + 0xffff * PARENT_LOCATOR_ENTRY_LEN;
        for entry in 0..0xffff_u32 {
            bytes.extend((texts as u32 + entry % 1000 * 2).to_le_bytes());
            bytes.extend((texts as u32).to_le_bytes());
            bytes.extend([0xfe, 0xff, 0xfe, 0xff]);
        }
        bytes.resize(1 << 20, b'p');
        let start = std::time::Instant::now();
        assert!(matches!(parse_locator(&bytes).unwrap_err(), VhdxError::LocatorLacks { .. }));
        assert!(start.elapsed().as_millis() < 500, "{:?}", start.elapsed());
    }
}
