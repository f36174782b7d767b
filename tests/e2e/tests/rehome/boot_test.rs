//! Disks that are booted: what is decided, what is left as evidence, and that nothing of the image changes.

use crate::bench::{Bench, MIB, signal};
use crate::guest;
use serde_json::Value;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::process::Command;
use std::time::{Duration, Instant};

/// Boot code that writes `text` on the first serial port (port 0x3f8), waits, and does it again: 8086 code for address 0x7c00.
fn boot_sector(text: &[u8]) -> Vec<u8> {
    #[rustfmt::skip]
    let mut code = vec![
        0xfa, 0x31, 0xc0, 0x8e, 0xd8,       // cli; xor ax, ax; mov ds, ax
        0xbe, 0x1b, 0x7c,                   // mov si, text
        0xba, 0xf8, 0x03,                   // mov dx, 0x3f8
        0xac, 0x84, 0xc0, 0x74, 0x03,       // next: lodsb; test al, al; jz end
        0xee, 0xeb, 0xf8,                   // out dx, al; jmp next
        0xf4, 0xeb, 0xfd,                   // end: hlt; jmp end
    ];
    code.resize(0x1b, 0x90);
    code.extend(text);
    code.resize(510, 0);
    code.extend([0x55, 0xaa]);
    code
}

fn disk_saying(bench: &Bench, name: &str, text: &str) {
    bench.disk(name, 16 * MIB, &[]);
    let file = std::fs::OpenOptions::new().write(true).open(bench.path(name)).unwrap();
    file.write_all_at(&boot_sector(text.as_bytes()), 0).unwrap();
}

/// Checks the evidence: the report is what was printed, the log is what the guest wrote, the screenshot is a picture.
#[track_caller]
fn evidence(bench: &Bench, folder: &str, printed: &Value) -> Vec<u8> {
    assert_eq!(&bench.json_of(&format!("{folder}/boot-test.json")), printed);
    let png = bench.read(&format!("{folder}/screen.png"));
    assert_eq!(&png[..16], b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR");
    let side = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap());
    assert!(
        (320..=4096).contains(&side(16)) && (200..=4096).contains(&side(20)),
        "{} {}",
        side(16),
        side(20)
    );
    assert!(png.ends_with(b"IEND\xaeB\x60\x82"));
    bench.read(&format!("{folder}/serial.log"))
}

/// No QEMU that works in a folder of ours is left.
fn qemus_with(words: &str) -> String {
    let found = Command::new("pgrep").args(["-f", words]).output().expect("pgrep is missing, install procps");
    String::from_utf8(found.stdout).unwrap()
}

#[test]
fn an_empty_disk_starts_nothing_by_bios_and_says_so_on_the_screen() {
    let bench = Bench::new();
    bench.disk("empty.raw", 8 * MIB, &[]);
    bench.qemu_img(&["convert", "-f", "raw", "-O", "vhdx", "empty.raw", "empty.vhdx"]);
    let before = bench.fingerprint("empty.vhdx");
    let args = ["boot-test", "empty.vhdx", "--target", "hyperv-gen1", "--out", "found", "--timeout", "40"];
    let report = bench.rehome(&[&args[..], &["--output", "json", "--memory", "128"]].concat()).ends(1).json();
    assert_eq!((&report["verdict"], &report["place"]), (&"failed".into(), &"screen".into()), "{report:#}");
    assert!(["not-bootable", "no-bootable-device"].contains(&report["rule"].as_str().unwrap()), "{report:#}");
    assert_eq!(
        (&report["machine"]["board"], &report["machine"]["controller"]),
        (&"pc".into(), &"ide".into())
    );
    assert_eq!((&report["target"], &report["memory_mib"]), (&"hyperv-gen1".into(), &128.into()));
    assert!(report["differences"][0].as_str().unwrap().contains("VMBus"), "{report:#}");
    evidence(&bench, "found", &report);
    assert_eq!(bench.fingerprint("empty.vhdx"), before);
    // The evidence of a test is not replaced unasked, and that is noticed before anything is started.
    let start = Instant::now();
    bench.rehome(&args).ends(73);
    assert!(start.elapsed() < Duration::from_secs(2));
}

#[test]
fn an_empty_disk_starts_nothing_by_uefi() {
    let bench = Bench::new();
    bench.disk("empty.raw", 8 * MIB, &[]);
    let args = ["boot-test", "empty.raw", "--target", "kvm-uefi-sata", "--timeout", "55", "--memory", "256"];
    let run = bench.rehome(&args).ends(1);
    assert!(run.stdout.starts_with("FAILED after "), "{run:#?}");
    let report = bench.json_of("empty.raw.boot-test/boot-test.json");
    assert!(["uefi-shell", "uefi-no-option"].contains(&report["rule"].as_str().unwrap()), "{report:#}");
    assert_eq!((&report["firmware"], &report["machine"]["controller"]), (&"uefi".into(), &"sata".into()));
    let log = evidence(&bench, "empty.raw.boot-test", &report);
    assert!(String::from_utf8_lossy(&log).contains("BdsDxe"));
}

#[test]
fn only_what_the_guest_says_is_success() {
    let bench = Bench::new();
    for (name, text, code, rule) in [
        ("well", "Debian GNU/Linux 12 web ttyS0\r\n\r\nweb login: ", 0, Some("login-prompt")),
        ("panic", "[    1.5] Kernel panic - not syncing: no init\r\nweb login: ", 1, Some("kernel-panic")),
        (
            "rescue",
            "error: unknown filesystem.\r\nEntering rescue mode...\r\ngrub rescue> ",
            1,
            Some("grub-rescue"),
        ),
        ("mute", "Last failed login: never\r\n", 78, None),
    ] {
        let image = format!("{name}.raw");
        disk_saying(&bench, &image, text);
        let before = bench.fingerprint(&image);
        let args = ["boot-test", &image, "--target", "aws", "--firmware", "bios", "--timeout", "25"];
        let run = bench.rehome(&[&args[..], &["--output", "json", "--memory", "64", "--out", name]].concat());
        let report = run.ends(code).json();
        assert_eq!(report["rule"].as_str(), rule, "{report:#}");
        assert_eq!(
            report["verdict"],
            ["passed", "failed", "undecided"][usize::from(code > 0) + usize::from(code > 1)]
        );
        assert_eq!(report["machine"]["controller"], "nvme");
        assert_eq!(evidence(&bench, name, &report), text.as_bytes());
        assert_eq!(bench.fingerprint(&image), before);
        assert_eq!(report["observations"].as_array().unwrap().is_empty(), code != 78, "{report:#}");
    }
}

#[test]
fn a_machine_that_ends_or_is_interrupted_leaves_no_process_and_no_verdict() {
    let bench = Bench::new();
    // The last one nobody can prepare for.
    for (victim, name, code) in
        [("qemu", "KILL", Some(74)), ("rehome", "TERM", Some(75)), ("rehome", "KILL", None)]
    {
        disk_saying(&bench, "mute.raw", "waiting\r\n");
        let mac = format!("52:54:00:e2:e0:{:02x}", code.unwrap_or(0));
        let machine = serde_json::json!({
            "rehome_machine": 1, "name": "web", "firmware": {"kind": "bios"}, "cpu": {"count": 1}, "memory_mib": 64,
            "disks": [{"id": "root", "source": {"file": "mute.raw"}, "bus": "scsi", "order": 0}],
            "nics": [{"mac": mac}],
        });
        bench.write("web.json", machine.to_string());
        let args = ["boot-test", "mute.raw", "--machine", "web.json", "--timeout", "50", "--out", "found"];
        let mut child = bench.spawn(&args);
        let pid = wait_for(|| Some(qemus_with(&format!("mac={mac}")).split_whitespace().last()?.to_owned()));
        std::thread::sleep(Duration::from_secs(1));
        let start = Instant::now();
        match victim {
            "qemu" => assert!(Command::new("kill").args(["-KILL", &pid]).status().unwrap().success()),
            _ => signal(&child, name),
        }
        let status = child.wait().unwrap();
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!(status.code(), code, "{said}");
        assert!(start.elapsed() < Duration::from_secs(10) && !said.contains("panicked"), "{said}");
        wait_for(|| qemus_with(&format!("mac={mac}")).is_empty().then_some(()));
        assert!(!bench.path("found").exists(), "there is nothing to show");
    }
}

fn wait_for<T>(found: impl Fn() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(start.elapsed() < Duration::from_secs(30), "it does not start");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_guest_without_the_targets_drivers_fails_without_a_start() {
    let bench = Bench::new();
    guest::build(&bench, "web.raw", &guest::HYPERV_MODULES, |_| {});
    let report =
        bench.rehome(&["boot-test", "web.raw", "--target", "hyperv-gen2", "--output", "json"]).ends(1).json();
    assert_eq!((&report["rule"], &report["place"]), (&"no-driver".into(), &"guest".into()), "{report:#}");
    assert!(report["line"].as_str().unwrap().contains("hv_storvsc"), "{report:#}");
    assert!(report.get("machine").is_none() && !bench.path("web.raw.boot-test/screen.png").exists());
    for (args, code) in [
        (&["boot-test", "web.raw", "--target", "xen-pvh"][..], 69),
        (&["boot-test", "web.raw", "--target", "nowhere"][..], 2),
        (&["boot-test", "web.raw", "--target", "kvm-bios", "--firmware", "uefi"][..], 2),
        (&["boot-test", "missing.raw"][..], 66),
        (&["boot-test", "web.raw", "--memory", "1"][..], 2),
        (&["boot-test", "web.raw", "--timeout", "0"][..], 2),
    ] {
        bench.rehome(&[args, &["--out", "other"]].concat()).ends(code);
    }
    assert!(!bench.path("other").exists());
}

#[test]
fn a_host_without_qemu_says_which_package_it_lacks() {
    let bench = Bench::new();
    disk_saying(&bench, "web.raw", "x");
    let run =
        bench.bash("mkdir empty; PATH=$PWD/empty \"$REHOME\" boot-test web.raw --target kvm-bios").ends(78);
    assert!(run.stderr.contains("qemu-system-x86 (Debian"), "{run:#?}");
    // Before anything is copied.
    guest::build(&bench, "guest.raw", &guest::HYPERV_MODULES, |_| {});
    bench.bash("PATH=$PWD/empty \"$REHOME\" migrate guest.raw --to hyperv --out vm --boot-test").ends(78);
    assert!(!bench.path("vm").exists());
}

#[test]
fn a_migration_is_tested_at_its_end_and_its_report_says_how_that_ended() {
    let bench = Bench::new();
    guest::build(&bench, "web.raw", &guest::HYPERV_MODULES, |_| {});
    let args = ["migrate", "web.raw", "--to", "hyperv", "--out", "vm", "--output", "json", "--boot-test"];
    let run = bench.rehome(&[&args[..], &["--boot-test-timeout", "8", "--boot-test-memory", "128"]].concat());
    // Nothing in this guest can run: its boot code is a jump.
    assert!([Some(1), Some(78)].contains(&run.code), "{run:#?}");
    let report = run.json();
    assert_eq!(report["outcome"], "done");
    let test = &report["boot_test"];
    assert_ne!(test["verdict"], "passed", "{test:#}");
    assert_eq!((&test["target"], &test["memory_mib"]), (&report["choice"]["target"]["id"], &128.into()));
    let files: Vec<&str> =
        report["files"].as_array().unwrap().iter().map(|file| file.as_str().unwrap()).collect();
    for file in &files {
        assert!(bench.path(&format!("vm/{file}")).exists(), "{file}");
    }
    let saved = files.iter().find(|file| file.ends_with(".report.json")).unwrap();
    assert_eq!(bench.json_of(&format!("vm/{saved}")), report);
    assert!(files.iter().any(|file| file.ends_with(".boot-test/screen.png")), "{files:?}");
    let image = report["disks"][0]["file"].as_str().unwrap();
    bench.rehome(&["verify", &format!("vm/{image}")]).ends(0);
}
