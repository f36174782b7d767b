//! Leases as objects of a store that puts on a condition.

use super::{LeaseBody, LeaseStore};
use format_core::{ConditionalStore, Error, ErrorKind, Result, codes};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// One object for each job, `JOB.rehome-lease`, which says the epoch, too. Every change of it is on the condition that it is what was
/// seen last: so one of several that take it over at once succeeds, and an owner that was renewed meanwhile is not taken over. Each run has one
/// of its own.
pub struct ObjectLeases {
    store: Arc<dyn ConditionalStore>,
    /// Epoch and tag of what was seen last, of each job that had a lease then.
    seen: Mutex<HashMap<String, (u64, String)>>,
}

#[derive(Deserialize, Serialize)]
struct Written {
    epoch: u64,
    #[serde(flatten)]
    body: LeaseBody,
}

impl ObjectLeases {
    /// What the names of leases end in.
    pub const ENDING: &'static str = ".rehome-lease";

    /// Leases in `store`.
    #[must_use]
    pub fn new(store: Arc<dyn ConditionalStore>) -> Self {
        Self { store, seen: Mutex::default() }
    }

    fn key(job: &str) -> String {
        format!("{job}{}", Self::ENDING)
    }

    fn see(&self, job: &str, found: Option<(u64, String)>) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match found {
            Some(found) => seen.insert(job.into(), found),
            None => seen.remove(job),
        };
    }

    fn seen(&self, job: &str) -> Option<(u64, String)> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).get(job).cloned()
    }

    fn put(&self, job: &str, tag: Option<&str>, epoch: u64, body: &LeaseBody) -> Result<bool> {
        let bytes = serde_json::to_vec(&Written { epoch, body: body.clone() })
            .map_err(|e| Error::contract("a lease as JSON").with_source(e))?;
        let key = Self::key(job);
        let put = match tag {
            None => self.store.put_if_absent(&key, &bytes)?,
            Some(tag) => self.store.put_if_match(&key, tag, &bytes)?,
        };
        let is_ours = put.is_some();
        if let Some(tag) = put {
            self.see(job, Some((epoch, tag)));
        }
        Ok(is_ours)
    }
}

impl LeaseStore for ObjectLeases {
    fn create_exclusive(&self, job: &str, epoch: u64, body: &LeaseBody) -> Result<bool> {
        match self.seen(job) {
            Some((there, _)) if there >= epoch => Ok(false),
            Some((_, tag)) => self.put(job, Some(&tag), epoch, body),
            None => self.put(job, None, epoch, body),
        }
    }

    fn read_highest(&self, job: &str) -> Result<Option<(u64, Option<LeaseBody>)>> {
        let Some((bytes, tag)) = self.store.get(&Self::key(job))? else {
            self.see(job, None);
            return Ok(None);
        };
        let found = match serde_json::from_slice::<Written>(&bytes) {
            Ok(found) => (found.epoch, Some(found.body)),
            // Whatever it is, it is waited for, and replaced only while it stays the same.
            Err(_) => (0, None),
        };
        self.see(job, Some((found.0, tag)));
        Ok(Some(found))
    }

    fn renew(&self, job: &str, epoch: u64, body: &LeaseBody) -> Result<()> {
        if let Some((there, tag)) = self.seen(job)
            && there == epoch
            && self.put(job, Some(&tag), epoch, body)?
        {
            return Ok(());
        }
        let text = format!("another run has taken over {job}");
        Err(Error::new(ErrorKind::Temporary, text).with_code(&codes::LEASE_LOST))
    }

    fn read(&self, job: &str, epoch: u64) -> Result<Option<LeaseBody>> {
        Ok(self.read_highest(job)?.and_then(|(there, body)| body.filter(|_| there == epoch)))
    }

    fn remove(&self, job: &str, epoch: u64) -> Result<()> {
        if self.read_highest(job)?.is_some_and(|(there, _)| there == epoch)
            && let Some((_, tag)) = self.seen(job)
        {
            self.store.remove_if_match(&Self::key(job), &tag)?;
            self.see(job, None);
        }
        Ok(())
    }

    fn remove_up_to(&self, job: &str, epoch: u64) -> Result<()> {
        match self.read_highest(job)? {
            Some((there, _)) if there <= epoch => self.remove(job, there),
            _ => Ok(()),
        }
    }
}
