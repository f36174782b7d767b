//! The thread that renews the leases, and ends the children of those that were lost.

use crate::child::ChildHandle;
use crate::lease::{Lease, LeaseStore, Leases};
use format_core::ErrorKind;
use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// A lease with the child that works under it; the lease is taken out when the work has ended.
pub(super) struct Kept {
    lease: Mutex<Option<Lease>>,
    handle: Arc<ChildHandle>,
}

/// All leases that are held.
#[derive(Default)]
pub(super) struct Keeper {
    kept: Mutex<HashMap<String, Arc<Kept>>>,
    ended: Mutex<bool>,
    wake: Condvar,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Keeper {
    /// Renews a lease from now on.
    pub(super) fn add(&self, lease: Lease, handle: Arc<ChildHandle>) {
        let job = lease.job.clone();
        locked(&self.kept).insert(job, Arc::new(Kept { lease: Mutex::new(Some(lease)), handle }));
    }

    /// Renews a lease no more.
    pub(super) fn take(&self, job: &str) -> Option<Lease> {
        let kept = locked(&self.kept).remove(job)?;
        locked(&kept.lease).take()
    }

    /// Renews until the end.
    pub(super) fn keep<S: LeaseStore>(&self, leases: &Leases<S>) {
        let mut due = Instant::now() + leases.renewal_interval();
        let mut ended = locked(&self.ended);
        while !*ended {
            let left = due.saturating_duration_since(Instant::now());
            ended = self.wake.wait_timeout(ended, left).unwrap_or_else(PoisonError::into_inner).0;
            if *ended || Instant::now() < due {
                continue;
            }
            drop(ended);
            due = Instant::now() + leases.renewal_interval();
            self.renew_all(leases);
            ended = locked(&self.ended);
        }
    }

    fn renew_all<S: LeaseStore>(&self, leases: &Leases<S>) {
        let all: Vec<_> = locked(&self.kept).values().cloned().collect();
        for kept in all {
            let mut lease = locked(&kept.lease);
            let Some(own) = lease.as_mut() else { continue };
            // A place that cannot be reached now may be reached the next time; meanwhile the child looks itself.
            if leases.renew(own).is_err_and(|error| error.kind() == ErrorKind::Temporary)
                && leases.check(own).is_err_and(|error| error.kind() == ErrorKind::Temporary)
            {
                kept.handle.kill();
            }
        }
    }

    /// The run is over.
    pub(super) fn end(&self) {
        *locked(&self.ended) = true;
        self.wake.notify_all();
    }
}
