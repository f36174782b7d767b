//! A guest moves: what is planned, what is changed, what is left beside the result.

use crate::bench::{Bench, MIB, Run, appears, signal};
use crate::guest::{self, HYPERV_MODULES, KERNEL, ROOT_UUID};
use std::collections::BTreeSet;
use std::time::Duration;

fn migrate(bench: &Bench, source: &str, more: &[&str]) -> Run {
    bench.rehome(&[&["migrate", source, "--to", "hyperv", "--out", "vm", "--output", "json"], more].concat())
}

fn bench_with_guest() -> Bench {
    let bench = Bench::new();
    guest::build(&bench, "server.raw", &HYPERV_MODULES, |_| {});
    bench
}

/// The migrated disk as a raw file, read by qemu-img.
fn result(bench: &Bench) -> &'static str {
    bench.qemu_img(&["check", "-f", "vhdx", "vm/web01.vhdx"]);
    bench.qemu_img(&["convert", "-f", "vhdx", "-O", "raw", "vm/web01.vhdx", "result.raw"]);
    "result.raw"
}

fn paths(report: &serde_json::Value) -> BTreeSet<String> {
    let edits = report["edits"].as_array().unwrap();
    edits.iter().map(|edit| edit["path"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_dry_run_tells_the_plan_and_writes_nothing() {
    let bench = bench_with_guest();
    let before = bench.fingerprint("server.raw");
    let report = migrate(&bench, "server.raw", &["--dry-run"]).ends(0).json();
    assert_eq!(report["outcome"], "planned");
    let planned = paths(&report);
    for path in ["/etc/fstab", "/boot/grub/grub.cfg", "/etc/default/grub", "/etc/netplan/50-cloud-init.yaml"]
    {
        assert!(planned.contains(path), "{planned:?}");
    }
    for fixup in report["fixups"].as_array().unwrap() {
        assert!(
            fixup["status"] == "planned" || fixup["reason"].is_string() || fixup["status"] == "nothing-to-do",
            "{fixup}"
        );
    }
    let text =
        bench.rehome(&["migrate", "server.raw", "--to", "hyperv", "--out", "vm", "--dry-run"]).ends(0).stdout;
    assert!(
        text.contains("change /etc/fstab: ") && text.contains("Next: run the same command without --dry-run")
    );
    assert_eq!(bench.names(), ["server.raw"]);
    assert_eq!(bench.fingerprint("server.raw"), before);
}

#[test]
fn only_planned_paths_differ_and_the_undo_copies_are_the_originals() {
    let bench = bench_with_guest();
    let before = guest::content(&bench, "server.raw");
    let source = bench.fingerprint("server.raw");
    let report = migrate(&bench, "server.raw", &[]).ends(0).json();
    assert_eq!(bench.fingerprint("server.raw"), source);
    let after = guest::content(&bench, result(&bench));

    let planned = paths(&report);
    let all: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let differing: BTreeSet<_> =
        all.into_iter().filter(|path| before.get(*path) != after.get(*path)).cloned().collect();
    assert_eq!(differing, planned);

    let text = |path: &str| String::from_utf8_lossy(&after[path].1).into_owned();
    assert!(text("/etc/fstab").starts_with(&format!("UUID={ROOT_UUID} / ext4 ")));
    assert!(text("/boot/grub/grub.cfg").contains(&format!("root=UUID={ROOT_UUID} ")));
    let (old, new) =
        (&before[&format!("/boot/initrd.img-{KERNEL}")].1, &after[&format!("/boot/initrd.img-{KERNEL}")].1);
    assert!(new.starts_with(old) && new.len() > old.len(), "the initramfs is appended to");

    for undo in bench.json_of("vm/web01.undo/undo.json").as_array().unwrap() {
        let path = undo["path"].as_str().unwrap();
        match undo["undo"].as_str().unwrap() {
            "restore" if undo["copy"].is_null() => assert!(!before.contains_key(path), "{undo}"),
            "restore" => {
                let copy = undo["copy"].as_str().unwrap();
                assert_eq!(bench.read(&format!("vm/web01.undo/{copy}")), before[path].1, "{undo}");
            }
            "link" => assert_eq!(undo["target"].as_str().unwrap().as_bytes(), before[path].1, "{undo}"),
            "remove" => assert!(!before.contains_key(path), "{undo}"),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn everything_is_written_and_the_report_says_what() {
    let bench = bench_with_guest();
    let report = migrate(&bench, "server.raw", &[]).ends(0).json();
    for key in [
        "tool",
        "outcome",
        "obstacles",
        "choice",
        "guest",
        "replays",
        "fixups",
        "edits",
        "machine",
        "disks",
        "warnings",
        "files",
        "out",
        "next_step",
    ] {
        assert!(report.get(key).is_some(), "{key} is documented");
    }
    assert_eq!(
        (&report["outcome"], &report["choice"]["target"]["id"]),
        (&"done".into(), &"hyperv-gen1".into())
    );
    for file in report["files"].as_array().unwrap() {
        assert!(bench.path("vm").join(file.as_str().unwrap()).exists(), "{file}");
    }
    assert_eq!(bench.json_of("vm/web01.report.json"), report);
    let manifest = bench.json_of("vm/web01.vhdx.rehome.json");
    assert_eq!(manifest["digest"], report["disks"][0]["digest"]);
    assert_ne!(manifest["digest"], report["disks"][0]["source_digest"]);
    assert_eq!(manifest["source"]["digest"], report["disks"][0]["source_digest"]);
    let digest = bench.rehome(&["digest", "server.raw", "--output", "json"]).ends(0).json();
    assert_eq!(digest["digest"], report["disks"][0]["source_digest"]);
    bench.rehome(&["verify", "vm/web01.vhdx"]).ends(0);
    let script = String::from_utf8(bench.read("vm/web01.ps1")).unwrap();
    assert!(script.contains("New-VM") && script.contains("web01.vhdx"));

    let changed = manifest["changed"].as_array().unwrap();
    let (source, result) = (bench.read("server.raw"), bench.read(result(&bench)));
    let planned = |at: usize| {
        changed.iter().any(|range| {
            let (offset, len) = (range["offset"].as_u64().unwrap(), range["len"].as_u64().unwrap());
            (offset..offset + len).contains(&(at as u64))
        })
    };
    let longer = source.iter().chain(std::iter::repeat(&0));
    let differing: Vec<_> =
        (0..).zip(result.iter().zip(longer)).filter(|(_, (a, b))| a != b).map(|(at, _)| at).collect();
    assert!(
        !differing.is_empty() && differing.into_iter().all(planned),
        "the manifest lists all changed ranges"
    );
}

#[test]
fn a_second_migration_plans_nothing() {
    let bench = bench_with_guest();
    migrate(&bench, "server.raw", &[]).ends(0);
    let args = ["migrate", "vm/web01.vhdx", "--to", "hyperv", "--out", "again", "--output", "json"];
    let report = bench.rehome(&[&args[..], &["--dry-run"]].concat()).ends(0).json();
    assert_eq!(report["edits"], serde_json::json!([]));
    assert_eq!(report["obstacles"], serde_json::json!([]));
    bench.rehome(&args).ends(0);
    bench.rehome(&["compare", "--strict", "vm/web01.vhdx", "again/web01.vhdx"]).ends(0);
    let ready = bench.rehome(&["inspect", "vm/web01.vhdx", "--output", "json"]).ends(0).json();
    assert_eq!(ready["readiness"][0]["verdict"], "ready");
}

#[test]
fn results_are_kept_unless_force_is_given() {
    let bench = bench_with_guest();
    migrate(&bench, "server.raw", &[]).ends(0);
    let image = bench.fingerprint("vm/web01.vhdx");
    let run = migrate(&bench, "server.raw", &[]).ends(73);
    assert!(run.stderr.contains("already exists"), "{run:?}");
    assert_eq!(bench.fingerprint("vm/web01.vhdx"), image);
    migrate(&bench, "server.raw", &["--force"]).ends(0);
    bench.rehome(&["verify", "vm/web01.vhdx"]).ends(0);
    let args = ["migrate", "server.raw", "--to", "hyperv", "--out", "no/such/folder"];
    bench.rehome(&args).ends(73);
}

#[test]
fn a_guest_without_the_drivers_is_left_to_a_person() {
    let bench = Bench::new();
    guest::build(&bench, "server.raw", &["sd_mod"], |_| {});
    let run = migrate(&bench, "server.raw", &[]).ends(78);
    let report = run.json();
    assert_eq!(report["outcome"], "blocked");
    let obstacle = report["obstacles"][0].as_str().unwrap();
    assert!(obstacle.contains("hv_vmbus") && obstacle.contains("hv_storvsc"), "{obstacle}");
    assert_eq!(bench.names(), ["server.raw"]);
}

#[test]
fn disks_that_cannot_be_read_are_left_to_a_person() {
    let bench = Bench::new();
    bench.disk("blank.raw", 4 * MIB, &[]);
    bench.disk("noise.raw", 4 * MIB, &[(0, 4 * MIB)]);
    let mut luks = vec![0u8; 8 << 20];
    luks[..8].copy_from_slice(b"LUKS\xba\xbe\x00\x02");
    bench.write("part.img", &luks);
    guest::put_on_disk(&bench, "part.img", "luks.raw");
    let mut xfs = vec![0u8; 8 << 20];
    xfs[..4].copy_from_slice(b"XFSB");
    bench.write("part.img", &xfs);
    guest::put_on_disk(&bench, "part.img", "xfs.raw");
    let before = bench.names();
    for name in ["blank.raw", "noise.raw", "luks.raw", "xfs.raw"] {
        let run = migrate(&bench, name, &[]).ends(78);
        let json = run.json();
        let reason = json["obstacles"][0].as_str().or(json["error"]["message"].as_str()).unwrap();
        assert!(reason.len() > 20, "{name}: {reason}");
        bench.rehome(&["inspect", name]).ends(0);
    }
    assert_eq!(bench.names(), before);
}

#[test]
fn a_journal_is_replayed_into_the_result() {
    let bench = bench_with_guest();
    guest::cut_out(&bench, "server.raw", "part.img");
    let block = bench.tool("e2fsprogs", "debugfs", &["-R", "blocks /etc/motd", "part.img"]);
    let mut content = b"after  the crash\n".to_vec();
    content.resize(4096.min(block_size(&bench)), 0);
    bench.write("block", &content);
    bench.write("commands", format!("jo\njw -b {} block\njc\n", block.trim()));
    bench.tool("e2fsprogs", "debugfs", &["-w", "-f", "commands", "part.img"]);
    guest::put_on_disk(&bench, "part.img", "dirty.raw");
    assert!(bench.tool("e2fsprogs", "dumpe2fs", &["-h", "part.img"]).contains("needs_recovery"));
    let source = bench.fingerprint("dirty.raw");
    let report = migrate(&bench, "dirty.raw", &[]).ends(0).json();
    let replay = report["replays"][0].as_str().unwrap();
    assert!(replay.starts_with("disk 0, partition 1: replayed 1 transactions"), "{replay}");
    let after = guest::content(&bench, result(&bench));
    assert_eq!(after["/etc/motd"].1, b"after  the crash\n");
    assert_eq!(bench.fingerprint("dirty.raw"), source);
    guest::cut_out(&bench, "result.raw", "part.img");
    assert!(!bench.tool("e2fsprogs", "dumpe2fs", &["-h", "part.img"]).contains("needs_recovery"));
}

fn block_size(bench: &Bench) -> usize {
    let text = bench.tool("e2fsprogs", "dumpe2fs", &["-h", "part.img"]);
    let line = text.lines().find_map(|line| line.strip_prefix("Block size:")).unwrap();
    line.trim().parse().unwrap()
}

#[test]
fn a_second_disk_comes_along_unchanged() {
    let bench = bench_with_guest();
    bench.disk("data.raw", 7 * MIB, &[(MIB, 2 * MIB)]);
    bench.rehome(&["convert", "data.raw", "data.qcow2"]).ends(0);
    let args = ["migrate", "server.raw", "data.qcow2", "--to", "hyperv", "--out", "vm", "--output", "json"];
    let report = bench.rehome(&args).ends(0).json();
    assert_eq!(report["disks"][1]["digest"], report["disks"][1]["source_digest"]);
    bench.rehome(&["compare", "data.raw", "vm/web01-disk1.vhdx"]).ends(0);
    bench.rehome(&["verify", "vm/web01-disk0.vhdx"]).ends(0);
    let script = String::from_utf8(bench.read("vm/web01.ps1")).unwrap();
    assert!(script.contains("web01-disk0.vhdx") && script.contains("web01-disk1.vhdx"));
}

#[test]
fn a_killed_migration_is_done_again_by_the_same_command() {
    let bench = bench_with_guest();
    bench.disk("data.raw", 64 * MIB, &[(0, 64 * MIB)]);
    let args = ["--threads", "1", "migrate", "server.raw", "data.raw", "--to", "hyperv", "--out", "vm"];
    let mark = bench.path("vm/web01.unfinished");
    let mut killed = 0;
    for moment in 0..6u32 {
        let mut child = bench.spawn(&args);
        assert!(appears(&mark, &mut child), "moment {moment}");
        std::thread::sleep(Duration::from_millis(u64::from(moment * moment) * 6));
        signal(&child, "KILL");
        child.wait().unwrap();
        if mark.exists() {
            killed += 1;
        } else {
            // It was faster than the signal.
            std::fs::remove_dir_all(bench.path("vm")).unwrap();
        }
    }
    assert!(killed > 0, "no signal met a migration");
    bench.rehome(&args).ends(0);
    assert!(!mark.exists());
    for (source, image) in
        [("data.raw", "vm/web01-disk1.vhdx"), ("vm/web01-disk0.vhdx", "vm/web01-disk0.vhdx")]
    {
        bench.rehome(&["compare", source, image]).ends(0);
        bench.rehome(&["verify", image]).ends(0);
    }
    bench.rehome(&args).ends(73);
}

#[test]
fn a_machine_of_the_operator_is_used() {
    let bench = bench_with_guest();
    bench.write("machine.json", br#"{"rehome_machine":1,"name":"it's \"web\"","firmware":{"kind":"bios"},"cpu":{"count":3},"memory_mib":2048,"architecture":"x86_64","clock":"utc","disks":[{"id":"root","source":{"file":"server.raw"},"bus":"nvme","order":0,"boot":true}],"nics":[{"mac":"06:3f:9a:52:c4:1d","network":"lan"}]}"#);
    let report = migrate(&bench, "server.raw", &["--machine", "machine.json"]).ends(0).json();
    assert_eq!(
        (&report["machine"]["cpu"]["count"], &report["machine"]["memory_mib"]),
        (&3.into(), &2048.into())
    );
    assert!(!report["files"].as_array().unwrap().iter().any(|file| file.as_str().unwrap().contains('"')));

    for nonsense in ["", "{", "[]", "null", "{\"rehome_machine\":99}", "{\"Reservations\":[]}", "\u{feff}{}"]
    {
        bench.write("machine.json", nonsense);
        let run = migrate(&bench, "server.raw", &["--machine", "machine.json", "--force"]);
        assert!(matches!(run.code, Some(2 | 65 | 69)), "{nonsense:?}: {run:?}");
        assert!(!run.stderr.contains("panicked"));
    }
    migrate(&bench, "server.raw", &["--machine", "nope.json", "--force"]).ends(66);
}
