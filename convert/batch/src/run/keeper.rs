//! The thread that renews the leases, and ends the children of those that were lost.

use crate::child::ChildHandle;
use crate::lease::{Lease, LeaseStore, Leases};
use format_core::{ErrorKind, Renewal};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A lease with the child that works under it; the lease is taken out when the work has ended.
pub(super) struct Kept {
    lease: Mutex<Option<Lease>>,
    handle: Arc<ChildHandle>,
}

/// All leases that are held.
#[derive(Default)]
pub(super) struct Keeper {
    kept: Mutex<HashMap<String, Arc<Kept>>>,
    renewal: Renewal,
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
        self.renewal.every(leases.renewal_interval(), || {
            self.renew_all(leases);
            true
        });
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
        self.renewal.end();
    }
}
