//! Names as the kernel's tables write them (`\040` for a space), and as a shell reads them.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

/// Takes octal escapes back: `\040`, `\011`, `\012`, `\134`, `\043`. A backslash before anything else stands for itself.
pub(crate) fn decoded(text: &[u8]) -> OsString {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, after)) = rest.split_first() {
        match (first, octal(after)) {
            (b'\\', Some(byte)) => {
                bytes.push(byte);
                rest = after.get(3..).unwrap_or_default();
            }
            _ => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    OsString::from_vec(bytes)
}

fn octal(text: &[u8]) -> Option<u8> {
    let digits = text.get(..3)?;
    let value = digits.iter().try_fold(0u32, |value, &digit| match digit {
        b'0'..=b'7' => Some(value * 8 + u32::from(digit - b'0')),
        _ => None,
    })?;
    u8::try_from(value).ok()
}

/// A name as a word of printable text that [`decoded`] takes back, whatever bytes it has.
pub(crate) fn encoded(name: &OsStr) -> String {
    let is_text = name.to_str().is_some();
    let mut text = Vec::with_capacity(name.len());
    for &byte in name.as_bytes() {
        if byte <= b' ' || byte == b'\\' || byte == 0x7f || (byte > 0x7f && !is_text) {
            text.extend(format!("\\{byte:03o}").bytes());
        } else {
            text.push(byte);
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// A path as one word of a POSIX shell, for the commands that hints name.
pub fn shell_word(path: &Path) -> String {
    let text = path.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:=@%,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.into_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn hostile_names_come_back() {
        for name in [
            &b"plain"[..],
            b"a b",
            b"new\nline\ttab",
            b"back\\slash\\040",
            "gr\u{fc}n".as_bytes(),
            b"\xff\xfe \x1b[31m",
        ] {
            let name = OsStr::from_bytes(name);
            let text = encoded(name);
            assert!(!text.contains(|c: char| c.is_control() || c == ' '), "{text}");
            assert_eq!(decoded(text.as_bytes()), name);
        }
        assert_eq!(decoded(b"a\\"), "a\\");
        assert_eq!(decoded(b"a\\09\\999\\777"), "a\\09\\999\\777");
    }

    #[test]
    fn a_shell_reads_the_word_as_the_path() {
        for name in ["/a/b", "/a b", "/it's", "/$(touch x)`y`;\"", "/new\nline"] {
            let line = format!("printf %s {}", shell_word(Path::new(name)));
            let output = std::process::Command::new("sh").args(["-c", &line]).output().unwrap();
            assert_eq!(output.stdout, name.as_bytes());
        }
    }
}
