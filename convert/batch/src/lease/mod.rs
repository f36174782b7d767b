//! Leases: of all runs that want a job, one has it.
//!
//! A lease is a file with an epoch; the highest epoch owns the job. An owner that is known to be dead is succeeded at once.
//! Of any other only its silence is known, by the contender's own clock: it renews a counter, and when that stood still for
//! the whole time to live, the job is taken over. The old owner may only have been stopped, or cut off. So its files are not
//! gone on with, and it looks for a higher epoch before it gives a file its name ([`format_core::Fence`]).

mod held;
mod objects;
mod owner;
mod store;

pub use held::HeldLease;
pub use objects::ObjectLeases;
pub use owner::Owner;
pub(crate) use owner::random_token;
pub use store::{LeaseStore, LocalLeases, MemoryLeases};

use format_core::{Error, ErrorKind, Result, codes};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// What a lease says.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct LeaseBody {
    /// Random: an epoch can come again when all leases of a job were removed, this cannot.
    pub token: String,
    /// Whose it is.
    pub owner: Owner,
    /// After so many seconds of silence somebody else may take over.
    pub ttl_seconds: u64,
    /// Counts up while the owner lives.
    pub renewals: u64,
    /// The owner has no use for it any more; the epoch goes on counting.
    #[serde(default)]
    pub released: bool,
    /// A run that was not known to be dead may still write to the job's files.
    #[serde(default)]
    pub suspect: bool,
}

/// A lease that is held.
#[derive(Clone, Debug)]
pub struct Lease {
    /// The job.
    pub job: String,
    /// Its epoch.
    pub epoch: u64,
    body: LeaseBody,
    /// Whose it was, where it was taken over from a run that had not released it.
    pub taken_from: Option<String>,
}

impl Lease {
    /// Whether files that another run left may still be written by it.
    #[must_use]
    pub fn is_suspect(&self) -> bool {
        self.body.suspect
    }
}

/// What asking for a lease comes to.
#[derive(Debug)]
pub enum Asked {
    /// It is held now.
    Held(Box<Lease>),
    /// Somebody else has it.
    Busy(Busy),
}

/// A lease that somebody else has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Busy {
    /// Who.
    pub owner: String,
    /// Whether it was seen to be renewed: somebody is at work. Else it may be silent, and asking again later pays.
    pub is_alive: bool,
}

/// A silence that is watched.
#[derive(Debug)]
struct Silence {
    epoch: u64,
    token: String,
    renewals: u64,
    since: Duration,
}

/// The leases of one run.
pub struct Leases<S> {
    store: S,
    owner: Owner,
    ttl: Duration,
    silences: Mutex<HashMap<String, Silence>>,
}

impl<S: LeaseStore> Leases<S> {
    /// How long an owner may be silent. Longer than network file systems keep what they know of a file (60 s).
    pub const TTL: Duration = Duration::from_secs(120);

    /// Leases for `owner`.
    pub fn new(store: S, owner: Owner, ttl: Duration) -> Self {
        Self { store, owner, ttl, silences: Mutex::default() }
    }

    /// The place.
    pub fn store(&self) -> &S {
        &self.store
    }

    /// Whose they are.
    pub fn owner(&self) -> &Owner {
        &self.owner
    }

    /// How often a lease is to be renewed.
    pub fn renewal_interval(&self) -> Duration {
        self.ttl / 4
    }

    /// Asks for the lease of a job, `now` by a clock that only goes forward.
    ///
    /// # Errors
    /// What the store reports.
    pub fn ask(&self, job: &str, now: Duration) -> Result<Asked> {
        let Some((epoch, body)) = self.store.read_highest(job)? else {
            return self.take(job, 0, false, None);
        };
        if let Some(body) = &body {
            if body.released {
                return self.take(job, epoch, body.suspect, None);
            }
            if body.owner.is_gone(&self.owner) {
                return self.take(job, epoch, body.suspect, Some(body.owner.name()));
            }
        }
        let owner = body.as_ref().map_or_else(|| "an unknown owner".to_owned(), |body| body.owner.name());
        match self.watch(job, epoch, body.as_ref(), now) {
            Watched::Silent => self.take(job, epoch, true, Some(owner)),
            Watched::Waiting => Ok(Asked::Busy(Busy { owner, is_alive: false })),
            Watched::Alive => Ok(Asked::Busy(Busy { owner, is_alive: true })),
        }
    }

    fn watch(&self, job: &str, epoch: u64, body: Option<&LeaseBody>, now: Duration) -> Watched {
        let token = body.map(|body| body.token.clone()).unwrap_or_default();
        let (renewals, ttl) = body.map_or((0, self.ttl), |body| {
            (body.renewals, Duration::from_secs(body.ttl_seconds).max(self.ttl))
        });
        let mut silences = self.silences.lock().unwrap_or_else(PoisonError::into_inner);
        let seen =
            silences.insert(job.to_owned(), Silence { epoch, token: token.clone(), renewals, since: now });
        let Some(seen) = seen else { return Watched::Waiting };
        if (seen.epoch, &seen.token, seen.renewals) != (epoch, &token, renewals) {
            return Watched::Alive;
        }
        let since = seen.since;
        silences.insert(job.to_owned(), seen);
        if now.saturating_sub(since) >= ttl { Watched::Silent } else { Watched::Waiting }
    }

    fn take(&self, job: &str, from: u64, suspect: bool, taken_from: Option<String>) -> Result<Asked> {
        let busy = || Asked::Busy(Busy { owner: "another run".into(), is_alive: true });
        let epoch = from.checked_add(1).ok_or_else(|| Error::corrupt(format!("the leases of {job}")))?;
        let body = LeaseBody {
            token: random_token()?,
            owner: self.owner.clone(),
            ttl_seconds: self.ttl.as_secs().max(1),
            renewals: 0,
            released: false,
            suspect,
        };
        if !self.store.create_exclusive(job, epoch, &body)? {
            return Ok(busy());
        }
        // Between looking and taking the number may have come again.
        if self.store.read_highest(job)?.is_none_or(|(highest, _)| highest != epoch) {
            self.store.remove(job, epoch)?;
            return Ok(busy());
        }
        // What an owner with a lower epoch finds missing tells it that it is none any more.
        if from > 0 {
            self.store.remove_up_to(job, from)?;
        }
        self.silences.lock().unwrap_or_else(PoisonError::into_inner).remove(job);
        Ok(Asked::Held(Box::new(Lease { job: job.to_owned(), epoch, body, taken_from })))
    }

    /// Says that the owner lives.
    ///
    /// # Errors
    /// `Temporary` when another run has taken over; what the store reports.
    pub fn renew(&self, lease: &mut Lease) -> Result<()> {
        self.check(lease)?;
        lease.body.renewals += 1;
        self.store.renew(&lease.job, lease.epoch, &lease.body)
    }

    /// Whether the lease is still held.
    ///
    /// # Errors
    /// `Temporary` when another run has taken over; what the store reports.
    pub fn check(&self, lease: &Lease) -> Result<()> {
        let own = self.store.read(&lease.job, lease.epoch)?;
        let is_ours = own.is_some_and(|body| body.token == lease.body.token);
        let highest = self.store.read_highest(&lease.job)?;
        if is_ours && highest.is_some_and(|(epoch, _)| epoch == lease.epoch) {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Temporary, format!("another run has taken over {}", lease.job))
            .with_code(&codes::LEASE_LOST))
    }

    /// Gives a lease back. Of a job that is done nothing stays; of any other the epoch does, so that a run that was taken
    /// for dead does not meet its own number again.
    ///
    /// # Errors
    /// What the store reports. Not being the owner any more is none.
    pub fn release(&self, lease: Lease, is_done: bool) -> Result<()> {
        match self.check(&lease) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::Temporary => return Ok(()),
            Err(error) => return Err(error),
        }
        if is_done {
            return self.store.remove_up_to(&lease.job, lease.epoch);
        }
        self.store.renew(&lease.job, lease.epoch, &LeaseBody { released: true, ..lease.body })
    }
}

enum Watched {
    Waiting,
    Alive,
    Silent,
}

#[cfg(test)]
mod tests;
