//! Names: long ones in UTF-16, and the 8.3 names that stand for them.
//!
//! `fatgen103`, "Name Limits and Character Sets", "The Basis-Name Generation Algorithm", "The Numeric-Tail Generation
//! Algorithm". A short name with bytes beyond ASCII cannot be decoded: no volume says which code page it was written in.
//!
//! Case: Windows NT keeps "base (or extension) is lower case" in two bits of a short entry; they are read. New names that
//! are not in upper case get a long entry instead, as Linux does: every firmware reads those.

use format_core::{Error, Result};

pub(crate) type ShortName = [u8; 11];

/// Bits of `DIR_NTRes`.
pub(crate) const LOWER_BASE: u8 = 0x08;
pub(crate) const LOWER_EXTENSION: u8 = 0x10;
/// UTF-16 units of a long name at most.
const MAX_UNITS: usize = 255;
const MAX_TAIL: u32 = 999_999;

/// The checksum that ties long entries to their short one.
pub(crate) fn checksum(short: &ShortName) -> u8 {
    short.iter().fold(0u8, |sum, &byte| sum.rotate_right(1).wrapping_add(byte))
}

/// A long name, up to its terminator.
pub(crate) fn decode_long(units: &[u16]) -> String {
    let end = units.iter().position(|&unit| unit == 0).unwrap_or(units.len());
    shown(String::from_utf16_lossy(units.get(..end).unwrap_or_default()))
}

/// `NAME.EXT`, in the case that the bits say.
pub(crate) fn decode_short(short: &ShortName, case: u8) -> String {
    let (base, extension) = short.split_at(8);
    let part = |bytes: &[u8], lower: bool| -> String {
        let end = bytes.iter().rposition(|&byte| byte != b' ').map_or(0, |last| last + 1);
        let letter = |&byte: &u8| match byte {
            0x20..=0x7e if lower => byte.to_ascii_lowercase().into(),
            0x20..=0x7e => byte.into(),
            _ => '\u{fffd}',
        };
        bytes.iter().take(end).map(letter).collect()
    };
    let base = part(base, case & LOWER_BASE != 0);
    let extension = part(extension, case & LOWER_EXTENSION != 0);
    shown(if extension.is_empty() { base } else { format!("{base}.{extension}") })
}

/// A name that could not be opened is shown so that it cannot be mistaken for one that can.
fn shown(name: String) -> String {
    if name == "." || name == ".." {
        return "\u{fffd}".into();
    }
    name.replace(['/', '\0'], "\u{fffd}")
}

/// Refuses what FAT cannot keep as a name.
pub(crate) fn check(name: &str) -> Result<()> {
    let bad = |c: char| c < ' ' || "\"*/:<>?\\|".contains(c) || c == '\u{fffd}';
    let why = if name.is_empty() {
        "is empty"
    } else if name.encode_utf16().count() > MAX_UNITS {
        "is longer than 255 characters"
    } else if name.contains(bad) {
        "holds a character that FAT does not allow"
    } else if name.ends_with([' ', '.']) {
        "ends in a blank or dot, which FAT does not keep"
    } else {
        return Ok(());
    };
    Err(Error::usage(format!("the name {name:?} {why}")).in_format("vfat"))
}

/// The 8.3 name for `long` that `taken` does not have, and whether it says all of it; `None` when all are taken.
pub(crate) fn alias(long: &str, taken: impl Fn(&str) -> bool) -> Option<(ShortName, bool)> {
    let (base, extension, lossless) = basis(long);
    let plain = assemble(&base, &extension);
    if lossless && !taken(&decode_short(&plain, 0)) {
        return Some((plain, decode_short(&plain, 0) == long));
    }
    (1..=MAX_TAIL).find_map(|number| {
        let tail = format!("~{number}");
        let kept = base.get(..base.len().min(8 - tail.len())).unwrap_or_default();
        let short = assemble(&format!("{kept}{tail}"), &extension);
        (!taken(&decode_short(&short, 0))).then_some((short, false))
    })
}

/// Base and extension of the basis name, and whether they lose nothing but case.
fn basis(long: &str) -> (String, String, bool) {
    let mut lossless = true;
    let mut letters = String::new();
    for c in long.trim_start_matches(['.', ' ']).chars() {
        match c.to_ascii_uppercase() {
            ' ' => lossless = false,
            c if c == '.' || c.is_ascii_alphanumeric() || "$%'-_@~`!(){}^#&".contains(c) => letters.push(c),
            _ => {
                lossless = false;
                letters.push('_');
            }
        }
    }
    lossless &= !long.starts_with(['.', ' ']);
    let (base, extension) = letters.rsplit_once('.').unwrap_or((&letters, ""));
    let undotted: String = base.chars().filter(|&c| c != '.').collect();
    lossless &= undotted.len() == base.len() && (1..=8).contains(&base.len()) && extension.len() <= 3;
    let cut = |text: &str, len: usize| text.chars().take(len).collect::<String>();
    let base = cut(&undotted, 8);
    let base = if base.is_empty() { "_".to_owned() } else { base };
    (base, cut(extension, 3), lossless)
}

fn assemble(base: &str, extension: &str) -> ShortName {
    let mut short = [b' '; 11];
    let (first, second) = short.split_at_mut(8);
    first.iter_mut().zip(base.bytes()).for_each(|(to, from)| *to = from);
    second.iter_mut().zip(extension.bytes()).for_each(|(to, from)| *to = from);
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(long: &str, taken: &[&str]) -> (String, bool) {
        let (short, whole) = alias(long, |name| taken.contains(&name)).unwrap();
        (String::from_utf8(short.to_vec()).unwrap(), whole)
    }

    #[test]
    fn short_names_stand_for_long_ones() {
        for (long, taken, short, whole) in [
            ("BOOTX64.EFI", &[][..], "BOOTX64 EFI", true),
            ("grub.cfg", &[], "GRUB    CFG", false),
            ("grub.cfg", &["GRUB.CFG"], "GRUB~1  CFG", false),
            ("README", &[], "README     ", true),
            ("A quite long name.efi", &[], "AQUITE~1EFI", false),
            ("A quite long name.efi", &["AQUITE~1.EFI"], "AQUITE~2EFI", false),
            ("loader.conf", &[], "LOADER~1CON", false),
            (".hidden", &[], "HIDDEN~1   ", false),
            ("a.b.c", &[], "AB~1    C  ", false),
            ("x+y=z", &[], "X_Y_Z~1    ", false),
            ("größe.txt", &[], "GR__E~1 TXT", false),
            ("日本", &[], "__~1       ", false),
            ("...a", &[], "A~1        ", false),
            ("+", &["_~1"], "_~2        ", false),
        ] {
            assert_eq!(made(long, taken), (short.to_owned(), whole), "{long}");
        }
    }

    #[test]
    fn case_bits_are_honoured_and_odd_bytes_are_no_name() {
        assert_eq!(decode_short(b"GRUB    CFG", LOWER_BASE | LOWER_EXTENSION), "grub.cfg");
        assert_eq!(decode_short(b"GRUB    CFG", LOWER_EXTENSION), "GRUB.cfg");
        assert_eq!(decode_short(b"A\xe4      B/ ", 0), "A\u{fffd}.B\u{fffd}");
        assert_eq!(decode_long(&[0x41, 0xd800, 0, 0x42]), "A\u{fffd}");
        assert_eq!(decode_long(&[0x2e, 0x2e]), "\u{fffd}");
        for name in ["", "a/b", "a.", "a ", "a:b", "a\u{1}", &"x".repeat(256)] {
            assert!(check(name).is_err(), "{name}");
        }
        assert!(check(&"x".repeat(255)).is_ok());
    }
}
