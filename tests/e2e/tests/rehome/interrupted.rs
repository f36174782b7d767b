//! Runs that do not reach their end leave nothing that could be taken for an image.

use crate::bench::{Bench, MIB, Mounted, appears, is_root, signal};
use std::time::Duration;

/// Data enough that a copy takes a while.
const DENSE: u64 = 64 * MIB;

fn bench_with_source() -> Bench {
    let bench = Bench::new();
    bench.disk("disk.raw", DENSE, &[(0, DENSE)]);
    bench
}

#[test]
fn kill_at_any_moment_leaves_no_image_that_is_not_whole() {
    let bench = bench_with_source();
    let (target, partial) = (bench.path("disk.qcow2"), bench.path("disk.qcow2.partial"));
    let mut killed_in_the_copy = 0;
    for moment in 0..12u32 {
        let mut child = bench.spawn(&["--threads", "1", "convert", "disk.raw", "disk.qcow2"]);
        assert!(appears(&partial, &mut child) || target.exists(), "moment {moment}");
        std::thread::sleep(Duration::from_millis(u64::from(moment * moment) * 2));
        signal(&child, "KILL");
        child.wait().unwrap();
        if target.exists() {
            // It was faster than the signal: then the image has to be whole.
            bench.rehome(&["compare", "--strict", "disk.raw", "disk.qcow2"]).ends(0);
            std::fs::remove_file(&target).unwrap();
        } else {
            killed_in_the_copy += 1;
        }
    }
    assert!(killed_in_the_copy > 0, "no signal met the copy");
    bench.rehome(&["convert", "--verify", "disk.raw", "disk.qcow2"]).ends(0);
    bench.qemu_img(&["compare", "-f", "raw", "disk.raw", "disk.qcow2"]);
    assert!(!partial.exists());
}

/// Compression makes the copy slow enough for a signal.
const SLOW: [&str; 7] = ["--threads", "1", "convert", "-o", "compressed=on", "disk.raw", "disk.qcow2"];

/// Sends the signal when at least so many bytes were written, and gives exit code and stderr.
fn interrupted_after(bench: &Bench, bytes: u64, name: &str) -> (Option<i32>, String) {
    let partial = bench.path("disk.qcow2.partial");
    let mut child = bench.spawn(&SLOW);
    while std::fs::metadata(&partial).map_or(0, |found| found.len()) < bytes {
        assert!(child.try_wait().unwrap().is_none(), "it ended early");
        std::thread::sleep(Duration::from_millis(1));
    }
    signal(&child, name);
    let output = child.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_polite_signal_ends_the_run_with_75_and_the_same_command_goes_on() {
    let bench = bench_with_source();
    let mut before = 0;
    for (name, bytes) in [("TERM", 10), ("INT", 20), ("TERM", 30)] {
        let (code, stderr) = interrupted_after(&bench, bytes * MIB, name);
        assert_eq!(code, Some(75), "{name}: {stderr}");
        let hint = "run the same command again to go on where it stopped";
        assert_eq!(stderr, format!("error: interrupted\n\nhint: {hint}\n"));
        assert_eq!(bench.names(), ["disk.qcow2.partial", "disk.qcow2.partial.journal", "disk.raw"]);
        let journal = bench.read("disk.qcow2.partial.journal").len();
        assert!(journal > before, "the journal grows");
        before = journal;
    }
    // Killed in the run that goes on: what the journal says stays true.
    let (code, stderr) = interrupted_after(&bench, 40 * MIB, "KILL");
    assert_eq!((code, stderr.as_str()), (None, ""));
    let run = bench.rehome(&[&["--output", "json"], &SLOW[..], &["--verify"]].concat()).ends(0);
    let resumed = run.json()["resumed_from"].as_u64().unwrap();
    assert!((20 * MIB..DENSE).contains(&resumed), "{run:?}");
    assert_eq!(run.json()["warnings"].as_array().unwrap().len(), 0, "{run:?}");
    bench.qemu_img(&["check", "-q", "disk.qcow2"]);
    bench.qemu_img(&["compare", "-f", "raw", "disk.raw", "disk.qcow2"]);
    bench.rehome(&["verify", "disk.qcow2"]).ends(0);
    let names = ["disk.qcow2", "disk.qcow2.rehome.blocks", "disk.qcow2.rehome.json", "disk.raw"];
    assert_eq!(bench.names(), names);
}

#[test]
fn a_run_that_cannot_go_on_says_why_and_a_restart_needs_no_reason() {
    let bench = bench_with_source();
    interrupted_after(&bench, 10 * MIB, "TERM");
    bench.flip("disk.raw", DENSE - 5);
    let run = bench.rehome(&SLOW).ends(0);
    assert!(run.stderr.contains("disk.qcow2 is started over: the source"), "{run:?}");
    assert!(run.stderr.contains("was changed since [started-over]"), "{run:?}");
    bench.qemu_img(&["compare", "-f", "raw", "disk.raw", "disk.qcow2"]);
    std::fs::remove_file(bench.path("disk.qcow2")).unwrap();

    interrupted_after(&bench, 10 * MIB, "TERM");
    let run = bench.rehome(&[&["--output", "json"], &SLOW[..], &["--restart"]].concat()).ends(0);
    assert!(run.json()["resumed_from"].is_null(), "{run:?}");
    assert_eq!(run.json()["warnings"].as_array().unwrap().len(), 0, "{run:?}");
    assert!(!bench.names().iter().any(|name| name.contains("partial")), "{:?}", bench.names());
}

#[test]
fn a_run_without_a_journal_says_that_it_discards_one() {
    let bench = bench_with_source();
    interrupted_after(&bench, 10 * MIB, "TERM");
    let run = bench.rehome(&[&SLOW[..], &["--also", "md5"]].concat()).ends(0);
    assert!(run.stderr.contains("disk.qcow2 is started over: a run like this one"), "{run:?}");
    bench.qemu_img(&["compare", "-f", "raw", "disk.raw", "disk.qcow2"]);
}

#[test]
fn a_full_disk_ends_the_run_and_with_more_room_it_goes_on() {
    if !is_root() {
        return;
    }
    let bench = bench_with_source();
    bench.bash("mkdir small").ends(0);
    for format in ["raw", "qcow2", "vhdx", "vhd", "vmdk", "vdi"] {
        bench.tool("mount", "mount", &["-t", "tmpfs", "-o", "size=24m", "none", "small"]);
        let mounted = Mounted(bench.path("small"));
        let target = format!("small/disk.{format}");
        let command = ["--output", "json", "convert", "disk.raw", &target];
        let run = bench.rehome(&command).ends(75);
        assert!(run.stderr.contains("No space left") && run.stderr.contains("make room"), "{run:?}");
        assert!(!bench.path(&target).exists(), "{format}");
        bench.tool("mount", "mount", &["-o", "remount,size=200m", "small"]);
        let run = bench.rehome(&command).ends(0);
        bench.rehome(&["compare", "--strict", "disk.raw", &target]).ends(0);
        let name = if format == "vhd" { "vpc" } else { format };
        bench.qemu_img(&["compare", "-f", "raw", "-F", name, "disk.raw", &target]);
        assert!(run.json()["warnings"].as_array().unwrap().is_empty(), "{run:?}");
        drop(mounted);
    }
}

#[test]
fn a_journal_is_no_way_to_another_file() {
    let bench = bench_with_source();
    interrupted_after(&bench, 10 * MIB, "TERM");
    bench.write("victim", "precious");
    let journal = bench.path("disk.qcow2.partial.journal");
    std::fs::remove_file(&journal).unwrap();
    std::os::unix::fs::symlink("victim", &journal).unwrap();
    let run = bench.rehome(&SLOW).ends(73);
    assert!(run.stderr.contains("is in the way"), "{run:?}");
    assert_eq!(bench.read("victim"), b"precious");
    // A source of that name is not removed either.
    bench.disk("new.raw.partial.journal", MIB, &[(0, MIB)]);
    let run = bench.rehome(&["convert", "-f", "raw", "new.raw.partial.journal", "new.raw"]).ends(2);
    assert!(run.stderr.contains("is a file of the source"), "{run:?}");
}

#[test]
fn the_source_is_only_open_for_reading_during_the_copy() {
    let bench = bench_with_source();
    let partial = bench.path("disk.qcow2.partial");
    let args = ["--threads", "1", "convert", "-o", "compressed=on", "disk.raw", "disk.qcow2"];
    let mut child = bench.spawn(&args);
    assert!(appears(&partial, &mut child), "it ended early");
    signal(&child, "STOP");
    let mut seen = 0;
    for entry in std::fs::read_dir(format!("/proc/{}/fd", child.id())).unwrap() {
        let entry = entry.unwrap();
        if std::fs::read_link(entry.path()).is_ok_and(|path| path.ends_with("disk.raw")) {
            let number = entry.file_name().into_string().unwrap();
            let info = std::fs::read_to_string(format!("/proc/{}/fdinfo/{number}", child.id())).unwrap();
            let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap();
            assert_eq!(u32::from_str_radix(flags.trim(), 8).unwrap() & 0o3, 0, "O_RDONLY: {info}");
            seen += 1;
        }
    }
    signal(&child, "KILL");
    child.wait().unwrap();
    assert!(seen > 0, "the source was not open");
}

#[test]
fn a_target_that_another_run_holds_is_left_alone() {
    let bench = Bench::new();
    bench.disk("disk.raw", MIB, &[(0, MIB)]);
    let other = std::fs::File::create(bench.path("disk.qcow2.partial")).unwrap();
    other.lock().unwrap();
    bench.write("disk.qcow2.partial", "of the other run");
    let run = bench.rehome(&["convert", "disk.raw", "disk.qcow2"]).ends(75);
    assert!(run.stderr.contains("disk.qcow2.partial is being written by another run"), "{run:?}");
    assert_eq!(bench.read("disk.qcow2.partial"), b"of the other run");
    drop(other);
    bench.rehome(&["convert", "disk.raw", "disk.qcow2"]).ends(0);
}

#[test]
fn of_runs_at_once_on_one_target_one_writes_it() {
    let bench = bench_with_source();
    let children: Vec<_> = (0..4).map(|_| bench.spawn(&["convert", "disk.raw", "disk.vhdx"])).collect();
    let codes: Vec<_> = children.into_iter().map(|mut child| child.wait().unwrap().code().unwrap()).collect();
    assert_eq!(codes.iter().filter(|code| **code == 0).count(), 1, "{codes:?}");
    assert!(codes.iter().all(|code| matches!(code, 0 | 73 | 75)), "{codes:?}");
    bench.rehome(&["verify", "disk.vhdx"]).ends(0);
    bench.rehome(&["compare", "disk.raw", "disk.vhdx"]).ends(0);
}

#[test]
fn a_host_that_takes_no_more_bytes_ends_the_run_cleanly() {
    let bench = Bench::new();
    bench.disk("disk.raw", 12 * MIB, &[(0, 12 * MIB)]);
    for format in ["raw", "qcow2", "vhdx", "vmdk", "vhd"] {
        // 4096 KiB a file, and no signal that would end the process instead of the write.
        let line = format!("ulimit -f 4096; trap '' XFSZ; \"$REHOME\" convert disk.raw full.{format}");
        let run = bench.bash(&line).ends(73);
        assert!(run.stderr.contains("File too large"), "{run:?}");
        assert_eq!(bench.names(), ["disk.raw"], "{format}");
    }
}

#[test]
fn no_file_that_a_run_would_remove_is_its_source() {
    let bench = bench_with_source();
    for end in ["partial", "partial.journal", "partial.sync"] {
        let source = format!("copy.raw.{end}");
        std::fs::copy(bench.path("disk.raw"), bench.path(&source)).unwrap();
        bench.rehome(&["convert", "-f", "raw", "-O", "raw", &source, "copy.raw"]).ends(2);
        assert!(bench.read(&source) == bench.read("disk.raw"), "{end}");
    }
}
