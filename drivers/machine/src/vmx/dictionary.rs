//! The `key = "value"` lines of a VMX file.
//!
//! There is no published grammar. The rules are those of files that ESXi 5 to 8 and Workstation 8 to 17 wrote: one
//! entry a line, keys without regard to case, `#` begins a comment, `|22` stands for the byte 0x22, and the entry
//! `.encoding` names the character set of the whole file.

use std::collections::BTreeMap;

use encoding_rs::Encoding;

use crate::MachineError;
use crate::error::shown;

/// Real files have a few KiB; large ones list hundreds of devices.
const MAX_BYTES: usize = 1 << 20;

/// Keys that every VMX file has at least one of; ESXi and Workstation write them first.
const MARKS: [&str; 3] = [".encoding", "config.version", "virtualhw.version"];

/// The entries of one file, by their key in lower case.
pub(super) struct Dictionary {
    entries: BTreeMap<String, Entry>,
}

struct Entry {
    value: String,
    /// From 1.
    line: usize,
}

/// Whether the bytes are those of a VMX file: an entry that every such file has.
pub(crate) fn is_vmx(bytes: &[u8]) -> bool {
    bytes.split(|&byte| byte == b'\n').any(|line| {
        let key = line.split(|&byte| byte == b'=').next().unwrap_or_default();
        let key = key.strip_prefix(b"\xef\xbb\xbf").unwrap_or(key).trim_ascii();
        line.contains(&b'=') && MARKS.iter().any(|mark| key.eq_ignore_ascii_case(mark.as_bytes()))
    })
}

impl Dictionary {
    /// Reads the entries. Pure.
    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, MachineError> {
        if bytes.len() > MAX_BYTES {
            return Err(MachineError::TooLarge { actual: bytes.len(), limit: MAX_BYTES });
        }
        let text = decode(bytes)?;
        let mut entries: BTreeMap<String, Entry> = BTreeMap::new();
        for (line, content) in (1..).zip(text.lines()) {
            let Some((key, value)) = parse_line(content).map_err(|reason| fault(line, reason))? else {
                continue;
            };
            if let Some(earlier) = entries.get(&key)
                && earlier.value != value
            {
                let reason = format!("{} has another value on line {}", shown(&key), earlier.line);
                return Err(fault(line, reason));
            }
            entries.entry(key).or_insert(Entry { value, line });
        }
        Ok(Self { entries })
    }

    /// The value of a key in lower case; `None` also when it is empty, as VMware writes for "not set".
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.entries.get(key).map(|entry| entry.value.as_str()).filter(|value| !value.is_empty())
    }

    /// Whether a key has the value `TRUE`.
    pub(super) fn is_true(&self, key: &str) -> bool {
        self.get(key).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// A number; `None` when the key is not there.
    pub(super) fn number(&self, key: &str) -> Result<Option<u64>, MachineError> {
        let Some(entry) = self.entries.get(key).filter(|entry| !entry.value.is_empty()) else {
            return Ok(None);
        };
        let trimmed = entry.value.trim();
        trimmed
            .parse()
            .map(Some)
            .map_err(|_| fault(entry.line, format!("{key} is {}, expected a number", shown(&entry.value))))
    }

    /// The entries whose keys begin with `prefix`, in lower case, with the rest of the key.
    pub(super) fn below<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.entries
            .range(prefix.to_owned()..)
            .map_while(move |(key, entry)| Some((key.strip_prefix(prefix)?, entry.value.as_str())))
    }

    /// An error about an entry, with its line.
    pub(super) fn fault(&self, key: &str, reason: &str) -> MachineError {
        match self.entries.get(key) {
            Some(entry) => fault(entry.line, format!("{key} is {}, {reason}", shown(&entry.value))),
            None => MachineError::Dialect { dialect: "vmx", reason: format!("{key} is missing, {reason}") },
        }
    }
}

fn fault(line: usize, reason: String) -> MachineError {
    MachineError::Dialect { dialect: "vmx", reason: format!("line {line}: {reason}") }
}

/// The text in the character set its own `.encoding` line names; without one, UTF-8.
fn decode(bytes: &[u8]) -> Result<String, MachineError> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let stated = bytes.split(|&byte| byte == b'\n').find_map(|line| {
        let (key, value) = line.split_at_checked(line.iter().position(|&byte| byte == b'=')?)?;
        let value = value.strip_prefix(b"=")?.trim_ascii();
        key.trim_ascii()
            .eq_ignore_ascii_case(b".encoding")
            .then(|| String::from_utf8_lossy(value).into_owned())
    });
    let label = stated.as_deref().unwrap_or("UTF-8").trim_matches('"');
    let encoding = Encoding::for_label_no_replacement(label.as_bytes())
        .filter(|encoding| encoding.is_ascii_compatible())
        .ok_or_else(|| MachineError::Unsupported {
            what: "vmx",
            reason: format!("character set {} is not known, save the file as UTF-8", shown(label)),
        })?;
    let text = encoding.decode_without_bom_handling_and_without_replacement(bytes);
    text.map(std::borrow::Cow::into_owned).ok_or_else(|| MachineError::Dialect {
        dialect: "vmx",
        reason: format!("the bytes are not of the character set {}", shown(label)),
    })
}

/// Key in lower case and decoded value; `None` for a line without an entry.
fn parse_line(line: &str) -> Result<Option<(String, String)>, String> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let Some((key, value)) = line.split_once('=') else {
        return Err(format!("{} is no entry of the form key = \"value\"", shown(line)));
    };
    let (key, value) = (key.trim(), value.trim());
    if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"') {
        return Err(format!("{} is no key", shown(key)));
    }
    let value = match value.strip_prefix('"') {
        None => value.split_once('#').map_or(value, |(value, _)| value.trim_end()),
        Some(rest) => {
            let Some((inner, after)) = rest.split_once('"') else {
                return Err(format!("the value of {} has no closing quotation mark", shown(key)));
            };
            if !after.trim().is_empty() && !after.trim().starts_with('#') {
                return Err(format!("{} follows the value of {}", shown(after), shown(key)));
            }
            inner
        }
    };
    Ok(Some((key.to_ascii_lowercase(), decode_value(value))))
}

/// Replaces `|XX` by the ASCII character with this code; anything else stays as it is.
fn decode_value(value: &str) -> String {
    let mut parts = value.split('|');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let code = part.get(..2).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        match code.and_then(|digits| u8::from_str_radix(digits, 16).ok()).filter(u8::is_ascii) {
            Some(code) => {
                out.push(char::from(code));
                out.push_str(part.get(2..).unwrap_or_default());
            }
            None => {
                out.push('|');
                out.push_str(part);
            }
        }
    }
    out
}

/// A value as it stands between its quotation marks.
pub(super) fn encode_value(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        if matches!(c, '"' | '|') || c.is_ascii_control() {
            out.push_str(&format!("|{:02X}", u32::from(c)));
        } else {
            out.push(c);
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Option<String> {
        parse_line(text).unwrap().map(|(_, value)| value)
    }

    #[test]
    fn lines_are_read_as_vmware_writes_them() {
        for (line, wanted) in [
            (r#"displayName = "a b""#, Some("a b")),
            (r#"  displayName="a = b"  "#, Some("a = b")),
            (r#"x = "|22a|7Cb|0A|7c22" # note"#, Some("\"a|b\n|22")),
            (r#"x = "|zz|2|""#, Some("|zz|2|")),
            ("x = TRUE # note", Some("TRUE")),
            ("x =", Some("")),
            ("#!/usr/bin/vmware", None),
            ("   ", None),
        ] {
            assert_eq!(value(line).as_deref(), wanted, "{line}");
        }
        for line in ["displayName", r#"x = "a"#, r#"x = "a" b"#, r#"= "a""#, "a\u{1b}b = 1"] {
            assert!(parse_line(line).is_err(), "{line}");
        }
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        for text in ["plain", "|22", "\"|\"", "é|é\"", "$(x) `y` \\ #", "a\tb\u{7f}"] {
            assert!(!encode_value(text).contains('"'), "{text}");
            assert_eq!(decode_value(&encode_value(text)), text);
        }
    }

    #[test]
    fn the_file_names_its_own_character_set() {
        let file = b".encoding = \"windows-1252\"\nx = \"\xfc\"\n";
        assert_eq!(Dictionary::from_bytes(file).unwrap().get("x"), Some("\u{fc}"));
        let file = b".encoding = \"GBK\"\nx = \"\xc4\xe3\"\n";
        assert_eq!(Dictionary::from_bytes(file).unwrap().get("x"), Some("你"));
        for file in [&b"x = \"\xfc\""[..], b".encoding = \"UTF-16LE\"\n", b".encoding = \"klingon\"\n"] {
            assert!(Dictionary::from_bytes(file).is_err());
        }
    }

    #[test]
    fn an_entry_may_not_say_two_things() {
        assert!(Dictionary::from_bytes(b"a = 1\nA = \"1\"\n").is_ok());
        assert!(Dictionary::from_bytes(b"a = 1\nA = \"2\"\n").is_err());
    }
}
