//! What runs print becomes a report.

use convert_report::{JobReport, Proof, State, files_of_outcome};
use serde_json::{Value, json};
use std::path::PathBuf;

fn conversion() -> Value {
    json!({
        "source": "disk.vmdk", "target": "out/disk.qcow2", "format": "qcow2", "virtual_size": 1073741824, "file_size": 393216,
        "data_bytes": 300000, "resumed_from": null, "digest": "ab", "hashes": {"sha256": "cd"},
        "manifest": "out/disk.qcow2.rehome.json", "verified": true, "unreadable": [], "seconds": 2.5,
        "warnings": [{"code": "started-over", "message": "an unfinished run is started over"}]
    })
}

fn migration() -> Value {
    json!({
        "tool": "rehome 0.1.0", "outcome": "done", "obstacles": [],
        "choice": {"target": {"id": "hyperv-gen1", "name": "Hyper-V generation 1"}, "secure_boot": false},
        "guest": {"os": {"family": "linux", "id": "debian", "version": "12", "name": "Debian 12", "arch": "x86_64", "hostname": "web"}},
        "fixups": [
            {"id": "fstab", "title": "Devices in fstab", "status": "planned", "reason": "names change", "next_step": null, "edits": 1},
            {"id": "x", "title": "X", "status": "cannot", "reason": null, "next_step": "do y", "edits": 0}
        ],
        "edits": [{"path": "/etc/fstab", "action": "replace", "reason": "names change", "detail": "-a\n+b\n"}],
        "machine": {"name": "web", "cpu": {"count": 2}, "memory_mib": 4096, "firmware": {"kind": "bios"}},
        "adapters": [{"source_mac": "02:00:00:00:00:01", "mac": null, "source_network": "subnet-1", "network": "LAN"}],
        "disks": [{
            "source": [{"path": "top.vmdk", "format": "vmdk", "file_size": 10}, {"path": "base.vmdk", "format": "vmdk", "file_size": 20}],
            "virtual_size": 1024, "file": "web.vhdx", "format": "vhdx", "digest": "aa", "source_digest": "bb", "data_bytes": 512,
            "file_size": 2048, "differing_blocks": 1, "changed": [[0, 4096]]
        }],
        "warnings": [], "files": ["web.vhdx", "web.vhdx.rehome.json", "web.ps1"], "out": "/vm", "next_step": "copy it"
    })
}

#[test]
fn a_conversion() {
    let report = JobReport::from_outcome("a", &conversion());
    assert_eq!((report.state, report.exit_code, report.action.as_str()), (State::Done, Some(0), "convert"));
    let disk = &report.disks[0];
    assert_eq!(
        (disk.proof, disk.data_bytes, disk.target_format.as_str()),
        (Proof::ReadBack, Some(300_000), "qcow2")
    );
    assert_eq!((disk.digest.as_deref(), disk.hashes["sha256"].as_str()), (Some("ab"), "cd"));
    assert_eq!((report.warnings[0].code.as_str(), report.seconds), ("started-over", Some(2.5)));
    assert_eq!(files_of_outcome(&conversion()), [PathBuf::from("out/disk.qcow2.rehome.json")]);
}

#[test]
fn lost_data_is_a_failure() {
    let mut outcome = conversion();
    outcome["unreadable"] =
        json!([{"offset": 0, "len": 512, "reason": "I/O"}, {"offset": 4096, "len": 1024, "reason": "I/O"}]);
    let report = JobReport::from_outcome("a", &outcome);
    assert_eq!(
        (report.state, report.exit_code, report.disks[0].unreadable_bytes),
        (State::Failed, Some(1), 1536)
    );
    assert!(report.cause().unwrap().contains("1536 bytes"));
}

#[test]
fn several_conversions_of_which_one_failed() {
    let error = json!({"error": {"kind": "io", "exit_code": 74, "message": "cannot read", "offset": 512, "hint": null}, "source": "b.vmdk"});
    let report = JobReport::from_outcome("a", &json!([conversion(), error, conversion()]));
    assert_eq!((report.state, report.exit_code, report.disks.len()), (State::Failed, Some(74), 2));
    assert_eq!(report.sources, ["disk.vmdk", "b.vmdk", "disk.vmdk"]);
    assert_eq!(report.error.unwrap().offset, Some(512));
}

#[test]
fn a_migration() {
    let report = JobReport::from_outcome("a", &migration());
    assert_eq!(
        (report.state, report.platform.as_deref(), report.name()),
        (State::Done, Some("Hyper-V generation 1"), "web")
    );
    let disk = &report.disks[0];
    assert_eq!(
        (disk.source.as_str(), disk.source_file_size, disk.proof),
        ("top.vmdk", Some(30), Proof::Source)
    );
    assert_eq!(disk.changed, [(0, 4096)]);
    let machine = report.machine.as_ref().unwrap();
    assert_eq!((machine.cpus, machine.firmware.as_str(), machine.secure_boot), (2, "bios", Some(false)));
    assert_eq!(machine.adapters[0].source_network.as_deref(), Some("subnet-1"));
    assert_eq!(report.guest.as_ref().unwrap().hostname.as_deref(), Some("web"));
    assert_eq!((report.fixups.len(), report.changes[0].path.as_str()), (2, "/etc/fstab"));
    assert_eq!(
        files_of_outcome(&migration()),
        [PathBuf::from("/vm/web.vhdx.rehome.json"), PathBuf::from("/vm/web.ps1")]
    );
}

#[test]
fn a_fixup_without_a_reason_has_those_of_its_changes() {
    let mut outcome = migration();
    let fixup = |edits: u64, reason: Value| json!({"id": "a", "title": "A", "status": "planned", "reason": reason, "edits": edits});
    outcome["fixups"] = json!([
        fixup(3, json!(null)),
        fixup(0, json!(null)),
        fixup(1, json!("its own")),
        fixup(9, json!(null))
    ]);
    let edits = ["one", "two", "one", "three", "four"];
    outcome["edits"] = edits
        .iter()
        .map(|reason| json!({"path": "/a", "action": "change", "reason": reason, "detail": ""}))
        .collect();
    let report = JobReport::from_outcome("a", &outcome);
    let reasons: Vec<_> = report.fixups.iter().map(|fixup| fixup.reason.as_deref()).collect();
    assert_eq!(reasons, [Some("one; two"), None, Some("its own"), Some("four")]);
}

#[test]
fn folders_that_a_migration_leaves_have_no_digest() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("web.undo")).unwrap();
    std::fs::write(folder.path().join("web.ps1"), "").unwrap();
    let mut outcome = migration();
    outcome["out"] = json!(folder.path());
    outcome["files"] = json!(["web.vhdx", "web.undo", "web.ps1"]);
    assert_eq!(files_of_outcome(&outcome), [folder.path().join("web.ps1")]);
}

#[test]
fn a_plan_a_blocked_one_and_a_boot_that_failed() {
    let with = |name: &str, value: Value| {
        let mut outcome = migration();
        outcome[name] = value;
        JobReport::from_outcome("a", &outcome)
    };
    let plan = with("outcome", json!("planned"));
    assert!(plan.dry_run && plan.headline().contains("can be moved"));
    let blocked = with("outcome", json!("blocked"));
    assert_eq!(
        (blocked.state, blocked.exit_code, blocked.advice().as_deref()),
        (State::Held, Some(78), Some("do y"))
    );
    let failed = with(
        "boot_test",
        json!({"verdict": "failed", "about": "the kernel panics", "line": "VFS: Unable to mount root"}),
    );
    assert_eq!((failed.state, failed.exit_code), (State::Failed, Some(1)));
    assert_eq!(failed.cause().unwrap(), "boot test failed: the kernel panics: VFS: Unable to mount root");
    let undecided = with("boot_test", json!({"verdict": "not-run", "reason": "QEMU is not installed"}));
    assert_eq!(
        (undecided.state, undecided.boot_test.unwrap().about.as_str()),
        (State::Done, "QEMU is not installed")
    );
}

#[test]
fn an_error_keeps_its_code_and_hint_and_the_log_tells_the_stage() {
    let outcome = json!({"error": {"kind": "temporary", "exit_code": 75, "message": "no space", "offset": null, "hint": "make room"}});
    let mut report = JobReport::from_outcome("a", &outcome);
    report.read_log("{\"event\":\"begin\",\"stage\":\"copy\",\"bytes\":0,\"total\":9,\"seconds\":0.0}\n");
    assert_eq!((report.state, report.advice().as_deref()), (State::Interrupted, Some("make room")));
    assert_eq!(report.error.unwrap().stage.as_deref(), Some("copy"));
}

#[test]
fn what_is_of_another_shape_is_passed_over() {
    for outcome in [
        json!(null),
        json!(7),
        json!("x"),
        json!([[]]),
        json!({"error": 1}),
        json!({"source": [], "target": {}, "virtual_size": "x"}),
    ] {
        let report = JobReport::from_outcome("a", &outcome);
        assert_eq!(report.id, "a");
    }
    let mut odd = migration();
    for name in ["choice", "guest", "machine", "disks", "files", "edits", "fixups"] {
        odd[name] = json!("odd");
    }
    assert_eq!(JobReport::from_outcome("a", &odd).disks, []);
    assert!(files_of_outcome(&odd).is_empty());
}
