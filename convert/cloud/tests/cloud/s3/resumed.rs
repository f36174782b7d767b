//! Uploads that end early, under a claim: what is left, what is gone on with, and what is given up.

use super::{address, noise, with};
use convert_cloud::{CloudOptions, TimeLimits, Writing, create};
use format_core::{Claim, Error, ErrorKind, Result, TargetStorage, codes};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use test_cloud_servers::s3::Bucket;

const PART: usize = 16 << 20;
const JOURNAL: &str = "x.rehome-journal";

/// A claim whose fate a test decides.
#[derive(Clone, Default)]
struct Fate {
    is_lost: Arc<AtomicBool>,
    is_unknown: Arc<AtomicBool>,
    is_fresh: bool,
    /// Whether it was given back, and as done.
    released: Arc<Mutex<Vec<bool>>>,
}

impl Claim for Fate {
    fn check(&self) -> Result<()> {
        if self.is_unknown.load(Ordering::Relaxed) {
            return Err(Error::new(ErrorKind::Temporary, "nothing is heard"));
        }
        match self.is_lost.load(Ordering::Relaxed) {
            true => Err(Error::new(ErrorKind::Temporary, "taken over").with_code(&codes::LEASE_LOST)),
            false => Ok(()),
        }
    }

    fn is_fresh(&self) -> bool {
        self.is_fresh
    }

    fn release(&self, is_done: bool) {
        self.released.lock().unwrap().push(is_done);
    }
}

struct Case {
    bucket: Bucket,
    with: CloudOptions,
    content: Vec<u8>,
}

impl Case {
    fn new() -> Self {
        let bucket = Bucket::new();
        // Much is sent here, which a busy machine takes its time for.
        let with = CloudOptions { limits: TimeLimits::default(), ..with(bucket.url()) };
        Self { bucket, with, content: noise(4 * PART + 1000) }
    }

    fn begin(&self, fate: &Fate, restart: bool) -> Result<Box<dyn TargetStorage>> {
        let size = self.content.len() as u64;
        let writing = Writing { size, claim: Some(Box::new(fate.clone())), restart };
        Ok(create(&address("s3://bucket/x"), &self.with, writing)?.storage)
    }

    /// A run that ends after three parts and some bytes.
    fn interrupted(&self) {
        let target = self.begin(&Fate::default(), false).unwrap();
        target.write_all_at(0, &self.content[..3 * PART + 5]).unwrap();
        drop(target);
    }

    fn write(&self, target: Box<dyn TargetStorage>) -> Result<()> {
        for (number, bytes) in self.content.chunks(4 << 20).enumerate() {
            target.write_all_at((number * (4 << 20)) as u64, bytes)?;
        }
        target.commit()
    }

    /// The object is there, and nothing else.
    fn is_whole(&self) {
        assert!(self.bucket.object("x").unwrap() == self.content);
        assert_eq!((self.bucket.keys(), self.bucket.uploads()), (vec!["x".into()], vec![]));
    }

    fn parts_put(&self) -> u32 {
        self.bucket.state().parts_put
    }

    /// Parts are sent beside the writing: waits until the bucket has as many.
    fn wait_for_parts(&self, parts: u32) {
        let begun = Instant::now();
        while self.parts_put() < parts {
            assert!(begun.elapsed() < Duration::from_secs(60), "{} of {parts} parts", self.parts_put());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

#[test]
fn what_was_uploaded_is_not_sent_again() {
    let case = Case::new();
    case.interrupted();
    assert_eq!((case.bucket.keys(), case.parts_put()), (vec![JOURNAL.to_owned()], 3));
    let fate = Fate::default();
    case.write(case.begin(&fate, false).unwrap()).unwrap();
    case.is_whole();
    assert_eq!((case.parts_put(), case.bucket.state().aborted), (5, 0));
    assert_eq!(*fate.released.lock().unwrap(), [true]);
}

#[test]
fn a_run_that_is_killed_again_and_again_comes_to_its_end() {
    let case = Case::new();
    for parts in [3, 2, 4] {
        let target = case.begin(&Fate::default(), false).unwrap();
        target.write_all_at(0, &case.content[..(parts - 1) * PART]).unwrap();
        let is_there = || case.bucket.uploads().len() == 1 && case.parts_put() >= 2;
        let begun = Instant::now();
        while !is_there() && begun.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(Duration::from_millis(20));
        }
        std::thread::sleep(Duration::from_millis(100));
        target
            .write_all_at(((parts - 1) * PART) as u64, &case.content[(parts - 1) * PART..][..PART])
            .unwrap();
        // As a kill does: nothing is said or given up any more.
        std::mem::forget(target);
    }
    std::thread::sleep(Duration::from_millis(300));
    case.write(case.begin(&Fate::default(), false).unwrap()).unwrap();
    case.is_whole();
    // What the journals did not tell yet is sent again: the last part of each run.
    assert!(case.parts_put() <= 5 + 3, "{}", case.parts_put());
}

#[test]
fn another_disk_gets_nothing_of_the_first() {
    let mut case = Case::new();
    case.interrupted();
    case.content[PART + 99] ^= 1;
    case.write(case.begin(&Fate::default(), false).unwrap()).unwrap();
    case.is_whole();
    assert_eq!(case.parts_put(), 3 + 3, "the changed part and the two that were not there");
}

#[test]
fn what_cannot_be_gone_on_with_is_given_up() {
    // The last owner may still be at work; the operator wants it; the journal is none.
    let suspect = Fate { is_fresh: true, ..Fate::default() };
    for (fate, restart, garbled) in
        [(suspect, false, false), (Fate::default(), true, false), (Fate::default(), false, true)]
    {
        let case = Case::new();
        case.interrupted();
        if garbled {
            case.bucket.put(JOURNAL, b"{\"version\":1");
        }
        case.write(case.begin(&fate, restart).unwrap()).unwrap();
        assert!(case.bucket.object("x").unwrap() == case.content);
        assert_eq!((case.bucket.keys(), case.parts_put()), (vec!["x".to_owned()], 3 + 5));
        // Of which upload a garbled journal told nobody knows.
        let (open, aborted) = if garbled { (1, 0) } else { (0, 1) };
        assert_eq!((case.bucket.uploads().len(), case.bucket.state().aborted), (open, aborted));
    }
}

#[test]
fn an_upload_that_is_gone_or_of_other_parts_is_begun_anew() {
    // A rule of the bucket gave it up.
    let case = Case::new();
    case.interrupted();
    case.bucket.state().give_up_all();
    case.write(case.begin(&Fate::default(), false).unwrap()).unwrap();
    case.is_whole();
    // Another image with larger parts.
    let mut case = Case::new();
    case.interrupted();
    case.content.truncate(1000);
    let writing = Writing { size: 400 << 30, claim: Some(Box::new(Fate::default())), restart: false };
    let target = create(&address("s3://bucket/x"), &case.with, writing).unwrap().storage;
    case.write(target).unwrap();
    case.is_whole();
}

#[test]
fn a_run_that_was_taken_over_publishes_nothing() {
    let case = Case::new();
    let fate = Fate::default();
    let old = case.begin(&fate, false).unwrap();
    old.write_all_at(0, &case.content[..3 * PART]).unwrap();
    // It stands still; another takes over and gives its upload up.
    let new = case.begin(&Fate { is_fresh: true, ..Fate::default() }, false).unwrap();
    fate.is_lost.store(true, Ordering::Relaxed);
    let error = case.write(old).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Contract, "what was written comes no second time");
    // One that has all of it, and asks too early: the question was answered well, and then the other came.
    case.write(new).unwrap();
    case.is_whole();

    let case = Case::new();
    let old = case.begin(&Fate::default(), false).unwrap();
    old.write_all_at(0, &case.content).unwrap();
    // One that is on its way while the other comes would be told that the upload is gone, and not by whom.
    case.wait_for_parts(4);
    let other = case.begin(&Fate { is_fresh: true, ..Fate::default() }, false).unwrap();
    let error = old.commit().unwrap_err();
    assert_eq!((error.kind(), error.code().id), (ErrorKind::Temporary, codes::LEASE_LOST.id), "{error}");
    assert!(case.bucket.object("x").is_none());
    case.write(other).unwrap();
    case.is_whole();
}

#[test]
fn a_claim_that_is_lost_at_the_end_keeps_the_object_from_being_there() {
    let case = Case::new();
    let fate = Fate::default();
    let target = case.begin(&fate, false).unwrap();
    target.write_all_at(0, &case.content).unwrap();
    fate.is_lost.store(true, Ordering::Relaxed);
    assert_eq!(target.commit().unwrap_err().code().id, codes::LEASE_LOST.id);
    assert_eq!((case.bucket.object("x"), case.bucket.uploads().len()), (None, 0));
    // Where nobody can tell, all is left as it is.
    let case = Case::new();
    let target = case.begin(&fate.clone(), false);
    drop(target);
    let fate = Fate::default();
    let target = case.begin(&fate, false).unwrap();
    target.write_all_at(0, &case.content).unwrap();
    fate.is_unknown.store(true, Ordering::Relaxed);
    assert_eq!(target.commit().unwrap_err().kind(), ErrorKind::Temporary);
    assert_eq!((case.bucket.object("x"), case.bucket.uploads().len()), (None, 1));
    assert_eq!(*fate.released.lock().unwrap(), [false]);
    case.write(case.begin(&Fate::default(), false).unwrap()).unwrap();
    case.is_whole();
    assert_eq!(case.parts_put(), 5);
}

#[test]
fn a_part_that_another_replaces_is_found() {
    let case = Case::new();
    case.interrupted();
    let upload = case.bucket.uploads().remove(0);
    case.bucket.state().put_part(&upload, 2, &case.content[..PART]);
    let target = case.begin(&Fate::default(), false).unwrap();
    target.write_all_at(0, &case.content).unwrap();
    // And once more, behind this run's back.
    case.bucket.state().put_part(&upload, 1, &case.content[1..PART]);
    assert_eq!(target.commit().unwrap_err().kind(), ErrorKind::Temporary);
    assert!(case.bucket.object("x").is_none());
    case.write(case.begin(&Fate::default(), false).unwrap()).unwrap();
    case.is_whole();
}

#[test]
fn what_is_there_already_ends_it_and_nothing_stays_beside() {
    let case = Case::new();
    case.interrupted();
    case.bucket.put("x", b"other");
    let fate = Fate::default();
    let error = case.begin(&fate, false).err().unwrap();
    assert_eq!((error.kind(), error.code().id), (ErrorKind::Destination, "RH-DESTINATION-EXISTS"));
    assert_eq!((case.bucket.keys(), case.bucket.uploads().len()), (vec!["x".to_owned()], 0));
    assert_eq!(*fate.released.lock().unwrap(), [true]);
    // It appears while the parts are sent.
    let case = Case::new();
    let target = case.begin(&fate, false).unwrap();
    case.bucket.put("x", b"other");
    assert_eq!(case.write(target).unwrap_err().kind(), ErrorKind::Destination);
    assert_eq!((case.bucket.keys(), case.bucket.uploads().len()), (vec!["x".to_owned()], 0));
}

#[test]
fn without_the_right_to_list_it_works_all_the_same() {
    let case = Case::new();
    case.bucket.state().hides_missing = true;
    case.interrupted();
    case.write(case.begin(&Fate::default(), false).unwrap()).unwrap();
    case.is_whole();
    assert_eq!(case.parts_put(), 5);
}
