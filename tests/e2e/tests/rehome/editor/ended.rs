//! A run that ends in the middle of the micro-VM's work leaves nothing behind.

use super::{EXT4, plant_tool, until};
use crate::bench::{Bench, Run, appears, is_root, signal};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// A migration whose guest's tool takes a minute, and the process of its micro-VM. It has begun to edit.
fn running(bench: &Bench) -> (Child, u32) {
    EXT4.build(bench, |tree| plant_tool(tree, "sleep 60"));
    std::fs::create_dir(bench.path("temp")).unwrap();
    let args =
        ["migrate", "server.raw", "--to", "kvm", "--out", "vm", "--editor", "microvm", "--rebuild-initramfs"];
    let mut child = bench.spawn_with_temp("temp", &args);
    let began = appears(&bench.path("vm/web01.unfinished"), &mut child);
    assert!(began, "{:#?}", Run::new(&child.wait_with_output().unwrap()));
    std::thread::sleep(Duration::from_secs(2));
    let found = Command::new("pgrep").args(["-P", &child.id().to_string(), "-f", "qemu"]).output();
    let found = String::from_utf8(found.expect("pgrep is missing, install procps").stdout).unwrap();
    let process = found.trim().parse().unwrap_or_else(|_| panic!("one child is qemu: {found:?}"));
    (child, process)
}

fn is_there(process: u32) -> bool {
    std::path::Path::new(&format!("/proc/{process}")).exists()
}

/// Nothing that looks like a result, and no temporary file.
fn nothing_is_left(bench: &Bench) {
    let left = bench.bash("find vm -type f 2>/dev/null; ls temp").stdout;
    assert_eq!(left, "");
}

#[test]
fn a_micro_vm_that_is_killed_ends_the_migration_without_a_result() {
    if !is_root() {
        return;
    }
    let bench = Bench::new();
    let (child, qemu) = running(&bench);
    let source = bench.fingerprint("server.raw");
    let began = Instant::now();
    assert!(Command::new("kill").args(["-9", &qemu.to_string()]).status().unwrap().success());
    let run = Run::new(&child.wait_with_output().unwrap()).ends(75);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert!(run.stderr.contains("qemu ended"), "{run:?}");
    assert_eq!(bench.fingerprint("server.raw"), source);
    nothing_is_left(&bench);
}

#[test]
fn a_signal_ends_the_migration_and_its_micro_vm() {
    if !is_root() {
        return;
    }
    let bench = Bench::new();
    let (child, qemu) = running(&bench);
    let source = bench.fingerprint("server.raw");
    signal(&child, "TERM");
    until(Duration::from_secs(5), "ending qemu", || !is_there(qemu));
    let run = Run::new(&child.wait_with_output().unwrap()).ends(75);
    assert!(run.stdout.is_empty() && run.stderr.contains("interrupted"), "{run:?}");
    assert_eq!(bench.fingerprint("server.raw"), source);
    nothing_is_left(&bench);
}

#[test]
fn a_killed_migration_takes_its_micro_vm_along() {
    if !is_root() {
        return;
    }
    let bench = Bench::new();
    let (mut child, qemu) = running(&bench);
    signal(&child, "KILL");
    child.wait().unwrap();
    until(Duration::from_secs(5), "ending qemu", || !is_there(qemu));
    let left = bench.bash("find vm -type f -not -path '*.undo/*'").stdout;
    assert_eq!(left, "vm/web01.unfinished\n", "no image, and the mark that a later run looks for");
    bench.rehome(&["migrate", "server.raw", "--to", "kvm", "--out", "vm"]).ends(0);
    bench.rehome(&["verify", "vm/web01.qcow2"]).ends(0);
    assert!(!bench.path("vm/web01.unfinished").exists());
}
