//! The schema file and the model agree, and the model's own rules hold.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

use std::collections::BTreeMap;

use driver_machine::{Machine, MachineErrorKind, SCHEMA};
use proptest::prelude::*;
use serde_json::{Value, json};

type Change = fn(&mut Value);

fn validator() -> jsonschema::Validator {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    jsonschema::draft202012::meta::validate(&schema).unwrap();
    jsonschema::draft202012::new(&schema).unwrap()
}

/// Every field set.
fn full() -> Value {
    json!({
        "rehome_machine": 1,
        "name": "web",
        "uuid": "ec2a1b2c-3d4e-5f60-7182-93a4b5c6d7e8",
        "architecture": "x86_64",
        "firmware": { "kind": "uefi", "secure_boot": true },
        "cpu": { "count": 8, "topology": { "sockets": 2, "cores": 2, "threads": 2 } },
        "memory_mib": 4096,
        "clock": "local",
        "tpm": "2.0",
        "disks": [
            { "id": "a", "source": { "file": "a.vmdk" }, "bus": "scsi", "order": 0, "boot": true, "size_bytes": 512,
              "device_name": "sda" },
            { "id": "b", "source": { "volume": "vol-1" }, "bus": "nvme", "order": 1, "boot": false }
        ],
        "nics": [{ "mac": "0a:1b:2c:3d:4e:5f", "network": "LAN", "model": "ena", "addresses": ["10.0.0.1"] }, {}],
        "os": { "family": "linux", "description": "Debian 12" },
        "tags": { "team": "shop" },
        "notes": "moved",
        "provenance": { "name": "by hand" }
    })
}

fn reads(value: &Value) -> bool {
    match Machine::from_json(&value.to_string()) {
        Ok(_) => true,
        Err(error) => {
            assert_eq!(error.kind(), MachineErrorKind::Invalid);
            assert!(!error.to_string().chars().any(char::is_control), "{error}");
            false
        }
    }
}

fn paths(value: &Value, at: &str, out: &mut Vec<String>) {
    out.push(at.to_owned());
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| paths(value, &format!("{at}/{key}"), out)),
        Value::Array(list) => {
            list.iter().enumerate().for_each(|(index, value)| paths(value, &format!("{at}/{index}"), out));
        }
        _ => {}
    }
}

#[test]
fn the_full_and_the_least_machine_are_accepted_by_both() {
    let validator = validator();
    let least = json!({
        "rehome_machine": 1, "name": "x", "firmware": { "kind": "bios" }, "cpu": { "count": 1 }, "memory_mib": 1,
        "disks": [{ "id": "a", "source": { "file": "a" }, "bus": "ide", "order": 7 }]
    });
    for value in [full(), least] {
        assert!(validator.is_valid(&value) && reads(&value), "{value}");
        let machine = Machine::from_json(&value.to_string()).unwrap();
        let written: Value = serde_json::from_str(&machine.to_json().unwrap()).unwrap();
        assert!(validator.is_valid(&written));
        assert_eq!(Machine::from_json(&written.to_string()).unwrap(), machine);
    }
}

/// One value removed, replaced or added anywhere: schema and model say the same.
#[test]
fn schema_and_model_agree_on_every_single_change() {
    let validator = validator();
    let mut places = Vec::new();
    paths(&full(), "", &mut places);
    let others = [
        json!(null),
        json!([]),
        json!({}),
        json!(""),
        json!("x"),
        json!("x\ny"),
        json!("x\u{202e}y"),
        json!("é".repeat(256)),
        json!("x".repeat(1025)),
        json!(-1),
        json!(0),
        json!(1),
        json!(2),
        json!(513),
        json!(1.5),
        json!(u64::MAX),
        json!(true),
        json!("bios"),
        json!("0A-1B-2C-3D-4E-5F"),
        json!("0a:1b-2c:3d:4e:5f"),
    ];
    let mut verdicts = BTreeMap::new();
    let mut compare = |value: &Value, what: &str| {
        let (schema, model) = (validator.is_valid(value), reads(value));
        *verdicts.entry(model).or_insert(0) += 1;
        // Rules between fields and the forms of a UUID are the model's alone.
        let beyond_schema = schema
            && !model
            && (what.contains("/cpu")
                || what.contains("/uuid")
                || what.contains("/order")
                || what.contains("/id"));
        assert!(schema == model || beyond_schema, "{what}: schema {schema}, model {model}");
    };
    for place in &places {
        for other in &others {
            let mut value = full();
            *value.pointer_mut(place).unwrap() = other.clone();
            compare(&value, &format!("{place} = {other}"));
        }
        if let Some((parent, key)) = place.rsplit_once('/') {
            let mut value = full();
            if let Some(map) = value.pointer_mut(parent).unwrap().as_object_mut() {
                map.remove(key);
            }
            compare(&value, &format!("without {place}"));
        }
        let mut value = full();
        if let Some(map) = value.pointer_mut(place).unwrap().as_object_mut() {
            map.insert("unknown".into(), json!(1));
            compare(&value, &format!("{place}/unknown"));
        }
    }
    assert!(verdicts[&true] > 50 && verdicts[&false] > 300, "{verdicts:?}");
}

#[test]
fn rules_between_fields_are_the_models() {
    let cases: &[(&str, Change)] = &[
        ("disks[1].order: 0 is used twice", |m| m["disks"][1]["order"] = json!(0)),
        ("disks[1].id: \"a\" is used twice", |m| m["disks"][1]["id"] = json!("a")),
        ("disks[1].boot: is true for a second disk", |m| m["disks"][1]["boot"] = json!(true)),
        ("nics[1].mac: 0a:1b:2c:3d:4e:5f is used twice", |m| m["nics"][1]["mac"] = json!("0A1B2C3D4E5F")),
        ("cpu.topology: 2 sockets", |m| m["cpu"]["count"] = json!(7)),
        ("cpu.topology", |m| {
            m["cpu"]["topology"] = json!({ "sockets": 4294967295_u32, "cores": 4294967295_u32, "threads": 8 })
        }),
        ("name: is empty", |m| m["name"] = json!("  ")),
        ("group address", |m| m["nics"][0]["mac"] = json!("01:00:5e:00:00:01")),
        ("disks[0].size_bytes: 513 is no multiple of 512", |m| m["disks"][0]["size_bytes"] = json!(513)),
        ("BIOS has no secure boot", |m| m["firmware"]["kind"] = json!("bios")),
        ("rehome_machine is 2", |m| m["rehome_machine"] = json!(2)),
        ("unknown field", |m| m["memory"] = json!(1)),
        ("U+001B", |m| m["tags"]["x"] = json!("\u{1b}[2J")),
    ];
    for (words, change) in cases {
        let mut value = full();
        change(&mut value);
        let error = Machine::from_json(&value.to_string()).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    assert!(
        Machine::from_json(r#"{"rehome_machine": 1, "rehome_machine": 1}"#)
            .unwrap_err()
            .to_string()
            .contains("duplicate")
    );
    assert!(Machine::from_json(&"[".repeat(100_000)).is_err());
    assert!(
        Machine::from_json(&" ".repeat((64 << 20) + 1))
            .unwrap_err()
            .to_string()
            .contains("at most 0x4000000")
    );
}

#[test]
fn without_a_boot_flag_the_lowest_order_boots() {
    let mut value = full();
    value["disks"][0]["boot"] = json!(false);
    value["disks"][0]["order"] = json!(9);
    let machine = Machine::from_json(&value.to_string()).unwrap();
    let order: Vec<&str> = machine.disks_in_boot_order().iter().map(|disk| disk.id.as_str()).collect();
    assert_eq!(order, ["b", "a"]);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever text stands in a name, tag or note: schema and model agree, and what is read is what was written.
    #[test]
    fn any_text_gets_one_verdict(name in "(\\PC|\\p{Cc}|\u{202d}|\u{2028}){0,20}", tag in ".{0,20}") {
        let mut value = full();
        value["name"] = json!(format!("n{name}"));
        value["tags"] = json!({ tag.clone(): name.clone() });
        prop_assert_eq!(validator().is_valid(&value), reads(&value));
        if let Ok(machine) = Machine::from_json(&value.to_string()) {
            prop_assert_eq!(machine.name, format!("n{name}"));
            prop_assert_eq!(machine.tags.get(&tag), Some(&name));
        }
    }
}
