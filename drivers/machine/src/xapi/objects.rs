//! XML-RPC values of an export: objects with a class, an id and members.

use std::collections::BTreeMap;

use roxmltree::Node;

use super::DIALECT;
use crate::{MachineError, xml};

/// Real descriptions have some ten levels.
const MAX_DEPTH: usize = 48;

/// A value. Numbers and truth values are kept as texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Text(String),
    Struct(BTreeMap<String, Self>),
    Array(Vec<Self>),
}

/// One object of the pool that belongs to the export.
#[derive(Debug)]
pub(super) struct Object {
    pub class: String,
    pub id: String,
    pub members: Value,
}

/// The objects of an export.
#[derive(Debug)]
pub(super) struct Objects(Vec<Object>);

impl Value {
    pub(super) fn get(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Struct(members) => members.get(name),
            _ => None,
        }
    }

    /// A member's text without white space around it, where there is some.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        match self.get(name)? {
            Self::Text(text) => Some(text.trim()).filter(|text| !text.is_empty()),
            _ => None,
        }
    }

    /// The text at `path`.
    pub(super) fn at(&self, first: &str, second: &str) -> Option<&str> {
        self.get(first)?.text(second)
    }

    pub(super) fn is(&self, name: &str) -> bool {
        matches!(self.text(name), Some("1" | "true"))
    }

    /// How many items or members there are.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Text(_) => 0,
            Self::Struct(members) => members.len(),
            Self::Array(items) => items.len(),
        }
    }

    /// Texts of a struct by their names.
    pub(super) fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        let members = match self {
            Self::Struct(members) => Some(members),
            _ => None,
        };
        members.into_iter().flatten().filter_map(|(name, value)| match value {
            Self::Text(text) => Some((name.as_str(), text.trim())),
            _ => None,
        })
    }
}

impl Objects {
    /// # Errors
    /// [`MachineError::TooLarge`], [`MachineError::Dialect`] for what is no description of an export.
    pub(super) fn parse(text: &str) -> Result<Self, MachineError> {
        let document = xml::parse(DIALECT, text.trim_start_matches('\u{feff}'))?;
        let root = value(document.root_element(), 0)?;
        let Some(Value::Array(items)) = root.get("objects") else {
            return Err(super::read::invalid("there are no objects in it"));
        };
        let object = |item: &Value| {
            Some(Object {
                class: item.text("class")?.to_owned(),
                id: item.text("id")?.to_owned(),
                members: item.get("snapshot")?.clone(),
            })
        };
        Ok(Self(items.iter().filter_map(object).collect()))
    }

    /// The objects of a class.
    pub(super) fn of<'a>(&'a self, class: &'a str) -> impl Iterator<Item = &'a Object> {
        self.0.iter().filter(move |object| object.class == class)
    }

    /// The object of a class that another one names.
    pub(super) fn named<'a>(&'a self, class: &'a str, id: Option<&str>) -> Option<&'a Object> {
        let id = id?;
        self.of(class).find(|object| object.id == id)
    }
}

/// The value in an element `value`.
fn value(node: Node<'_, '_>, depth: usize) -> Result<Value, MachineError> {
    if depth > MAX_DEPTH {
        return Err(super::read::invalid("values lie too deep in each other"));
    }
    let Some(typed) = node.children().find(Node::is_element) else {
        return Ok(Value::Text(text_of(node)));
    };
    match typed.tag_name().name() {
        "struct" => {
            let mut members = BTreeMap::new();
            for member in xml::children(typed, "member") {
                let found = xml::child(member, "name").zip(xml::child(member, "value"));
                let Some((name, inside)) = found else {
                    return Err(super::read::invalid("a member has no name or no value"));
                };
                members.insert(text_of(name), value(inside, depth + 1)?);
            }
            Ok(Value::Struct(members))
        }
        "array" => {
            let items = xml::child(typed, "data").into_iter().flat_map(|data| xml::children(data, "value"));
            Ok(Value::Array(items.map(|item| value(item, depth + 1)).collect::<Result<_, _>>()?))
        }
        _ => Ok(Value::Text(text_of(typed))),
    }
}

/// All text in an element: comments divide it.
fn text_of(node: Node<'_, '_>) -> String {
    node.children().filter_map(|child| child.text().filter(|_| child.is_text())).collect()
}
