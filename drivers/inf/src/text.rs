//! The encodings of INF files, and numbers in them.
//!
//! Windows takes UTF-16 with a byte order mark, UTF-8 with one, and otherwise the code page of the machine, which nobody
//! knows here: it is read as Latin-1, which agrees with all of them in what is not for people alone.

use format_core::{Error, ErrorKind, Result};

/// Longest INF file in bytes. The largest of Windows itself (printers) have about 1 MiB.
pub(crate) const MAX_INF: usize = 4 << 20;

/// The text of an INF file.
pub(crate) fn decode(bytes: &[u8]) -> Result<String> {
    if bytes.len() > MAX_INF {
        let message = format!("an INF file of {} bytes, at most {MAX_INF} are read", bytes.len());
        return Err(Error::new(ErrorKind::Limit, message).in_format("inf"));
    }
    Ok(match bytes {
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes),
        [0xef, 0xbb, 0xbf, rest @ ..] => String::from_utf8_lossy(rest).into_owned(),
        _ => bytes.iter().map(|byte| char::from(*byte)).collect(),
    })
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> String {
    let units = bytes.as_chunks::<2>().0.iter().map(|pair| unit(*pair));
    char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
}

/// A number as SetupAPI reads it: decimal with an optional sign, or hexadecimal with `0x`.
pub(crate) fn number(text: &str) -> Option<u32> {
    let text = text.trim();
    if let Some(hex) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        let is_hex = !hex.is_empty() && hex.bytes().all(|digit| digit.is_ascii_hexdigit());
        return is_hex.then(|| u32::from_str_radix(hex, 16).ok()).flatten();
    }
    match text.strip_prefix('-') {
        Some(_) => text.parse::<i32>().ok().map(i32::cast_unsigned),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_encoding_gives_the_same_text() {
        let text = "[Strings]\r\nName = \"é\"";
        let be: Vec<u8> =
            "\u{feff}".encode_utf16().chain(text.encode_utf16()).flat_map(u16::to_be_bytes).collect();
        let le: Vec<u8> =
            "\u{feff}".encode_utf16().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect();
        let utf8 = format!("\u{feff}{text}").into_bytes();
        let latin: Vec<u8> = text.chars().map(|c| u8::try_from(c).unwrap()).collect();
        for bytes in [be, le, utf8, latin] {
            assert_eq!(decode(&bytes).unwrap(), text, "{bytes:x?}");
        }
        // Half a unit at the end, and half a surrogate pair.
        assert_eq!(decode(&[0xff, 0xfe, b'a', 0, 0, 0xd8, b'b']).unwrap(), "a\u{fffd}");
        assert_eq!(decode(&vec![b' '; MAX_INF + 1]).unwrap_err().kind(), ErrorKind::Limit);
    }

    #[test]
    fn numbers_are_decimal_or_hexadecimal() {
        for (text, value) in [
            ("0", Some(0)),
            (" 0x00010001 ", Some(0x10001)),
            ("0X0A", Some(10)),
            ("10", Some(10)),
            ("-1", Some(u32::MAX)),
            ("0xffffffff", Some(u32::MAX)),
            ("0x100000000", None),
            ("0x", None),
            ("0x+1", None),
            ("", None),
            ("1x", None),
        ] {
            assert_eq!(number(text), value, "{text}");
        }
    }
}
