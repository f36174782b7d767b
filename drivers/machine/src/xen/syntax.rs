//! The language of xl.cfg(5): `key = value`, values being strings, numbers and lists of them.
//!
//! It looks like Python and is none: no names, no operators but `=` and `+=`. What the language has not is refused with
//! its line, as xl does.

use std::collections::BTreeMap;

use super::DIALECT;
use crate::MachineError;
use crate::error::shown;

/// Larger than any configuration xl was ever given.
const MAX_BYTES: usize = 1 << 20;
const MAX_VALUES: usize = 4096;
/// `vnuma`, a list of lists, is the deepest there is.
const MAX_DEPTH: usize = 4;

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// A string or a number; numbers are kept as written.
    Atom(String),
    List(Vec<Self>),
}

/// The keys of a configuration; of a key that appears twice the last value counts.
#[derive(Debug, Default)]
pub(super) struct Config {
    pub values: BTreeMap<String, Value>,
}

impl Config {
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        match self.values.get(key)? {
            Value::Atom(text) => Some(text),
            Value::List(_) => None,
        }
    }

    /// A number: decimal, octal behind `0`, hexadecimal behind `0x`; also as a string.
    pub(super) fn number(&self, key: &str) -> Option<Result<u64, MachineError>> {
        let text = self.text(key)?.trim();
        let parsed = if let Some(digits) = text.strip_prefix("0x") {
            u64::from_str_radix(digits, 16)
        } else if text.len() > 1 && text.starts_with('0') {
            u64::from_str_radix(text, 8)
        } else {
            text.parse()
        };
        Some(parsed.map_err(|_| MachineError::Dialect {
            dialect: DIALECT,
            reason: format!("{key} is {}, expected a number", shown(text)),
        }))
    }

    /// The items of a list of strings; a single string is a list of one, as xl takes it.
    ///
    /// # Errors
    /// [`MachineError::Dialect`] when there is a list in the list.
    pub(super) fn list(&self, key: &str) -> Result<Vec<&str>, MachineError> {
        match self.values.get(key) {
            None => Ok(Vec::new()),
            Some(Value::List(items)) => items.iter().map(|item| item_text(key, item)).collect(),
            Some(atom) => Ok(vec![item_text(key, atom)?]),
        }
    }
}

fn item_text<'a>(key: &str, value: &'a Value) -> Result<&'a str, MachineError> {
    match value {
        Value::Atom(text) => Ok(text),
        Value::List(_) => {
            let reason = format!("{key} holds a list, expected strings");
            Err(MachineError::Dialect { dialect: DIALECT, reason })
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Token {
    Name(String),
    Atom(String),
    Sign(char),
    /// End of a line, or a semicolon.
    End(char),
}

/// Parses a configuration.
///
/// # Errors
/// [`MachineError::TooLarge`]; [`MachineError::Dialect`] with the line of what the language has not.
pub(super) fn parse(text: &str) -> Result<Config, MachineError> {
    if text.len() > MAX_BYTES {
        return Err(MachineError::TooLarge { actual: text.len(), limit: MAX_BYTES });
    }
    let mut lexer = Lexer { rest: text, line: 1, values: 0 };
    let mut config = Config::default();
    while let Some(token) = lexer.next()? {
        let key = match token {
            Token::End(_) => continue,
            Token::Name(name) => name,
            _ => return Err(lexer.bad("a line begins with a key")),
        };
        let adds = match lexer.next()? {
            Some(Token::Sign('=')) => false,
            Some(Token::Sign('+')) => {
                if lexer.next()? != Some(Token::Sign('=')) {
                    return Err(lexer.bad("expected `=` behind `+`"));
                }
                true
            }
            _ => return Err(lexer.bad("expected `=` behind a key")),
        };
        let token = lexer.next()?;
        let value = lexer.value(token, 0)?;
        if !matches!(lexer.next()?, None | Some(Token::End(_))) {
            return Err(lexer.bad("expected the end of the line behind a value"));
        }
        if !store(&mut config, key, value, adds) {
            return Err(lexer.bad("a list and a string cannot be added"));
        }
    }
    Ok(config)
}

/// Sets a key or adds to it; says no to adding values of two kinds.
fn store(config: &mut Config, key: String, value: Value, adds: bool) -> bool {
    match (config.values.get_mut(&key).filter(|_| adds), value) {
        (Some(Value::List(old)), Value::List(new)) => old.extend(new),
        (Some(Value::Atom(old)), Value::Atom(new)) => old.push_str(&new),
        (Some(_), _) => return false,
        (None, value) => {
            config.values.insert(key, value);
        }
    }
    true
}

struct Lexer<'a> {
    rest: &'a str,
    line: usize,
    /// Values so far, for the limit.
    values: usize,
}

impl Lexer<'_> {
    fn bad(&self, what: &str) -> MachineError {
        MachineError::Dialect { dialect: DIALECT, reason: format!("line {}: {what}", self.line) }
    }

    /// The value that begins with `token`, inside of `depth` lists.
    fn value(&mut self, token: Option<Token>, depth: usize) -> Result<Value, MachineError> {
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(self.bad("there are too many values"));
        }
        match token {
            Some(Token::Atom(text)) => Ok(Value::Atom(text)),
            Some(Token::Sign('[')) if depth < MAX_DEPTH => self.list(depth + 1),
            Some(Token::Sign('[')) => Err(self.bad("lists are too deep")),
            _ => Err(self.bad("expected a string, a number or a list")),
        }
    }

    fn list(&mut self, depth: usize) -> Result<Value, MachineError> {
        let mut items = Vec::new();
        loop {
            let token = self.next_in_list()?;
            if token == Some(Token::Sign(']')) {
                return Ok(Value::List(items));
            }
            items.push(self.value(token, depth)?);
            match self.next_in_list()? {
                Some(Token::Sign(',')) => {}
                Some(Token::Sign(']')) => return Ok(Value::List(items)),
                _ => return Err(self.bad("expected `,` or `]` in a list")),
            }
        }
    }

    /// Lines may end inside of a list.
    fn next_in_list(&mut self) -> Result<Option<Token>, MachineError> {
        loop {
            match self.next()? {
                Some(Token::End('\n')) => {}
                other => return Ok(other),
            }
        }
    }

    fn next(&mut self) -> Result<Option<Token>, MachineError> {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\r']);
        if self.rest.starts_with('#') {
            self.rest =
                self.rest.split_once('\n').map_or("", |_| self.rest.trim_start_matches(|c| c != '\n'));
        }
        let Some(first) = self.rest.chars().next() else { return Ok(None) };
        match first {
            '\n' | ';' => {
                self.line += usize::from(first == '\n');
                self.skip(1);
                Ok(Some(Token::End(first)))
            }
            '=' | '+' | '[' | ']' | ',' => {
                self.skip(1);
                Ok(Some(Token::Sign(first)))
            }
            '"' | '\'' => self.string(first).map(Some),
            'a'..='z' => {
                let name = self.word(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
                Ok(Some(Token::Name(name)))
            }
            '0'..='9' => {
                let number = self.word(|c| c.is_ascii_digit() || matches!(c, 'a'..='f' | 'x'));
                Ok(Some(Token::Atom(number)))
            }
            other => Err(self.bad(&format!("'{}' is not of the language", other.escape_debug()))),
        }
    }

    fn skip(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or_default();
    }

    fn word(&mut self, belongs: impl Fn(char) -> bool) -> String {
        let end = self.rest.find(|c| !belongs(c)).unwrap_or(self.rest.len());
        let word = self.rest.get(..end).unwrap_or_default().to_owned();
        self.skip(end);
        word
    }

    /// A string in either quotes; a backslash takes the next character's special meaning or gives it one.
    fn string(&mut self, quote: char) -> Result<Token, MachineError> {
        let mut out = String::new();
        let mut chars = self.rest.char_indices().skip(1);
        while let Some((at, c)) = chars.next() {
            match c {
                '\n' => break,
                '\\' => {
                    let escaped = chars.next().and_then(|(_, escape)| unescaped(escape));
                    out.push(escaped.ok_or_else(|| self.bad("an escape in a string is not understood"))?);
                }
                _ if c == quote => {
                    self.skip(at + 1);
                    return Ok(Token::Atom(out));
                }
                _ => out.push(c),
            }
        }
        Err(self.bad("a string does not end on its line"))
    }
}

/// The escapes of a single letter. Those by number make bytes that names do not have, and are refused.
fn unescaped(c: char) -> Option<char> {
    match c {
        '\\' | '\'' | '"' => Some(c),
        'n' => Some('\n'),
        'r' => Some('\r'),
        't' => Some('\t'),
        _ => None,
    }
}

/// `text` as a string of the language. It holds no control characters: the model refuses them.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    out
}

/// Whether a text is such a configuration: it parses and has keys that tell.
pub(crate) fn looks_like(text: &str) -> bool {
    parse(text).is_ok_and(|config| {
        let has = |key: &str| config.values.contains_key(key);
        has("name")
            && ["memory", "vcpus", "disk", "kernel", "builder", "type", "vif"].iter().any(|key| has(key))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_language_is_read() {
        let config = parse(
            "# c\nname = \"a\\\"b\"; vcpus=2\nmemory = 0x10 # tail\ndisk = [ 'x,y',\n  # in a list\n 'z', ]\nextra += 'q'\n\
             vif=['']\nvif += [ '1' ]\r\n",
        )
        .unwrap();
        assert_eq!(config.text("name"), Some("a\"b"));
        assert_eq!(config.number("memory").unwrap().unwrap(), 16);
        assert_eq!(config.list("disk").unwrap(), ["x,y", "z"]);
        assert_eq!(config.list("vif").unwrap(), ["", "1"]);
        assert_eq!(config.list("extra").unwrap(), ["q"]);
        assert!(parse("a = [[1, 2], [], 3]").unwrap().list("a").is_err());
        assert_eq!(config.number("vcpus").unwrap().unwrap(), 2);
    }

    #[test]
    fn what_is_python_is_refused_with_its_line() {
        for (text, line) in [
            ("\nimport os", 2),
            ("name = os", 1),
            ("name = 'a", 1),
            ("name = 'a\n'", 1),
            ("a = [[[[[1]]]]]", 1),
            ("a = (1)", 1),
            ("a = 1 2", 1),
            ("a\n=1", 2),
            ("a = [1\n\n,\n2", 4),
            ("A = 1", 1),
            ("a = \"\\x41\"", 1),
            ("= 1", 1),
            ("a = [1;2]", 1),
            ("a = 1\na += [2]", 2),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(&format!("line {line}")), "{text:?}: {error}");
        }
    }

    #[test]
    fn quoting_reads_back() {
        for text in ["", "a", "it's \"x\" \\n \\\\", "é$(x)#;[]"] {
            let config = parse(&format!("k = {}\n", quoted(text))).unwrap();
            assert_eq!(config.text("k"), Some(text));
        }
    }
}
