//! The text of a configuration: lines of `key: value`, sections in brackets, a description in comments.

use std::collections::BTreeMap;

use super::DIALECT;
use crate::MachineError;
use crate::error::shown;

/// Proxmox itself refuses files over 1 MiB in /etc/pve.
const MAX_BYTES: usize = 1 << 20;
const MAX_KEYS: usize = 2048;

/// The current section of a configuration, and the names of the others.
#[derive(Debug, Default)]
pub(super) struct Config {
    pub values: BTreeMap<String, String>,
    /// Lines of the description, decoded.
    pub description: Vec<String>,
    /// Names of the sections behind the current one.
    pub sections: Vec<String>,
    /// Keys that appear twice.
    pub repeated: Vec<String>,
}

impl Config {
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str)
    }

    /// The keys made of `stem` and a number, by number.
    pub(super) fn numbered(&self, stem: &str) -> Vec<(u32, &str, &str)> {
        let mut found: Vec<(u32, &str, &str)> = self
            .values
            .iter()
            .filter_map(|(key, value)| {
                let number = key.strip_prefix(stem)?;
                let plain = number.bytes().all(|byte| byte.is_ascii_digit()) && number.len() <= 3;
                Some((plain.then(|| number.parse().ok())??, key.as_str(), value.as_str()))
            })
            .collect();
        found.sort_unstable();
        found
    }
}

/// Parses a configuration.
///
/// # Errors
/// [`MachineError::TooLarge`]; [`MachineError::Dialect`] with the line that is neither of the three kinds.
pub(super) fn parse(text: &str) -> Result<Config, MachineError> {
    if text.len() > MAX_BYTES {
        return Err(MachineError::TooLarge { actual: text.len(), limit: MAX_BYTES });
    }
    let mut config = Config::default();
    for (index, line) in text.lines().enumerate() {
        let bad = |what: &str| {
            let reason = format!("line {}: {what}, read {}", index + 1, shown(line));
            MachineError::Dialect { dialect: DIALECT, reason }
        };
        let line = line.trim_end();
        if line.is_empty() {
            continue;
        }
        if let Some(section) = line.strip_prefix('[') {
            let name = section.strip_suffix(']').ok_or_else(|| bad("a section ends with `]`"))?;
            if config.sections.len() >= MAX_KEYS {
                return Err(bad("there are too many sections"));
            }
            config.sections.push(name.to_owned());
            continue;
        }
        if !config.sections.is_empty() {
            continue;
        }
        if let Some(comment) = line.strip_prefix('#') {
            // vzdump's notes on its own files.
            if !comment.starts_with("qmdump#") && config.description.len() < MAX_KEYS {
                config.description.push(decoded(comment));
            }
            continue;
        }
        let (key, value) = key_value(line).ok_or_else(|| bad("expected `key: value`"))?;
        if config.values.len() >= MAX_KEYS {
            return Err(bad("there are too many keys"));
        }
        if config.values.insert(key.to_owned(), value.to_owned()).is_some() {
            config.repeated.push(key.to_owned());
        }
    }
    Ok(config)
}

/// A key is small letters, digits, `_` and `-`, and ends at the first colon.
fn key_value(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.split_once(':')?;
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-');
    let first = key.bytes().next()?;
    (first.is_ascii_lowercase() && key.len() <= 64 && key.bytes().all(plain)).then(|| (key, value.trim()))
}

/// Percent-decoding, as the description is stored; what is no such escape stays.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let hex = |digit: Option<&u8>| digit.and_then(|digit| char::from(*digit).to_digit(16));
        if byte == b'%'
            && let (Some(high), Some(low)) = (hex(tail.first()), hex(tail.get(1)))
        {
            bytes.push(u8::try_from(high * 16 + low).unwrap_or_default());
            rest = tail.get(2..).unwrap_or_default();
        } else {
            bytes.push(byte);
            rest = tail;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A property string: `value,key=value,flag`. The first part without a key gets `default_key`.
pub(super) fn properties<'a>(text: &'a str, default_key: &'a str) -> Vec<(&'a str, &'a str)> {
    text.split(',')
        .take(64)
        .filter(|part| !part.trim().is_empty())
        .enumerate()
        .map(|(index, part)| match part.trim().split_once('=') {
            Some((key, value)) => (key.trim(), value.trim()),
            None if index == 0 => (default_key, part.trim()),
            None => (part.trim(), ""),
        })
        .collect()
}

/// The value of `key` in a property string.
pub(super) fn property<'a>(parts: &[(&'a str, &'a str)], key: &str) -> Option<&'a str> {
    parts.iter().find(|(name, _)| *name == key).map(|(_, value)| *value)
}

/// Whether a text is such a configuration: its lines are of the three kinds, and one has a key only this dialect has.
pub(crate) fn looks_like(text: &str) -> bool {
    const TELLING: &[&str] = &[
        "memory", "cores", "sockets", "ostype", "smbios1", "vmgenid", "bootdisk", "boot", "scsihw", "bios",
        "net0", "scsi0", "virtio0", "sata0", "ide0",
    ];
    let current = text.lines().take_while(|line| !line.starts_with('['));
    let mut lines =
        current.map(str::trim_end).filter(|line| !line.is_empty() && !line.starts_with('#')).peekable();
    let mut telling = 0;
    lines.peek().is_some()
        && lines.take(MAX_KEYS).all(|line| {
            let pair = key_value(line);
            telling += usize::from(pair.is_some_and(|(key, _)| TELLING.contains(&key)));
            pair.is_some()
        })
        && telling > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_and_comments_are_told_apart() {
        let config = parse("#a%20b%3A%zz\nname: x\n\n[PENDING]\nname: y\n[snap]\n#c\nnonsense\n").unwrap();
        assert_eq!(config.get("name"), Some("x"));
        assert_eq!(config.description, ["a b:%zz"]);
        assert_eq!(config.sections, ["PENDING", "snap"]);
        for bad in ["name x", "Name: x", "[open", "na me: x", ": x", "\u{0}"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn property_strings_have_a_default_key() {
        let parts = properties("local:1/x.raw,size=4G, ssd", "file");
        assert_eq!(parts, [("file", "local:1/x.raw"), ("size", "4G"), ("ssd", "")]);
        assert_eq!(property(&parts, "size"), Some("4G"));
        assert_eq!(property(&parts, "none"), None);
    }

    #[test]
    fn numbers_are_sorted_as_numbers() {
        let config = parse("net10: a\nnet2: b\nnetx: c\nnet: d\nnet0001: e\n").unwrap();
        let numbers: Vec<u32> = config.numbered("net").into_iter().map(|(number, ..)| number).collect();
        assert_eq!(numbers, [2, 10]);
    }
}
