//! From values to the model. Every error knows the innermost value or key that it is about.

use crate::model::SCALAR;
use crate::node::{Key, Node, Value};
use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeSeed, Deserializer, Error as _, Expected, MapAccess, SeqAccess, Unexpected, Visitor,
};
use std::fmt;
use std::ops::Range;

/// What did not fit, where, and what to do about it.
#[derive(Debug)]
pub(crate) struct DecodeError {
    pub(crate) span: Option<Range<usize>>,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

impl DecodeError {
    fn placed(mut self, span: &Range<usize>) -> Self {
        self.span.get_or_insert_with(|| span.clone());
        self
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for DecodeError {}

impl serde::de::Error for DecodeError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { span: None, message: message.to_string(), hint: None }
    }

    fn invalid_type(found: Unexpected<'_>, wanted: &dyn Expected) -> Self {
        let found = match found {
            Unexpected::Bool(_) => "true or false",
            Unexpected::Unsigned(_) | Unexpected::Signed(_) | Unexpected::Float(_) => "a number",
            Unexpected::Str(_) | Unexpected::Char(_) => "text",
            Unexpected::Unit | Unexpected::Option => "nothing",
            Unexpected::Seq => "a list",
            Unexpected::Map => "a table",
            _ => "something else",
        };
        Self::custom(format!("here stands {found}, but wanted is {wanted}"))
    }

    fn invalid_value(_: Unexpected<'_>, wanted: &dyn Expected) -> Self {
        Self::custom(format!("wanted is {wanted}"))
    }

    fn unknown_field(field: &str, known: &'static [&'static str]) -> Self {
        Self { hint: Some(meant(field, known)), ..Self::custom(format!("unknown field {field:?}")) }
    }

    fn unknown_variant(variant: &str, known: &'static [&'static str]) -> Self {
        Self { hint: Some(meant(variant, known)), ..Self::custom(format!("unknown word {variant:?}")) }
    }

    fn missing_field(field: &'static str) -> Self {
        Self::custom(format!("the field {field:?} is missing"))
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::custom(format!("the field {field:?} is there twice"))
    }
}

/// The nearest of the known words, else all of them.
fn meant(word: &str, known: &[&str]) -> String {
    let lower = word.to_lowercase().replace('-', "_");
    let near = known
        .iter()
        .map(|name| (strsim::damerau_levenshtein(&lower, &name.to_lowercase().replace('-', "_")), name))
        .min_by_key(|(distance, _)| *distance);
    match near {
        Some((distance, name)) if distance <= 2 && distance < name.len() => format!("did you mean {name:?}"),
        _ => format!("possible are {}", known.join(", ")),
    }
}

impl Node {
    fn found(&self) -> Unexpected<'_> {
        match &self.value {
            Value::Null => Unexpected::Unit,
            Value::Bool(value) => Unexpected::Bool(*value),
            Value::Int(value) => Unexpected::Signed(*value),
            Value::Float(value) => Unexpected::Float(*value),
            Value::Date => Unexpected::Other("a date"),
            Value::Text { text, .. } => Unexpected::Str(text),
            Value::List(_) => Unexpected::Seq,
            Value::Map(_) => Unexpected::Map,
        }
    }

    fn wrong(&self, wanted: &dyn Expected) -> DecodeError {
        DecodeError::invalid_type(self.found(), wanted).placed(&self.span)
    }

    fn whole_number<'de, V: Visitor<'de>>(&self, visitor: V) -> Result<V::Value, DecodeError> {
        match &self.value {
            Value::Int(number) => visitor.visit_i64(*number),
            Value::Text { text, loose: true } => match text.parse::<i64>() {
                Ok(number) => visitor.visit_i64(number),
                Err(_) => return Err(self.wrong(&visitor)),
            },
            _ => return Err(self.wrong(&visitor)),
        }
        .map_err(|e: DecodeError| e.placed(&self.span))
    }
}

impl<'de> Deserializer<'de> for &'de Node {
    type Error = DecodeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match &self.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Int(value) => visitor.visit_i64(*value),
            Value::Float(value) => visitor.visit_f64(*value),
            Value::Date => Err(DecodeError::custom("no field takes a date")),
            Value::Text { text, .. } => visitor.visit_borrowed_str(text),
            Value::List(items) => visitor.visit_seq(Items(items.iter())),
            Value::Map(entries) => visitor.visit_map(Entries { rest: entries.iter(), value: None }),
        }
        .map_err(|e: DecodeError| e.placed(&self.span))
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match &self.value {
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Text { text, loose: true } => match text.as_str() {
                "true" | "True" | "TRUE" => visitor.visit_bool(true),
                "false" | "False" | "FALSE" => visitor.visit_bool(false),
                _ => Err(self.wrong(&visitor)),
            },
            _ => Err(self.wrong(&visitor)),
        }
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.whole_number(visitor)
    }

    fn deserialize_u16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.whole_number(visitor)
    }

    fn deserialize_u8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.whole_number(visitor)
    }

    fn deserialize_i32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.whole_number(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        let Value::Text { text, .. } = &self.value else { return Err(self.wrong(&"a word")) };
        visitor.visit_enum(StrDeserializer::new(text)).map_err(|e: DecodeError| e.placed(&self.span))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        match &self.value {
            _ if name != SCALAR => visitor.visit_newtype_struct(self),
            Value::Text { text, loose: true } if text == "true" => visitor.visit_bool(true),
            Value::Text { text, loose: true } if text == "false" => visitor.visit_bool(false),
            _ => self.deserialize_any(visitor),
        }
        .map_err(|e: DecodeError| e.placed(&self.span))
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i64 i128 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct identifier
        ignored_any
    }
}

struct Items<'de>(std::slice::Iter<'de, Node>);

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = DecodeError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, DecodeError> {
        let Some(node) = self.0.next() else { return Ok(None) };
        seed.deserialize(node).map(Some).map_err(|e| e.placed(&node.span))
    }
}

struct Entries<'de> {
    rest: std::slice::Iter<'de, (Key, Node)>,
    value: Option<&'de Node>,
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = DecodeError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, DecodeError> {
        let Some((key, value)) = self.rest.next() else { return Ok(None) };
        self.value = Some(value);
        let name = StrDeserializer::new(&key.name);
        seed.deserialize(name).map(Some).map_err(|e: DecodeError| e.placed(&key.span))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, DecodeError> {
        let node =
            self.value.take().ok_or_else(|| DecodeError::custom("a value is asked for before its key"))?;
        seed.deserialize(node).map_err(|e| e.placed(&node.span))
    }
}
