//! TOML. The parser bounds nesting itself.

use crate::fault::{Fault, Result};
use crate::node::{Key, MOST_DEPTH, Node, Value};
use crate::text::Text;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

pub(super) fn parse(text: &Text) -> Result<Node> {
    let table = DeTable::parse(&text.content).map_err(|error| {
        let end = text.content.len();
        Fault::at(text, &error.span().unwrap_or(end..end), error.message().replace('\n', ", "))
    })?;
    let span = table.span();
    table_node(text, table.into_inner(), span, 0)
}

fn table_node(text: &Text, table: DeTable<'_>, span: Range<usize>, depth: usize) -> Result<Node> {
    let mut entries = Vec::with_capacity(table.len());
    for (key, value) in table {
        let key = Key { span: key.span(), name: key.into_inner().into_owned() };
        entries.push((key, node(text, value, depth + 1)?));
    }
    // The parser sorts keys by name; messages go by their place in the file.
    entries.sort_by_key(|(key, _)| key.span.start);
    Ok(Node { span, value: Value::Map(entries) })
}

fn node(text: &Text, value: Spanned<DeValue<'_>>, depth: usize) -> Result<Node> {
    let span = value.span();
    if depth > MOST_DEPTH {
        return Err(Fault::at(text, &span, "tables and lists are nested too deep for a job file"));
    }
    let value = match value.into_inner() {
        DeValue::String(text) => Value::Text { text: text.into_owned(), loose: false },
        DeValue::Integer(number) => Value::Int(integer(text, &number, &span)?),
        DeValue::Float(number) => match number.as_str().parse() {
            Ok(number) => Value::Float(number),
            Err(_) => return Err(Fault::at(text, &span, "this number cannot be read")),
        },
        DeValue::Boolean(value) => Value::Bool(value),
        DeValue::Datetime(_) => Value::Date,
        DeValue::Array(items) => Value::List(
            items.into_iter().map(|item| node(text, item, depth + 1)).collect::<Result<Vec<_>>>()?,
        ),
        DeValue::Table(table) => return table_node(text, table, span, depth),
    };
    Ok(Node { span, value })
}

fn integer(text: &Text, number: &DeInteger<'_>, span: &Range<usize>) -> Result<i64> {
    i64::from_str_radix(number.as_str(), number.radix())
        .map_err(|_| Fault::at(text, span, "this number does not fit 64 bits"))
}
