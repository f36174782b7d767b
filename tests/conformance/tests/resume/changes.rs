//! What a run does not go on with, and that it says why.

use crate::bench::{Bench, CASES, MIB};
use crate::machine::{Fault, Machine};
use conformance::Noise;
use std::fs::File;
use std::os::unix::fs::FileExt;

/// A copy that was interrupted after a few blocks.
fn interrupted() -> Bench {
    let bench = Bench::new(&CASES[1]);
    interrupt(&bench);
    bench
}

fn interrupt(bench: &Bench) {
    let steps = bench.steps_of_a_whole_run();
    let machine = Machine::new(Fault::Signal, steps / 2, bench.folder());
    assert_eq!(bench.run(Some(&machine), 0).unwrap_err().hint_text().unwrap(), HINT);
    let mut names: Vec<_> =
        std::fs::read_dir(bench.folder()).unwrap().flatten().map(|e| e.file_name()).collect();
    names.sort();
    assert_eq!(names, ["disk.qcow2.partial", "disk.qcow2.partial.journal"]);
}

const HINT: &str = "run the same command again to go on where it stopped";

#[track_caller]
fn starts_over(bench: &Bench, why: &str) {
    let done = bench.run(None, 0).unwrap();
    assert_eq!(done.resumed_from, None);
    let warnings: Vec<_> = done.warnings.iter().map(|warning| (warning.code, &warning.message)).collect();
    assert!(matches!(&warnings[..], [("started-over", text)] if text.contains(why)), "{why}: {warnings:?}");
    bench.check(why);
}

#[test]
fn the_same_run_goes_on_silently() {
    let bench = interrupted();
    let done = bench.run(None, 0).unwrap();
    assert!(done.resumed_from.is_some_and(|bytes| bytes > 100_000), "{done:?}");
    assert!(done.warnings.is_empty(), "{done:?}");
    bench.check("resumed");
}

#[test]
fn a_source_that_was_touched_is_read_from_the_start() {
    let mut bench = interrupted();
    File::open(bench.source_path()).unwrap().set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    bench.open_source_again();
    starts_over(&bench, "source.raw was changed since");
}

#[test]
fn a_source_of_another_size_is_read_from_the_start() {
    let mut bench = interrupted();
    let file = File::options().write(true).open(bench.source_path()).unwrap();
    file.set_len(file.metadata().unwrap().len() + MIB).unwrap();
    bench.open_source_again();
    starts_over(&bench, "the disk's size was");
}

#[test]
fn a_source_of_other_data_and_the_same_time_is_read_from_the_start() {
    let mut bench = interrupted();
    let file = File::options().write(true).open(bench.source_path()).unwrap();
    let before = file.metadata().unwrap().modified().unwrap();
    file.write_all_at(b"changed", 100).unwrap();
    file.set_modified(before).unwrap();
    bench.open_source_again();
    // Nobody can put that one back.
    starts_over(&bench, "its time of change is another");
}

#[test]
fn another_source_of_the_same_name_is_read_from_the_start() {
    let mut bench = interrupted();
    let path = bench.source_path();
    let before = path.metadata().unwrap().modified().unwrap();
    let copy = path.with_extension("copy");
    std::fs::copy(&path, &copy).unwrap();
    std::fs::rename(&copy, &path).unwrap();
    File::open(&path).unwrap().set_modified(before).unwrap();
    bench.open_source_again();
    starts_over(&bench, "is another file");
}

#[test]
fn other_options_start_over() {
    let mut bench = interrupted();
    bench.options = &[("cluster_size", "4k")];
    starts_over(&bench, "the options were");
}

#[test]
fn the_way_to_read_the_source_counts_too() {
    let mut bench = interrupted();
    bench.resumption.reading = "a snapshot".into();
    starts_over(&bench, "the way to read the source");
}

#[test]
fn another_partial_file_is_not_gone_on_with() {
    let bench = interrupted();
    let partial = bench.folder().join("disk.qcow2.partial");
    let copy = bench.folder().join("copy");
    std::fs::copy(&partial, &copy).unwrap();
    std::fs::rename(&copy, &partial).unwrap();
    starts_over(&bench, "the partial file is another one");
}

#[test]
fn a_partial_file_that_was_cut_is_not_gone_on_with() {
    let bench = interrupted();
    let file = File::options().write(true).open(bench.folder().join("disk.qcow2.partial")).unwrap();
    file.set_len(file.metadata().unwrap().len() - 1).unwrap();
    starts_over(&bench, "were made durable");
}

#[test]
fn a_partial_file_without_its_journal_is_started_over() {
    let bench = interrupted();
    std::fs::remove_file(bench.folder().join("disk.qcow2.partial.journal")).unwrap();
    starts_over(&bench, "it left no journal");
}

#[test]
fn a_restart_that_was_asked_for_needs_no_reason() {
    let mut bench = interrupted();
    bench.resumption.restart = true;
    let done = bench.run(None, 0).unwrap();
    assert_eq!((done.resumed_from, done.warnings.len()), (None, 0));
    bench.check("restarted");
}

#[test]
fn what_no_retry_mends_leaves_nothing() {
    // How many steps it takes to go on depends on the threads of the run before: the first moment that is in the copying, whose
    // errors have no context, is looked for. What fails while the target is opened again leaves it as it was.
    for moment in 0..32 {
        let bench = interrupted();
        let machine = Machine::new(Fault::Kill, moment, bench.folder());
        // For the engine this is an error of the kind that is our own bug.
        let error = bench.run(Some(&machine), 0).unwrap_err().to_string();
        let left = std::fs::read_dir(bench.folder()).unwrap().count();
        if error == "the machine is dead" {
            assert_eq!(left, 0, "moment {moment}");
            return;
        }
        assert_eq!(left, 2, "moment {moment}: {error}");
    }
    panic!("no moment was in the copying");
}

#[test]
fn states_of_strangers_are_refused_or_harmless() {
    use format_core::{CreateRequest, ErrorKind};
    for case in CASES {
        let bench = Bench::new(case);
        let request = CreateRequest {
            virtual_size: bench.size(),
            options: case.options.iter().map(|&(key, value)| (key.into(), value.into())).collect(),
            parent: None,
        };
        let target = || {
            let target = format_core::FileTarget::create(&bench.target(), true).unwrap();
            // Long enough for every state that can be meant.
            format_core::TargetStorage::set_len(&target, 4 << 30).unwrap();
            Box::new(target)
        };
        let format = bench.format();
        let sink = format.create.unwrap()(target(), &request).unwrap();
        let state = sink.checkpoint().unwrap().unwrap();
        drop(sink);
        let resume = |state: &[u8]| format.resume.unwrap()(target(), &request, state);
        if let Err(error) = resume(&state) {
            // The further files of the image are new, and shorter than the state says.
            assert!(["vmdk_split", "vmdk_flat"].contains(&case.name), "{case:?}: {error}");
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{case:?}: {error}");
        }
        for len in 0..state.len().min(200) {
            assert_eq!(resume(&state[..len]).err().unwrap().kind(), ErrorKind::Corrupt, "{case:?} {len}");
        }
        for byte in 0..state.len().min(200) {
            let mut state = state.clone();
            state[byte] ^= 0xff;
            if let Err(error) = resume(&state) {
                assert_eq!(error.kind(), ErrorKind::Corrupt, "{case:?} {byte}: {error}");
            }
        }
    }
}

/// A bad sector that is read as zeros the second time, for example. What the killed run wrote of it must not show
/// through, nor be room in the file that nothing uses.
#[test]
fn data_that_read_as_zeros_later_are_zeros() {
    let (mut was_lost, mut was_there) = (0, 0);
    for case in CASES {
        let mut bench = Bench::new(case);
        let whole = Bench::new(case);
        let steps = whole.steps_of_a_whole_run();
        whole.run(None, 0).unwrap();
        let all = whole.checked("all");
        // The second part of the last block but one, down to whole chunks of every format.
        let lost = whole.size() / MIB * MIB - 6 * MIB..whole.size() - 4 * MIB;
        let mut lost_digest = None;
        for moment in (steps / 4..steps).step_by((steps / 16).max(1) as usize) {
            let machine = Machine::new(Fault::Kill, moment, bench.folder());
            bench.lost = 0..0;
            if bench.run(Some(&machine), 0).is_err() {
                machine.start_again(&mut Noise(moment));
            }
            bench.lost = lost.clone();
            bench.resumption.interval = std::time::Duration::from_secs(60);
            bench.run(None, 0).unwrap();
            bench.resumption.interval = std::time::Duration::ZERO;
            let what = format!("{case:?} at {moment}");
            let found = bench.checked(&what);
            if found == all {
                was_there += 1;
            } else {
                assert_eq!(*lost_digest.get_or_insert(found), found, "{what}: something of both");
                was_lost += 1;
            }
            bench.clear();
        }
    }
    // Which of a case's moments come before that data depends on the threads.
    assert!(was_lost > 0 && was_there > 0, "{was_lost} {was_there}");
}
