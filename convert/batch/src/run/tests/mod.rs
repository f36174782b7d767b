//! Whole runs, with a script in the place of the children.

mod kills;

use super::*;
use crate::ChildRunner;
use crate::budget::Budget;
use crate::lease::{LeaseStore, random_token};
use crate::retry::{RetryWish, retry};
use crate::testing::task;
use format_core::ErrorKind;
use std::ffi::OsString;
use std::path::Path;
use std::sync::Mutex;

pub(super) struct Site {
    pub(super) folder: PathBuf,
    pub(super) options: RunOptions,
}

impl Site {
    pub(super) fn new(folder: &Path) -> Self {
        let options = RunOptions {
            output: folder.to_owned(),
            state: folder.join(StateFolder::NAME),
            limits: Limits { jobs: 4, per_source: None, per_target: None },
            retries: 0,
            backoff: Duration::from_millis(10),
            max_failures: None,
            shard: None,
            lease_ttl: Duration::from_secs(120),
            redo_changed: false,
            metrics: None,
            status_file: Some(folder.join("status")),
        };
        Self { folder: folder.to_owned(), options }
    }

    pub(super) fn task(&self, id: &str, words: &[&str]) -> Task {
        let output = self.folder.join(id);
        let mut command: Vec<OsString> = words.iter().map(OsString::from).collect();
        command.push(output.clone().into());
        Task { command, outputs: vec![output], ..task(id) }
    }

    pub(super) fn run_watched(
        &self,
        tasks: &[Task],
        watcher: &dyn Watcher,
        stop: &AtomicBool,
        isolation: Option<&dyn Isolation>,
    ) -> Result<Summary> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/src/run/tests/fake.sh");
        let share = Budget::default().share(1).unwrap();
        let runner = ChildRunner { program: "bash".into(), global: vec![script.into()], share };
        let info = BatchInfo {
            id: "b".into(),
            job_file: "jobs.toml".into(),
            job_file_hash: String::new(),
            started: crate::time::now_text(),
            version: "1".into(),
        };
        let options = &self.options;
        Batch { info, tasks, options, runner: &runner, isolation, watcher, stop }.run()
    }

    pub(super) fn run(&self, tasks: &[Task]) -> Result<Summary> {
        self.run_watched(tasks, &Deaf, &AtomicBool::new(false), None)
    }

    /// How often a job was started.
    pub(super) fn starts(&self, id: &str) -> usize {
        let text = std::fs::read_to_string(self.folder.join(format!("{id}.starts"))).unwrap_or_default();
        text.lines().count()
    }
}

pub(super) struct Deaf;

impl Watcher for Deaf {}

fn phases(summary: &Summary) -> Vec<(&str, Phase, Option<i32>)> {
    summary.state.jobs.iter().map(|job| (job.id.as_str(), job.state, job.exit_code)).collect()
}

#[derive(Default)]
struct Heard {
    failures: Mutex<Vec<String>>,
    ends: Mutex<usize>,
}

impl Watcher for Heard {
    fn first_failure(&self, task: &Task, job: &JobState) {
        let said = format!("{} {}", task.id, job.error.as_ref().unwrap().message);
        self.failures.lock().unwrap().push(said);
    }
    fn end(&self, _state: &BatchState) {
        *self.ends.lock().unwrap() += 1;
    }
}

#[test]
fn every_ending_has_its_state_and_a_second_run_starts_only_what_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let mut site = Site::new(folder.path());
    (site.options.retries, site.options.limits.jobs) = (1, 1);
    let tasks = [
        site.task("good", &["copy", "0"]),
        site.task("corrupt", &["fails", "65"]),
        site.task("person", &["fails", "78"]),
        site.task("later", &["twice", "75"]),
        site.task("crash", &["crashes"]),
    ];
    let heard = Heard::default();
    let summary = site.run_watched(&tasks, &heard, &AtomicBool::new(false), None).unwrap();
    let wanted = [
        ("good", Phase::Done, Some(0)),
        ("corrupt", Phase::Failed, Some(65)),
        ("person", Phase::Held, Some(78)),
        ("later", Phase::Failed, Some(75)),
        ("crash", Phase::Failed, None),
    ];
    assert_eq!(phases(&summary), wanted);
    assert_eq!((summary.exit_code, summary.already_done, summary.bytes), (70, 0, 100));
    assert_eq!(*heard.failures.lock().unwrap(), ["corrupt as it was told"]);
    assert_eq!(*heard.ends.lock().unwrap(), 1);
    let jobs = &summary.state.jobs;
    assert_eq!(
        (jobs[0].bytes, jobs[0].digest.as_deref(), jobs[0].outputs.len()),
        (Some(100), Some("abc"), 1)
    );
    assert_eq!(jobs[1].error.as_ref().unwrap().hint.as_deref(), Some("look"));
    assert_eq!((jobs[3].attempts, jobs[4].signal), (2, Some(11)));
    assert_eq!(jobs[4].error.as_ref().unwrap().message, "about to crash");
    let log = std::fs::read_to_string(site.options.state.join("jobs/later.log")).unwrap();
    assert_eq!(log.matches("=== ").count(), 4, "{log}");
    assert!(log.contains("attempt 2: bash ") && log.contains("ended with exit code 75"), "{log}");

    let again = site.run(&tasks).unwrap();
    assert_eq!((again.exit_code, again.already_done), (70, 1));
    assert_eq!(["good", "corrupt", "person", "later", "crash"].map(|id| site.starts(id)), [1, 1, 1, 3, 1]);
    assert_eq!(again.state.jobs[3].state, Phase::Done, "75 is tried again without being asked");

    let state = StateFolder::open(&site.options.state).unwrap();
    retry(&state, &state.load().unwrap(), &RetryWish::These(vec!["person".into()])).unwrap();
    // Whoever changes a job has mended it.
    let mended = Task { fingerprint: "2".into(), ..site.task("corrupt", &["copy", "0"]) };
    let tasks = [tasks[0].clone(), mended, tasks[2].clone(), tasks[3].clone(), tasks[4].clone()];
    let third = site.run(&tasks).unwrap();
    assert_eq!(["good", "corrupt", "person", "later", "crash"].map(|id| site.starts(id)), [1, 2, 2, 3, 1]);
    assert_eq!((third.state.jobs[1].state, third.state.jobs[2].state), (Phase::Done, Phase::Held));
    let leases: Vec<_> = std::fs::read_dir(folder.path().join(".rehome-lease"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("good") || name.starts_with("later") || name.starts_with("corrupt"))
        .collect();
    assert_eq!(leases, [""; 0], "of jobs that are done nothing stays");
    let status = std::fs::read_to_string(folder.path().join("status")).unwrap();
    assert!(status.contains("\"exit_code\":70"), "{status}");
}

#[test]
fn too_many_failures_end_the_batch_and_what_was_not_started_is_cancelled() {
    let folder = tempfile::tempdir().unwrap();
    let mut site = Site::new(folder.path());
    (site.options.max_failures, site.options.limits.jobs) = (Some(2), 1);
    let tasks: Vec<_> = ["a", "b", "c", "d"].iter().map(|id| site.task(id, &["fails", "66"])).collect();
    let summary = site.run(&tasks).unwrap();
    let states: Vec<_> = summary.state.jobs.iter().map(|job| job.state).collect();
    assert_eq!(states, [Phase::Failed, Phase::Failed, Phase::Cancelled, Phase::Cancelled]);
    assert_eq!((summary.exit_code, site.starts("c")), (66, 0));
}

#[test]
fn a_signal_stops_the_children_and_the_next_run_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut site = Site::new(folder.path());
    site.options.limits.jobs = 2;
    let tasks = ["a", "b", "c"].map(|id| site.task(id, &["copy", "30"]));
    let stop = AtomicBool::new(false);
    let begun = Instant::now();
    let summary = std::thread::scope(|scope| {
        let run = scope.spawn(|| site.run_watched(&tasks, &Deaf, &stop, None).unwrap());
        while !(folder.path().join("a.partial").exists() && folder.path().join("b.partial").exists()) {
            assert!(!run.is_finished());
            std::thread::sleep(Duration::from_millis(5));
        }
        stop.store(true, Ordering::Relaxed);
        run.join().unwrap()
    });
    assert!(begun.elapsed() < Duration::from_secs(20), "nobody waits for the copies");
    let wanted = [
        ("a", Phase::Interrupted, Some(75)),
        ("b", Phase::Interrupted, Some(75)),
        ("c", Phase::Waiting, None),
    ];
    assert_eq!(phases(&summary), wanted);
    assert!(summary.interrupted);
    assert_eq!(summary.exit_code, 75);
    let quick = ["a", "b", "c"].map(|id| site.task(id, &["copy", "0"]));
    assert_eq!(site.run(&quick).unwrap().exit_code, 0);
}

#[test]
fn a_job_that_is_done_and_was_changed_is_only_run_again_when_that_is_meant() {
    let folder = tempfile::tempdir().unwrap();
    let mut site = Site::new(folder.path());
    let mut tasks = [site.task("a", &["copy", "0"]), site.task("b", &["copy", "0"])];
    site.run(&tasks).unwrap();
    tasks[0].fingerprint = "2".into();
    let error = site.run(&tasks).unwrap_err();
    assert_eq!(
        (error.kind(), error.message()),
        (ErrorKind::Usage, "the job a is done and was changed since")
    );
    site.options.redo_changed = true;
    assert_eq!(site.run(&tasks).unwrap().exit_code, 0);
    assert_eq!((site.starts("a"), site.starts("b")), (2, 1));
    // What somebody else put there is not replaced, whatever the batch made before.
    tasks[0].fingerprint = "3".into();
    std::fs::write(folder.path().join("a"), b"the only copy").unwrap();
    let summary = site.run(&tasks).unwrap();
    assert_eq!((summary.exit_code, summary.state.jobs[0].state), (73, Phase::Failed));
    assert_eq!(std::fs::read(folder.path().join("a")).unwrap(), b"the only copy");
    // A machine that runs writes to its disk: done stays done. What is gone is made again.
    std::fs::write(folder.path().join("b"), b"grown").unwrap();
    assert_eq!(site.run(&tasks[1..]).unwrap().already_done, 1);
    std::fs::remove_file(folder.path().join("b")).unwrap();
    assert_eq!((site.run(&tasks[1..]).unwrap().already_done, site.starts("b")), (0, 2));
}

#[test]
fn a_job_at_work_elsewhere_is_left_and_one_whose_owner_is_silent_is_taken_over_afresh() {
    let folder = tempfile::tempdir().unwrap();
    let mut site = Site::new(folder.path());
    site.options.lease_ttl = Duration::from_secs(1);
    let store = LocalLeases::create(&folder.path().join(LocalLeases::NAME)).unwrap();
    let elsewhere = Owner { boot: "another".into(), host: "esx".into(), ..Owner::this().unwrap() };
    let leases = Leases::new(store.clone(), elsewhere, Duration::from_secs(1));
    let held = |job: &str| match leases.ask(job, Duration::ZERO).unwrap() {
        crate::Asked::Held(lease) => *lease,
        crate::Asked::Busy(busy) => panic!("{busy:?}"),
    };
    let (mut alive, silent) = (held("alive"), held("silent"));
    let tasks = [site.task("alive", &["env", "x"]), site.task("silent", &["env", "x"])];
    let ended = AtomicBool::new(false);
    let summary = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                leases.renew(&mut alive).unwrap();
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        let summary = site.run(&tasks).unwrap();
        ended.store(true, Ordering::Relaxed);
        summary
    });
    let wanted = [("alive", Phase::Waiting, None), ("silent", Phase::Done, Some(0))];
    assert_eq!(phases(&summary), wanted);
    assert_eq!((summary.exit_code, site.starts("alive")), (75, 0));
    assert_eq!(std::fs::read_to_string(folder.path().join("silent")).unwrap(), "fresh 1\n");
    assert_eq!(leases.check(&silent).unwrap_err().kind(), ErrorKind::Temporary);
    assert!(store.read_highest("silent").unwrap().is_none());
    assert_eq!(random_token().unwrap().len(), 32);
}

#[derive(Default)]
struct Doors {
    said: Mutex<Vec<String>>,
}

impl Isolation for Doors {
    fn check(&self, rule: &serde_json::Value) -> Result<()> {
        if rule["missing"] == true {
            return Err(format_core::Error::new(ErrorKind::Destination, "PATH_NOT_FOUND (-403)"));
        }
        Ok(())
    }
    fn enter(&self, rule: &serde_json::Value) -> Result<()> {
        self.said.lock().unwrap().push(format!("enter {rule}"));
        Ok(())
    }
    fn leave(&self, rule: &serde_json::Value) -> Result<()> {
        self.said.lock().unwrap().push(format!("leave {rule}"));
        Ok(())
    }
}

#[test]
fn a_destination_is_connected_for_its_jobs_only_and_one_that_is_missing_gets_no_byte() {
    let folder = tempfile::tempdir().unwrap();
    let mut site = Site::new(folder.path());
    site.options.limits.jobs = 1;
    let at = |task: Task, rule: serde_json::Value| Task { destination: Some(rule), ..task };
    let usb = serde_json::json!("usb");
    let tasks = [
        at(site.task("a", &["copy", "0"]), usb.clone()),
        at(site.task("b", &["copy", "0"]), usb),
        at(site.task("c", &["copy", "0"]), serde_json::json!({"missing": true})),
        site.task("d", &["copy", "0"]),
    ];
    let doors = Doors::default();
    let summary = site.run_watched(&tasks, &Deaf, &AtomicBool::new(false), Some(&doors)).unwrap();
    assert_eq!((summary.exit_code, site.starts("c"), site.starts("d")), (73, 0, 1));
    let wanted = ["enter \"usb\"", "leave \"usb\"", "enter {\"missing\":true}", "leave {\"missing\":true}"];
    assert_eq!(*doors.said.lock().unwrap(), wanted);
}

#[test]
fn a_job_that_takes_too_long_is_stopped_at_a_checkpoint_and_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut site = Site::new(folder.path());
    site.options.retries = 1;
    let within = |seconds, task: Task| Task { timeout: Some(seconds), ..task };
    let tasks = [
        within(1, site.task("slow", &["copy", "600"])),
        within(600, site.task("quick", &["copy", "0"])),
        within(1, site.task("corrupt", &["fails", "65"])),
    ];
    let summary = site.run(&tasks).unwrap();
    let wanted = [
        ("slow", Phase::Failed, Some(75)),
        ("quick", Phase::Done, Some(0)),
        ("corrupt", Phase::Failed, Some(65)),
    ];
    assert_eq!(phases(&summary), wanted);
    assert_eq!(site.starts("slow"), 2);
    let error = summary.state.jobs[0].error.as_ref().unwrap();
    assert_eq!((error.code.as_deref(), error.kind.as_str()), (Some("RH-JOB-TIMEOUT"), "temporary"));
    assert!(error.message.contains("timeout of 1 s"), "{}", error.message);
    let log = std::fs::read_to_string(site.options.state.join("jobs/slow.log")).unwrap();
    assert_eq!(log.matches("ended with exit code 75").count(), 2, "{log}");
}
