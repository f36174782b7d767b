//! From text to sections of lines: comments, quotes, commas and continuation.
//!
//! Source: "General Syntax Rules for INF Files" of Microsoft's driver documentation. Where it leaves things open (a quote
//! that the line does not close, blanks around a continuation) this does as Wine's setupapi: the end of the line closes
//! a quote, and the blanks go.

use format_core::{Error, ErrorKind, Result};
use std::collections::BTreeMap;

/// Longest field in characters, as documented under "INF Size Limits".
pub(crate) const MAX_FIELD: usize = 4096;

/// An entry of a section: `key = field, field` or `field, field`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// What stands before the `=`.
    pub key: Option<String>,
    /// Between commas, without quotes and the blanks around them. Empty ones in the middle and at the end are kept.
    pub fields: Vec<String>,
}

impl Line {
    /// Field `index`, or nothing where it is missing or empty.
    #[must_use]
    pub fn field(&self, index: usize) -> Option<&str> {
        self.fields.get(index).map(String::as_str).filter(|field| !field.is_empty())
    }

    /// Whether this is the directive of that name, in any case.
    pub(crate) fn is(&self, key: &str) -> bool {
        self.key.as_deref().is_some_and(|own| own.eq_ignore_ascii_case(key))
    }
}

/// Sections by their names in lower case; those of one name are one.
pub(crate) type Sections = BTreeMap<String, Vec<Line>>;

/// Reads all sections. Nothing is substituted yet.
pub(crate) fn sections(text: &str) -> Result<Sections> {
    let mut sections = Sections::new();
    let mut current: Option<&mut Vec<Line>> = None;
    let mut pending = Builder::default();
    // Ctrl-Z ended files of DOS, and still does.
    let text = text.split('\u{1a}').next().unwrap_or_default();
    for (number, physical) in physical_lines(text) {
        if pending.is_new()
            && let Some(rest) = physical.trim_start().strip_prefix('[')
        {
            let Some((name, _)) = rest.split_once(']') else {
                return Err(bad(number, "a section name without its closing bracket"));
            };
            current = Some(sections.entry(name.trim().to_lowercase()).or_default());
            continue;
        }
        if pending.feed(physical).map_err(|what| bad(number, what))? {
            continue;
        }
        let Some(line) = std::mem::take(&mut pending).finish() else { continue };
        match &mut current {
            Some(lines) => lines.push(line),
            None => return Err(bad(number, "an entry before the first section")),
        }
    }
    // The last line may end with a continuation.
    if let (Some(lines), Some(line)) = (current, pending.finish()) {
        lines.push(line);
    }
    Ok(sections)
}

/// Lines with their numbers, from 1. Any of CR LF, CR and LF ends one.
fn physical_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
    lines.enumerate().flat_map(|(number, line)| line.split('\r').map(move |line| (number + 1, line)))
}

fn bad(number: usize, what: &str) -> Error {
    let kind = if what == TOO_LONG { ErrorKind::Limit } else { ErrorKind::Corrupt };
    Error::new(kind, format!("line {number}: {what}")).in_format("inf")
}

const TOO_LONG: &str = "a field of more than 4096 characters";

/// A line in the making, over several lines of the file.
#[derive(Default)]
struct Builder {
    line: Line,
    field: String,
    /// Bytes at the start of the field that were quoted: the blanks in them stay.
    quoted: usize,
    /// Whether anything was seen that makes it a line.
    has_content: bool,
    /// Whether the line before ended with a continuation.
    is_continued: bool,
}

impl Builder {
    fn is_new(&self) -> bool {
        !self.is_continued
    }

    /// Takes a line of the file; `true` when the next one belongs to it.
    fn feed(&mut self, text: &str) -> Result<bool, &'static str> {
        let mut rest = text;
        self.is_continued = false;
        self.trim();
        let mut is_leading = true;
        while let Some(c) = rest.chars().next() {
            let after = rest.get(c.len_utf8()..).unwrap_or_default();
            if is_leading && c.is_whitespace() {
                rest = after;
                continue;
            }
            is_leading = false;
            rest = match c {
                ';' => break,
                '"' => self.quote(after),
                ',' => {
                    self.end_field();
                    is_leading = true;
                    after
                }
                '=' if self.line.key.is_none() && self.line.fields.is_empty() => {
                    self.end_field();
                    self.line.key = self.line.fields.pop();
                    is_leading = true;
                    after
                }
                '\\' if ends_with_continuation(after) => {
                    self.is_continued = true;
                    break;
                }
                '%' => self.token(rest),
                _ => {
                    self.push(rest.get(..c.len_utf8()).unwrap_or_default());
                    after
                }
            };
            // Bytes are at most four times the characters, so counting is rare.
            if self.field.len() >= MAX_FIELD && self.field.chars().count() >= MAX_FIELD {
                return Err(TOO_LONG);
            }
        }
        Ok(self.is_continued)
    }

    /// A quoted string from behind its first quote; what is left of the line.
    fn quote<'a>(&mut self, text: &'a str) -> &'a str {
        self.has_content = true;
        let mut rest = text;
        loop {
            let Some((inside, after)) = rest.split_once('"') else {
                self.push(rest);
                rest = "";
                break;
            };
            self.push(inside);
            rest = after;
            match after.strip_prefix('"') {
                Some(more) => {
                    self.push("\"");
                    rest = more;
                }
                None => break,
            }
        }
        self.quoted = self.field.len();
        rest
    }

    /// `%strkey%` is one thing even with a semicolon in it; what is left of the line.
    fn token<'a>(&mut self, text: &'a str) -> &'a str {
        let inside = text.get(1..).unwrap_or_default();
        let end = inside
            .find(['%', ',', '"'])
            .filter(|end| inside.get(*end..).is_some_and(|at| at.starts_with('%')));
        let (token, rest) = text.split_at(end.map_or(1, |end| end + 2));
        self.push(token);
        rest
    }

    fn push(&mut self, text: &str) {
        self.has_content = true;
        self.field.push_str(text);
    }

    /// Takes blanks off the end of the field, but those that were quoted.
    fn trim(&mut self) {
        let trimmed = self.field.trim_end().len().max(self.quoted);
        self.field.truncate(trimmed);
    }

    fn end_field(&mut self) {
        self.trim();
        self.has_content = true;
        self.quoted = 0;
        self.line.fields.push(std::mem::take(&mut self.field));
    }

    fn finish(mut self) -> Option<Line> {
        if !self.has_content {
            return None;
        }
        self.end_field();
        Some(self.line)
    }
}

/// Whether nothing but backslashes, blanks and a comment follows a backslash.
fn ends_with_continuation(after: &str) -> bool {
    let rest = after.trim_start_matches('\\').trim_start();
    rest.is_empty() || rest.starts_with(';')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn one(text: &str) -> (Option<String>, Vec<String>) {
        let sections = sections(&format!("[a]\n{text}")).unwrap();
        let lines = &sections["a"];
        assert_eq!(lines.len(), 1, "{text:?} {lines:?}");
        (lines[0].key.clone(), lines[0].fields.clone())
    }

    #[test]
    fn lines_are_cut_as_documented() {
        for (text, key, fields) in [
            ("a.sys", None, &["a.sys"][..]),
            ("a.sys,,,2 ; why", None, &["a.sys", "", "", "2"]),
            ("a.sys = 1,,", Some("a.sys"), &["1", "", ""]),
            ("  Key\t=  some value \t; c", Some("Key"), &["some value"]),
            ("%Vendor% = Models , NTamd64", Some("%Vendor%"), &["Models", "NTamd64"]),
            ("k = \" a;b,c=d \" , x", Some("k"), &[" a;b,c=d ", "x"]),
            (
                "HKR,,Example,,\"an \"\"example\"\" string\"",
                None,
                &["HKR", "", "Example", "", "an \"example\" string"],
            ),
            ("k = \"open, ; to the end", Some("k"), &["open, ; to the end"]),
            ("k = a\"b c\"d", Some("k"), &["ab cd"]),
            ("k = %a;b%, c", Some("k"), &["%a;b%", "c"]),
            ("k = 50%, c ; 3%", Some("k"), &["50%", "c"]),
            ("HKR,,x,,a=b", None, &["HKR", "", "x", "", "a=b"]),
            ("k =", Some("k"), &[""]),
            ("CopyFiles = \"Some\\\"\\\n,File", Some("CopyFiles"), &["Some\\", "File"]),
            ("CopyFiles = \"Some\\\"\\ ; comment \n,File", Some("CopyFiles"), &["Some\\", "File"]),
            ("CopyFiles = Some\\\\\n,File", Some("CopyFiles"), &["Some", "File"]),
            ("HKR,,b,1,\\\r\n  01,02,\\\r\n  03", None, &["HKR", "", "b", "1", "01", "02", "03"]),
            ("k = one \\\n  two", Some("k"), &["onetwo"]),
            ("k = \"\"", Some("k"), &[""]),
            ("k = %12%\\a.sys", Some("k"), &["%12%\\a.sys"]),
            ("k = last\\", Some("k"), &["last"]),
        ] {
            let fields: Vec<String> = fields.iter().map(|field| (*field).to_owned()).collect();
            assert_eq!(one(text), (key.map(str::to_owned), fields), "{text:?}");
        }
    }

    #[test]
    fn sections_of_one_name_are_one_and_ctrl_z_ends_all() {
        let sections =
            sections("; head\r\n\r\n[ A.b ] ; x\rone\r[c]\n[a.B]\ntwo\n[d]\n;\n\u{1a}\n[no").unwrap();
        let names: Vec<&str> = sections.keys().map(String::as_str).collect();
        assert_eq!(names, ["a.b", "c", "d"]);
        assert_eq!(sections["a.b"].len(), 2);
        assert!(sections["c"].is_empty() && sections["d"].is_empty());
    }

    #[test]
    fn what_windows_refuses_is_refused() {
        for (text, kind, says) in [
            ("[a\nb", ErrorKind::Corrupt, "line 1: a section name"),
            ("\nstray\n[a]", ErrorKind::Corrupt, "line 2: an entry before"),
            (&format!("[a]\nk={}", "x".repeat(5000)), ErrorKind::Limit, "4096"),
            (&format!("[a]\nk=\"{}\"", "é".repeat(4096)), ErrorKind::Limit, "4096"),
        ] {
            let error = sections(text).unwrap_err();
            assert_eq!(error.kind(), kind);
            assert!(error.to_string().contains(says), "{error}");
        }
        assert!(sections(&format!("[a]\nk=\"{}\"", "é".repeat(4095))).is_ok());
    }

    proptest! {
        /// Fields come back whatever is in them, as long as they are quoted.
        #[test]
        fn quoted_fields_survive(fields in prop::collection::vec("[^\r\n\u{1a}]{0,40}", 1..8), is_split: bool) {
            let quoted: Vec<String> =
                fields.iter().map(|field| format!("\"{}\"", field.replace('"', "\"\""))).collect();
            let glue = if is_split { ", \\ ; more\r\n\t" } else { "," };
            prop_assert_eq!(one(&format!("key = {}", quoted.join(glue))), (Some("key".to_owned()), fields));
        }

        #[test]
        fn no_text_is_a_panic(text in "[\\[\\]%\";,=\\\\a \r\n\u{1a}é]{0,200}") {
            let _ = sections(&text);
        }
    }
}
