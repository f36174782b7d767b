//! What an operator types wrong, waits for, or runs out of.

use crate::bench::{Bench, MIB, signal};
use std::io::Write;
use std::process::{Child, ChildStdin, Stdio};
use std::time::{Duration, Instant};

fn bench() -> Bench {
    let bench = Bench::new();
    bench.disk("disk.raw", 5 * MIB, &[(0, 70_000), (4 * MIB, 70_000)]);
    bench
}

/// The program with a pipe that stays open and says nothing more after `head`.
fn stalled(bench: &Bench, args: &[&str], head: &[u8]) -> (Child, ChildStdin) {
    let mut child = bench.spawn_reading(args, Stdio::piped());
    let mut pipe = child.stdin.take().unwrap();
    pipe.write_all(head).unwrap();
    (child, pipe)
}

#[test]
fn a_signal_ends_a_run_that_waits_for_its_pipe() {
    let bench = bench();
    bench.rehome(&["convert", "disk.raw", "stream.vmdk", "-o", "subformat=streamOptimized"]).ends(0);
    let stream = bench.read("stream.vmdk");
    let before = bench.names();
    let raw = vec![7; 100_000];
    let cases: [(&[&str], &[u8]); 4] = [
        (&["convert", "-f", "raw", "-", "out.qcow2"], &[]),
        (&["convert", "-f", "raw", "-", "out.qcow2"], &raw),
        (&["convert", "-", "out.qcow2"], &stream[..100_000]),
        (&["flatten", "-", "out.raw"], &stream[..100_000]),
    ];
    for (args, head) in cases {
        let (child, pipe) = stalled(&bench, args, head);
        std::thread::sleep(Duration::from_millis(300));
        let asked = Instant::now();
        signal(&child, "INT");
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(asked.elapsed() < Duration::from_secs(5), "{args:?}");
        assert_eq!(output.status.code(), Some(75), "{args:?}: {stderr}");
        assert!(stderr.contains("error: interrupted"), "{args:?}: {stderr}");
        assert_eq!(bench.names(), before, "{args:?}");
        drop(pipe);
    }
}

#[test]
fn only_convert_takes_a_dash_for_a_pipe() {
    let bench = bench();
    bench.rehome(&["create", "-", "1M", "-O", "raw"]).ends(2);
    bench.rehome(&["delta", "disk.raw", "disk.raw", "-", "-O", "qcow2"]).ends(2);
    bench.rehome(&["check", "disk.raw", "--repair", "-", "-O", "raw"]).ends(2);
    assert_eq!(bench.names(), ["disk.raw"]);
}

#[test]
fn programs_get_wrong_usage_as_json_too() {
    let bench = bench();
    for args in [&["measure"][..], &["bogus"], &["info", "disk.raw", "--threads", "0"]] {
        for json in [&["--output", "json"][..], &["--output=json"]] {
            let run = bench.rehome(&[json, args].concat()).ends(2);
            assert_eq!(run.json()["error"]["kind"], "usage");
            assert_eq!(run.json()["error"]["exit_code"], 2);
            assert!(run.stderr.starts_with("error: "), "{run:?}");
        }
        assert_eq!(bench.rehome(args).ends(2).stdout, "");
    }
    assert!(bench.rehome(&["--output", "json", "--help"]).ends(0).stdout.contains("Usage:"));
}

#[test]
fn names_of_formats_can_be_written_in_capitals() {
    let bench = bench();
    bench.rehome(&["convert", "disk.raw", "disk.out", "-f", "RAW", "-O", "VPC"]).ends(0);
    bench.qemu_img(&["compare", "-f", "raw", "-F", "vpc", "disk.raw", "disk.out"]);
}

#[test]
fn a_size_without_its_unit_makes_no_tiny_disk() {
    let bench = bench();
    let run = bench.rehome(&["create", "new.qcow2", "1.5"]).ends(2);
    assert!(run.stderr.contains("a fraction needs a unit, as in 1.5G"), "{run:?}");
    let run = bench.rehome(&["create", "new.qcow2", "1e9"]).ends(2);
    assert!(run.stderr.contains("write bytes or a suffix: 4096, 64K, 2M, 10G, 1T"), "{run:?}");
    bench.rehome(&["create", "new.qcow2", "1.5G"]).ends(0);
    assert_eq!(bench.rehome(&["--output", "json", "info", "new.qcow2"]).json()["virtual-size"], 3u64 << 29);
}

#[test]
fn a_full_place_is_left_clean_and_the_next_step_is_said() {
    // A small file system needs no root in a user namespace of its own; where there are none, nothing can be tried.
    let bench = bench();
    std::fs::create_dir(bench.path("small")).unwrap();
    let line = "mount -t tmpfs -o size=1m none small 2>/dev/null || exit 99; \
                \"$REHOME\" convert disk.raw small/out.raw -f raw; echo $?; ls -A small";
    let fill = "head -c 1M /dev/urandom > noise; cat noise noise noise > disk.raw; ";
    let run = bench.bash(&format!("{fill} unshare -Urm bash -c '{line}'"));
    if run.stdout.is_empty() {
        return;
    }
    assert_eq!(run.stdout, "75\n", "{run:?}");
    assert!(run.stderr.contains("\nhint: make room, then run the same command again"), "{run:?}");
}

#[test]
fn help_of_the_commands_with_a_target_has_examples() {
    let bench = Bench::new();
    for command in ["convert", "delta", "create", "measure"] {
        let run = bench.rehome(&[command, "--help"]).ends(0);
        assert!(run.stdout.contains(&format!("Examples:\n  rehome {command} ")), "{run:?}");
    }
}

#[test]
fn a_rate_limit_slows_the_copy_down_and_a_signal_still_ends_it() {
    let bench = Bench::new();
    bench.disk("disk.raw", 40 * MIB, &[(0, 10 * MIB)]);
    let started = Instant::now();
    bench.rehome(&["convert", "--rate-limit", "5M", "disk.raw", "out.qcow2"]).ends(0);
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(1900), "10 MiB at 5 MiB/s took {took:?}");
    assert!(took < Duration::from_secs(7), "holes are free: {took:?}");
    let child = bench.spawn(&["convert", "--rate-limit", "1", "disk.raw", "slow.qcow2"]);
    std::thread::sleep(Duration::from_millis(500));
    signal(&child, "TERM");
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(75));
    bench.rehome(&["convert", "--rate-limit", "0", "disk.raw", "x.raw"]).ends(2);
}

#[test]
fn memory_stays_below_its_limit_for_any_number_of_threads() {
    let bench = Bench::new();
    bench.disk("disk.raw", 400 * MIB, &[(0, 400 * MIB)]);
    let peak = |args: &str| -> u64 {
        let line = format!("/usr/bin/time -f 'peak %M' \"$REHOME\" --threads 64 convert --force {args}");
        let run = bench.bash(&line).ends(0);
        let kib = run.stderr.lines().find_map(|line| line.strip_prefix("peak ")).unwrap();
        kib.trim().parse::<u64>().unwrap() << 10
    };
    // Noise is what compresses worst: a worker holds it twice.
    for args in ["disk.raw out.raw", "disk.raw out.vmdk -o subformat=streamOptimized"] {
        let found = peak(args);
        assert!(found < 256 * MIB, "{found} bytes for {args}");
    }
    let found = peak("--max-memory 64M disk.raw out.raw");
    assert!(found < 64 * MIB, "{found} bytes");
    let run = bench.rehome(&["convert", "--max-memory", "20M", "disk.raw", "x.raw"]).ends(2);
    assert!(run.stderr.contains("one worker needs 41 MiB"), "{run:?}");
}

#[test]
fn whatever_asks_for_more_memory_than_it_may_have_is_ended() {
    let bench = Bench::new();
    // Zeros take no room packed; unpacked, the window holds 128 MiB of them.
    bench.bash("head -c 200M /dev/zero | zstd -q --long=27 >disk.raw.zst").ends(0);
    let run = bench.rehome(&["convert", "--max-memory", "64M", "disk.raw.zst", "out.qcow2"]).ends(69);
    assert!(run.stderr.contains("more than --max-memory allows"), "{run:?}");
    assert!(!bench.path("out.qcow2").exists());
    bench.rehome(&["convert", "disk.raw.zst", "out.qcow2"]).ends(0);
}

#[test]
fn an_image_that_does_not_open_in_time_ends_the_run() {
    let bench = Bench::new();
    // Who connects is never answered.
    let _socket = std::os::unix::net::UnixListener::bind(bench.path("silent")).unwrap();
    let address = format!("nbd+unix:///?socket={}", bench.path("silent").display());
    let started = Instant::now();
    let run = bench.rehome(&["info", &address, "--open-timeout", "1", "--output", "json"]).ends(69);
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    let said: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(said["error"]["code"], "RH-LIMIT");
    assert!(said["error"]["message"].as_str().unwrap().contains("within 1 s"), "{said}");
}
