//! The guest's registry: hives in files of its tree, with their transaction logs.
//!
//! Keys are named as below HKEY_LOCAL_MACHINE, with the hive's name first: `SYSTEM\ControlSet001\Services\vmbus`.

use driver_registry::{FileTime, Hive, Key, Log, LogFile, Recovered, Replay, Value, recover};
use format_core::{Error, Result};
use std::cell::OnceCell;

/// As large as a hive may be for all of it to be in memory beside what else a migration holds.
const HIVE_LIMIT: u64 = 160 << 20;
/// Windows keeps its logs far smaller.
const LOG_LIMIT: u64 = 64 << 20;

const LOGS: [LogFile; 3] = [LogFile::Log, LogFile::Log1, LogFile::Log2];

/// Reads the whole file at a path of the tree; `None` when there is none.
pub(crate) type ReadFile<'a> = &'a dyn Fn(&str, u64) -> Result<Option<Vec<u8>>>;

/// A file that is to be written, and its new content.
pub(crate) type Written = (String, Vec<u8>);

/// A hive of the guest.
pub(crate) struct GuestHive {
    /// `SYSTEM`
    pub(crate) name: String,
    /// Its file in the tree.
    pub(crate) path: String,
    loaded: OnceCell<Loaded>,
}

struct Loaded {
    hive: Hive,
    replay: Replay,
    changed: bool,
    /// What is wrong with it, once that was looked for.
    fault: OnceCell<Option<String>>,
}

impl GuestHive {
    pub(crate) fn new(name: &str, path: &str) -> Self {
        Self { name: name.to_owned(), path: path.to_owned(), loaded: OnceCell::new() }
    }

    /// The file of a log.
    fn log_path(&self, log: LogFile) -> String {
        format!("{}{log}", self.path)
    }

    /// What was done with the logs. Reads the hive when that was not done yet.
    pub(crate) fn replay(&self, read: ReadFile<'_>) -> Result<&Replay> {
        Ok(&self.load(read)?.replay)
    }

    pub(crate) fn hive(&self, read: ReadFile<'_>) -> Result<&Hive> {
        Ok(&self.load(read)?.hive)
    }

    /// The logs that have to be emptied when the hive is edited.
    pub(crate) fn stale_logs(&self, read: ReadFile<'_>) -> Result<Vec<String>> {
        Ok(self.logs_to_empty(self.replay(read)?))
    }

    /// Walks all of the hive, once: what an edit would refuse is known when it is planned.
    ///
    /// # Errors
    /// `NeedsPerson` when the hive is damaged.
    pub(crate) fn whole(&self, read: ReadFile<'_>) -> Result<()> {
        let loaded = self.load(read)?;
        let fault = loaded.fault.get_or_init(|| loaded.hive.check().err().map(|error| error.to_string()));
        match fault {
            None => Ok(()),
            Some(fault) => Err(Error::needs_person(format!("registry hive {}: {fault}", self.path)).hint(
                "it is damaged and is not edited: repair it in the guest, or restore it from a backup",
            )),
        }
    }

    fn logs_to_empty(&self, replay: &Replay) -> Vec<String> {
        replay.steps.iter().filter(|step| step.empty).map(|step| self.log_path(step.log)).collect()
    }

    fn load(&self, read: ReadFile<'_>) -> Result<&Loaded> {
        if self.loaded.get().is_none() {
            let loaded = self.read(read).map_err(|e| e.context(format!("registry hive {}", self.path)))?;
            // Nobody else can have set it meanwhile.
            let _ = self.loaded.set(loaded);
        }
        self.loaded.get().ok_or_else(|| Error::contract("a hive that was read is not there"))
    }

    fn read(&self, read: ReadFile<'_>) -> Result<Loaded> {
        let missing = || Error::usage(format!("there is no {}", self.path));
        let primary = read(&self.path, HIVE_LIMIT)?.ok_or_else(missing)?;
        let mut logs = Vec::new();
        for log in LOGS {
            logs.extend(read(&self.log_path(log), LOG_LIMIT)?.map(|bytes| (log, bytes)));
        }
        let logs: Vec<Log<'_>> = logs.iter().map(|(file, bytes)| Log { file: *file, bytes }).collect();
        let Recovered { bytes, replay } = recover(primary, &logs)?;
        Ok(Loaded { hive: Hive::open(bytes)?, replay, changed: false, fault: OnceCell::new() })
    }

    /// Gives the memory back, unless there is something in it that is written nowhere else, or only in logs: those may be emptied
    /// before it is read again.
    pub(crate) fn release(&mut self) {
        if self.loaded.get().is_some_and(|loaded| !loaded.changed && !loaded.replay.was_dirty) {
            self.loaded.take();
        }
    }

    /// Changes the hive in memory.
    pub(crate) fn edit(
        &mut self,
        read: ReadFile<'_>,
        now: FileTime,
        edit: impl FnOnce(&mut driver_registry::Editor<'_>) -> Result<()>,
    ) -> Result<()> {
        self.load(read)?;
        let loaded = self.loaded.get_mut().ok_or_else(|| Error::contract("a hive that is not there"))?;
        loaded.changed = true;
        edit(&mut loaded.hive.edit(now)?)
    }

    /// The file to be written, when the hive was changed. Its logs are emptied with it, whoever else did that: what they
    /// hold is in the hive, and must never be applied again.
    pub(crate) fn take_changes(&mut self) -> Result<Vec<Written>> {
        if !self.loaded.get().is_some_and(|loaded| loaded.changed) {
            return Ok(Vec::new());
        }
        let Some(loaded) = self.loaded.take() else { return Ok(Vec::new()) };
        let logs = self.logs_to_empty(&loaded.replay).into_iter().map(|path| (path, Vec::new()));
        let mut written: Vec<Written> = logs.collect();
        written.push((self.path.clone(), loaded.hive.into_bytes()?));
        Ok(written)
    }
}

/// The hive's name and the path below its root.
pub(crate) fn split_key(key: &str) -> (&str, &str) {
    key.split_once('\\').unwrap_or((key, ""))
}

/// Name and value of every value of a key, in the order of the hive.
pub(crate) fn values_of(key: &Key<'_>) -> Result<Vec<(String, Value)>> {
    key.values()?.iter().map(|entry| Ok((entry.name().to_string(), entry.read()?))).collect()
}
