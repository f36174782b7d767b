//! A source that somebody writes, cuts or replaces while it is read: what was copied of it never gets a name.

use crate::bench::{Bench, MIB, appears, signal};
use crate::guest::{self, HYPERV_MODULES};
use std::fs::{File, FileTimes, Permissions};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::time::Duration;

const DATA: u64 = 12 * MIB;

/// Something that happens to a source.
type Event = fn(&Bench, &str);

fn replaced(bench: &Bench, name: &str) {
    bench.disk("other", DATA, &[(MIB, MIB)]);
    std::fs::rename(bench.path("other"), bench.path(name)).unwrap();
}

fn cut(bench: &Bench, name: &str) {
    File::options().write(true).open(bench.path(name)).unwrap().set_len(MIB).unwrap();
}

fn written(bench: &Bench, name: &str) {
    bench.flip(name, 777 + 5 * MIB);
}

/// A byte in each MiB, in place, so that some was copied before and some was not; and the time of modification is what it was.
fn hidden(bench: &Bench, name: &str) {
    let before = std::fs::metadata(bench.path(name)).unwrap().modified().unwrap();
    let file = File::options().read(true).write(true).open(bench.path(name)).unwrap();
    for at in (0..file.metadata().unwrap().len()).step_by(MIB as usize) {
        let mut byte = [0];
        file.read_exact_at(&mut byte, at + 777).unwrap();
        file.write_all_at(&[byte[0] ^ 1], at + 777).unwrap();
    }
    file.set_times(FileTimes::new().set_modified(before)).unwrap();
    assert_eq!(std::fs::metadata(bench.path(name)).unwrap().modified().unwrap(), before);
}

/// No write at all.
fn touched(bench: &Bench, name: &str) {
    std::fs::set_permissions(bench.path(name), Permissions::from_mode(0o640)).unwrap();
    std::fs::hard_link(bench.path(name), bench.path("kept")).unwrap();
}

/// Runs the command and lets the event happen when `partial` is there; tells exit code and stderr.
fn during(bench: &Bench, args: &[&str], partial: &str, source: &str, event: Event) -> (Option<i32>, String) {
    let mut child = bench.spawn(args);
    assert!(appears(&bench.path(partial), &mut child), "it ended early");
    std::thread::sleep(Duration::from_millis(300));
    event(bench, source);
    assert!(child.try_wait().unwrap().is_none(), "the event came too late");
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(!stderr.contains("panicked"), "{stderr}");
    (output.status.code(), stderr)
}

fn assert_told(what: &str, (code, stderr): &(Option<i32>, String)) {
    assert_eq!(*code, Some(75), "{what}: {stderr}");
    assert!(stderr.contains("the source changed while it was read: "), "{what}: {stderr}");
    let next = match what {
        "sync" => "the target is half done and has no name",
        _ => "shut the machine that uses it down or take a snapshot",
    };
    assert!(stderr.contains(&format!("\nhint: {next}")), "{what}: {stderr}");
}

const EVENTS: [(&str, Event); 4] =
    [("replaced", replaced), ("cut", cut), ("written", written), ("written with its time put back", hidden)];

#[test]
fn nothing_is_left_of_a_copy_of_a_changing_file() {
    // Two ways to copy: with a journal, and without.
    for more in [&[][..], &["--also", "md5"]] {
        for (what, event) in EVENTS {
            let bench = Bench::new();
            bench.disk("disk.raw", DATA, &[(0, DATA)]);
            let args = [&["convert", "--rate-limit", "6M", "disk.raw", "out.qcow2"], more].concat();
            assert_told(what, &during(&bench, &args, "out.qcow2.partial", "disk.raw", event));
            assert_eq!(bench.names(), ["disk.raw"], "{what}: neither an image nor something to go on with");
        }
    }
}

#[test]
fn what_is_no_write_costs_a_second_look_and_not_the_copy() {
    let bench = Bench::new();
    bench.disk("disk.raw", DATA, &[(0, DATA)]);
    let args = ["--progress", "json", "convert", "--rate-limit", "6M", "disk.raw", "out.qcow2"];
    let (code, stderr) = during(&bench, &args, "out.qcow2.partial", "disk.raw", touched);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.contains("\"read source again\""), "{stderr}");
    bench.qemu_img(&["compare", "-f", "raw", "disk.raw", "out.qcow2"]);
    bench.rehome(&["verify", "out.qcow2"]).ends(0);
}

#[test]
fn parents_and_compressed_files_are_watched_as_well() {
    let bench = Bench::new();
    bench.disk("base.raw", DATA, &[(0, DATA)]);
    bench.qemu_img(&["create", "-q", "-f", "qcow2", "-F", "raw", "-b", "base.raw", "top.qcow2"]);
    let args = ["convert", "--rate-limit", "6M", "top.qcow2", "out.vhdx"];
    let told = during(&bench, &args, "out.vhdx.partial", "base.raw", hidden);
    assert_told("the parent", &told);
    assert!(told.1.contains("base.raw was written to"), "{told:?}");
    assert!(!bench.names().iter().any(|name| name.starts_with("out")), "{:?}", bench.names());

    bench.bash("gzip -k base.raw").ends(0);
    let args = ["convert", "-f", "raw", "--rate-limit", "6M", "base.raw.gz", "out.vhdx"];
    assert_told("gzip", &during(&bench, &args, "out.vhdx.partial", "base.raw.gz", replaced));
    assert!(!bench.names().iter().any(|name| name.starts_with("out")), "{:?}", bench.names());
}

#[test]
fn an_image_that_is_brought_up_to_date_has_no_name_then_and_gets_it_back() {
    let bench = Bench::new();
    bench.disk("disk.raw", DATA, &[(0, DATA)]);
    bench.disk("out.raw", DATA, &[(MIB, MIB)]);
    let sync = ["convert", "--sync", "--rate-limit", "6M", "disk.raw", "out.raw"];
    assert_told("sync", &during(&bench, &sync, "out.raw.partial", "disk.raw", hidden));
    assert_eq!(bench.names(), ["disk.raw", "out.raw.partial", "out.raw.partial.sync"]);
    bench.rehome(&["convert", "--sync", "disk.raw", "out.raw"]).ends(0);
    bench.qemu_img(&["compare", "-f", "raw", "-F", "raw", "disk.raw", "out.raw"]);
}

#[test]
fn a_machine_whose_disk_changes_is_not_migrated() {
    for event in [hidden, replaced] {
        let bench = Bench::new();
        guest::build(&bench, "web01.raw", &HYPERV_MODULES, |_| {});
        let args = ["migrate", "--rate-limit", "1M", "web01.raw", "--to", "hyperv", "--out", "vm"];
        assert_told("migrate", &during(&bench, &args, "vm/web01.vhdx.partial", "web01.raw", event));
        let left: Vec<_> = std::fs::read_dir(bench.path("vm"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        assert!(left.iter().all(|name| name == "web01.unfinished" || name == "web01.undo"), "{left:?}");
    }
}

/// Between two runs as well: what the first copied is not gone on with.
#[test]
fn an_interrupted_copy_of_what_changed_since_is_started_over() {
    let bench = Bench::new();
    bench.disk("disk.raw", 80 * MIB, &[(0, 80 * MIB)]);
    let args = ["--threads", "1", "convert", "-o", "compressed=on", "disk.raw", "out.qcow2"];
    let mut child = bench.spawn(&args);
    while std::fs::metadata(bench.path("out.qcow2.partial")).map_or(0, |found| found.len()) < 10 * MIB {
        assert!(child.try_wait().unwrap().is_none(), "it ended early");
        std::thread::sleep(Duration::from_millis(1));
    }
    signal(&child, "TERM");
    assert_eq!(child.wait().unwrap().code(), Some(75));
    hidden(&bench, "disk.raw");
    let run = bench.rehome(&args).ends(0);
    assert!(
        run.stderr.contains("is started over: the source") && run.stderr.contains("was touched since"),
        "{run:?}"
    );
    bench.qemu_img(&["compare", "-f", "raw", "disk.raw", "out.qcow2"]);
}
