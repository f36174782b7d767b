//! Secrets have no place in a job file: it is copied, shown, and its values end up in command lines. They are named by their files.

use crate::fault::{Fault, Result};
use crate::node::{Node, Value};
use crate::text::Text;

const HINT: &str = "put it into a file that only you can read, and name that with key_file";

const SECRETS: [&str; 8] =
    ["password", "passwd", "passphrase", "secret", "token", "apikey", "privatekey", "credential"];

/// Whether something of this name holds a secret itself, and not the name of a file.
pub(crate) fn is_secret_name(name: &str) -> bool {
    let plain: String = name.to_lowercase().chars().filter(char::is_ascii_alphanumeric).collect();
    let is_reference = ["file", "path", "dir", "folder"].iter().any(|end| plain.ends_with(end));
    !is_reference && (plain == "key" || plain == "pass" || SECRETS.iter().any(|word| plain.contains(word)))
}

/// Refuses fields that are for secrets, and values that look like one, without showing them.
pub(crate) fn refuse(text: &Text, node: &Node) -> Result<()> {
    match &node.value {
        Value::List(items) => items.iter().try_for_each(|item| refuse(text, item)),
        Value::Map(entries) => entries.iter().try_for_each(|(key, value)| {
            // Names of networks may be anything.
            if key.name == "network_map" {
                return Ok(());
            }
            if is_secret_name(&key.name) || (key.name == "options" && is_secret_option(value)) {
                let message =
                    format!("the field {:?} would hold a secret, which a job file must not", key.name);
                return Err(Fault::at_secret(text, &key.span, message).hint(HINT));
            }
            refuse(text, value)
        }),
        Value::Text { text: value, .. } if looks_secret(value) => {
            let start = node.span.start..node.span.start;
            Err(Fault::at_secret(
                text,
                &start,
                "here stands what looks like a secret, which a job file must not hold",
            )
            .hint(HINT))
        }
        _ => Ok(()),
    }
}

/// `-o` pairs that were written as text.
fn is_secret_option(node: &Node) -> bool {
    match &node.value {
        Value::Text { text, .. } => text.split_once('=').is_some_and(|(key, _)| is_secret_name(key)),
        Value::List(items) => items.iter().any(is_secret_option),
        _ => false,
    }
}

/// A key in PEM, or a password in an address.
fn looks_secret(value: &str) -> bool {
    let login = |address: &str| {
        let authority = address.split(['/', '?', '#']).next().unwrap_or_default();
        authority
            .rsplit_once('@')
            .is_some_and(|(login, _)| login.split_once(':').is_some_and(|(_, word)| !word.is_empty()))
    };
    (value.contains("-----BEGIN ") && value.contains("PRIVATE KEY"))
        || value.split_once("://").is_some_and(|(_, address)| login(address))
}
