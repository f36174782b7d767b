//! A lease that is held for one run, outside of a batch.

use super::{Asked, Lease, LeaseStore, Leases};
use format_core::{Claim, Error, ErrorKind, Renewal, Result, codes};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long is slept at most before it is looked whether the wait is to end.
const STEP: Duration = Duration::from_millis(200);

/// A lease that a thread of its own renews until it is given back.
pub struct HeldLease<S: LeaseStore + 'static> {
    inner: Arc<Inner<S>>,
    is_suspect: bool,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
}

struct Inner<S> {
    leases: Leases<S>,
    /// `None` once it was given back or lost.
    lease: Mutex<Option<Lease>>,
    renewal: Renewal,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<S: LeaseStore + 'static> HeldLease<S> {
    /// Asks for the lease of `job` until it is held, or its owner was seen to live. An owner of which nothing is known is watched for
    /// as long as it may be silent: `waits` is told of it once, and `check` ends the wait by an error.
    ///
    /// # Errors
    /// `Temporary` (`RH-LEASE-HELD`) where another run is at work; what the store and `check` report.
    pub fn take(
        leases: Leases<S>,
        job: &str,
        check: &dyn Fn() -> Result<()>,
        waits: &dyn Fn(&str, Duration),
    ) -> Result<Self> {
        let (begun, mut is_told) = (Instant::now(), false);
        let lease = loop {
            let busy = match leases.ask(job, begun.elapsed())? {
                Asked::Held(lease) => break *lease,
                Asked::Busy(busy) => busy,
            };
            if busy.is_alive {
                let text = format!("{job} is being written by {}", busy.owner);
                return Err(Error::new(ErrorKind::Temporary, text)
                    .with_code(&codes::LEASE_HELD)
                    .hint("wait for that run, or stop it; then run the same command again"));
            }
            if !is_told {
                waits(&busy.owner, leases.ttl);
                is_told = true;
            }
            let until = Instant::now() + leases.ttl / 20;
            while Instant::now() < until {
                check()?;
                std::thread::sleep(STEP.min(leases.ttl / 20));
            }
        };
        Self::keep(leases, lease)
    }

    fn keep(leases: Leases<S>, lease: Lease) -> Result<Self> {
        let is_suspect = lease.is_suspect();
        let inner = Arc::new(Inner { leases, lease: Mutex::new(Some(lease)), renewal: Renewal::default() });
        let own = Arc::clone(&inner);
        let thread = std::thread::Builder::new().name("lease".into()).spawn(move || own.renew());
        let thread = thread.map_err(|e| Error::io("cannot start a thread that renews a lease", e))?;
        Ok(Self { inner, is_suspect, thread: Mutex::new(Some(thread)) })
    }

    fn end(&self) {
        self.inner.renewal.end();
        if let Some(thread) = locked(&self.thread).take() {
            let _ = thread.join();
        }
    }
}

impl<S: LeaseStore> Inner<S> {
    fn renew(&self) {
        self.renewal.every(self.leases.renewal_interval(), || {
            let mut lease = locked(&self.lease);
            let Some(own) = lease.as_mut() else { return false };
            // A place that cannot be reached now may be reached the next time; the writer asks itself before it is done.
            if self.leases.renew(own).is_err_and(|error| error.code().id == codes::LEASE_LOST.id) {
                *lease = None;
            }
            lease.is_some()
        });
    }
}

impl<S: LeaseStore + 'static> Claim for HeldLease<S> {
    fn check(&self) -> Result<()> {
        match locked(&self.inner.lease).as_ref() {
            Some(lease) => self.inner.leases.check(lease),
            None => Err(Error::new(ErrorKind::Temporary, "another run has taken over what is written here")
                .with_code(&codes::LEASE_LOST)),
        }
    }

    fn is_fresh(&self) -> bool {
        self.is_suspect
    }

    fn release(&self, is_done: bool) {
        self.end();
        if let Some(lease) = locked(&self.inner.lease).take() {
            let _ = self.inner.leases.release(lease, is_done);
        }
    }
}

impl<S: LeaseStore + 'static> Drop for HeldLease<S> {
    fn drop(&mut self) {
        self.release(false);
    }
}
