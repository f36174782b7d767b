//! `${NAME}` and `${NAME:-default}` from the environment; `$$` is a dollar.

use crate::fault::{Fault, Result};
use crate::node::{Node, Value};
use crate::secrets::is_secret_name;
use crate::text::Text;
use std::collections::BTreeMap;

/// No path and no list of addresses is longer.
const MOST_BYTES: usize = 64 << 10;

/// Where variables come from.
pub type Environment<'e> = &'e dyn Fn(&str) -> Option<String>;

/// Puts values in the place of variables, and gives those that were used. Keys have no variables.
pub(crate) fn expand(
    text: &Text,
    node: &mut Node,
    environment: Environment<'_>,
) -> Result<BTreeMap<String, String>> {
    let mut expansion = Expansion { text, environment, used: BTreeMap::new() };
    expansion.walk(node)?;
    Ok(expansion.used)
}

struct Expansion<'e> {
    text: &'e Text,
    environment: Environment<'e>,
    used: BTreeMap<String, String>,
}

impl Expansion<'_> {
    fn walk(&mut self, node: &mut Node) -> Result<()> {
        match &mut node.value {
            Value::List(items) => items.iter_mut().try_for_each(|item| self.walk(item)),
            Value::Map(entries) => entries.iter_mut().try_for_each(|(_, value)| self.walk(value)),
            Value::Text { text, loose } if text.contains('$') => {
                let expanded = self
                    .text_of(text)
                    .map_err(|(message, hint)| Fault::at(self.text, &node.span, message).hint(hint))?;
                // `jobs = "${JOBS}"` is a number in the end.
                *loose = *loose || (text.starts_with("${") && text.find('}') == Some(text.len() - 1));
                *text = expanded;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn text_of(&mut self, text: &str) -> Result<String, (String, &'static str)> {
        let mut done = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            done.push_str(before);
            rest = if let Some(after) = after.strip_prefix('$') {
                done.push('$');
                after
            } else if let Some((inside, after)) =
                after.strip_prefix('{').and_then(|after| after.split_once('}'))
            {
                done.push_str(&self.value(inside)?);
                after
            } else {
                return Err((
                    "a dollar stands alone".into(),
                    "write ${NAME} for a variable, and $$ for a dollar",
                ));
            };
            if done.len() > MOST_BYTES {
                return Err((
                    "this becomes longer than 64 KiB".into(),
                    "set the variables to something shorter",
                ));
            }
        }
        done.push_str(rest);
        Ok(done)
    }

    fn value(&mut self, inside: &str) -> Result<String, (String, &'static str)> {
        let (name, default) = match inside.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inside, None),
        };
        let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !is_name {
            return Err((format!("{name:?} is no name of a variable"), "write ${NAME} or ${NAME:-default}"));
        }
        if is_secret_name(name) {
            let text =
                format!("the variable {name} looks like a secret, which would be seen in commands and logs");
            return Err((text, "put it into a file that only you can read, and name that with key_file"));
        }
        // As in a shell: empty is as good as unset where there is a default.
        let value = match ((self.environment)(name), default) {
            (Some(value), None) => value,
            (Some(value), Some(_)) if !value.is_empty() => value,
            (_, Some(default)) => default.to_owned(),
            (None, None) => {
                return Err((
                    format!("the variable {name} is not set"),
                    "set it in the environment, or write ${NAME:-default}",
                ));
            }
        };
        self.used.insert(name.to_owned(), value.clone());
        Ok(value)
    }
}
