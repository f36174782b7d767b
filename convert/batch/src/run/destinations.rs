//! Destinations that are connected for the first job that needs them, and disconnected after the last.

use super::begin::Begun;
use super::tell::Teller;
use crate::events::Event;
use crate::runner::Isolation;
use crate::task::Task;
use format_core::Result;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};

struct Use {
    rule: serde_json::Value,
    entered: bool,
    /// Jobs of this run that still need it.
    left: usize,
}

/// The destinations of a run, by their rules.
pub(super) struct Destinations<'a> {
    isolation: Option<&'a dyn Isolation>,
    uses: Mutex<HashMap<String, Use>>,
    failed: AtomicU8,
}

impl<'a> Destinations<'a> {
    pub(super) fn new(isolation: Option<&'a dyn Isolation>, begun: &Begun, tasks: &[Task]) -> Self {
        let mut uses = HashMap::new();
        let rules = begun.to_run.iter().filter_map(|&number| tasks.get(number)?.destination.as_ref());
        for rule in rules {
            let new = || Use { rule: rule.clone(), entered: false, left: 0 };
            uses.entry(rule.to_string()).or_insert_with(new).left += 1;
        }
        Self { isolation, uses: Mutex::new(uses), failed: AtomicU8::new(0) }
    }

    /// Makes the destination of a job ready.
    pub(super) fn enter(&self, task: &Task) -> Result<()> {
        let (Some(isolation), Some(rule)) = (self.isolation, &task.destination) else { return Ok(()) };
        let mut uses = self.uses.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = uses.get_mut(&rule.to_string())
            && !known.entered
        {
            isolation.enter(rule)?;
            known.entered = true;
        }
        isolation.check(rule)
    }

    /// A job needs its destination no more.
    pub(super) fn ended(&self, task: &Task, teller: &Teller<'_>) {
        let Some(rule) = &task.destination else { return };
        let mut uses = self.uses.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(known) = uses.get_mut(&rule.to_string()) else { return };
        known.left = known.left.saturating_sub(1);
        if known.left == 0 {
            self.leave(known, teller);
        }
    }

    /// The run is over.
    pub(super) fn leave_all(&self, teller: &Teller<'_>) {
        let mut uses = self.uses.lock().unwrap_or_else(PoisonError::into_inner);
        uses.values_mut().for_each(|known| self.leave(known, teller));
    }

    fn leave(&self, known: &mut Use, teller: &Teller<'_>) {
        let Some(isolation) = self.isolation.filter(|_| known.entered) else { return };
        known.entered = false;
        if let Err(error) = isolation.leave(&known.rule) {
            self.failed.store(error.kind().exit_code(), Ordering::Relaxed);
            teller.say(&Event::new("destination-failed").saying(error.to_string()));
        }
    }

    /// That of a destination that could not be disconnected, else 0.
    pub(super) fn exit_code(&self) -> u8 {
        self.failed.load(Ordering::Relaxed)
    }
}
