//! Where a differencing image says its parent lies.

use crate::error::VhdError;
use crate::layout::{DynamicHeader, MACX, MAX_LOCATOR, W2KU, W2RU};

/// A path of the parent in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Locator {
    pub(crate) platform_code: [u8; 4],
    pub(crate) offset: u64,
    pub(crate) length: u32,
}

/// The locators of the kinds that are understood, in a file of `size` bytes.
pub(crate) fn locators(header: &DynamicHeader, size: u64) -> Result<Vec<Locator>, VhdError> {
    let mut found = Vec::new();
    for entry in header.parent_locator_entries {
        let (platform_code, offset, length) =
            (entry.platform_code, entry.platform_data_offset, entry.platform_data_length);
        if ![W2RU, W2KU, MACX].contains(&platform_code) || length == 0 {
            continue;
        }
        let code = || String::from_utf8_lossy(&platform_code).into_owned();
        if length > MAX_LOCATOR {
            return Err(VhdError::LocatorLength { code: code(), length });
        }
        if offset.checked_add(length.into()).is_none_or(|end| end > size) {
            return Err(VhdError::LocatorPlace { code: code(), offset, length, size });
        }
        found.push(Locator { platform_code, offset, length });
    }
    Ok(found)
}

/// The names to look for the parent under, from the locators' bytes and the name in the header.
///
/// Relative ones where there are any: the others are places of the host that made the image, and a missing neighbour
/// should be reported as missing, not as a forbidden drive letter.
pub(crate) fn names(paths: &[(Locator, Vec<u8>)], header: &DynamicHeader) -> Result<Vec<String>, VhdError> {
    let of = |code: [u8; 4]| paths.iter().filter(move |(locator, _)| locator.platform_code == code);
    let windows = |code| of(code).map(|(_, bytes)| utf16(bytes, u16::from_le_bytes).replace('\\', "/"));
    let urls = of(MACX).map(|(_, bytes)| url_path(bytes));
    let in_header = utf16(&header.parent_unicode_name, u16::from_be_bytes).replace('\\', "/");
    let all = windows(W2RU).chain(urls).chain([in_header]).chain(windows(W2KU));
    let (mut relative, mut absolute) = (Vec::new(), Vec::new());
    for name in all {
        let name = name.strip_prefix("./").map(str::to_owned).unwrap_or(name);
        let names = if is_absolute(&name) { &mut absolute } else { &mut relative };
        if !name.is_empty() && !names.contains(&name) {
            names.push(name);
        }
    }
    match (relative.is_empty(), absolute.is_empty()) {
        (false, _) => Ok(relative),
        (true, false) => Ok(absolute),
        (true, true) => Err(VhdError::NoParentName),
    }
}

fn is_absolute(name: &str) -> bool {
    let drive = name.as_bytes().get(1) == Some(&b':');
    drive || name.starts_with('/')
}

/// Characters up to the end or to the first zero: products disagree on whether the length counts it.
fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> String {
    let (units, _) = bytes.as_chunks::<2>();
    char::decode_utf16(units.iter().map(|bytes| unit(*bytes)).take_while(|unit| *unit != 0))
        .map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect()
}

/// The path of a file URL. XenServer writes relative ones, `file://./base.vhd`.
fn url_path(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let text = text.split('\0').next().unwrap_or_default();
    let path = text.strip_prefix("file:").unwrap_or(text);
    let path = path.strip_prefix("//localhost").or(path.strip_prefix("//")).unwrap_or(path);
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escaped =
            (*first == b'%').then(|| after.split_at_checked(2)).flatten().and_then(|(digits, left)| {
                let digits =
                    std::str::from_utf8(digits).ok().filter(|d| d.bytes().all(|d| d.is_ascii_hexdigit()))?;
                Some((u8::from_str_radix(digits, 16).ok()?, left))
            });
        let (byte, left) = escaped.unwrap_or((*first, after));
        decoded.push(byte);
        rest = left;
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_become_paths() {
        for (url, path) in [
            ("file://./a.vhd\0\0", "./a.vhd"),
            ("file:///vm/a%20b.vhd", "/vm/a b.vhd"),
            ("file://localhost/vm/a.vhd", "/vm/a.vhd"),
            ("file:a%zz.vhd", "a%zz.vhd"),
            ("a%2", "a%2"),
        ] {
            assert_eq!(url_path(url.as_bytes()), path);
        }
    }
}
