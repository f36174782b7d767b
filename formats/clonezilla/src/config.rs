//! The text that LVM keeps its metadata in: sections, and keys with numbers, texts and lists.

use std::collections::BTreeMap;

/// How deep sections may lie in sections.
const MAX_DEPTH: usize = 8;

/// A section: its keys and sections by name, those in the order of the text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Section {
    pub(crate) values: BTreeMap<String, Value>,
    pub(crate) sections: Vec<(String, Section)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Number(u64),
    Text(String),
    List(Vec<Value>),
}

/// What is wrong, and at which byte.
pub(crate) type Fault = (&'static str, usize);

/// Reads a whole text.
pub(crate) fn parse(text: &str) -> Result<Section, Fault> {
    let mut parser = Parser { text: text.as_bytes(), at: 0 };
    let section = parser.section(0)?;
    if parser.at < parser.text.len() {
        Err(("a section ends that did not begin", parser.at))
    } else {
        Ok(section)
    }
}

impl Section {
    pub(crate) fn section(&self, name: &str) -> Option<&Self> {
        self.sections.iter().find(|(found, _)| found == name).map(|(_, section)| section)
    }

    pub(crate) fn number(&self, key: &str) -> Option<u64> {
        match self.values.get(key)? {
            Value::Number(number) => Some(*number),
            _ => None,
        }
    }

    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        match self.values.get(key)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn list(&self, key: &str) -> &[Value] {
        match self.values.get(key) {
            Some(Value::List(list)) => list,
            _ => &[],
        }
    }
}

struct Parser<'a> {
    text: &'a [u8],
    at: usize,
}

impl Parser<'_> {
    /// Skips what means nothing and tells what comes next.
    fn peek(&mut self) -> Option<u8> {
        while let Some(byte) = self.text.get(self.at) {
            match byte {
                b'#' => {
                    let line = self.text[self.at..].iter().position(|byte| *byte == b'\n');
                    self.at += line.unwrap_or(self.text.len() - self.at);
                }
                b' ' | b'\t' | b'\r' | b'\n' | 0 => self.at += 1,
                other => return Some(*other),
            }
        }
        None
    }

    /// Keys and sections up to the brace that ends them, or to the end of the text.
    fn section(&mut self, depth: usize) -> Result<Section, Fault> {
        if depth > MAX_DEPTH {
            return Err(("sections lie too deep in each other", self.at));
        }
        let mut section = Section::default();
        while let Some(next) = self.peek() {
            if next == b'}' {
                break;
            }
            let name = self.word()?;
            match self.peek() {
                Some(b'{') => {
                    self.at += 1;
                    let inner = self.section(depth + 1)?;
                    if self.peek() != Some(b'}') {
                        return Err(("a section does not end", self.at));
                    }
                    self.at += 1;
                    section.sections.push((name, inner));
                }
                Some(b'=') => {
                    self.at += 1;
                    let value = self.value(0)?;
                    section.values.insert(name, value);
                }
                _ => return Err(("a name is followed by neither = nor {", self.at)),
            }
        }
        Ok(section)
    }

    fn word(&mut self) -> Result<String, Fault> {
        let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-.+/".contains(byte);
        let rest = &self.text[self.at..];
        let len = rest.iter().position(|byte| !is_word(byte)).unwrap_or(rest.len());
        if len == 0 {
            return Err(("a name was expected", self.at));
        }
        self.at += len;
        Ok(String::from_utf8_lossy(&rest[..len]).into_owned())
    }

    fn value(&mut self, depth: usize) -> Result<Value, Fault> {
        match self.peek() {
            Some(b'[') if depth == 0 => {
                self.at += 1;
                let mut list = Vec::new();
                loop {
                    match self.peek() {
                        Some(b']') => break,
                        Some(b',') => self.at += 1,
                        Some(_) => list.push(self.value(1)?),
                        None => return Err(("a list does not end", self.at)),
                    }
                }
                self.at += 1;
                Ok(Value::List(list))
            }
            Some(b'"') => self.quoted(),
            Some(byte) if byte.is_ascii_digit() => {
                let start = self.at;
                let word = self.word()?;
                word.parse().map(Value::Number).map_err(|_| ("this is no number", start))
            }
            // LVM writes negative numbers and fractions nowhere that matters here.
            Some(_) => self.word().map(Value::Text),
            None => Err(("a value is missing", self.at)),
        }
    }

    fn quoted(&mut self) -> Result<Value, Fault> {
        let start = self.at;
        self.at += 1;
        let mut text = Vec::new();
        loop {
            match self.text.get(self.at) {
                None => return Err(("a text does not end", start)),
                Some(b'"') => break,
                Some(b'\\') => {
                    self.at += 1;
                    text.extend(self.text.get(self.at));
                }
                Some(byte) => text.push(*byte),
            }
            self.at += 1;
        }
        self.at += 1;
        Ok(Value::Text(String::from_utf8_lossy(&text).into_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_keys_and_lists_are_read() {
        let text = "# comment\nvg {\n\tid = \"a\\\"b\" # more\n\tn = 42\n\tflags = []\n\ts {\n stripes = [\n\"pv0\", 7\n]\n}\n}\nversion = 1\n\0";
        let all = parse(text).unwrap();
        let vg = all.section("vg").unwrap();
        assert_eq!((vg.text("id"), vg.number("n"), all.number("version")), (Some("a\"b"), Some(42), Some(1)));
        let stripes = vg.section("s").unwrap().list("stripes");
        assert_eq!(stripes, [Value::Text("pv0".into()), Value::Number(7)]);
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "a",
            "a {",
            "a = ",
            "a = [",
            "a = \"",
            "}",
            "= 3",
            "a = 99999999999999999999999",
            &"a {".repeat(99),
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
