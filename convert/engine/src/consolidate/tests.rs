//! A run ends before each of its steps, as if it were killed there: all kept points open, and the next run finishes.

use super::*;
use crate::digest_of_bytes;
use crate::observer::{Observer, Silent};
use crate::pipeline::{Proof, digest_disk};
use crate::run::{ConvertRequest, Destination, convert};
use format_all::FORMATS;
use format_core::{ErrorKind, Format, open_image};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

static NEVER: AtomicBool = AtomicBool::new(false);

fn silent() -> Control<'static> {
    Control { observer: &Silent, interrupted: &NEVER, threads: 2 }
}

fn qcow2() -> &'static Format {
    FORMATS.iter().find(|format| format.name == "qcow2").unwrap()
}

/// Ends the run when so many stages have begun.
struct Killer {
    left: AtomicUsize,
}

impl Observer for Killer {
    fn begin(&self, stage: &'static str, _: u64) {
        let left = self.left.fetch_sub(1, Ordering::Relaxed);
        assert_ne!(left, 0, "killed before {stage}");
    }
    fn advance(&self, _: u64) {}
    fn end(&self) {}
}

/// Four points, 0 the base, of disks that grow, and the bytes of each.
fn chain(folder: &Path) -> Vec<Vec<u8>> {
    let mut disks = vec![vec![1u8; 5 << 20]];
    for point in 1..4u8 {
        let mut disk = disks.last().unwrap().clone();
        disk.resize(disk.len() + (1 << 20) + 512, 0);
        let at = usize::from(point) << 20;
        disk[at..at + 70_000].fill(point + 1);
        disk[at + 200_000..at + 400_000].fill(0);
        disks.push(disk);
    }
    for (point, bytes) in disks.iter().enumerate() {
        let raw = folder.join("disk.raw");
        std::fs::write(&raw, bytes).unwrap();
        let open = OpenOptions::new(FORMATS, None);
        let source = open_image(&raw, &open).unwrap();
        let below = point.checked_sub(1).map(|below| folder.join(format!("{below}.qcow2")));
        let base = below.map(|path| open_image(&path, &open).unwrap());
        let path = folder.join(format!("{point}.qcow2"));
        let request = ConvertRequest {
            source: &source,
            disk: &source.disk,
            target: Destination::File { path: &path, replace: true },
            format: qcow2(),
            options: BTreeMap::new(),
            base: base.as_ref(),
            proof: Proof::DIGEST,
        };
        let (manifest, copy) = convert(request, silent()).unwrap().into_manifest().unwrap();
        manifest.save(&path, &copy.blocks).unwrap();
        std::fs::remove_file(raw).unwrap();
    }
    disks
}

#[track_caller]
fn reads(folder: &Path, point: usize, bytes: &[u8]) {
    let open = OpenOptions::new(FORMATS, None);
    let opened = open_image(&folder.join(format!("{point}.qcow2")), &open).unwrap();
    let found = digest_disk(&opened.disk, "digest", silent()).unwrap().blocks.digest().unwrap();
    assert_eq!(found, digest_of_bytes(bytes), "point {point}");
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn with_request<T>(folder: &Path, keep: usize, run: impl FnOnce(&ConsolidateRequest<'_>) -> T) -> T {
    let (open, options) = (OpenOptions::new(FORMATS, None), BTreeMap::new());
    let top = folder.join("3.qcow2");
    run(&ConsolidateRequest { top: &top, keep, open: &open, options: &options, keep_old: None })
}

#[test]
fn a_run_can_end_before_any_of_its_steps() {
    let made = tempfile::tempdir().unwrap();
    let disks = chain(made.path());
    for keep in [1, 2] {
        let mut ends = 0;
        for steps in 0.. {
            let folder = tempfile::tempdir().unwrap();
            let folder = folder.path().canonicalize().unwrap();
            for name in names(made.path()) {
                std::fs::copy(made.path().join(&name), folder.join(&name)).unwrap();
            }
            let killer = Killer { left: AtomicUsize::new(steps) };
            let control = Control { observer: &killer, ..silent() };
            let ended = with_request(&folder, keep, |request| {
                catch_unwind(AssertUnwindSafe(|| consolidate(request, control).map(|_| ())))
            });
            let all = || (4 - keep..4).for_each(|point| reads(&folder, point, &disks[point]));
            all();
            let was_killed = ended.is_err();
            ends += usize::from(was_killed);
            with_request(&folder, keep, |request| consolidate(request, silent()).unwrap());
            all();
            let expected: Vec<_> = (4 - keep..4)
                .flat_map(|point| {
                    ["", ".rehome.blocks", ".rehome.json"].map(|end| format!("{point}.qcow2{end}"))
                })
                .collect();
            assert_eq!(names(&folder), expected, "ended before step {steps}");
            if !was_killed {
                break;
            }
        }
        // prepare, copy, prove, verify, verify points, ready, exchange, manifest, remove …
        assert!(ends > 10, "{ends}");
    }
}

#[test]
fn a_file_that_was_changed_after_the_proof_is_proven_again() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().canonicalize().unwrap();
    let disks = chain(&folder);
    // Up to the exchange: prepare, copy, prove, verify, verify points twice, ready.
    let killer = Killer { left: AtomicUsize::new(7) };
    let control = Control { observer: &killer, ..silent() };
    let ended = with_request(&folder, 2, |request| {
        catch_unwind(AssertUnwindSafe(|| consolidate(request, control).map(|_| ())))
    });
    assert!(ended.is_err());
    let work = folder.join("3.qcow2.consolidate");
    let text = std::fs::read_to_string(work.join("journal.json")).unwrap();
    assert!(text.contains("\"ready\""), "{text}");
    let top = std::fs::File::options().append(true).open(folder.join("3.qcow2")).unwrap();
    top.set_modified(std::time::SystemTime::now()).unwrap();
    let done = with_request(&folder, 2, |request| consolidate(request, silent()).unwrap());
    assert!(!done.continued && done.plan.is_some());
    [2, 3].into_iter().for_each(|point| reads(&folder, point, &disks[point]));
}

#[test]
fn a_name_that_somebody_else_took_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().canonicalize().unwrap();
    chain(&folder);
    let killer = Killer { left: AtomicUsize::new(7) };
    let control = Control { observer: &killer, ..silent() };
    let ended = with_request(&folder, 2, |request| {
        catch_unwind(AssertUnwindSafe(|| consolidate(request, control).map(|_| ())))
    });
    assert!(ended.is_err());
    std::fs::write(folder.join("other"), b"mine").unwrap();
    std::fs::rename(folder.join("other"), folder.join("2.qcow2")).unwrap();
    let before = names(&folder);
    let error = with_request(&folder, 2, |request| consolidate(request, silent()).unwrap_err());
    assert_eq!(error.kind(), ErrorKind::NeedsPerson, "{error}");
    assert_eq!(names(&folder), before);
    assert_eq!(std::fs::read(folder.join("2.qcow2")).unwrap(), b"mine");
}

/// Ends a run of 2 kept points when so many stages have begun, and gives its journal.
fn ended_after(folder: &Path, stages: usize) -> serde_json::Value {
    let killer = Killer { left: AtomicUsize::new(stages) };
    let control = Control { observer: &killer, ..silent() };
    let ended = with_request(folder, 2, |request| {
        catch_unwind(AssertUnwindSafe(|| consolidate(request, control).map(|_| ())))
    });
    assert!(ended.is_err());
    serde_json::from_slice(&std::fs::read(folder.join(JOURNAL)).unwrap()).unwrap()
}

const JOURNAL: &str = "3.qcow2.consolidate/journal.json";

/// Up to the second removal: prepare, copy, prove, verify, verify points twice, ready, exchange, manifest, remove.
const ONE_REMOVED: usize = 10;

#[test]
fn a_new_file_with_the_number_of_a_removed_one_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().canonicalize().unwrap();
    let disks = chain(&folder);
    let mut journal = ended_after(&folder, ONE_REMOVED);
    assert_eq!(journal["state"], "removing");
    // ext4 gives the number of a removed file to the next new one.
    let gone = folder.join(journal["old"][0]["name"].as_str().unwrap());
    assert!(!gone.exists());
    std::fs::write(&gone, b"a new backup").unwrap();
    let facts = host::FileFacts::of(&gone).unwrap();
    journal["old"][0]["inode"] = facts.inode.into();
    // The worst: a file system that tells neither birth nor change, and a file of the same size.
    for field in ["born", "changed"] {
        journal["old"][0][field] = serde_json::Value::Null;
    }
    journal["old"][0]["size"] = facts.size.into();
    std::fs::write(folder.join(JOURNAL), journal.to_string()).unwrap();
    let done = with_request(&folder, 2, |request| consolidate(request, silent()).unwrap());
    assert!(done.continued);
    let codes: Vec<_> = done.warnings.iter().map(|warning| warning.code).collect();
    assert_eq!(codes, ["left-alone"]);
    assert_eq!(std::fs::read(&gone).unwrap(), b"a new backup");
    [2, 3].into_iter().for_each(|point| reads(&folder, point, &disks[point]));
    assert!(!folder.join("3.qcow2.consolidate").exists() && !folder.join("0.qcow2").exists());
}

#[test]
fn the_old_images_stay_while_the_new_one_is_not_in_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().canonicalize().unwrap();
    let disks = chain(&folder);
    ended_after(&folder, ONE_REMOVED);
    std::fs::rename(folder.join("2.qcow2"), folder.join("away")).unwrap();
    std::fs::write(folder.join("2.qcow2"), b"mine").unwrap();
    let before = names(&folder);
    let error = with_request(&folder, 2, |request| consolidate(request, silent()).unwrap_err());
    assert_eq!(error.kind(), ErrorKind::NeedsPerson, "{error}");
    assert_eq!(names(&folder), before);
    std::fs::rename(folder.join("away"), folder.join("2.qcow2")).unwrap();
    with_request(&folder, 2, |request| consolidate(request, silent()).unwrap());
    [2, 3].into_iter().for_each(|point| reads(&folder, point, &disks[point]));
}

#[test]
fn a_name_that_is_taken_where_old_files_go_stops_a_run_before_it_copies() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().canonicalize().unwrap();
    let disks = chain(&folder);
    let (away, other) = (folder.join("old"), folder.join("other"));
    [&away, &other].into_iter().for_each(|path| std::fs::create_dir(path).unwrap());
    let (open, options) = (OpenOptions::new(FORMATS, None), BTreeMap::new());
    let top = folder.join("3.qcow2");
    let to = |keep_old| ConsolidateRequest {
        top: &top,
        keep: 2,
        open: &open,
        options: &options,
        keep_old: Some(keep_old),
    };
    // Of what is removed, and of what is replaced.
    for name in ["0.qcow2", "2.qcow2"] {
        std::fs::write(away.join(name), b"of a run before").unwrap();
        let before = names(&folder);
        let dry = plan_consolidation(&to(&away), silent()).unwrap_err();
        let real = consolidate(&to(&away), silent()).unwrap_err();
        for error in [dry, real] {
            assert_eq!(error.kind(), ErrorKind::Destination, "{error}");
            assert!(error.to_string().contains(&format!("old/{name} exists")), "{error}");
        }
        assert_eq!(names(&folder), before);
        std::fs::remove_file(away.join(name)).unwrap();
    }
    // The name is taken while the run is at work: another folder ends it.
    let killer = Killer { left: AtomicUsize::new(ONE_REMOVED) };
    let control = Control { observer: &killer, ..silent() };
    assert!(catch_unwind(AssertUnwindSafe(|| consolidate(&to(&away), control).map(|_| ()))).is_err());
    std::fs::write(away.join("2.qcow2"), b"mine").unwrap();
    let error = consolidate(&to(&away), silent()).unwrap_err();
    assert!(error.hint_text().unwrap().contains("--keep-old"), "{error}");
    consolidate(&to(&other), silent()).unwrap();
    assert_eq!(std::fs::read(away.join("2.qcow2")).unwrap(), b"mine");
    assert!(other.join("2.qcow2").exists() && !folder.join("3.qcow2.consolidate").exists());
    [2, 3].into_iter().for_each(|point| reads(&folder, point, &disks[point]));
}

/// A run of 2 kept points is killed before the names are exchanged, right behind that, and between two removals.
const KILLS: [(usize, &str); 3] = [(7, "ready"), (8, "ready"), (ONE_REMOVED, "removing")];

#[test]
fn a_run_is_not_finished_for_one_who_wants_to_keep_more() {
    for (stages, state) in KILLS {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        let disks = chain(&folder);
        assert_eq!(ended_after(&folder, stages)["state"], state);
        let before = names(&folder);
        let again = with_request(&folder, 4, |request| consolidate(request, silent()));
        if stages == 7 {
            // Nothing was changed: it is undone.
            again.unwrap();
            (0..4).for_each(|point| reads(&folder, point, &disks[point]));
            assert!(!folder.join("3.qcow2.consolidate").exists());
            continue;
        }
        let error = again.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NeedsPerson, "{error}");
        assert!(error.to_string().contains("0.qcow2"), "{error}");
        assert_eq!(names(&folder), before);
    }
}

#[test]
fn a_fork_that_was_made_since_stops_the_run_that_would_finish() {
    for (stages, _) in KILLS {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        let disks = chain(&folder);
        // A copy of 1 is a difference to the base, too, which is removed last.
        let one = std::fs::read(folder.join("1.qcow2")).unwrap();
        ended_after(&folder, stages);
        std::fs::write(folder.join("fork"), one).unwrap();
        let before = names(&folder);
        let error = with_request(&folder, 2, |request| consolidate(request, silent()).unwrap_err());
        assert_eq!(error.kind(), ErrorKind::NeedsPerson, "{error}");
        assert!(error.to_string().contains("fork is based on"), "{error}");
        assert!(folder.join("0.qcow2").exists());
        if stages != 7 {
            assert_eq!(names(&folder), before);
        }
        std::fs::remove_file(folder.join("fork")).unwrap();
        with_request(&folder, 2, |request| consolidate(request, silent()).unwrap());
        [2, 3].into_iter().for_each(|point| reads(&folder, point, &disks[point]));
        assert!(!folder.join("0.qcow2").exists());
    }
}

#[test]
fn a_run_that_is_finished_moves_what_is_to_be_kept_now() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().canonicalize().unwrap();
    let disks = chain(&folder);
    ended_after(&folder, 8);
    let away = folder.join("old");
    std::fs::create_dir(&away).unwrap();
    with_request(&folder, 2, |request| {
        let keep_old = Some(away.as_path());
        consolidate(&ConsolidateRequest { keep_old, ..*request }, silent()).unwrap()
    });
    [2, 3].into_iter().for_each(|point| reads(&folder, point, &disks[point]));
    [0, 1, 2].into_iter().for_each(|point| reads(&away, point, &disks[point]));
}
