//! What a draft has planned for the registry.

use crate::GuestTree;
use driver_registry::Value;
use format_core::Result;
use std::collections::{BTreeMap, BTreeSet};

/// Planned changes by key. Names are compared without regard to case.
#[derive(Clone, Debug, Default)]
pub(crate) struct PlannedKeys {
    keys: BTreeMap<String, PlannedKey>,
    /// The files of hives that edits are planned in.
    hives: BTreeSet<String>,
}

#[derive(Clone, Debug, Default)]
struct PlannedKey {
    /// As it was written by who planned it.
    path: String,
    /// What the guest has there, and below, is gone.
    replaced: bool,
    /// There will be such a key.
    exists: bool,
    /// By folded name: the name, and what it will be; `None` is gone.
    values: BTreeMap<String, (String, Option<Value>)>,
}

/// A name as it is compared.
fn folded(name: &str) -> String {
    name.to_uppercase()
}

impl PlannedKeys {
    /// What is planned to have gone with `key` or a key above it.
    fn is_replaced(&self, key: &str) -> bool {
        let folded = folded(key);
        let ends = folded.match_indices('\\').map(|(at, _)| at).chain([folded.len()]);
        ends.filter_map(|end| self.keys.get(folded.get(..end)?)).any(|planned| planned.replaced)
    }

    pub(crate) fn exists(&self, tree: &GuestTree, key: &str) -> Result<bool> {
        match self.keys.get(&folded(key)) {
            Some(planned) if planned.exists => Ok(true),
            _ if self.is_replaced(key) => Ok(false),
            _ => Ok(tree.registry_key(key)?.is_some()),
        }
    }

    pub(crate) fn value(&self, tree: &GuestTree, key: &str, name: &str) -> Result<Option<Value>> {
        let planned = self.keys.get(&folded(key)).and_then(|planned| planned.values.get(&folded(name)));
        match planned {
            Some((_, value)) => Ok(value.clone()),
            None if self.is_replaced(key) => Ok(None),
            None => tree.registry_value(key, name),
        }
    }

    pub(crate) fn values(&self, tree: &GuestTree, key: &str) -> Result<Vec<(String, Value)>> {
        let mut values = if self.is_replaced(key) { Vec::new() } else { tree.registry_values(key)? };
        let Some(planned) = self.keys.get(&folded(key)) else { return Ok(values) };
        for (name, value) in planned.values.values() {
            let own = values.iter_mut().find(|(other, _)| folded(other) == folded(name));
            match (own, value) {
                (Some(own), Some(value)) => own.1 = value.clone(),
                (None, Some(value)) => values.push((name.clone(), value.clone())),
                (_, None) => values.retain(|(other, _)| folded(other) != folded(name)),
            }
        }
        Ok(values)
    }

    pub(crate) fn subkeys(&self, tree: &GuestTree, key: &str) -> Result<Vec<String>> {
        let mut names = if self.is_replaced(key) { Vec::new() } else { tree.registry_subkeys(key)? };
        let prefix = folded(key) + "\\";
        for (path, planned) in self.keys.range(prefix.clone()..) {
            let Some(below) = path.strip_prefix(&prefix) else { break };
            let name = planned.path.get(key.len() + 1..).unwrap_or_default();
            if below.contains('\\') {
                continue;
            }
            let had = names.iter().any(|other| folded(other) == below);
            match (planned.exists, planned.replaced) {
                (true, _) if !had => names.push(name.to_owned()),
                (false, true) => names.retain(|other| folded(other) != below),
                _ => {}
            }
        }
        Ok(names)
    }

    pub(crate) fn set(&mut self, key: &str, name: &str, value: Value) {
        let planned = self.key(key);
        planned.values.insert(folded(name), (name.to_owned(), Some(value)));
    }

    pub(crate) fn delete_value(&mut self, key: &str, name: &str) {
        self.key(key).values.insert(folded(name), (name.to_owned(), None));
    }

    /// The key, and those above it that are not there.
    pub(crate) fn create(&mut self, tree: &GuestTree, key: &str) -> Result<()> {
        let ends: Vec<usize> = key.match_indices('\\').map(|(at, _)| at).skip(1).chain([key.len()]).collect();
        for path in ends.into_iter().filter_map(|end| key.get(..end)) {
            if !self.exists(tree, path)? {
                self.key(path).exists = true;
            }
        }
        Ok(())
    }

    pub(crate) fn delete(&mut self, key: &str) {
        let below = folded(key) + "\\";
        self.keys.retain(|path, _| !path.starts_with(&below));
        *self.key(key) = PlannedKey { path: key.to_owned(), replaced: true, ..PlannedKey::default() };
    }

    /// Notes that the hive in this file is edited; whether it is the first edit.
    pub(crate) fn touch(&mut self, path: &str) -> bool {
        self.hives.insert(path.to_owned())
    }

    fn key(&mut self, key: &str) -> &mut PlannedKey {
        let new = || PlannedKey { path: key.to_owned(), ..PlannedKey::default() };
        self.keys.entry(folded(key)).or_insert_with(new)
    }
}
