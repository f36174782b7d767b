use super::*;
use format_core::{Claim, ConditionalStore};
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

/// Objects with tags, as a store of a cloud keeps them.
#[derive(Default)]
struct Objects(Mutex<HashMap<String, (Vec<u8>, u64)>>, AtomicUsize);

impl Objects {
    fn put(&self, key: &str, bytes: &[u8], may: impl FnOnce(Option<u64>) -> bool) -> Option<String> {
        let mut objects = self.0.lock().unwrap();
        if !may(objects.get(key).map(|(_, tag)| *tag)) {
            return None;
        }
        let tag = self.1.fetch_add(1, Ordering::Relaxed) as u64;
        objects.insert(key.into(), (bytes.to_vec(), tag));
        Some(tag.to_string())
    }
}

impl ConditionalStore for Objects {
    fn get(&self, key: &str) -> Result<Option<(Vec<u8>, String)>> {
        Ok(self.0.lock().unwrap().get(key).map(|(bytes, tag)| (bytes.clone(), tag.to_string())))
    }
    fn put_if_absent(&self, key: &str, bytes: &[u8]) -> Result<Option<String>> {
        Ok(self.put(key, bytes, |there| there.is_none()))
    }
    fn put_if_match(&self, key: &str, tag: &str, bytes: &[u8]) -> Result<Option<String>> {
        Ok(self.put(key, bytes, |there| there.is_some_and(|there| there.to_string() == tag)))
    }
    fn remove_if_match(&self, key: &str, tag: &str) -> Result<()> {
        self.0.lock().unwrap().retain(|other, (_, there)| other != key || there.to_string() != tag);
        Ok(())
    }
}

/// The same for all kinds of store.
fn with_stores(test: impl Fn(Arc<dyn LeaseStore>)) {
    let folder = tempfile::tempdir().unwrap();
    test(Arc::new(LocalLeases::create(&folder.path().join("l")).unwrap()));
    test(Arc::new(MemoryLeases::default()));
    test(Arc::new(ObjectLeases::new(Arc::new(Objects::default()))));
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

#[test]
fn of_many_that_ask_a_store_of_objects_at_once_one_has_it() {
    for round in 0..20 {
        let (objects, winners) = (Arc::new(Objects::default()), AtomicUsize::new(0));
        // Before some rounds somebody else gave it back, before others nobody had it.
        if round % 2 == 0 {
            let leases = Leases::new(ObjectLeases::new(objects.clone()), owner("pid:[99]"), TTL);
            leases.release(held(leases.ask("web", second(0)).unwrap()), false).unwrap();
        }
        std::thread::scope(|scope| {
            for namespace in 0..8 {
                let (objects, winners) = (objects.clone(), &winners);
                scope.spawn(move || {
                    let leases =
                        Leases::new(ObjectLeases::new(objects), owner(&format!("pid:[{namespace}]")), TTL);
                    if let Asked::Held(mut lease) = leases.ask("web", second(0)).unwrap() {
                        winners.fetch_add(1, Ordering::Relaxed);
                        leases.renew(&mut lease).unwrap();
                        leases.check(&lease).unwrap();
                    }
                });
            }
        });
        assert_eq!(winners.load(Ordering::Relaxed), 1, "{round}");
        assert_eq!(objects.0.lock().unwrap().len(), 1);
    }
}

#[test]
fn an_owner_that_is_renewed_at_the_last_moment_is_not_taken_over() {
    let objects = Arc::new(Objects::default());
    let one = Leases::new(ObjectLeases::new(objects.clone()), owner("pid:[1]"), TTL);
    let mut lease = held(one.ask("web", second(0)).unwrap());
    let late = ObjectLeases::new(objects.clone());
    let (epoch, body) = late.read_highest("web").unwrap().unwrap();
    one.renew(&mut lease).unwrap();
    assert!(!late.create_exclusive("web", epoch + 1, &body.unwrap()).unwrap());
    one.check(&lease).unwrap();
    // What is no lease is replaced after the same silence.
    objects.put("web.rehome-lease", b"{", |_| true);
    let two = Leases::new(ObjectLeases::new(objects), owner("pid:[2]"), TTL);
    assert!(!busy(two.ask("web", second(0)).unwrap()).is_alive);
    assert!(held(two.ask("web", second(60)).unwrap()).is_suspect());
    assert_eq!(one.check(&lease).unwrap_err().code().id, "RH-LEASE-LOST");
}

#[test]
fn a_held_lease_is_renewed_and_one_that_is_silent_taken_over() {
    let objects = Arc::new(Objects::default());
    let leases = |namespace: &str| {
        Leases::new(ObjectLeases::new(objects.clone()), owner(namespace), Duration::from_secs(1))
    };
    let told = Mutex::new(Vec::new());
    let take = |namespace: &str| {
        let waits = |owner: &str, _| told.lock().unwrap().push(owner.to_owned());
        HeldLease::take(leases(namespace), "web", &|| Ok(()), &waits)
    };
    let one = take("pid:[1]").unwrap();
    assert!(!one.is_fresh() && told.lock().unwrap().is_empty());
    // It lives for longer than it may be silent.
    std::thread::sleep(Duration::from_millis(1500));
    let error = take("pid:[2]").err().unwrap();
    assert_eq!((error.kind(), error.code().id), (ErrorKind::Temporary, "RH-LEASE-HELD"), "{error}");
    assert_eq!(told.lock().unwrap().len(), 1);
    one.check().unwrap();
    // Given back to be gone on with, then as done.
    one.release(false);
    assert_eq!(one.check().unwrap_err().code().id, "RH-LEASE-LOST");
    let two = take("pid:[2]").unwrap();
    assert!(!two.is_fresh() && told.lock().unwrap().len() == 1);
    two.release(true);
    assert!(objects.0.lock().unwrap().is_empty());
    // Of this one nobody hears again.
    let silent = leases("pid:[3]");
    let lease = held(silent.ask("web", second(0)).unwrap());
    let stopped = HeldLease::take(leases("pid:[4]"), "web", &|| Err(Error::usage("stop")), &|_, _| {});
    assert_eq!(stopped.err().unwrap().kind(), ErrorKind::Usage);
    let four = take("pid:[4]").unwrap();
    assert!(four.is_fresh());
    assert_eq!(silent.check(&lease).unwrap_err().code().id, "RH-LEASE-LOST");
    drop(four);
    assert!(take("pid:[5]").unwrap().is_fresh(), "whoever comes next knows it as well");
}
