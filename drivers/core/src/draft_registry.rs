//! Planned edits of the guest's registry.
//!
//! Keys have the name of their hive first: `SYSTEM\ControlSet001\Services\vmbus`.

use crate::{Action, Draft};
use driver_registry::Value;
use format_core::{Error, Result};

/// A log of a hive is far smaller.
const LOG_LIMIT: u64 = 64 << 20;

impl Draft<'_> {
    /// Whether there is such a key.
    ///
    /// # Errors
    /// As [`crate::GuestTree::registry_key`].
    pub fn has_key(&self, key: &str) -> Result<bool> {
        self.keys.exists(self.tree(), key)
    }

    /// A value, `None` when it or its key is not there.
    ///
    /// # Errors
    /// As [`crate::GuestTree::registry_value`].
    pub fn value(&self, key: &str, name: &str) -> Result<Option<Value>> {
        self.keys.value(self.tree(), key, name)
    }

    /// Names and values of a key; none when it is not there.
    ///
    /// # Errors
    /// As [`crate::GuestTree::registry_values`].
    pub fn values(&self, key: &str) -> Result<Vec<(String, Value)>> {
        self.keys.values(self.tree(), key)
    }

    /// Names of the subkeys; none when the key is not there.
    ///
    /// # Errors
    /// As [`crate::GuestTree::registry_subkeys`].
    pub fn subkeys(&self, key: &str) -> Result<Vec<String>> {
        self.keys.subkeys(self.tree(), key)
    }

    /// Plans a value, and its key where that is missing. Plans nothing when it is there already.
    ///
    /// # Errors
    /// `Usage` when the hive is not there; `NeedsPerson` when it is damaged; what the guest's registry reports.
    pub fn set_value(&mut self, key: &str, name: &str, value: Value, reason: &str) -> Result<()> {
        let before = self.value(key, name)?;
        if before.as_ref() == Some(&value) {
            return Ok(());
        }
        self.create_key(key, reason)?;
        self.keys.set(key, name, value.clone());
        let action = Action::SetValue { key: key.to_owned(), name: name.to_owned(), before, after: value };
        self.record_key(key, action, reason)
    }

    /// Plans that a value goes. Plans nothing when there is none.
    ///
    /// # Errors
    /// As [`Draft::set_value`].
    pub fn delete_value(&mut self, key: &str, name: &str, reason: &str) -> Result<()> {
        let Some(before) = self.value(key, name)? else { return Ok(()) };
        self.keys.delete_value(key, name);
        let action = Action::DeleteValue { key: key.to_owned(), name: name.to_owned(), before };
        self.record_key(key, action, reason)
    }

    /// Plans a key, and those above it where they are missing. Plans nothing when it is there.
    ///
    /// # Errors
    /// As [`Draft::set_value`].
    pub fn create_key(&mut self, key: &str, reason: &str) -> Result<()> {
        if self.has_key(key)? {
            return Ok(());
        }
        let tree = self.tree();
        self.keys.create(tree, key)?;
        self.record_key(key, Action::CreateKey { key: key.to_owned() }, reason)
    }

    /// Plans that a key goes with all that is below it. Plans nothing when there is none.
    ///
    /// # Errors
    /// As [`Draft::set_value`].
    pub fn delete_key(&mut self, key: &str, reason: &str) -> Result<()> {
        if !self.has_key(key)? {
            return Ok(());
        }
        self.keys.delete(key);
        self.record_key(key, Action::DeleteKey { key: key.to_owned() }, reason)
    }

    /// The edit is one of the hive's file; with the first of a hive go the logs, whose content is in it.
    fn record_key(&mut self, key: &str, action: Action, reason: &str) -> Result<()> {
        let missing = || Error::usage(format!("the registry hive of {key} is not there"));
        let path = self.tree().hive_path(key).ok_or_else(missing)?.to_owned();
        self.tree().whole_hive(key)?;
        let logs = if self.keys.touch(&path) { self.tree().stale_logs(key)? } else { Vec::new() };
        for log in logs {
            let before = self.tree().read_file(&log, LOG_LIMIT)?.unwrap_or_default();
            self.replace(&log, before, Vec::new(), "its content is part of the registry hive beside it")?;
        }
        self.record_edit(path, action, reason);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{GuestTree, MemFs, maker};

    #[test]
    fn a_damaged_hive_is_read_and_no_edit_of_it_is_planned() {
        let mut bytes = maker::empty(5);
        // The root has its own cell as the name of its class, which only a walk of the whole hive finds.
        let root = maker::get32(&bytes, 0x24);
        let at = 0x1000 + root as usize + 4;
        maker::put32(&mut bytes, at + 0x30, root);
        bytes[at + 0x4a] = 4;
        let mut tree = GuestTree::new();
        tree.mount("/", Box::new(MemFs::new().with_file("/SYSTEM", bytes)));
        tree.mount_hive("SYSTEM", "/SYSTEM").unwrap();
        let mut draft = Draft::new(&tree);
        assert!(!draft.has_key(r"SYSTEM\a").unwrap());
        for _ in 0..2 {
            let error = draft.create_key(r"SYSTEM\a", "test").unwrap_err();
            assert_eq!(error.kind(), format_core::ErrorKind::NeedsPerson, "{error}");
            draft.withdraw();
        }
    }

    #[test]
    fn what_is_withdrawn_is_not_planned_any_more() {
        let mut tree = GuestTree::new();
        tree.mount("/", Box::new(MemFs::new().with_file("/SYSTEM", maker::empty(5))));
        tree.mount_hive("SYSTEM", "/SYSTEM").unwrap();
        let mut draft = Draft::new(&tree);
        draft.set_value(r"SYSTEM\a", "x", Value::dword(1), "kept").unwrap();
        assert_eq!(draft.take_edits().len(), 2);
        draft.set_value(r"SYSTEM\a", "x", Value::dword(2), "not kept").unwrap();
        draft.delete_key(r"SYSTEM\a", "not kept").unwrap();
        draft.withdraw();
        assert_eq!(draft.value(r"SYSTEM\A", "X").unwrap(), Some(Value::dword(1)));
        assert_eq!(draft.take_edits().len(), 0);
    }
}
