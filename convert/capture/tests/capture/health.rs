//! What `smartctl --json` says, as versions 7.x write it.

use convert_capture::{Health, HealthState};
use serde_json::{Value, json};

fn ata(passed: bool, raw: &[(u64, &str, u64, &str)]) -> Value {
    let table: Vec<_> = raw
        .iter()
        .map(|(id, name, value, string)| {
            json!({
                "id": id, "name": name, "value": 100, "worst": 100, "thresh": 10, "when_failed": "",
                "flags": { "value": 51, "string": "PO--CK ", "prefailure": true },
                "raw": { "value": value, "string": string },
            })
        })
        .collect();
    json!({
        "json_format_version": [1, 0],
        "smartctl": { "version": [7, 3], "argv": ["smartctl", "--json", "-i", "-H", "-A", "/dev/sda"], "exit_status": 0 },
        "device": { "name": "/dev/sda", "info_name": "/dev/sda [SAT]", "type": "sat", "protocol": "ATA" },
        "model_family": "Acme Blue", "model_name": "ACME WD30", "serial_number": "WCC7K6XP",
        "wwn": { "naa": 5, "oui": 5358, "id": 10_234_072_434u64 },
        "firmware_version": "80.00A80", "user_capacity": { "blocks": 5_860_533_168u64, "bytes": 3_000_592_982_016u64 },
        "logical_block_size": 512, "physical_block_size": 4096, "rotation_rate": 5400,
        "smart_support": { "available": true, "enabled": true },
        "smart_status": { "passed": passed },
        "ata_smart_attributes": { "revision": 16, "table": table },
        "power_on_time": { "hours": 31_337 }, "temperature": { "current": 33 },
    })
}

fn of(said: &Value) -> Health {
    Health::parse(said.to_string().as_bytes())
}

#[test]
fn disks_of_ata_are_judged_by_themselves_and_by_their_sectors() {
    let good =
        of(&ata(true, &[(5, "Reallocated_Sector_Ct", 0, "0"), (197, "Current_Pending_Sector", 0, "0")]));
    assert_eq!((good.state, good.why.as_slice()), (HealthState::Good, &[][..]));
    assert_eq!(good.program.as_deref(), Some("smartctl 7.3"));
    assert_eq!(good.wwn.as_deref(), Some("naa.50014ee261ff8d72"));
    assert_eq!(
        (good.rotation_rate, good.temperature, good.power_on_hours),
        (Some(5400), Some(33), Some(31_337))
    );
    assert_eq!((good.model.as_deref(), good.serial.as_deref()), (Some("ACME WD30"), Some("WCC7K6XP")));
    let fails = of(&ata(false, &[]));
    assert_eq!(
        (fails.state, fails.why),
        (HealthState::Failing, vec!["it says itself that it fails".to_owned()])
    );
    // Its own judgement is late; what it counts is not. The number has other counters above 16 bits.
    let worn = of(&ata(
        true,
        &[(5, "Reallocated_Sector_Ct", 0x0003_0000_0008, "8 (3 0)"), (197, "x", 16, "16"), (198, "y", 2, "")],
    ));
    assert_eq!(worn.state, HealthState::Failing);
    assert_eq!(
        (worn.reallocated_sectors, worn.pending_sectors, worn.uncorrectable_sectors),
        (Some(8), Some(16), Some(2))
    );
    assert_eq!(worn.why[0], "8 sectors were replaced");
}

#[test]
fn disks_of_nvme_and_scsi_have_words_of_their_own() {
    let nvme = |critical: u64| {
        of(&json!({
            "smartctl": { "version": [7, 4], "exit_status": 0 },
            "device": { "name": "/dev/nvme0", "type": "nvme", "protocol": "NVMe" },
            "model_name": "ACME 970", "smart_status": { "passed": critical == 0, "nvme": { "value": critical } },
            "nvme_smart_health_information_log": {
                "critical_warning": critical, "temperature": 41, "available_spare": 100, "percentage_used": 103, "media_errors": 7,
            },
            "temperature": { "current": 41 },
        }))
    };
    let good = nvme(0);
    assert_eq!(
        (good.state, good.percentage_used, good.media_errors),
        (HealthState::Good, Some(103), Some(7))
    );
    let bad = nvme(0b1000_0101);
    assert_eq!(bad.state, HealthState::Failing);
    let wanted = ["it says itself", "spare space", "reliability", "its critical warning is 0x85"];
    assert!(
        bad.why.iter().zip(wanted).all(|(why, part)| why.contains(part)) && bad.why.len() == 4,
        "{:?}",
        bad.why
    );
    let scsi = of(&json!({
        "smartctl": { "version": [7, 2] }, "device": { "protocol": "SCSI" }, "scsi_model_name": "ACME ST9", "scsi_revision": "0004",
        "smart_status": { "passed": true }, "scsi_grown_defect_list": 12,
    }));
    assert_eq!((scsi.state, scsi.model.as_deref()), (HealthState::Failing, Some("ACME ST9")));
    assert_eq!(scsi.why, ["12 sectors were replaced"]);
}

#[test]
fn who_says_nothing_is_unknown() {
    // As version 7.3 answers about a loop device.
    let none = of(&json!({
        "json_format_version": [1, 0],
        "smartctl": {
            "version": [7, 3],
            "messages": [{ "string": "/dev/loop0: Unable to detect device type\u{1b}[2J", "severity": "error" }],
            "exit_status": 1,
        },
    }));
    assert_eq!(none.state, HealthState::Unknown);
    assert!(none.why[0].contains("Unable to detect") && !none.why[0].contains('\u{1b}'), "{:?}", none.why);
    let silent = of(&json!({ "smartctl": { "version": [7, 3] }, "smart_support": { "available": false } }));
    assert_eq!((silent.state, silent.why.len()), (HealthState::Unknown, 1));
    let deep = vec![b'['; 200_000];
    let long = format!("[{}0]", "0,".repeat(400_000));
    for wrong in
        [&b""[..], b"smartctl 6.6 2017", b"[]", b"null", b"{\"a\":", &[0xff; 9], &deep, long.as_bytes()]
    {
        let health = Health::parse(wrong);
        assert_eq!(
            (health.state, health.why.len()),
            (HealthState::Unknown, 1),
            "{}",
            String::from_utf8_lossy(&wrong[..wrong.len().min(20)])
        );
    }
    // Numbers that are none, and a name that does not fit.
    let odd = of(&json!({
        "smart_status": { "passed": "yes" }, "wwn": { "naa": 99, "oui": 1, "id": 1 }, "rotation_rate": -1, "model_name": "x".repeat(5000),
        "ata_smart_attributes": { "table": [{ "id": 5, "raw": { "value": -3, "string": "many" } }] },
    }));
    assert_eq!(
        (odd.state, odd.wwn, odd.rotation_rate, odd.reallocated_sectors),
        (HealthState::Unknown, None, None, None)
    );
    assert_eq!(odd.model.map(|model| model.len()), Some(200));
    // What was recorded by a version that knew less is read.
    let old: Health = serde_json::from_str(r#"{"state":"good"}"#).unwrap();
    assert_eq!(old.state, HealthState::Good);
}
