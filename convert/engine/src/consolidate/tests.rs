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
