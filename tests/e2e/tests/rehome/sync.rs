//! `convert --sync`: a target that exists is brought up to date.

use crate::bench::{Bench, MIB, appears, is_root, noise, signal};
use std::os::unix::fs::FileExt;
use std::time::Duration;

const SIZE: u64 = 48 * MIB + 512;
/// rehome's name, qemu's name, options.
const KINDS: [(&str, &str, &str); 5] = [
    ("raw", "raw", ""),
    ("qcow2", "qcow2", ""),
    ("qcow2", "qcow2", "compressed=on,cluster_size=4k"),
    ("vhdx", "vhdx", ""),
    ("vhdx", "vhdx", "subformat=fixed"),
];

/// A source and a target made from it.
fn bench(format: &str, options: &str) -> (Bench, String) {
    let bench = Bench::new();
    bench.disk("disk.raw", SIZE, &[(0, 9 * MIB), (20 * MIB, 5 * MIB), (SIZE - 10, 10)]);
    let target = format!("copy.{format}");
    let mut args = vec!["convert", "disk.raw", &target];
    if !options.is_empty() {
        args.extend(["-o", options]);
    }
    bench.rehome(&args).ends(0);
    (bench, target)
}

fn write(bench: &Bench, name: &str, at: u64, bytes: &[u8]) {
    std::fs::File::options().write(true).open(bench.path(name)).unwrap().write_all_at(bytes, at).unwrap();
}

/// The source moves on: something changes, something is added, something becomes zeros.
fn change_source(bench: &Bench) {
    write(bench, "disk.raw", MIB + 5, &noise(77, 100));
    write(bench, "disk.raw", 30 * MIB, &noise(78, 300_000));
    write(bench, "disk.raw", 21 * MIB, &vec![0; MIB as usize]);
}

/// What a guest does to the target in a test run.
fn boot(bench: &Bench, target: &str, format: &str) {
    let lines = ["write -P 3 4096 70000", "write -P 4 40M 1M", "discard 22M 1M", "write -z 2M 64k"];
    let commands = lines.iter().flat_map(|line| ["-c", line]);
    let args: Vec<_> = ["-f", format].into_iter().chain(commands).chain([target]).collect();
    bench.tool("qemu-utils", "qemu-io", &args);
}

/// The target reads as the source, is whole, and its manifest says so.
fn judge(bench: &Bench, target: &str, format: &str) {
    bench.qemu_img(&["compare", "-f", "raw", "-F", format, "disk.raw", target]);
    if format != "raw" {
        bench.qemu_img(&["check", "-f", format, target]);
        bench.rehome(&["check", target]).ends(0);
    }
    bench.rehome(&["verify", target]).ends(0);
    let names = bench.names();
    assert!(!names.iter().any(|name| name.contains("partial")), "{names:?}");
}

#[test]
fn only_what_differs_is_rewritten() {
    for (format, qemu, options) in KINDS {
        let (bench, target) = bench(format, options);
        change_source(&bench);
        boot(&bench, &target, qemu);
        let source = bench.fingerprint("disk.raw");
        let args = ["convert", "--sync", "--verify", "disk.raw", &target, "--output", "json"];
        let done = bench.rehome(&args).ends(0).json();
        judge(&bench, &target, qemu);
        assert_eq!(bench.fingerprint("disk.raw"), source);
        let digest = bench.rehome(&["digest", "disk.raw", "--output", "json"]).ends(0).json();
        assert_eq!(done["digest"], digest["digest"]);
        assert_eq!(bench.json_of(&format!("{target}.rehome.json"))["digest"], digest["digest"]);
        let number = |key: &str| done[key].as_u64().unwrap();
        // Of the blocks of 4 MiB: 0, 5, 7 and 10 changed; 1, 2 and 6 are read, and the last.
        assert_eq!((number("blocks_rewritten"), &done["continued"]), (4, &false.into()));
        assert!(number("bytes_rewritten") < 7 * MIB, "{done}");
        assert!(number("source_bytes_read") < 16 * MIB, "{done}");
    }
}

#[test]
fn where_nothing_differs_nothing_is_touched() {
    for (format, qemu, options) in KINDS {
        let (bench, target) = bench(format, options);
        let names = bench.names();
        let before: Vec<_> = names.iter().map(|name| bench.fingerprint(name)).collect();
        let run = bench.rehome(&["convert", "--sync", "disk.raw", &target]).ends(0);
        assert!(run.stdout.contains("nothing differed"), "{run:?}");
        let after: Vec<_> = names.iter().map(|name| bench.fingerprint(name)).collect();
        assert_eq!((before, names), (after, bench.names()));
        // Without a manifest it gets one.
        std::fs::remove_file(bench.path(&format!("{target}.rehome.json"))).unwrap();
        bench.rehome(&["convert", "--sync", "disk.raw", &target]).ends(0);
        judge(&bench, &target, qemu);
    }
}

#[test]
fn a_killed_run_leaves_nothing_that_looks_finished_and_is_completed_by_the_same_command() {
    for format in ["raw", "qcow2", "vhdx"] {
        let (bench, target) = bench(format, "");
        let partial = bench.path(&format!("{target}.partial"));
        let args = ["--threads", "2", "convert", "--sync", "disk.raw", &target];
        let mut interrupted = 0;
        for moment in 0..20 {
            // Every block of the source is another one.
            write(&bench, "disk.raw", 0, &noise(moment + 1, 12 << 20));
            let mut child = bench.spawn(&args);
            if appears(&partial, &mut child) {
                std::thread::sleep(Duration::from_micros(moment * 997 % 9000));
                signal(&child, "KILL");
            }
            child.wait().unwrap();
            if partial.exists() {
                interrupted += 1;
                let names = bench.names();
                assert!(!names.contains(&target), "{names:?}");
                assert!(!names.iter().any(|name| name.ends_with("rehome.json")), "{names:?}");
                bench.rehome(&["convert", "disk.raw", &target]).ends(73);
            }
            let done = bench.rehome(&["convert", "--sync", "disk.raw", &target, "--output", "json"]);
            assert_eq!(done.ends(0).json()["warnings"].as_array().unwrap().len(), 0);
            judge(&bench, &target, format);
        }
        assert!(interrupted > 0, "{format}: no run was interrupted");
    }
}

#[test]
fn an_unfinished_target_is_only_discarded_when_that_was_said() {
    let (bench, _) = bench("raw", "");
    std::fs::rename(bench.path("copy.raw"), bench.path("copy.raw.partial")).unwrap();
    bench.write("copy.raw.partial.sync", "raw\n");
    let run = bench.rehome(&["convert", "disk.raw", "copy.raw"]).ends(73);
    assert!(run.stderr.contains("--sync") && run.stderr.contains("--force"), "{run:?}");
    change_source(&bench);
    let done =
        bench.rehome(&["convert", "--sync", "disk.raw", "copy.raw", "--output", "json"]).ends(0).json();
    assert_eq!(done["continued"], true);
    judge(&bench, "copy.raw", "raw");
    std::fs::rename(bench.path("copy.raw"), bench.path("copy.raw.partial")).unwrap();
    bench.write("copy.raw.partial.sync", "raw\n");
    bench.rehome(&["convert", "--force", "disk.raw", "copy.raw"]).ends(0);
    judge(&bench, "copy.raw", "raw");
    // What a conversion left is none of ours.
    bench.write("copy.raw.partial", "of a conversion");
    bench.flip("disk.raw", 0);
    bench.rehome(&["convert", "--sync", "disk.raw", "copy.raw"]).ends(73);
    assert_eq!(bench.read("copy.raw.partial"), b"of a conversion");
}

#[test]
fn a_polite_signal_says_how_to_go_on() {
    let (bench, target) = bench("qcow2", "");
    write(&bench, "disk.raw", 0, &noise(6, 48 << 20));
    let mut child = bench.spawn(&["--threads", "1", "convert", "--sync", "disk.raw", &target]);
    assert!(appears(&bench.path("copy.qcow2.partial"), &mut child), "it ended early");
    signal(&child, "TERM");
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(75), "{stderr}");
    assert!(stderr.contains("run the same command again to complete it"), "{stderr}");
    bench.rehome(&["convert", "--sync", "disk.raw", &target]).ends(0);
    judge(&bench, &target, "qcow2");
}

#[test]
fn a_host_that_takes_no_more_bytes_leaves_it_unfinished() {
    for format in ["qcow2", "vhdx"] {
        let (bench, target) = bench(format, "");
        write(&bench, "disk.raw", 0, &noise(5, 40 << 20));
        let line = format!("ulimit -f 24576; trap '' XFSZ; \"$REHOME\" convert --sync disk.raw {target}");
        let run = bench.bash(&line).ends(73);
        assert!(run.stderr.contains("run the same command again to complete it"), "{run:?}");
        assert!(!bench.names().contains(&target));
        bench.rehome(&["convert", "--sync", "disk.raw", &target]).ends(0);
        judge(&bench, &target, format);
    }
}

#[test]
fn sizes_have_to_agree() {
    let (bench, _) = bench("raw", "");
    bench.rehome(&["convert", "disk.raw", "copy.qcow2"]).ends(0);
    let resize = |len: u64| {
        std::fs::File::options().write(true).open(bench.path("disk.raw")).unwrap().set_len(len).unwrap();
    };
    resize(SIZE + 5 * MIB);
    bench.rehome(&["convert", "--sync", "disk.raw", "copy.raw"]).ends(0);
    judge(&bench, "copy.raw", "raw");
    bench.rehome(&["convert", "--sync", "disk.raw", "copy.qcow2"]).ends(69);
    resize(SIZE - 20);
    bench.rehome(&["convert", "--sync", "disk.raw", "copy.raw"]).ends(73);
    // qcow2 rounds up to 512 bytes: this is the disk that it holds.
    let run = bench.rehome(&["convert", "--sync", "disk.raw", "copy.qcow2"]).ends(0);
    assert!(run.stderr.contains("disk-size-rounded"), "{run:?}");
    judge(&bench, "copy.qcow2", "qcow2");
}

#[test]
fn a_manifest_of_another_image_is_told() {
    let (bench, _) = bench("raw", "");
    let manifest = String::from_utf8(bench.read("copy.raw.rehome.json")).unwrap();
    bench.write("copy.raw.rehome.json", manifest.replace("\"format\": \"raw\"", "\"format\": \"vdi\""));
    let run = bench.rehome(&["convert", "--sync", "disk.raw", "copy.raw"]).ends(0);
    assert!(run.stderr.contains("sync-manifest-disagrees"), "{run:?}");
    judge(&bench, "copy.raw", "raw");
}

#[test]
fn what_cannot_be_brought_up_to_date_is_left_alone() {
    let (bench, _) = bench("qcow2", "");
    bench.disk("base.raw", SIZE, &[(0, MIB)]);
    bench.rehome(&["convert", "disk.raw", "copy.vmdk"]).ends(0);
    bench.rehome(&["convert", "disk.raw", "flat.vmdk", "-o", "subformat=monolithicFlat"]).ends(0);
    bench.rehome(&["delta", "base.raw", "disk.raw", "child.qcow2"]).ends(0);
    let secret = "--object=secret,id=s,data=x";
    let luks = "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10";
    bench.qemu_img(&["create", "-q", secret, "-f", "qcow2", "-o", luks, "locked.qcow2", "50332160"]);
    bench.tool("coreutils", "cp", &["copy.qcow2", "named.raw"]);
    bench.flip("disk.raw", 0);
    let names = bench.names();
    let before: Vec<_> = names.iter().map(|name| bench.fingerprint(name)).collect();
    for (code, target) in [
        (69, "copy.vmdk"),
        (69, "flat.vmdk"),
        (69, "child.qcow2"),
        (69, "locked.qcow2"),
        (2, "named.raw"),
        (73, "missing.qcow2"),
        (2, "disk.raw"),
        (2, "-"),
    ] {
        let run = bench.rehome(&["convert", "--sync", "disk.raw", target]).ends(code);
        assert!(!run.stderr.is_empty());
    }
    bench.rehome(&["convert", "--sync", "--force", "disk.raw", "copy.qcow2"]).ends(2);
    bench.rehome(&["convert", "--sync", "-o", "compressed", "disk.raw", "copy.qcow2"]).ends(2);
    let after: Vec<_> = names.iter().map(|name| bench.fingerprint(name)).collect();
    assert_eq!((before, names), (after, bench.names()));
}

#[test]
fn a_target_that_a_guest_runs_on_is_left_alone() {
    let (bench, target) = bench("qcow2", "");
    bench.flip("disk.raw", 0);
    let mut guest = std::process::Command::new("qemu-io");
    guest.args(["-f", "qcow2", "copy.qcow2"]).current_dir(bench.path("."));
    guest.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut guest = guest.spawn().expect("qemu-io is missing, install qemu-utils");
    // The prompt comes once the image is open.
    std::io::Read::read_exact(guest.stdout.as_mut().unwrap(), &mut [0; 8]).unwrap();
    let run = bench.rehome(&["convert", "--sync", "disk.raw", &target]);
    drop(guest.stdin.take());
    guest.wait().unwrap();
    assert!(run.ends(75).stderr.contains("in use by another program"));
    bench.rehome(&["convert", "--sync", "disk.raw", &target]).ends(0);
    judge(&bench, &target, "qcow2");
}

#[test]
fn a_device_is_brought_up_to_date() {
    if !is_root() {
        return;
    }
    let (bench, _) = bench("raw", "");
    bench.write("device.img", noise(3, 50 * MIB as usize));
    let attached = bench.tool("mount", "losetup", &["-f", "--show", "device.img"]);
    let device = attached.trim();
    let sync =
        ["convert", "--sync", "-n", "--overwrite-device", "--verify", "disk.raw", device, "--output", "json"];
    bench.rehome(&["convert", "--sync", "disk.raw", device]).ends(2);
    let first = bench.rehome(&sync).ends(0).json();
    change_source(&bench);
    let second = bench.rehome(&sync).ends(0).json();
    let third = bench.rehome(&sync).ends(0).json();
    bench.tool("mount", "losetup", &["-d", device]);
    let rewritten = |run: &serde_json::Value| run["blocks_rewritten"].as_u64().unwrap();
    assert_eq!((rewritten(&first), rewritten(&second), rewritten(&third)), (13, 3, 0));
    let (written, disk) = (bench.read("device.img"), bench.read("disk.raw"));
    assert!(written[..SIZE as usize] == disk, "the disk is there, its zeros too");
    assert!(
        written[SIZE as usize..] == noise(3, 50 * MIB as usize)[SIZE as usize..],
        "the rest is untouched"
    );
}

#[test]
fn other_names_of_the_target_and_strange_markers_are_refused() {
    let bench = Bench::new();
    bench.disk("new.raw", 9 * MIB, &[(0, 4096)]);
    bench.disk("old.raw", 9 * MIB, &[(MIB, 4096)]);
    std::fs::hard_link(bench.path("old.raw"), bench.path("backup.raw")).unwrap();
    let before = bench.read("backup.raw");
    bench.rehome(&["convert", "new.raw", "old.raw", "--sync"]).ends(73);
    assert!(bench.read("backup.raw") == before);
    std::fs::rename(bench.path("old.raw"), bench.path("other.raw.partial")).unwrap();
    bench.bash("mkfifo other.raw.partial.sync").ends(0);
    bench.bash("timeout 20 $REHOME convert new.raw other.raw --sync").ends(73);
    bench.bash("rm other.raw.partial.sync; ln -s /dev/zero other.raw.partial.sync").ends(0);
    bench.bash("ulimit -v 4000000; timeout 20 $REHOME convert new.raw other.raw --sync").ends(73);
}
