//! Edits as data: printable, serialisable, undoable.

use crate::registry_text::value_line;
use crate::{Change, GuestCommand, Ownership};
use driver_registry::Value;
use format_core::printable;
use serde::Serialize;
use serde::ser::SerializeStruct;

/// One change to one path of the guest. One to its registry has the path of the hive's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// The path in the guest's tree, without links in its folders.
    pub path: String,
    /// Why, in a few words for people.
    pub reason: String,
    /// What happens.
    pub action: Action,
}

/// What happens to a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// The content of an existing file is replaced.
    Replace {
        /// What was there when the plan was made; apply refuses when it differs.
        before: Vec<u8>,
        /// What will be there.
        after: Vec<u8>,
    },
    /// An existing file is extended.
    Append {
        /// Size before, in bytes; apply refuses when it differs.
        before_len: u64,
        /// What is added.
        bytes: Vec<u8>,
    },
    /// A new file.
    Create {
        /// Its content.
        content: Vec<u8>,
        /// Its owner and mode.
        ownership: Ownership,
    },
    /// A new folder.
    CreateFolder {
        /// Its owner and mode.
        ownership: Ownership,
    },
    /// A new symbolic link.
    CreateLink {
        /// Where it points.
        target: String,
    },
    /// An existing file is removed.
    RemoveFile {
        /// What was in it.
        before: Vec<u8>,
    },
    /// An existing symbolic link is removed.
    RemoveLink {
        /// Where it pointed.
        target: String,
    },
    /// A value of the registry is set; its key is there.
    SetValue {
        /// The key, the hive's name first.
        key: String,
        /// The value's name; empty for the default value.
        name: String,
        /// What it was when the plan was made; apply refuses when it differs.
        before: Option<Value>,
        /// What it will be.
        after: Value,
    },
    /// A value of the registry is removed.
    DeleteValue {
        /// The key, the hive's name first.
        key: String,
        /// The value's name.
        name: String,
        /// What it was when the plan was made; apply refuses when it differs.
        before: Value,
    },
    /// A new key of the registry, with those above it.
    CreateKey {
        /// The key, the hive's name first.
        key: String,
    },
    /// A key of the registry is removed, with what is below it.
    DeleteKey {
        /// The key, the hive's name first.
        key: String,
    },
    /// A program of the guest is run, which writes the edit's path.
    Run {
        /// The program. It failing makes applying fail.
        command: GuestCommand,
    },
}

impl Edit {
    /// A verb for tables.
    #[must_use]
    pub fn verb(&self) -> &'static str {
        match self.action {
            Action::Replace { .. } => "change",
            Action::Append { .. } => "append",
            Action::Create { .. } => "create",
            Action::CreateFolder { .. } => "create-folder",
            Action::CreateLink { .. } => "link",
            Action::RemoveFile { .. } => "remove",
            Action::RemoveLink { .. } => "unlink",
            Action::SetValue { .. } => "set-value",
            Action::DeleteValue { .. } => "delete-value",
            Action::CreateKey { .. } => "create-key",
            Action::DeleteKey { .. } => "delete-key",
            Action::Run { .. } => "run",
        }
    }

    /// The key of the registry that it is about, the hive's name first.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        match &self.action {
            Action::SetValue { key, .. }
            | Action::DeleteValue { key, .. }
            | Action::CreateKey { key }
            | Action::DeleteKey { key } => Some(key),
            _ => None,
        }
    }

    /// What a file system is asked to do for it.
    #[must_use]
    pub fn change(&self) -> Change {
        match &self.action {
            Action::Replace { after, .. } => Change::Content { size: after.len() as u64 },
            Action::Append { bytes, .. } => Change::Append { bytes: bytes.len() as u64 },
            Action::Create { .. } | Action::CreateFolder { .. } | Action::CreateLink { .. } => Change::Create,
            Action::RemoveFile { .. } | Action::RemoveLink { .. } => Change::Remove,
            Action::Run { .. } => Change::Create,
            // How large the hive will be is known when it is written.
            Action::SetValue { .. }
            | Action::DeleteValue { .. }
            | Action::CreateKey { .. }
            | Action::DeleteKey { .. } => Change::Content { size: 1 },
        }
    }

    /// The change for people: a unified diff for text, keys and values as `.reg` files have them for the registry, sizes for
    /// the rest. Safe to print on a terminal.
    #[must_use]
    pub fn describe(&self) -> String {
        match &self.action {
            Action::Replace { before, after } => diff(before, after),
            Action::Append { before_len, bytes } => format!("{} bytes added to {before_len}", bytes.len()),
            Action::Create { content, .. } => diff(b"", content),
            Action::CreateFolder { ownership } => format!("mode {:04o}", ownership.mode),
            Action::CreateLink { target } | Action::RemoveLink { target } => {
                format!("-> {}", printable(target))
            }
            Action::RemoveFile { before } => format!("{} bytes", before.len()),
            Action::SetValue { key, name, before: None, after } => {
                format!("[{}]\n+{}", printable(key), value_line(name, after))
            }
            Action::SetValue { key, name, before: Some(before), after } => {
                let (line, after) = (value_line(name, before), value_line(name, after));
                format!("[{}]\n-{line}\n+{after}", printable(key))
            }
            Action::DeleteValue { key, name, before } => {
                format!("[{}]\n-{}", printable(key), value_line(name, before))
            }
            Action::CreateKey { key } => format!("+[{}]", printable(key)),
            Action::DeleteKey { key } => format!("-[{}]", printable(key)),
            Action::Run { command } => printable(&command.line()),
        }
    }
}

fn diff(before: &[u8], after: &[u8]) -> String {
    match (std::str::from_utf8(before), std::str::from_utf8(after)) {
        (Ok(before), Ok(after)) => {
            let diff = similar::TextDiff::from_lines(before, after);
            let text = diff.unified_diff().context_radius(0).to_string();
            text.lines().filter(|line| !line.starts_with('\\')).map(|line| printable(line) + "\n").collect()
        }
        _ => format!("{} bytes instead of {}", after.len(), before.len()),
    }
}

impl Serialize for Edit {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut edit = serializer.serialize_struct("Edit", 4)?;
        edit.serialize_field("path", &self.path)?;
        edit.serialize_field("action", self.verb())?;
        edit.serialize_field("reason", &self.reason)?;
        edit.serialize_field("detail", &self.describe())?;
        edit.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_shown_as_a_diff_and_never_steers_the_terminal() {
        let action = Action::Replace { before: b"a\n\x1b[31mb\n".to_vec(), after: b"a\nc\n".to_vec() };
        let edit = Edit { path: "/etc/x".into(), reason: "test".into(), action };
        assert_eq!(edit.describe(), "@@ -2 +2 @@\n-\\u{1b}[31mb\n+c\n");
        let json = serde_json::to_value(&edit).unwrap();
        assert_eq!(json["action"], "change");
    }
}
