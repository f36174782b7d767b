//! The registry of a Windows guest, as part of its tree.

use crate::GuestTree;
use crate::hives::{GuestHive, split_key, values_of};
use driver_registry::{Editor, FileTime, Hive, Key, Replay, Value};
use format_core::{Error, Result};

impl GuestTree {
    /// Makes the hive in the file `path` part of the registry as `name` (`SYSTEM`), and says what was done with its logs.
    /// They are applied in memory; the files are written when something is edited.
    ///
    /// # Errors
    /// As [`driver_registry::recover`] and [`GuestTree::read_file`]; `Usage` when there is no such file.
    pub fn mount_hive(&mut self, name: &str, path: &str) -> Result<Replay> {
        let hive = GuestHive::new(name, path);
        let replay = hive.replay(&|path, limit| self.read_file(path, limit))?.clone();
        self.hives.retain(|other| !other.name.eq_ignore_ascii_case(name));
        self.hives.push(hive);
        Ok(replay)
    }

    /// Gives back the memory of the hives that were not changed; they are read again when they are asked for.
    pub fn release_hives(&mut self) {
        self.hives.iter_mut().for_each(GuestHive::release);
    }

    /// The file of the hive that holds `key`, `None` when that is not mounted.
    #[must_use]
    pub fn hive_path(&self, key: &str) -> Option<&str> {
        self.guest_hive(key).map(|hive| hive.path.as_str())
    }

    /// The logs of the hive that holds `key` that are emptied when it is edited.
    pub(crate) fn stale_logs(&self, key: &str) -> Result<Vec<String>> {
        match self.guest_hive(key) {
            Some(hive) => hive.stale_logs(&|path, limit| self.read_file(path, limit)),
            None => Ok(Vec::new()),
        }
    }

    /// Whether the hive that holds `key` is whole, and so can be edited.
    pub(crate) fn whole_hive(&self, key: &str) -> Result<()> {
        self.guest_hive(key).map_or(Ok(()), |hive| hive.whole(&|path, limit| self.read_file(path, limit)))
    }

    /// The key at `key`, `None` when it or its hive is not there.
    ///
    /// # Errors
    /// As [`Hive::key`].
    pub fn registry_key(&self, key: &str) -> Result<Option<Key<'_>>> {
        let Some(hive) = self.guest_hive(key) else { return Ok(None) };
        let hive: &Hive = hive.hive(&|path, limit| self.read_file(path, limit))?;
        hive.key(split_key(key).1)
    }

    /// A value, `None` when it or its key is not there.
    ///
    /// # Errors
    /// As [`Key::value`].
    pub fn registry_value(&self, key: &str, name: &str) -> Result<Option<Value>> {
        self.registry_key(key)?.map_or(Ok(None), |key| key.value(name))
    }

    /// Names of the subkeys; none when the key is not there.
    ///
    /// # Errors
    /// As [`Key::subkeys`].
    pub fn registry_subkeys(&self, key: &str) -> Result<Vec<String>> {
        let Some(key) = self.registry_key(key)? else { return Ok(Vec::new()) };
        Ok(key.subkeys()?.iter().map(|key| key.name().to_string()).collect())
    }

    /// Names and values of a key; none when it is not there.
    ///
    /// # Errors
    /// As [`Key::values`].
    pub fn registry_values(&self, key: &str) -> Result<Vec<(String, Value)>> {
        self.registry_key(key)?.map_or(Ok(Vec::new()), |key| values_of(&key))
    }

    /// Changes the hive that holds `key`, in memory; `edit` gets the path below the hive's root.
    pub(crate) fn edit_registry(
        &mut self,
        key: &str,
        now: FileTime,
        edit: impl FnOnce(&mut Editor<'_>, &str) -> Result<()>,
    ) -> Result<()> {
        let (name, below) = split_key(key);
        let mut hives = std::mem::take(&mut self.hives);
        let own = hives.iter_mut().find(|hive| hive.name.eq_ignore_ascii_case(name));
        let done = match own {
            Some(hive) => {
                hive.edit(&|path, limit| self.read_file(path, limit), now, |editor| edit(editor, below))
            }
            None => Err(Error::usage(format!("the registry hive of {key} is not there"))),
        };
        self.hives = hives;
        done
    }

    /// Writes the hives that were changed, and empties their logs.
    pub(crate) fn write_hives(&mut self) -> Result<()> {
        let mut hives = std::mem::take(&mut self.hives);
        let written = hives.iter_mut().map(GuestHive::take_changes).collect::<Result<Vec<_>>>();
        self.hives = hives;
        for (path, content) in written?.into_iter().flatten() {
            let is_empty = self.metadata(&path)?.is_some_and(|meta| meta.size == 0);
            if !(is_empty && content.is_empty()) {
                self.replace_file(&path, &content)?;
            }
        }
        Ok(())
    }

    fn guest_hive(&self, key: &str) -> Option<&GuestHive> {
        let (name, _) = split_key(key);
        self.hives.iter().find(|hive| hive.name.eq_ignore_ascii_case(name))
    }
}
