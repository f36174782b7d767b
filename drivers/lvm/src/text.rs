//! LVM's configuration syntax, as far as metadata uses it: sections, values, lists, comments.
//!
//! ```text
//!  file    = { entry }            entry = name "{" { entry } "}" | name "=" value
//!  value   = string | number | "[" [ value { "," value } ] "]"
//! ```
//! (lvm.conf(5), "SYNTAX"). Strict: nothing twice, nothing left over, and no more of anything than metadata has.

use format_core::{Error, ErrorKind, Result};
use std::collections::BTreeMap;

/// Metadata is four deep.
const MAX_DEPTH: usize = 8;
/// Entries and list items of one text.
const MAX_NODES: usize = 1 << 18;

/// Bytes of a name or a string: names have 127, the longest strings are command lines in descriptions.
const MAX_WORD: usize = 4096;

/// What a name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    Section(Section),
    Text(String),
    Number(i64),
    List(Vec<Node>),
}

impl Node {
    /// The texts of a value or a list.
    pub(crate) fn texts(&self) -> impl Iterator<Item = &str> {
        let list = if let Self::List(list) = self { list.as_slice() } else { std::slice::from_ref(self) };
        list.iter().filter_map(|node| if let Self::Text(text) = node { Some(text.as_str()) } else { None })
    }
}

/// A section's entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Section(BTreeMap<String, Node>);

impl Section {
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.0.iter().map(|(name, node)| (name.as_str(), node))
    }

    pub(crate) fn sections(&self) -> impl Iterator<Item = (&str, &Section)> {
        self.iter().filter_map(|(name, node)| match node {
            Node::Section(section) => Some((name, section)),
            _ => None,
        })
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(crate) fn section(&self, name: &str) -> Option<&Section> {
        match self.0.get(name) {
            Some(Node::Section(section)) => Some(section),
            _ => None,
        }
    }

    /// # Errors
    /// `Corrupt` when there is no such text; likewise for the others.
    pub(crate) fn text(&self, name: &str) -> Result<&str> {
        match self.0.get(name) {
            Some(Node::Text(text)) => Ok(text),
            _ => Err(missing("text", name)),
        }
    }

    pub(crate) fn number(&self, name: &str) -> Result<u64> {
        match self.0.get(name) {
            Some(Node::Number(number)) => u64::try_from(*number).map_err(|_| missing("count", name)),
            _ => Err(missing("number", name)),
        }
    }

    pub(crate) fn list(&self, name: &str) -> Result<&[Node]> {
        match self.0.get(name) {
            Some(Node::List(list)) => Ok(list),
            _ => Err(missing("list", name)),
        }
    }

    /// The texts of a list that may be absent.
    pub(crate) fn texts(&self, name: &str) -> Result<Vec<String>> {
        let Some(node) = self.0.get(name) else { return Ok(Vec::new()) };
        let Node::List(list) = node else { return Err(missing("list", name)) };
        let text = |node: &Node| match node {
            Node::Text(text) => Ok(text.clone()),
            _ => Err(missing("list of texts", name)),
        };
        list.iter().map(text).collect()
    }
}

fn missing(what: &str, name: &str) -> Error {
    Error::corrupt(format!("the metadata has no {what} {name:?}"))
}

/// Parses a whole text, which may end with one NUL.
///
/// # Errors
/// `Corrupt` with the place in the text; `Limit` for more or deeper entries than metadata has.
pub(crate) fn parse(text: &[u8]) -> Result<Section> {
    let text = text.strip_suffix(b"\0").unwrap_or(text);
    let mut parser = Parser { text, at: 0, nodes: 0 };
    let section = parser.entries(0)?;
    match parser.peek() {
        None => Ok(section),
        Some(_) => Err(parser.bad("the end of the text")),
    }
}

struct Parser<'a> {
    text: &'a [u8],
    at: usize,
    nodes: usize,
}

impl Parser<'_> {
    fn bad(&self, wanted: &str) -> Error {
        let found = match self.text.get(self.at) {
            Some(byte) => format!("{:?}", char::from(*byte)),
            None => "the end".into(),
        };
        Error::corrupt(format!(
            "the metadata has {found} where {wanted} should be, at byte {:#x} of the text",
            self.at
        ))
    }

    fn count(&mut self) -> Result<()> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(Error::new(
                ErrorKind::Limit,
                format!("the metadata has more than {MAX_NODES} entries"),
            ));
        }
        Ok(())
    }

    fn check_word(&self, len: usize) -> Result<()> {
        if len <= MAX_WORD {
            return Ok(());
        }
        let text = format!(
            "the metadata has a word of more than {MAX_WORD} bytes, at byte {:#x} of the text",
            self.at
        );
        Err(Error::new(ErrorKind::Limit, text))
    }

    /// The next byte that is neither blank nor comment.
    fn peek(&mut self) -> Option<u8> {
        loop {
            match *self.text.get(self.at)? {
                b' ' | b'\t' | b'\n' | b'\r' => self.at += 1,
                b'#' => {
                    let rest = &self.text[self.at..];
                    self.at += rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len());
                }
                byte => return Some(byte),
            }
        }
    }

    fn expect(&mut self, byte: u8, wanted: &str) -> Result<()> {
        if self.peek() != Some(byte) {
            return Err(self.bad(wanted));
        }
        self.at += 1;
        Ok(())
    }

    fn entries(&mut self, depth: usize) -> Result<Section> {
        if depth > MAX_DEPTH {
            return Err(Error::new(
                ErrorKind::Limit,
                format!("the metadata is more than {MAX_DEPTH} sections deep"),
            ));
        }
        let mut section = Section::default();
        while self.peek().is_some_and(|byte| byte != b'}') {
            self.count()?;
            let name = self.name()?;
            let node = match self.peek() {
                Some(b'{') => {
                    self.at += 1;
                    let inner = self.entries(depth + 1)?;
                    self.expect(b'}', "`}`")?;
                    Node::Section(inner)
                }
                Some(b'=') => {
                    self.at += 1;
                    self.value(true)?
                }
                _ => return Err(self.bad("`{` or `=`")),
            };
            if section.0.contains_key(&name) {
                return Err(Error::corrupt(format!("the metadata has {name:?} twice in one section")));
            }
            section.0.insert(name, node);
        }
        Ok(section)
    }

    fn name(&mut self) -> Result<String> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b"+_.-".contains(byte);
        let len = rest.iter().position(|byte| !fits(byte)).unwrap_or(rest.len());
        if len == 0 {
            return Err(self.bad("a name"));
        }
        self.check_word(len)?;
        self.at += len;
        Ok(rest.iter().take(len).map(|&byte| char::from(byte)).collect())
    }

    fn value(&mut self, may_be_list: bool) -> Result<Node> {
        self.count()?;
        match self.peek() {
            Some(b'"') => self.string().map(Node::Text),
            Some(b'[') if may_be_list => self.list().map(Node::List),
            Some(b'-' | b'0'..=b'9') => self.number().map(Node::Number),
            _ => Err(self.bad("a value")),
        }
    }

    fn list(&mut self) -> Result<Vec<Node>> {
        self.at += 1;
        let mut list = Vec::new();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(list);
        }
        loop {
            list.push(self.value(false)?);
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(list);
                }
                _ => return Err(self.bad("`,` or `]`")),
            }
        }
    }

    fn number(&mut self) -> Result<i64> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let digits =
            rest.iter().skip(1).position(|byte| !byte.is_ascii_digit()).map_or(rest.len(), |len| len + 1);
        let number = rest.get(..digits).and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
        // A fraction or a hexadecimal number is none of metadata's.
        let ends = rest.get(digits).is_none_or(|byte| !byte.is_ascii_alphanumeric() && *byte != b'.');
        let number = number.filter(|_| ends).ok_or_else(|| self.bad("a number of 64 bits"))?;
        self.at += digits;
        Ok(number)
    }

    /// Between quotes, `\"` and `\\` stand for the quote and the backslash.
    fn string(&mut self) -> Result<String> {
        self.at += 1;
        let mut bytes = Vec::new();
        loop {
            match self.text.get(self.at) {
                Some(b'"') => break,
                Some(b'\\') => {
                    self.at += 1;
                    bytes.push(*self.text.get(self.at).ok_or_else(|| self.bad("a character"))?);
                }
                Some(0) | None => return Err(self.bad("a closing quote")),
                Some(byte) => bytes.push(*byte),
            }
            self.check_word(bytes.len())?;
            self.at += 1;
        }
        self.at += 1;
        // Descriptions hold command lines of any encoding.
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TEXT: &str = "vg.0 {\nid = \"a\\\"b\\\\\"\nseqno=3 # note\nempty = []\nlist = [\n\"x\", 0,\n\"y\", -1\n]\nin { a=1 } }\n\
                        # Generated by LVM2\n\ncontents = \"Text\"\n\0";

    #[test]
    fn sections_values_lists_and_comments_are_read() {
        let file = parse(TEXT.as_bytes()).unwrap();
        let group = file.section("vg.0").unwrap();
        assert_eq!(group.text("id").unwrap(), "a\"b\\");
        assert_eq!(group.number("seqno").unwrap(), 3);
        assert_eq!(group.list("empty").unwrap(), []);
        assert_eq!(group.list("list").unwrap().len(), 4);
        assert_eq!(group.section("in").unwrap().number("a").unwrap(), 1);
        assert_eq!(file.text("contents").unwrap(), "Text");
        assert_eq!(file.sections().count(), 1);
        assert!(group.number("id").is_err() && group.text("none").is_err() && group.texts("list").is_err());
    }

    #[test]
    fn words_have_a_bound() {
        let (fits, long) = ("n".repeat(MAX_WORD), "n".repeat(MAX_WORD + 1));
        for text in [format!("{fits} = 1"), format!("a = \"{fits}\"")] {
            assert!(parse(text.as_bytes()).is_ok());
        }
        for text in [format!("{long} = 1"), format!("a = \"{long}\"")] {
            let error = parse(text.as_bytes()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Limit);
            assert!(error.to_string().len() < 200, "{error}");
        }
    }

    #[test]
    fn what_is_no_metadata_is_refused() {
        for bad in [
            "a",
            "a =",
            "a = b",
            "a = 1.5",
            "a = 0x10",
            "a = 99999999999999999999",
            "a = \"x",
            "a {",
            "a { b = 1",
            "}",
            "a = [",
            "a = [1",
            "a = [1,]",
            "a = [[1]]",
            "a = [1 2]",
            "a = 1 a = 2",
            "= 1",
            "a = -",
            "a = 1 }",
            "a = 1\0\0",
            "a = \"\0\"",
            "a = {}",
        ] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad}");
        }
        let deep = "a{".repeat(1 << 20);
        assert_eq!(parse(deep.as_bytes()).unwrap_err().kind(), ErrorKind::Limit);
        let many = format!("a = [{}1]", "1,".repeat(1 << 19));
        assert_eq!(parse(many.as_bytes()).unwrap_err().kind(), ErrorKind::Limit);
    }

    #[test]
    fn no_prefix_of_a_text_is_a_text_with_the_same_content() {
        let whole = parse(TEXT.as_bytes()).unwrap();
        for len in 0..TEXT.len() - 2 {
            assert_ne!(parse(&TEXT.as_bytes()[..len]).ok().as_ref(), Some(&whole), "{len}");
        }
    }

    proptest! {
        #[test]
        fn anything_is_read_or_refused(text in "[a\"\\\\{}=\\[\\], #\n\u{0}0-9-]{0,200}") {
            let _ = parse(text.as_bytes());
        }
    }
}
