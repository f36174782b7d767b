use super::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const TTL: Duration = Duration::from_secs(60);

fn owner(pid_namespace: &str) -> Owner {
    Owner { pid_namespace: pid_namespace.into(), ..Owner::this().unwrap() }
}

fn held(asked: Asked) -> Lease {
    match asked {
        Asked::Held(lease) => *lease,
        Asked::Busy(busy) => panic!("{busy:?}"),
    }
}

fn busy(asked: Asked) -> Busy {
    match asked {
        Asked::Busy(busy) => busy,
        Asked::Held(lease) => panic!("{lease:?}"),
    }
}

fn second(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The same for both kinds of store.
fn with_stores(test: impl Fn(Arc<dyn LeaseStore>)) {
    let folder = tempfile::tempdir().unwrap();
    test(Arc::new(LocalLeases::create(&folder.path().join("l")).unwrap()));
    test(Arc::new(MemoryLeases::default()));
}

impl LeaseStore for Arc<dyn LeaseStore> {
    fn create_exclusive(&self, job: &str, epoch: u64, body: &LeaseBody) -> Result<bool> {
        self.as_ref().create_exclusive(job, epoch, body)
    }
    fn read_highest(&self, job: &str) -> Result<Option<(u64, Option<LeaseBody>)>> {
        self.as_ref().read_highest(job)
    }
    fn renew(&self, job: &str, epoch: u64, body: &LeaseBody) -> Result<()> {
        self.as_ref().renew(job, epoch, body)
    }
    fn read(&self, job: &str, epoch: u64) -> Result<Option<LeaseBody>> {
        self.as_ref().read(job, epoch)
    }
    fn remove(&self, job: &str, epoch: u64) -> Result<()> {
        self.as_ref().remove(job, epoch)
    }
    fn remove_up_to(&self, job: &str, epoch: u64) -> Result<()> {
        self.as_ref().remove_up_to(job, epoch)
    }
}

#[test]
fn an_owner_elsewhere_is_succeeded_only_after_its_silence() {
    with_stores(|store| {
        let one = Leases::new(Arc::clone(&store), owner("pid:[1]"), TTL);
        let two = Leases::new(Arc::clone(&store), owner("pid:[2]"), TTL);
        let mut lease = held(one.ask("web", second(0)).unwrap());
        assert_eq!((lease.epoch, lease.is_suspect()), (1, false));
        // The clock of the second host says something else: only its own differences count.
        assert!(!busy(two.ask("web", second(9000)).unwrap()).is_alive);
        assert!(!busy(two.ask("web", second(9059)).unwrap()).is_alive);
        one.renew(&mut lease).unwrap();
        assert!(busy(two.ask("web", second(9060)).unwrap()).is_alive, "it was renewed");
        assert!(!busy(two.ask("web", second(9119)).unwrap()).is_alive);
        let other = held(two.ask("web", second(9120)).unwrap());
        assert_eq!((other.epoch, other.is_suspect()), (2, true));
        assert!(other.taken_from.is_some());
        assert_eq!(one.renew(&mut lease).unwrap_err().kind(), ErrorKind::Temporary);
        one.release(lease, true).unwrap();
        two.check(&other).unwrap();
        // Given back without being done: who comes next knows that a stranger may still write.
        two.release(other, false).unwrap();
        let third = held(one.ask("web", second(1)).unwrap());
        assert_eq!((third.epoch, third.is_suspect(), &third.taken_from), (3, true, &None));
        one.release(third, true).unwrap();
        assert!(store.read_highest("web").unwrap().is_none());
        assert!(!held(one.ask("web", second(2)).unwrap()).is_suspect());
    });
}

#[test]
fn an_owner_that_is_known_to_be_dead_is_succeeded_at_once() {
    with_stores(|store| {
        let here = owner("pid:[1]");
        let dead = Owner { pid_started: 1, ..here.clone() };
        let lease = held(Leases::new(Arc::clone(&store), dead, TTL).ask("web", second(0)).unwrap());
        let leases = Leases::new(Arc::clone(&store), here, TTL);
        let next = held(leases.ask("web", second(0)).unwrap());
        assert_eq!((lease.epoch, next.epoch, next.is_suspect()), (1, 2, false));
        assert!(store.read("web", 1).unwrap().is_none(), "whoever still holds it finds it missing");
        // One that was killed before it removed what it succeeded.
        store.create_exclusive("web", 1, &store.read("web", 2).unwrap().unwrap()).unwrap();
        leases.release(next, true).unwrap();
        assert!(store.read_highest("web").unwrap().is_none());
    });
}

#[test]
fn of_many_that_ask_at_once_one_has_it() {
    with_stores(|store| {
        for round in 0..20 {
            let (job, winners) = (format!("web.{round}"), AtomicUsize::new(0));
            std::thread::scope(|scope| {
                for namespace in 0..8 {
                    let (store, job, winners) = (Arc::clone(&store), &job, &winners);
                    scope.spawn(move || {
                        let leases = Leases::new(store, owner(&format!("pid:[{namespace}]")), TTL);
                        if let Asked::Held(lease) = leases.ask(job, second(0)).unwrap() {
                            winners.fetch_add(1, Ordering::Relaxed);
                            leases.check(&lease).unwrap();
                        }
                    });
                }
            });
            assert_eq!(winners.load(Ordering::Relaxed), 1, "{job}");
        }
    });
}

#[test]
fn a_lease_that_cannot_be_read_is_waited_for_and_jobs_with_like_names_are_others() {
    let folder = tempfile::tempdir().unwrap();
    let store = LocalLeases::create(folder.path()).unwrap();
    std::fs::write(store.path("web", 3), b"").unwrap();
    held(Leases::new(store.clone(), owner("pid:[1]"), TTL).ask("web.3", second(0)).unwrap());
    let leases = Leases::new(store.clone(), owner("pid:[1]"), TTL);
    assert!(!busy(leases.ask("web", second(0)).unwrap()).is_alive);
    let lease = held(leases.ask("web", second(60)).unwrap());
    assert_eq!((lease.epoch, lease.is_suspect()), (4, true));
    let fence = format_core::Fence::open(&store.path("web", 4), true).unwrap();
    fence.check().unwrap();
    leases.release(lease, true).unwrap();
    assert_eq!(fence.check().unwrap_err().kind(), ErrorKind::Temporary);
    let names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["web.3.1"]);
}
