//! What disks say of themselves: a `smartctl` that answers as the real one does, here and at the other end of SSH.

use crate::bench::{Bench, MIB, is_root};
use crate::capture::{Loop, Server, capture};
use serde_json::Value;
use std::time::{Duration, Instant};

/// A disk of ATA as smartctl 7.3 tells it, with this many sectors that wait.
fn ata(pending: u64) -> String {
    format!(
        r#"{{"json_format_version":[1,0],"smartctl":{{"version":[7,3],"exit_status":0}},"device":{{"protocol":"ATA"}},
        "model_name":"ACME WD30","serial_number":"WCC7K6XP","firmware_version":"80.00A80","rotation_rate":5400,
        "smart_status":{{"passed":true}},"ata_smart_attributes":{{"table":[
        {{"id":197,"name":"Current_Pending_Sector","raw":{{"value":{pending},"string":"{pending}"}}}}]}}}}"#
    )
}

fn program(bench: &Bench, name: &str, script: &str) {
    bench.bash("mkdir -p bin").ends(0);
    bench.write(&format!("bin/{name}"), format!("#!/bin/sh\n{script}\n"));
    bench.bash(&format!("chmod 755 bin/{name}")).ends(0);
}

/// A server that finds the programs in `bin` first.
fn server(bench: &Bench) -> Server {
    let bin = bench.path("bin").display().to_string();
    Server::with(bench, &format!("SetEnv PATH={bin}:/usr/sbin:/usr/bin:/sbin:/bin\n"))
}

fn codes(json: &Value) -> Vec<&str> {
    json["warnings"].as_array().unwrap().iter().map(|one| one["code"].as_str().unwrap()).collect()
}

fn facts(bench: &Bench, folder: &str) -> Value {
    let names = std::fs::read_dir(bench.path(folder)).unwrap().map(|entry| entry.unwrap().file_name());
    let name =
        names.map(|name| name.into_string().unwrap()).find(|name| name.ends_with(".facts.json")).unwrap();
    bench.json_of(&format!("{folder}/{name}"))
}

#[test]
fn a_failing_disk_is_told_here_and_there() {
    assert!(is_root(), "loop devices are made by root");
    let bench = Bench::new();
    program(
        &bench,
        "smartctl",
        &format!("echo \"$*\" >>{}\ncat {}", bench.path("asked").display(), bench.path("said").display()),
    );
    let _server = server(&bench);
    bench.disk("disk.raw", 4 * MIB, &[(0, MIB)]);
    let device = Loop::new(&bench, "disk.raw", "");
    bench.write("said", ata(3));
    let json = capture(&bench, &device, &["--out", "far"]).ends(0).json();
    assert!(codes(&json).contains(&"capture-disk-failing"), "{json}");
    let text = json["warnings"].to_string();
    assert!(text.contains("3 sectors cannot be read") && text.contains("--on-read-error"), "{text}");
    // Only what reads was asked.
    assert_eq!(String::from_utf8(bench.read("asked")).unwrap(), format!("--json -i -H -A {}\n", device.0));
    let health = &facts(&bench, "far")["disks"][0]["health"];
    assert_eq!((&health["state"], &health["pending_sectors"]), (&"failing".into(), &3.into()), "{health}");
    let manifest = bench.json_of(&format!("{}.rehome.json", device.image("far")));
    let disk = &manifest["source"]["device"];
    assert_eq!((&disk["serial"], &disk["firmware"]), (&"WCC7K6XP".into(), &"80.00A80".into()), "{disk}");
    assert_eq!((&disk["path"], &disk["health"]), (&device.0.clone().into(), &"failing".into()), "{disk}");
    assert_eq!((&disk["sector_size"], &disk["transport"]), (&512.into(), &"other".into()), "{disk}");
    bench.rehome(&["verify", &device.image("far")]).ends(0);
    bench.rehome(&["explain", "capture-disk-failing"]).ends(0);
    // Here, and it is well.
    bench.write("said", ata(0));
    let here = format!("PATH=\"$PWD/bin:$PATH\" \"$REHOME\" --output json capture {} --out here", device.0);
    let json = bench.bash(&here).ends(0).json();
    assert!(!codes(&json).contains(&"capture-disk-failing"), "{json}");
    assert_eq!(facts(&bench, "here")["disks"][0]["health"]["state"], "good");
}

#[test]
fn a_disk_that_does_not_answer_is_unknown_and_no_error() {
    assert!(is_root(), "loop devices are made by root");
    let bench = Bench::new();
    bench.disk("disk.raw", 4 * MIB, &[(0, MIB)]);
    let device = Loop::new(&bench, "disk.raw", "");
    for (number, (script, says)) in [
        ("echo no JSON; exit 1", "did not answer in JSON"),
        ("echo '{\"smartctl\":{\"messages\":[{\"string\":\"Permission denied\"}],\"exit_status\":2}}'; exit 2", "Permission denied"),
        ("yes", "said more than"),
        ("sleep 100 & sleep 100", "did not end in 15 s"),
    ]
    .into_iter()
    .enumerate()
    {
        program(&bench, "smartctl", script);
        let begin = Instant::now();
        let line = format!("PATH=\"$PWD/bin:$PATH\" \"$REHOME\" --output json capture {} --out out{number}", device.0);
        let json = bench.bash(&line).ends(0).json();
        assert!(!codes(&json).contains(&"capture-disk-failing"), "{json}");
        let health = facts(&bench, &format!("out{number}"))["disks"][0]["health"].clone();
        assert_eq!(health["state"], "unknown", "{health}");
        assert!(health["why"][0].as_str().unwrap().contains(says), "{health}");
        assert!(begin.elapsed() < Duration::from_secs(40));
    }
}
