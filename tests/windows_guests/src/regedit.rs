//! The text that hives are composed of, and the regedit text that hivexregedit merges.
//!
//! A recipe of a hive (`hives/*.reg`) is regedit's text with four differences that make it readable:
//!
//! - strings have their type in front and no escapes: `sz:"…"`, `expand:"…"` and `multi:"…","…"`; what is between the first
//!   and the last quotation mark counts;
//! - a key that begins with `CurrentControlSet` stands for every control set of the guest;
//! - `$(name)` is filled in;
//! - a line that begins with `;` is a comment.
//!
//! A value that is set twice has the later content: what is added for a source changes what came before.

use std::collections::BTreeMap;
use std::fmt::Write;

/// The keys of a hive, each with its values as regedit's `hex(…)`, by their names (`@` for the default value).
#[derive(Clone, Default, Debug)]
pub(crate) struct Keys(BTreeMap<String, (String, BTreeMap<String, String>)>);

impl Keys {
    /// Adds what a recipe says. `sets` are the control sets, `filled` what stands for the names in `$(…)`.
    ///
    /// # Panics
    ///
    /// When a line is not of the form above, or a name is not known.
    pub(crate) fn add(&mut self, recipe: &str, sets: &[&str], filled: &BTreeMap<&str, String>) {
        let text = fill(recipe, filled);
        let mut open: Vec<String> = Vec::new();
        for line in text.lines().map(str::trim_end).filter(|line| !line.is_empty() && !line.starts_with(';'))
        {
            if let Some(key) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                open = match key.strip_prefix("CurrentControlSet") {
                    Some(rest) => sets.iter().map(|set| format!("{set}{rest}")).collect(),
                    None => vec![key.to_owned()],
                };
                open.iter().for_each(|key| self.create(key));
            } else {
                let (name, value) = split(line);
                assert!(!open.is_empty(), "a value before the first key: {line}");
                for key in &open {
                    self.0.get_mut(&key.to_uppercase()).unwrap().1.insert(name.clone(), encoded(&value));
                }
            }
        }
    }

    /// Renames a key everywhere, as in `Services`, which older versions spell with a small letter.
    pub(crate) fn respell(&mut self, from: &str, to: &str) {
        for (key, _) in self.0.values_mut() {
            let parts: Vec<_> = key.split('\\').map(|part| if part == from { to } else { part }).collect();
            *key = parts.join("\\");
        }
    }

    /// Drops a value everywhere.
    pub(crate) fn forget(&mut self, name: &str) {
        self.0.values_mut().for_each(|(_, values)| drop(values.remove(name)));
    }

    /// Creates a key and those above it. Names are compared without regard to case; the first spelling stays.
    fn create(&mut self, key: &str) {
        let ends = key.match_indices('\\').map(|(at, _)| at).chain([key.len()]);
        for end in ends {
            let part = &key[..end];
            self.0.entry(part.to_uppercase()).or_insert_with(|| (part.to_owned(), BTreeMap::new()));
        }
    }

    /// The text that `hivexregedit --merge` takes: every key after those above it.
    pub(crate) fn regedit(&self) -> String {
        let mut text = "Windows Registry Editor Version 5.00\n".to_owned();
        for (key, values) in self.0.values() {
            write!(text, "\n[\\{key}]\n").unwrap();
            for (name, value) in values {
                let name = if name == "@" { name.clone() } else { format!("\"{}\"", escaped(name)) };
                writeln!(text, "{name}={value}").unwrap();
            }
        }
        text
    }

    /// Files of drivers in `Windows\System32\drivers` that services name, in the services' spelling.
    pub(crate) fn drivers(&self) -> Vec<String> {
        let mut found: Vec<String> = Vec::new();
        for path in self.command_lines() {
            let Some((before, file)) = path.rsplit_once('\\') else { continue };
            let is_known = found.iter().any(|other| other.eq_ignore_ascii_case(file));
            if before.to_lowercase().ends_with(r"system32\drivers") && !is_known {
                found.push(file.to_owned());
            }
        }
        found
    }

    /// What services start, as their `ImagePath` says.
    pub(crate) fn command_lines(&self) -> Vec<String> {
        self.0
            .values()
            .filter_map(|(_, values)| values.get("ImagePath"))
            .map(|value| decoded(value))
            .collect()
    }
}

fn fill(recipe: &str, filled: &BTreeMap<&str, String>) -> String {
    let mut text = String::new();
    let mut rest = recipe;
    while let Some((before, after)) = rest.split_once("$(") {
        let (name, after) = after.split_once(')').unwrap();
        let value = filled.get(name).unwrap_or_else(|| panic!("nothing stands for $({name})"));
        text += before;
        text += value;
        rest = after;
    }
    text + rest
}

fn split(line: &str) -> (String, String) {
    if let Some(value) = line.strip_prefix("@=") {
        return ("@".to_owned(), value.to_owned());
    }
    let line = line.strip_prefix('"').unwrap_or_else(|| panic!("no value: {line}"));
    let (name, value) = line.split_once("\"=").unwrap_or_else(|| panic!("no value: {line}"));
    (name.to_owned(), value.to_owned())
}

/// A value in the form that leaves nothing to the encoding of the tool: `hex(type):bytes`.
fn encoded(value: &str) -> String {
    if let Some(text) = value.strip_prefix("sz:") {
        return hex(1, &wide(&[unquoted(text)]));
    }
    if let Some(text) = value.strip_prefix("expand:") {
        return hex(2, &wide(&[unquoted(text)]));
    }
    if let Some(list) = value.strip_prefix("multi:") {
        let list = if list.is_empty() { "" } else { unquoted(list) };
        let parts: Vec<_> = list.split("\",\"").filter(|part| !part.is_empty()).collect();
        return hex(7, &[wide(&parts), vec![0, 0]].concat());
    }
    if let Some(number) = value.strip_prefix("dword:") {
        assert!(number.len() == 8 && u32::from_str_radix(number, 16).is_ok(), "dword:{number}");
        return value.to_owned();
    }
    if let Some(bytes) = value.strip_prefix("hex:") {
        return format!("hex(3):{bytes}");
    }
    assert!(value.starts_with("hex("), "no value: {value}");
    value.to_owned()
}

/// The text of an encoded string.
fn decoded(value: &str) -> String {
    let bytes = value.split_once(':').map_or("", |(_, bytes)| bytes).split(',');
    let bytes: Vec<u8> = bytes.filter_map(|byte| u8::from_str_radix(byte, 16).ok()).collect();
    let units: Vec<u16> = bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
    String::from_utf16_lossy(&units).trim_end_matches('\0').to_owned()
}

fn unquoted(text: &str) -> &str {
    text.strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'))
        .unwrap_or_else(|| panic!("no string: {text}"))
}

/// UTF-16, each string with its zero.
fn wide(strings: &[&str]) -> Vec<u8> {
    strings.iter().flat_map(|text| text.encode_utf16().chain([0])).flat_map(u16::to_le_bytes).collect()
}

/// Bytes as regedit writes them, of the registry's type `kind`.
pub(crate) fn hex(kind: u32, bytes: &[u8]) -> String {
    let digits: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("hex({kind:x}):{}", digits.join(","))
}

fn escaped(name: &str) -> String {
    name.replace('\\', "\\\\").replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recipe_becomes_regedit_text() {
        let mut keys = Keys::default();
        let recipe = "; comment\n[CurrentControlSet\\a\\b]\n\"x\"=sz:\"\"q\" $(who)\"\n@=multi:\"1\",\"2\"\n";
        keys.add(recipe, &["Set1", "Set2"], &BTreeMap::from([("who", "me".to_owned())]));
        keys.add("[Set2\\A]\n\"y\"=dword:00000001", &[], &BTreeMap::new());
        let text = keys.regedit();
        for part in [
            "[\\Set1]\n\n[\\Set1\\a]\n\n[\\Set1\\a\\b]\n@=hex(7):31,00,00,00,32,00,00,00,00,00\n",
            "\"x\"=hex(1):22,00,71,00,22,00,20,00,6d,00,65,00,00,00\n",
            "[\\Set2\\a]\n\"y\"=dword:00000001\n",
        ] {
            assert!(text.contains(part), "{text}");
        }
    }
}
