//! Values that may be written in more than one way.

use format_core::units::parse_size;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

/// One path, or several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Paths(pub Vec<PathBuf>);

/// One word, or several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words(pub Vec<String>);

/// `KEY = VALUE` as a table, or `KEY=VALUE` as text, or a list of those. In a table, true and false are `on` and `off`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pairs(pub Vec<(String, String)>);

/// Bytes: a number, or text such as `64M`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub u64);

/// A value that is handed on as text.
struct Scalar(String);

/// By this name the values of a file know that `true` is meant as such also where it is a plain scalar of YAML.
pub(crate) const SCALAR: &str = "scalar";

macro_rules! from_visitor {
    ($name:ident) => {
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(As::<$name>(std::marker::PhantomData))
            }
        }
    };
}

struct As<T>(std::marker::PhantomData<T>);

from_visitor!(Words);
from_visitor!(Pairs);
from_visitor!(Size);

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(SCALAR, As::<Self>(std::marker::PhantomData))
    }
}

impl<'de> Deserialize<'de> for Paths {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let words = Words::deserialize(deserializer)?;
        if words.0.iter().any(String::is_empty) {
            return Err(D::Error::custom("a path is empty"));
        }
        Ok(Self(words.0.into_iter().map(PathBuf::from).collect()))
    }
}

impl<'de> Visitor<'de> for As<Words> {
    type Value = Words;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text, or a list of texts")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Words, E> {
        Ok(Words(vec![text.to_owned()]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Words, A::Error> {
        let mut words = Vec::new();
        while let Some(word) = items.next_element()? {
            words.push(word);
        }
        Ok(Words(words))
    }
}

impl<'de> Visitor<'de> for As<Pairs> {
    type Value = Pairs;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table, or a list of KEY=VALUE")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Pairs, E> {
        let pair = text.rsplit_once('=').filter(|(key, value)| !key.is_empty() && !value.is_empty());
        let (key, value) = pair.ok_or_else(|| E::custom("wanted is KEY=VALUE"))?;
        Ok(Pairs(vec![(key.to_owned(), value.to_owned())]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Pairs, A::Error> {
        let mut pairs = Vec::new();
        while let Some(Pairs(more)) = items.next_element()? {
            pairs.extend(more);
        }
        Ok(Pairs(pairs))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Pairs, A::Error> {
        let mut pairs = Vec::new();
        while let Some((key, Scalar(value))) = entries.next_entry::<String, Scalar>()? {
            pairs.push((key, value));
        }
        Ok(Pairs(pairs))
    }
}

impl Visitor<'_> for As<Scalar> {
    type Value = Scalar;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text, a number, true or false")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Scalar, E> {
        Ok(Scalar(text.to_owned()))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Scalar, E> {
        Ok(Scalar(number.to_string()))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Scalar, E> {
        Ok(Scalar(if value { "on" } else { "off" }.to_owned()))
    }
}

impl Visitor<'_> for As<Size> {
    type Value = Size;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a size: bytes, or 64K, 50M, 1.5G, 2T")
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Size, E> {
        u64::try_from(number)
            .ok()
            .filter(|size| *size > 0)
            .map(Size)
            .ok_or_else(|| E::invalid_value(serde::de::Unexpected::Signed(number), &self))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Size, E> {
        let lacks_unit = text.contains('.') && !text.ends_with(|c: char| c.is_ascii_alphabetic());
        let size = parse_size(text).ok().filter(|size| *size > 0 && !lacks_unit);
        size.map(Size).ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(text), &self))
    }
}

fn text_or_list() -> Schema {
    json_schema!({ "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }] })
}

macro_rules! schema {
    ($name:ident, $schema:expr) => {
        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                $schema
            }
        }
    };
}

schema!(Words, text_or_list());
schema!(Paths, text_or_list());
schema!(
    Pairs,
    json_schema!({ "anyOf": [
        { "type": "string" },
        { "type": "array", "items": { "type": "string" } },
        { "type": "object", "additionalProperties": { "type": ["string", "integer", "boolean"] } },
    ] })
);
schema!(Size, json_schema!({ "anyOf": [{ "type": "integer", "minimum": 1 }, { "type": "string" }] }));
