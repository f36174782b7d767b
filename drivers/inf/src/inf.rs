//! An INF file: its sections, with their strings put in.
//!
//! Sources: "General Syntax Rules for INF Files" and "INF Strings Section" of Microsoft's driver documentation. A token
//! that no string defines stays as it is: `%12%` is a DIRID, and others are variables of a later day.

use crate::lines::{Line, MAX_FIELD, Sections, sections};
use crate::text::decode;
use format_core::{Error, ErrorKind, Result};
use std::collections::BTreeMap;

/// Most bytes that all fields may have once strings are put in: a short token can stand for 4096 characters.
const MAX_EXPANDED: usize = 16 << 20;

/// An INF file.
#[derive(Clone, Debug)]
pub struct Inf {
    sections: Sections,
}

/// Reads an INF file: UTF-16 with a byte order mark, UTF-8 with one, else a code page, of which ASCII is understood.
///
/// # Errors
/// `Corrupt` for what Windows does not read either (with the line), `Limit` for files above 4 MiB, fields above
/// 4096 characters and strings that expand to more than 16 MiB.
pub fn parse(bytes: &[u8]) -> Result<Inf> {
    let mut sections = sections(&decode(bytes)?)?;
    let strings = strings(&sections);
    let mut room = MAX_EXPANDED;
    for (name, lines) in &mut sections {
        if is_strings(name) {
            continue;
        }
        for text in lines.iter_mut().flat_map(|line| line.key.iter_mut().chain(&mut line.fields)) {
            if text.contains('%') {
                *text = expand(text, &strings)
                    .and_then(|text| charge(&mut room, text.len()).map(|()| text))
                    .map_err(|error| error.context(format!("section [{name}]")))?;
            }
        }
    }
    Ok(Inf { sections })
}

impl Inf {
    /// The entries of a section, whatever the case of its name. `None`: there is no such section.
    #[must_use]
    pub fn section(&self, name: &str) -> Option<&[Line]> {
        self.sections.get(&name.to_lowercase()).map(Vec::as_slice)
    }

    /// The first field of the first entry with this key.
    #[must_use]
    pub fn value(&self, section: &str, key: &str) -> Option<&str> {
        self.section(section)?.iter().find(|line| line.is(key))?.field(0)
    }
}

fn is_strings(name: &str) -> bool {
    name == "strings" || name.starts_with("strings.")
}

/// Keys in lower case. English where there are several languages, the neutral section for what that lacks.
fn strings(sections: &Sections) -> BTreeMap<String, String> {
    let lines = ["strings", "strings.0409"].into_iter().filter_map(|name| sections.get(name)).flatten();
    let pair = |line: &Line| Some((line.key.as_ref()?.to_lowercase(), line.fields.first()?.clone()));
    lines.filter_map(pair).collect()
}

/// Puts strings in for `%key%`, and `%` for `%%`. What is put in is not looked at again.
fn expand(text: &str, strings: &BTreeMap<String, String>) -> Result<String> {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        expanded.push_str(before);
        let Some((key, behind)) = after.split_once('%') else {
            expanded.push('%');
            rest = after;
            continue;
        };
        if key.is_empty() {
            expanded.push('%');
            rest = behind;
        } else if let Some(value) = strings.get(&key.to_lowercase()) {
            expanded.push_str(value);
            rest = behind;
        } else {
            // The closing sign stays with it, or `%12%` would begin a token at its end.
            expanded.extend(["%", key, "%"]);
            rest = behind;
        }
        // At most four bytes a character.
        if expanded.len() > 4 * MAX_FIELD {
            return Err(limit(format!("strings put in make a field of more than {MAX_FIELD} characters")));
        }
    }
    expanded.push_str(rest);
    Ok(expanded)
}

fn charge(room: &mut usize, len: usize) -> Result<()> {
    *room = room
        .checked_sub(len)
        .ok_or_else(|| limit(format!("strings put in make more than {} MiB", MAX_EXPANDED >> 20)))?;
    Ok(())
}

fn limit(message: String) -> Error {
    Error::new(ErrorKind::Limit, message).in_format("inf")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_put_in_once_and_other_tokens_stay() {
        let inf = parse(
            b"[Version]\nProvider=%VENDOR%\nx=%12%\\%Drv%.sys\ny=\"%%SystemRoot%%\\a\",50%,%nobody%\n%vendor% = z\n\
              w = %b%\n[Strings]\nvendor=\"Me %a%\"\nDRV = mine\na=no\nb=neutral\n[Strings.0409]\nb=English\n\
              [Strings.0407]\nb=Deutsch",
        )
        .unwrap();
        assert_eq!(inf.value("VERSION", "provider"), Some("Me %a%"));
        assert_eq!(inf.value("Version", "x"), Some("%12%\\mine.sys"));
        let y = inf.section("version").unwrap().iter().find(|line| line.is("y")).unwrap();
        assert_eq!(y.fields, ["%SystemRoot%\\a", "50%", "%nobody%"]);
        assert_eq!(inf.value("version", "me %a%"), Some("z"));
        assert_eq!(inf.value("version", "w"), Some("English"));
        assert_eq!(inf.section("nothing"), None);
    }

    #[test]
    fn strings_that_grow_without_end_are_refused() {
        let long = "s".repeat(4000);
        let many = format!("[a]\nk={}\n[Strings]\ns={long}", "%s%".repeat(20));
        assert_eq!(parse(many.as_bytes()).unwrap_err().kind(), ErrorKind::Limit);
        let lines = format!("[a]\n{}[Strings]\ns={long}", "k=%s%\n".repeat(5000));
        let error = parse(lines.as_bytes()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Limit);
        assert!(error.to_string().contains("16 MiB"), "{error}");
    }
}
