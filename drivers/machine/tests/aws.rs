//! EC2 describe output to machine.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

use driver_machine::aws::machine_from_describe;
use driver_machine::{
    Architecture, Bus, Dialect, DiskSource, FirmwareKind, Machine, MachineErrorKind, OsFamily, Warning,
    detect, read_documents,
};
use serde_json::{Value, json};

type Change = fn(&mut Value);

fn data(name: &str) -> Vec<u8> {
    std::fs::read(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)).unwrap()
}

fn document(name: &str) -> Value {
    serde_json::from_slice(&data(name)).unwrap()
}

fn all() -> Vec<Value> {
    ["instances.json", "volumes.json", "images.json", "instance_types.json"].map(document).into()
}

fn codes(warnings: &[Warning]) -> Vec<&'static str> {
    let mut codes: Vec<_> = warnings.iter().map(|warning| warning.code).collect();
    codes.sort_unstable();
    codes
}

/// The sample instance after a change to its JSON.
fn changed(change: impl FnOnce(&mut Value)) -> Result<(Machine, Vec<Warning>), driver_machine::MachineError> {
    let mut docs = all();
    change(&mut docs[0]["Reservations"][0]["Instances"][0]);
    machine_from_describe(&docs, None)
}

#[test]
fn every_documented_field_arrives() {
    let (machine, warnings) = machine_from_describe(&all(), None).unwrap();
    assert_eq!(machine.name, "web-1");
    assert_eq!(machine.architecture, Architecture::X86_64);
    assert_eq!((machine.firmware.kind, machine.firmware.secure_boot), (FirmwareKind::Uefi, None));
    assert_eq!((machine.cpu.count, machine.memory_mib), (2, 1024));
    let disks: Vec<_> = machine
        .disks_in_boot_order()
        .into_iter()
        .map(|disk| {
            (disk.id.as_str(), disk.order, disk.boot, disk.size_bytes, disk.device_name.as_deref(), disk.bus)
        })
        .collect();
    assert_eq!(
        disks,
        [
            ("vol-0123456789abcdef0", 0, true, Some(8 << 30), Some("/dev/xvda"), Bus::Nvme),
            ("vol-0fedcba9876543210", 1, false, Some(100 << 30), Some("/dev/sdf"), Bus::Nvme),
        ]
    );
    assert_eq!(machine.disks[0].source, DiskSource::Volume("vol-0123456789abcdef0".into()));
    let nics: Vec<_> = machine
        .nics
        .iter()
        .map(|nic| {
            (
                nic.mac.unwrap().to_string(),
                nic.network.as_deref().unwrap(),
                nic.model.as_deref(),
                nic.addresses.len(),
            )
        })
        .collect();
    assert_eq!(
        nics,
        [
            ("02:aa:bb:cc:dd:01".to_owned(), "subnet-0a1b2c3d4e5f60718", Some("ena"), 3),
            ("02:aa:bb:cc:dd:02".to_owned(), "subnet-0f0f0f0f0f0f0f0f0", Some("ena"), 1),
        ]
    );
    let os = machine.os.as_ref().unwrap();
    assert_eq!(
        (os.family, os.description.as_str()),
        (OsFamily::Linux, "Linux/UNIX (debian-12-amd64-20260115)")
    );
    assert_eq!(machine.tags.get("team").map(String::as_str), Some("shop"));
    assert_eq!(machine.provenance["firmware"], "CurrentInstanceBootMode is uefi");
    assert_eq!(machine.provenance["memory_mib"], "InstanceTypes, t3.micro");
    assert_eq!(
        codes(&warnings),
        [
            "aws-ena",
            "aws-encrypted-volume",
            "aws-extra-addresses",
            "aws-iam-role",
            "aws-public-ip",
            "aws-security-groups",
            "aws-source-dest-check",
        ]
    );
    assert_eq!(Machine::from_json(&machine.to_json().unwrap()).unwrap(), machine);
}

#[test]
fn files_may_be_apart_or_merged_and_in_any_order() {
    let apart = machine_from_describe(&all(), None).unwrap();
    let mut reversed = all();
    reversed.reverse();
    assert_eq!(machine_from_describe(&reversed, None).unwrap(), apart);
    let mut merged = serde_json::Map::new();
    for value in all() {
        merged.extend(value.as_object().unwrap().clone());
    }
    assert_eq!(machine_from_describe(&[Value::Object(merged)], Some("i-0123456789abcdef0")).unwrap(), apart);
}

#[test]
fn saved_bytes_are_read_in_every_encoding_a_shell_writes() {
    let text = String::from_utf8(data("instances.json")).unwrap();
    let with_mark = [b"\xef\xbb\xbf", text.as_bytes()].concat();
    let little: Vec<u8> =
        "\u{feff}".encode_utf16().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    let big: Vec<u8> =
        "\u{feff}".encode_utf16().chain(text.encode_utf16()).flat_map(u16::to_be_bytes).collect();
    let plain = read_documents(&[text.as_bytes()], None).unwrap();
    for bytes in [&with_mark, &little, &big] {
        assert_eq!(read_documents(&[bytes], None).unwrap(), plain);
    }
    for bytes in [&little[..little.len() - 1], b"\xff\xfe\x00\xd8", b"{\"\xff\": 1}"] {
        let error = read_documents(&[bytes], None).unwrap_err();
        assert_eq!(error.kind(), MachineErrorKind::Invalid);
        assert!(error.to_string().contains("neither UTF-8 nor UTF-16"), "{error}");
    }
}

#[test]
fn the_dialect_is_told_by_the_keys() {
    let (machine, _) = machine_from_describe(&all(), None).unwrap();
    let own = machine.to_json().unwrap();
    assert_eq!(detect(&own).unwrap(), Dialect::Own);
    assert_eq!(detect(r#"{"Volumes": []}"#).unwrap(), Dialect::Aws);
    for text in ["{}", "[]", "3", r#"{"domain": 1}"#, "", "<html/>", "name = 'x'", "a: b"] {
        assert_eq!(detect(text).unwrap_err().kind(), MachineErrorKind::Invalid, "{text}");
    }
    assert_eq!(read_documents(&[own.as_bytes()], None).unwrap(), (machine, vec![]));
    assert!(read_documents(&[own.as_bytes(), &data("volumes.json")], None).is_err());
    let two = read_documents(&[b"<domain/>", &data("volumes.json")], None).unwrap_err();
    assert!(two.to_string().contains("document 1: is given together with 1 other"), "{two}");
    assert_eq!(two.kind(), MachineErrorKind::Together);
    assert!(read_documents(&[], None).is_err());
}

#[test]
fn several_instances_need_a_choice_and_the_error_lists_them() {
    let mut docs = all();
    let mut second = docs[0]["Reservations"][0]["Instances"][0].clone();
    second["InstanceId"] = json!("i-0ffffffffffffffff");
    docs[0]["Reservations"].as_array_mut().unwrap().push(json!({ "Instances": [second] }));
    let error = machine_from_describe(&docs, None).unwrap_err().to_string();
    assert!(
        error.contains("2 instances")
            && error.contains("i-0123456789abcdef0")
            && error.contains("i-0ffffffffffffffff"),
        "{error}"
    );
    let (machine, _) = machine_from_describe(&docs, Some("i-0ffffffffffffffff")).unwrap();
    assert!(machine.provenance["machine"].contains("i-0ffffffffffffffff"));
    let error = machine_from_describe(&docs, Some("i-1\u{1b}[2J")).unwrap_err().to_string();
    assert!(error.contains("there is no instance") && !error.contains('\u{1b}'), "{error}");
    // A terminated one is no candidate unless it is named.
    docs[0]["Reservations"][1]["Instances"][0]["State"] = json!({ "Code": 48, "Name": "terminated" });
    assert!(machine_from_describe(&docs, None).is_ok());
}

#[test]
fn firmware_follows_the_boot_mode_actually_used() {
    let firmware = |current: Value, mode: Value| {
        let mut docs = all();
        docs[2] = json!({ "Images": [] });
        let instance = &mut docs[0]["Reservations"][0]["Instances"][0];
        for (key, value) in [("CurrentInstanceBootMode", current), ("BootMode", mode)] {
            instance[key] = value;
            if instance[key].is_null() {
                instance.as_object_mut().unwrap().remove(key);
            }
        }
        let (machine, warnings) = machine_from_describe(&docs, None).unwrap();
        (machine.firmware.kind, codes(&warnings).contains(&"aws-firmware-guessed"))
    };
    assert_eq!(firmware(json!("legacy-bios"), json!("uefi-preferred")), (FirmwareKind::Bios, false));
    assert_eq!(firmware(json!(null), json!("uefi")), (FirmwareKind::Uefi, false));
    assert_eq!(firmware(json!(null), json!("uefi-preferred")), (FirmwareKind::Uefi, true));
    assert_eq!(firmware(json!(null), json!(null)), (FirmwareKind::Bios, true));
}

#[test]
fn processors_and_memory_are_never_guessed_in_silence() {
    let capacity = |type_name: &str, types: bool, cpu_options: bool| {
        let mut docs = all();
        if !types {
            docs.pop();
        }
        let instance = &mut docs[0]["Reservations"][0]["Instances"][0];
        instance["InstanceType"] = json!(type_name);
        if !cpu_options {
            instance.as_object_mut().unwrap().remove("CpuOptions");
        }
        let (machine, warnings) = machine_from_describe(&docs, None).unwrap();
        let guessed =
            codes(&warnings).into_iter().filter(|code| code.ends_with("guessed")).collect::<Vec<_>>();
        (machine.cpu.count, machine.memory_mib, guessed)
    };
    assert_eq!(capacity("t3.micro", true, false), (2, 1024, vec![]));
    assert_eq!(capacity("t3.micro", false, false), (2, 1024, vec![]));
    assert_eq!(capacity("m5.2xlarge", false, false), (8, 32768, vec![]));
    assert_eq!(capacity("q9.huge", false, true), (2, 8192, vec!["aws-memory-guessed"]));
    assert_eq!(capacity("q9.huge", false, false), (2, 8192, vec!["aws-memory-guessed", "aws-vcpus-guessed"]));
}

#[test]
fn what_stays_behind_is_warned_of() {
    let cases: &[(&str, Change)] = &[
        ("aws-not-stopped", |i| i["State"] = json!({ "Code": 16, "Name": "running" })),
        ("aws-hibernation", |i| i["HibernationOptions"] = json!({ "Configured": true })),
        ("aws-enclave", |i| i["EnclaveOptions"] = json!({ "Enabled": true })),
        ("aws-tpm", |i| i["TpmSupport"] = json!("v2.0")),
        ("aws-tenancy", |i| i["Placement"]["Tenancy"] = json!("dedicated")),
        ("aws-licence", |i| i["PlatformDetails"] = json!("Red Hat Enterprise Linux")),
        ("aws-marketplace", |i| {
            i["ProductCodes"] = json!([{ "ProductCodeId": "abc", "ProductCodeType": "marketplace" }])
        }),
        ("aws-instance-store", |i| i["InstanceType"] = json!("m5d.large")),
        ("aws-gpu", |i| i["InstanceType"] = json!("g4dn.xlarge")),
        ("aws-efa", |i| i["NetworkInterfaces"][0]["InterfaceType"] = json!("efa")),
        ("aws-root-unknown", |i| i["RootDeviceName"] = json!("/dev/sda1")),
        ("aws-volume-size-unknown", |i| i["BlockDeviceMappings"][0]["Ebs"]["VolumeId"] = json!("vol-0")),
        ("aws-name", |i| i["Tags"][0]["Value"] = json!("web\n1")),
        ("aws-tag", |i| i["Tags"][1]["Value"] = json!("\u{202e}gpj")),
        ("aws-mac", |i| i["NetworkInterfaces"][0]["MacAddress"] = json!("nonsense")),
        ("aws-no-network", |i| i["NetworkInterfaces"] = json!([])),
    ];
    let (_, before) = machine_from_describe(&all(), None).unwrap();
    for (code, change) in cases {
        assert!(!codes(&before).contains(code), "{code} is there without a cause");
        let (machine, warnings) = changed(change).unwrap();
        assert!(codes(&warnings).contains(code), "{code}: {:?}", codes(&warnings));
        assert!(warnings.iter().all(|warning| !warning.message.chars().any(char::is_control)));
        assert!(machine.validate().is_ok());
    }
}

#[test]
fn a_name_that_cannot_be_used_gives_way_to_the_id() {
    for name in ["", "  ", "a\u{0}b", "a\u{202e}b"] {
        let (machine, _) = changed(|i| i["Tags"][0]["Value"] = json!(name)).unwrap();
        assert_eq!(machine.name, "i-0123456789abcdef0");
    }
}

#[test]
fn xen_instances_have_xen_disks() {
    let mut docs = all();
    docs.pop();
    docs[0]["Reservations"][0]["Instances"][0]["InstanceType"] = json!("t2.micro");
    let (machine, _) = machine_from_describe(&docs, None).unwrap();
    assert!(machine.disks.iter().all(|disk| disk.bus == Bus::Xen));
    assert_eq!((machine.cpu.count, machine.memory_mib), (2, 1024), "CpuOptions go before the table");
}

#[test]
fn contradictions_are_errors_of_the_right_kind() {
    let cases: &[(MachineErrorKind, &str, Change)] = &[
        (MachineErrorKind::Invalid, "no EBS volume", |i| i["BlockDeviceMappings"] = json!([])),
        (MachineErrorKind::Unsupported, "instance store", |i| i["RootDeviceType"] = json!("instance-store")),
        (MachineErrorKind::Unsupported, "architecture", |i| i["Architecture"] = json!("x86_64_mac")),
        (MachineErrorKind::Invalid, "expected `i-`", |i| i["InstanceId"] = json!("'; x")),
        (MachineErrorKind::Invalid, "invalid type", |i| i["CpuOptions"] = json!("many")),
        (MachineErrorKind::Invalid, "cpu.count", |i| {
            i["CpuOptions"] = json!({ "CoreCount": 5000, "ThreadsPerCore": 2 })
        }),
        (MachineErrorKind::Invalid, "used twice", |i| {
            i["BlockDeviceMappings"][0] = i["BlockDeviceMappings"][1].clone()
        }),
        (MachineErrorKind::Invalid, "control character", |i| {
            i["BlockDeviceMappings"][0]["Ebs"]["VolumeId"] = json!("v\n")
        }),
    ];
    for (kind, words, change) in cases {
        let error = changed(change).unwrap_err();
        assert_eq!(error.kind(), *kind, "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
    let mut docs = all();
    docs[1]["Volumes"][0]["Size"] = json!(u64::MAX);
    assert!(machine_from_describe(&docs, None).unwrap_err().to_string().contains("no possible size"));
    for doc in [json!([]), json!({}), json!("x"), json!({ "Reservations": 3 })] {
        assert_eq!(machine_from_describe(&[doc], None).unwrap_err().kind(), MachineErrorKind::Invalid);
    }
}

/// Any value of the sample replaced by any other kind of value: an error or a valid machine, never a panic.
#[test]
fn no_replaced_value_breaks_the_reader() {
    fn paths(value: &Value, at: &str, out: &mut Vec<String>) {
        out.push(at.to_owned());
        match value {
            Value::Object(map) => {
                map.iter().for_each(|(key, value)| paths(value, &format!("{at}/{key}"), out))
            }
            Value::Array(list) => {
                list.iter()
                    .enumerate()
                    .for_each(|(index, value)| paths(value, &format!("{at}/{index}"), out));
            }
            _ => {}
        }
    }
    let mut accepted = 0;
    for (index, doc) in all().iter().enumerate() {
        let mut places = Vec::new();
        paths(doc, "", &mut places);
        for place in places {
            for other in [
                json!(null),
                json!([]),
                json!({}),
                json!("x\n"),
                json!(0),
                json!(u64::MAX),
                json!(-1),
                json!(true),
            ] {
                let mut docs = all();
                *docs[index].pointer_mut(&place).unwrap() = other;
                if let Ok((machine, _)) = machine_from_describe(&docs, None) {
                    machine.validate().unwrap();
                    accepted += 1;
                }
            }
        }
    }
    assert!(accepted > 500, "{accepted}");
}
