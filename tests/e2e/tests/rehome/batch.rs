//! Batches: many runs as children, killed, stopped and started again.

use crate::bench::{Bench, MIB, Run, signal};
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

/// A line of `--tasks`: a conversion of `source` into `out/ID.qcow2`.
fn task(id: &str, source: &str, more: &[&str]) -> String {
    let output = format!("out/{id}.qcow2");
    let command = [&["convert", source, &output][..], more].concat();
    serde_json::json!({
        "id": id, "command": command, "outputs": [output], "source_key": source, "fingerprint": "1",
    })
    .to_string()
        + "\n"
}

fn bench(tasks: &str) -> Bench {
    let bench = Bench::new();
    std::fs::create_dir(bench.path("out")).unwrap();
    bench.write("tasks", tasks);
    bench
}

const RUN: [&str; 6] = ["batch", "run", "--tasks", "tasks", "--retry-wait", "0"];

fn batch(bench: &Bench, more: &[&str]) -> Run {
    bench.rehome(&[&["--output", "json"], &RUN[..], more].concat())
}

fn state(bench: &Bench, id: &str) -> serde_json::Value {
    bench.json_of(&format!("out/.rehome-batch/jobs/{id}.json"))
}

fn leases(bench: &Bench) -> Vec<String> {
    let entries = std::fs::read_dir(bench.path("out/.rehome-lease")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    // A kill leaves what was being made.
    names.filter(|name| !name.starts_with('.')).collect()
}

#[test]
fn a_batch_with_bad_sources_comes_to_its_right_end_and_goes_on_from_there() {
    let good: Vec<_> = (0..6).map(|i| format!("good{i}")).collect();
    let mut tasks: String = good.iter().map(|id| task(id, "disk.raw", &["--verify"])).collect();
    tasks += &task("torn", "torn.qcow2", &[]);
    tasks += &task("missing", "missing.raw", &[]);
    let bench = bench(&tasks);
    bench.disk("disk.raw", 8 * MIB, &[(MIB, 2 * MIB)]);
    bench.write("torn.qcow2", b"QFI\xfb\0\0\0\x03 and no more");
    let run = batch(&bench, &["--jobs", "3", "--metrics", "m.prom", "--status-file", "s"]).ends(65);
    let said = run.json();
    assert_eq!((&said["counts"]["done"], &said["counts"]["failed"]), (&6.into(), &2.into()), "{said}");
    for id in &good {
        bench.qemu_img(&["compare", "-f", "raw", "disk.raw", &format!("out/{id}.qcow2")]);
        let digest = state(&bench, id)["digest"].clone();
        assert_eq!(digest.as_str().map(str::len), Some(64), "{digest}");
    }
    assert_eq!(state(&bench, "missing")["exit_code"], 66);
    assert_eq!(state(&bench, "torn")["error"]["kind"], "corrupt");
    bench.tool("prometheus", "bash", &["-c", "promtool check metrics <m.prom"]);
    assert!(bench.read("s").len() <= 4096);
    let status = ["batch", "status", "--state", "out/.rehome-batch"];
    let line = bench.rehome(&[&status[..], &["--nagios"]].concat()).ends(2).stdout;
    assert!(line.starts_with("REHOME CRITICAL - 6 of 8 jobs: 6 done, 2 failed; "), "{line}");
    bench.rehome(&["batch", "status", "--state", "none", "--nagios"]).ends(3);

    // Mended, and asked for.
    bench.disk("missing.raw", MIB, &[(0, MIB)]);
    bench.tool("qemu-utils", "qemu-img", &["create", "-q", "-f", "qcow2", "torn.qcow2", "1M"]);
    assert_eq!(batch(&bench, &[]).ends(65).json()["already_done"], 6, "not without being asked");
    bench.rehome(&["batch", "retry", "--state", "out/.rehome-batch", "--failed"]).ends(0);
    let quiet = bench.rehome(&[&RUN[..], &["--quiet"]].concat()).ends(0);
    assert_eq!((quiet.stdout.as_str(), quiet.stderr.as_str()), ("", ""));
    assert_eq!(leases(&bench), [""; 0]);
}

#[test]
fn killed_at_twenty_moments_a_batch_ends_well_without_repair() {
    let ids: Vec<_> = (0..10).map(|i| format!("vm{i}")).collect();
    let tasks: String = ids.iter().map(|id| task(id, "disk.raw", &["--verify"])).collect();
    let bench = bench(&tasks);
    bench.disk("disk.raw", 16 * MIB, &[(0, 12 * MIB)]);
    let (mut kills, mut moment) = (0, 3u64);
    while kills < 20 {
        let mut child = bench.spawn(&[&RUN[..], &["--jobs", "3"]].concat());
        moment = moment * 48_271 % 65_537;
        std::thread::sleep(Duration::from_millis(20 + moment % 900));
        if child.try_wait().unwrap().is_none() {
            signal(&child, "KILL");
            kills += 1;
        }
        if child.wait().unwrap().code().is_some_and(|code| {
            assert_eq!(code, 0);
            true
        }) {
            // All was done: once more from the start.
            ids.iter().for_each(|id| std::fs::remove_file(bench.path(&format!("out/{id}.qcow2"))).unwrap());
        }
    }
    batch(&bench, &["--jobs", "3"]).ends(0);
    for id in &ids {
        let image = format!("out/{id}.qcow2");
        bench.qemu_img(&["compare", "-f", "raw", "disk.raw", &image]);
        bench.rehome(&["verify", &image]).ends(0);
    }
    assert_eq!(leases(&bench), [""; 0]);
    let names: Vec<_> = std::fs::read_dir(bench.path("out")).unwrap().collect();
    assert_eq!(names.len(), 3 * ids.len() + 2, "images, manifests, block lists, state and leases: {names:?}");
}

#[test]
fn a_polite_signal_makes_checkpoints_and_the_next_run_goes_on_from_them() {
    let bench = bench(&task("web", "disk.raw", &["--rate-limit", "4M"]));
    bench.disk("disk.raw", 64 * MIB, &[(0, 64 * MIB)]);
    let child = bench.spawn(&RUN);
    wait_for(&bench.path("out/web.qcow2.partial"), 9 * MIB);
    signal(&child, "TERM");
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(75), "{output:?}");
    assert_eq!(state(&bench, "web")["state"], "interrupted");
    // The same job without its brake: it is for the fingerprint to say that this decides over nothing.
    bench.write("tasks", task("web", "disk.raw", &["--verify"]));
    batch(&bench, &[]).ends(0);
    let outcome = bench.json_of("out/.rehome-batch/jobs/web.outcome.json");
    assert!(outcome["resumed_from"].as_u64().unwrap() >= 4 * MIB, "{outcome}");
    bench.qemu_img(&["compare", "-f", "raw", "disk.raw", "out/web.qcow2"]);
}

fn wait_for(path: &Path, bytes: u64) {
    let begun = Instant::now();
    while std::fs::metadata(path).map_or(0, |found| found.len()) < bytes {
        assert!(begun.elapsed() < Duration::from_secs(60), "{} does not grow", path.display());
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The process that a batch started.
fn child_of(bench: &Bench, batch: &Child) -> String {
    bench.tool("procps", "pgrep", &["-P", &batch.id().to_string()]).trim().to_owned()
}

#[test]
fn a_run_that_was_stopped_and_taken_for_dead_publishes_nothing_when_it_goes_on() {
    let bench = bench(&task("web", "disk.raw", &["--rate-limit", "4M"]));
    bench.disk("disk.raw", 32 * MIB, &[(0, 32 * MIB)]);
    let mut first = bench.spawn(&[&RUN[..], &["--takeover-after", "2"]].concat());
    wait_for(&bench.path("out/web.qcow2.partial"), 9 * MIB);
    let stopped = child_of(&bench, &first);
    signal(&first, "STOP");
    bench.tool("procps", "kill", &["-STOP", &stopped]);
    // The same job on another host, as an engine would start it there.
    bench.write("tasks", task("web", "disk.raw", &["--verify"]));
    let second = batch(&bench, &["--takeover-after", "2"]).ends(0);
    assert_eq!(second.json()["counts"]["done"], 1, "{second:?}");
    let events = String::from_utf8(bench.read("out/.rehome-batch/events.ndjson")).unwrap();
    assert!(events.contains("job-taken-over"), "{events}");
    let outcome = bench.json_of("out/.rehome-batch/jobs/web.outcome.json");
    assert_eq!(
        outcome["resumed_from"],
        serde_json::Value::Null,
        "not from a file that somebody may write to"
    );
    let made = bench.fingerprint("out/web.qcow2");

    // The child wakes up first and comes to its end: nobody but its own look at the lease keeps it from publishing.
    bench.tool("procps", "kill", &["-CONT", &stopped]);
    let begun = Instant::now();
    let state_of = |pid: &str| std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    while !state_of(&stopped).contains(") Z") {
        assert!(begun.elapsed() < Duration::from_secs(50), "it does not end: {}", state_of(&stopped));
        std::thread::sleep(Duration::from_millis(20));
    }
    signal(&first, "CONT");
    assert_eq!(first.wait().unwrap().code(), Some(0), "its jobs are done, by the other");
    assert_eq!(bench.fingerprint("out/web.qcow2"), made, "exactly one published");
    assert_eq!(state(&bench, "web")["state"], "done");
    let log = String::from_utf8(bench.read("out/.rehome-batch/jobs/web.log")).unwrap();
    assert!(log.contains("another run has taken over web"), "{log}");
    assert!(log.contains("ended with exit code 75"), "{log}");
    bench.qemu_img(&["compare", "-f", "raw", "disk.raw", "out/web.qcow2"]);
    bench.rehome(&["verify", "out/web.qcow2"]).ends(0);
    let mut names: Vec<_> =
        std::fs::read_dir(bench.path("out")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    let wanted =
        [".rehome-batch", ".rehome-lease", "web.qcow2", "web.qcow2.rehome.blocks", "web.qcow2.rehome.json"];
    assert_eq!(names, wanted);
    assert_eq!(leases(&bench), [""; 0]);
}
