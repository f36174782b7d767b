//! Values as XML-RPC writes them: texts, structs and arrays. Numbers and truth values are kept as texts.

use crate::error::XvaError;
use quick_xml::Reader;
use quick_xml::events::Event;

/// The deepest that values lie in each other; real ones have some ten levels.
const MAX_DEPTH: usize = 48;
/// Values that are read.
const MAX_VALUES: usize = 300_000;

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Text(String),
    Struct(Vec<(String, Self)>),
    Array(Vec<Self>),
}

impl Value {
    /// The member of a struct.
    pub(crate) fn get(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Struct(members) => members.iter().find(|(key, _)| key == name).map(|(_, value)| value),
            _ => None,
        }
    }

    /// The text of a member, where it is not empty.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        match self.get(name)? {
            Self::Text(text) if !text.is_empty() => Some(text),
            _ => None,
        }
    }

    /// Whether a member is true.
    pub(crate) fn is(&self, name: &str) -> bool {
        matches!(self.text(name), Some("1" | "true"))
    }

    /// The values of an array; none of anything else.
    pub(crate) fn items(&self) -> &[Self] {
        match self {
            Self::Array(items) => items,
            _ => &[],
        }
    }
}

/// Parses a document with one value; `what` it is, for errors.
pub(crate) fn parse(text: &str, what: &'static str) -> Result<Value, XvaError> {
    let mut parser = Parser { reader: Reader::from_str(text), what, values: 0 };
    loop {
        match parser.next()? {
            Token::Open(Tag::Value) => return parser.value(0),
            Token::Open(Tag::Appliance) => return Err(XvaError::Appliance),
            Token::Empty(Tag::Value) => return Ok(Value::Text(String::new())),
            Token::Text(text) if text.trim().is_empty() => {}
            _ => {
                return Err(parser.bad("it begins with no value".to_owned()));
            }
        }
    }
}

struct Parser<'a> {
    reader: Reader<&'a [u8]>,
    what: &'static str,
    values: usize,
}

enum Token {
    Open(Tag),
    Close,
    Empty(Tag),
    Text(String),
}

/// The elements that are told apart; all others hold a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tag {
    Value,
    Struct,
    Member,
    Name,
    Array,
    Data,
    Appliance,
    Other,
}

impl Tag {
    fn of(name: &str) -> Self {
        match name {
            "value" => Self::Value,
            "struct" => Self::Struct,
            "member" => Self::Member,
            "name" => Self::Name,
            "array" => Self::Array,
            "data" => Self::Data,
            "appliance" => Self::Appliance,
            _ => Self::Other,
        }
    }
}

impl Parser<'_> {
    fn bad(&self, reason: String) -> XvaError {
        let shown: String = reason.chars().flat_map(char::escape_debug).take(200).collect();
        XvaError::Xml {
            what: self.what,
            reason: format!("{shown} (at byte {})", self.reader.buffer_position()),
        }
    }

    /// The next part that means something.
    fn next(&mut self) -> Result<Token, XvaError> {
        loop {
            let event = self.reader.read_event();
            return Ok(match event {
                Err(error) => return Err(self.bad(error.to_string())),
                Ok(Event::Start(tag)) => Token::Open(Tag::of(tag.name().as_ref())),
                Ok(Event::End(_)) => Token::Close,
                Ok(Event::Empty(tag)) => Token::Empty(Tag::of(tag.name().as_ref())),
                Ok(Event::Text(text)) => Token::Text(text.xml10_content().into_owned()),
                Ok(Event::CData(text)) => Token::Text(text.xml10_content().into_owned()),
                Ok(Event::GeneralRef(name)) => {
                    let found = match name.resolve_char_ref() {
                        Ok(Some(found)) => Some(found.to_string()),
                        _ => quick_xml::escape::resolve_predefined_entity(&name.xml10_content())
                            .map(str::to_owned),
                    };
                    Token::Text(found.ok_or_else(|| self.bad("an unknown entity".to_owned()))?)
                }
                Ok(Event::DocType(_)) => return Err(self.bad("a document type".to_owned())),
                Ok(Event::Eof) => return Err(self.bad("it ends too early".to_owned())),
                Ok(Event::Decl(_) | Event::PI(_) | Event::Comment(_)) => continue,
            });
        }
    }

    /// What stands between `<value>`, which was read, and `</value>`.
    fn value(&mut self, depth: usize) -> Result<Value, XvaError> {
        self.values += 1;
        if depth > MAX_DEPTH || self.values > MAX_VALUES {
            return Err(self.bad("too many values, or too deep".to_owned()));
        }
        let mut plain = String::new();
        let mut typed = None;
        loop {
            match self.next()? {
                Token::Close => return Ok(typed.unwrap_or(Value::Text(plain))),
                Token::Text(text) => plain.push_str(&text),
                Token::Open(tag) => {
                    typed = Some(match tag {
                        Tag::Struct => self.members(depth)?,
                        Tag::Array => self.array(depth)?,
                        _ => Value::Text(self.plain()?),
                    });
                }
                Token::Empty(tag) => {
                    typed = Some(match tag {
                        Tag::Struct => Value::Struct(Vec::new()),
                        Tag::Array => Value::Array(Vec::new()),
                        _ => Value::Text(String::new()),
                    });
                }
            }
        }
    }

    /// The text up to the end of an element that holds nothing else.
    fn plain(&mut self) -> Result<String, XvaError> {
        let mut plain = String::new();
        loop {
            match self.next()? {
                Token::Close => return Ok(plain),
                Token::Text(text) => plain.push_str(&text),
                Token::Open(_) | Token::Empty(_) => return Err(self.bad("an element in a text".to_owned())),
            }
        }
    }

    fn members(&mut self, depth: usize) -> Result<Value, XvaError> {
        let mut members = Vec::new();
        loop {
            match self.next()? {
                Token::Close => return Ok(Value::Struct(members)),
                Token::Open(Tag::Member) => members.push(self.member(depth)?),
                Token::Text(text) if text.trim().is_empty() => {}
                _ => return Err(self.bad("something else than a member in a struct".to_owned())),
            }
        }
    }

    fn member(&mut self, depth: usize) -> Result<(String, Value), XvaError> {
        let (mut name, mut value) = (None, None);
        loop {
            match self.next()? {
                Token::Close => {
                    let name = name.ok_or_else(|| self.bad("a member without a name".to_owned()))?;
                    return Ok((name, value.unwrap_or(Value::Text(String::new()))));
                }
                Token::Open(Tag::Name) => name = Some(self.plain()?),
                Token::Open(Tag::Value) => value = Some(self.value(depth + 1)?),
                Token::Empty(Tag::Value) => value = Some(Value::Text(String::new())),
                Token::Text(text) if text.trim().is_empty() => {}
                _ => return Err(self.bad("something else than a name and a value in a member".to_owned())),
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<Value, XvaError> {
        let (mut items, mut is_inside) = (Vec::new(), false);
        loop {
            match self.next()? {
                Token::Close if is_inside => is_inside = false,
                Token::Close => return Ok(Value::Array(items)),
                Token::Open(Tag::Data) if !is_inside => is_inside = true,
                Token::Empty(Tag::Data) if !is_inside => {}
                Token::Open(Tag::Value) if is_inside => items.push(self.value(depth + 1)?),
                Token::Empty(Tag::Value) if is_inside => items.push(Value::Text(String::new())),
                Token::Text(text) if text.trim().is_empty() => {}
                _ => return Err(self.bad("something else than values in an array".to_owned())),
            }
        }
    }
}
