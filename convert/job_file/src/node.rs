//! What TOML and YAML have in common: values that know where they stand.

use std::ops::Range;

/// As deep as a job file goes is 4; this leaves room for a hint about where it went wrong.
pub(crate) const MOST_DEPTH: usize = 16;
/// Values in a file, aliases expanded. Ten thousand jobs with twenty fields each have 210,000.
pub(crate) const MOST_NODES: usize = 500_000;

/// A value and the bytes of the file that it was read from.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) span: Range<usize>,
    pub(crate) value: Value,
}

#[derive(Clone, Debug)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    /// A date, which no field takes.
    Date,
    /// `loose`: it may also be read as a number or a truth value, as the field wants it. So are YAML's plain scalars, where `no` stays a name
    /// for a field that takes names, and the values of variables.
    Text {
        text: String,
        loose: bool,
    },
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) span: Range<usize>,
    pub(crate) name: String,
}

impl Node {
    /// The value of `name`, where this is a table.
    pub(crate) fn get(&self, name: &str) -> Option<&Node> {
        let Value::Map(entries) = &self.value else { return None };
        entries.iter().find(|(key, _)| key.name == name).map(|(_, node)| node)
    }

    /// The entries, where this is a table.
    pub(crate) fn entries(&self) -> &[(Key, Node)] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// How many values it consists of, long texts counted as several.
    pub(crate) fn weight(&self) -> usize {
        1 + match &self.value {
            Value::List(items) => items.iter().map(Self::weight).sum(),
            Value::Map(entries) => {
                entries.iter().map(|(key, node)| key.name.len() / 64 + node.weight()).sum()
            }
            Value::Text { text, .. } => text.len() / 64,
            _ => 0,
        }
    }

    /// The values, where this is a list.
    pub(crate) fn items(&self) -> &[Node] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    /// What people call it.
    pub(crate) fn kind(&self) -> &'static str {
        match &self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "true or false",
            Value::Int(_) | Value::Float(_) => "a number",
            Value::Date => "a date",
            Value::Text { .. } => "text",
            Value::List(_) => "a list",
            Value::Map(_) => "a table",
        }
    }
}
