//! The destinations of a batch: what they must be, and how they are taken out of reach.

use convert_batch::{Isolation as Connected, Task};
use convert_destination::{Destination, Device, Host, Isolation, Isolator, Required, state_folder};
use convert_job_file::{IsolateHow, ResolvedJob};
use format_core::{Error, Result};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// How long a volume may stay in use after the last write.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a link or a server may take to come back.
const REACH: Duration = Duration::from_secs(60);

/// What a task says of its destination.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Rule {
    destination: Destination,
    isolation: Option<Isolation>,
}

/// The rule of a job: about the folder of all outputs, or about its own where that lies elsewhere.
pub(super) fn rule_of(job: &ResolvedJob, output: &Path) -> Result<Option<serde_json::Value>> {
    if job.destination.is_none() && job.isolate.is_none() {
        return Ok(None);
    }
    let folder = if job.output.starts_with(output) { output } else { job.folder() };
    let wanted = job.destination.clone().unwrap_or_default();
    let required = match wanted.marker {
        Some(id) => {
            let id = id.parse().map_err(|_| {
                Error::usage(format!("job {}: the marker {id:?} is no UUID", job.id))
                    .hint("'rehome destination init' prints it")
            })?;
            Required::Marked(Some(id))
        }
        // What is unmounted afterwards may be missing before: then the empty mount point must not be written to.
        None if wanted.volume || job.isolate.is_some() => Required::SubfolderOfVolume,
        None => Required::Exists,
    };
    let destination =
        Destination { device: wanted.uuid.map(Device::Uuid), ..Destination::new(folder, required) };
    let rule = Rule { destination, isolation: job.isolate.as_ref().and_then(isolation_of) };
    serde_json::to_value(rule).map(Some).map_err(|e| Error::contract("a rule as JSON").with_source(e))
}

fn isolation_of(isolate: &convert_job_file::Isolate) -> Option<Isolation> {
    match isolate.how {
        IsolateHow::None => None,
        IsolateHow::Unmount => Some(Isolation::Unmount),
        IsolateHow::Eject => Some(Isolation::Eject),
        IsolateHow::NetworkDown => Some(Isolation::NetworkDown {
            interface: isolate.interface.clone().unwrap_or_default(),
            yes_i_lose_network: isolate.yes_i_lose_network,
        }),
    }
}

/// Checks, connects and disconnects the destinations of a batch.
pub(super) struct Destinations<'a> {
    host: Host,
    remembered: PathBuf,
    keep: Vec<PathBuf>,
    interrupted: &'a AtomicBool,
}

impl<'a> Destinations<'a> {
    /// `keep` is what the batch needs while they are out of reach.
    pub(super) fn new(mut keep: Vec<PathBuf>, interrupted: &'a AtomicBool) -> Self {
        keep.extend(std::env::current_exe());
        Self { host: Host::system(), remembered: state_folder(), keep, interrupted }
    }

    fn isolator(&self) -> Isolator<'_> {
        Isolator {
            host: &self.host,
            state: &self.remembered,
            keep: &self.keep,
            patience: PATIENCE,
            reach: REACH,
            interrupted: self.interrupted,
        }
    }

    /// # Errors
    /// `Usage` where the state would go with a destination.
    pub(super) fn refuse_state(&self, tasks: &[Task], state: &Path) -> Result<()> {
        let taken = isolated(tasks)?.into_iter().find(|rule| state.starts_with(&rule.destination.folder));
        taken.map_or(Ok(()), |rule| {
            let (state, folder) = (state.display(), rule.destination.folder.display());
            let text = format!("the state in {state} would be out of reach together with {folder}");
            Err(Error::usage(text).hint("name a folder on another volume with --state"))
        })
    }

    /// Brings all of them back before anything is looked for on them.
    ///
    /// # Errors
    /// Those of [`Isolator::enter`].
    pub(super) fn enter_all(&self, tasks: &[Task]) -> Result<()> {
        isolated(tasks)?
            .into_iter()
            .try_for_each(|rule| self.isolator().enter(&rule.destination.folder).map(drop))
    }

    /// Looks at the folder that all outputs, leases and mostly the state go to, before the first of them is made.
    ///
    /// # Errors
    /// Those of [`Destination::check`].
    pub(super) fn check_root(&self, tasks: &[Task], output: &Path) -> Result<()> {
        for rule in tasks.iter().filter_map(|task| task.destination.as_ref()) {
            let rule = parsed(rule)?;
            if rule.destination.folder == output {
                return rule.destination.check(&self.host).map(drop);
            }
        }
        Ok(())
    }

    /// Takes all of them out of reach, also when no job was left to run.
    ///
    /// # Errors
    /// The first of those of [`Isolator::leave`], after all were tried.
    pub(super) fn leave_all(&self, tasks: &[Task]) -> Result<()> {
        let left = isolated(tasks)?.into_iter().filter_map(|rule| {
            let isolation = rule.isolation.as_ref()?;
            self.isolator().leave(&rule.destination.folder, isolation).err()
        });
        // All are tried before the first is told.
        let failed: Vec<_> = left.collect();
        failed.into_iter().next().map_or(Ok(()), Err)
    }
}

fn isolated(tasks: &[Task]) -> Result<Vec<Rule>> {
    let mut rules: Vec<Rule> = Vec::new();
    for rule in tasks.iter().filter_map(|task| task.destination.as_ref()) {
        let rule = parsed(rule)?;
        if rule.isolation.is_some() && !rules.contains(&rule) {
            rules.push(rule);
        }
    }
    Ok(rules)
}

fn parsed(rule: &serde_json::Value) -> Result<Rule> {
    Rule::deserialize(rule).map_err(|e| Error::usage("a task has a destination that is none").with_source(e))
}

impl Connected for Destinations<'_> {
    fn check(&self, rule: &serde_json::Value) -> Result<()> {
        parsed(rule)?.destination.check(&self.host).map(drop)
    }

    fn enter(&self, rule: &serde_json::Value) -> Result<()> {
        let rule = parsed(rule)?;
        match rule.isolation {
            Some(_) => self.isolator().enter(&rule.destination.folder).map(drop),
            None => Ok(()),
        }
    }

    fn leave(&self, rule: &serde_json::Value) -> Result<()> {
        let rule = parsed(rule)?;
        match rule.isolation {
            Some(isolation) => self.isolator().leave(&rule.destination.folder, &isolation).map(drop),
            None => Ok(()),
        }
    }
}
