//! Manifests for KubeVirt, judged by a YAML parser of another maker.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

mod sample;

use driver_machine::kubevirt::definition;
use driver_machine::{Architecture, Clock, DiskBus, FirmwareKind, Machine, MachineErrorKind, NicModel, Tpm};
use proptest::prelude::*;
use sample::{HOSTILE, codes, config, golden, machine, modern, options, printable, run};
use serde_json::{Value, json};

/// The documents of a manifest, as PyYAML reads them.
fn documents(text: &str) -> Vec<Value> {
    let program =
        "import json, sys, yaml; print(json.dumps(list(yaml.safe_load_all(sys.stdin.buffer.read()))))";
    let output = run("python3", &["-c", program], text.as_bytes());
    assert!(output.status.success(), "{}{text}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn made(machine: &Machine, bus: DiskBus, nic: NicModel) -> Vec<Value> {
    documents(&definition(machine, &options(machine, bus, nic, "qcow2")).unwrap().text)
}

#[test]
fn the_manifest_says_what_the_machine_is() {
    let mut machine = modern("Web 2");
    machine.disks.push(driver_machine::Disk {
        id: "Data!".into(),
        order: 1,
        boot: false,
        ..machine.disks[0].clone()
    });
    let all = made(&machine, DiskBus::VirtioScsi, NicModel::E1000e);
    assert_eq!(all.len(), 3);
    assert_eq!(
        all[0],
        json!({
            "apiVersion": "cdi.kubevirt.io/v1beta1",
            "kind": "DataVolume",
            "metadata": { "name": "web-2-disk-0", "annotations": { "rehome-image-file": "Web 2-0.qcow2" } },
            "spec": {
                "source": { "upload": {} },
                "storage": { "resources": { "requests": { "storage": "8589934592" } } }
            }
        })
    );
    assert_eq!(all[1]["metadata"]["name"], "web-2-data");
    let vm = &all[2];
    assert_eq!((&vm["apiVersion"], &vm["kind"]), (&json!("kubevirt.io/v1"), &json!("VirtualMachine")));
    assert_eq!(vm["metadata"]["name"], "web-2");
    assert_eq!(vm["metadata"]["annotations"]["rehome-source-name"], "Web 2");
    assert_eq!(vm["spec"]["runStrategy"], "Halted");
    let spec = &vm["spec"]["template"]["spec"];
    assert_eq!(spec["architecture"], "amd64");
    let domain = &spec["domain"];
    assert_eq!(domain["cpu"], json!({ "sockets": 2, "cores": 2, "threads": 1 }));
    assert_eq!(domain["memory"], json!({ "guest": "4096Mi" }));
    assert_eq!(
        domain["firmware"],
        json!({ "uuid": "8a6f6c6f-2f3b-4c41-9d5e-010203040506", "bootloader": { "efi": { "secureBoot": true } } })
    );
    assert_eq!(domain["features"], json!({ "acpi": {}, "smm": { "enabled": true } }));
    assert_eq!(domain["devices"]["tpm"], json!({ "persistent": true }));
    assert_eq!(
        domain["devices"]["disks"],
        json!([
            { "name": "web-2-disk-0", "disk": { "bus": "scsi" }, "bootOrder": 1 },
            { "name": "web-2-data", "disk": { "bus": "scsi" } }
        ])
    );
    assert_eq!(
        domain["devices"]["interfaces"],
        json!([
            { "name": "nic0", "model": "e1000e", "macAddress": "0a:1b:2c:3d:4e:5f", "masquerade": {} },
            { "name": "nic1", "model": "e1000e", "macAddress": "0a:1b:2c:3d:4e:60", "bridge": {} }
        ])
    );
    assert_eq!(
        spec["networks"],
        json!([{ "name": "nic0", "pod": {} }, { "name": "nic1", "multus": { "networkName": "network" } }])
    );
    assert_eq!(spec["volumes"][1], json!({ "name": "web-2-data", "dataVolume": { "name": "web-2-data" } }));
}

#[test]
fn other_machines_differ_where_they_should() {
    let mut plain = machine("web", 1);
    plain.nics.clear();
    plain.cpu.topology = None;
    let all = made(&plain, DiskBus::VirtioBlk, NicModel::Virtio);
    let domain = &all[1]["spec"]["template"]["spec"]["domain"];
    assert_eq!(domain["firmware"]["bootloader"], json!({ "bios": {} }));
    assert_eq!(domain["cpu"], json!({ "sockets": 1, "cores": 4, "threads": 1 }));
    assert_eq!(domain["devices"]["autoattachPodInterface"], false);
    assert!(domain["devices"].get("tpm").is_none() && domain["features"].get("smm").is_none());

    let mut arm = machine("web", 1);
    arm.architecture = Architecture::Arm64;
    arm.firmware.kind = FirmwareKind::Uefi;
    let all = made(&arm, DiskBus::Sata, NicModel::E1000);
    let spec = &all[1]["spec"]["template"]["spec"];
    assert_eq!(
        (&spec["architecture"], &spec["domain"]["machine"]["type"]),
        (&json!("arm64"), &json!("virt"))
    );
    assert_eq!(spec["domain"]["firmware"]["bootloader"], json!({ "efi": { "secureBoot": false } }));
}

#[test]
fn volumes_have_different_names() {
    let mut machine = machine("x", 5);
    for (disk, id) in machine.disks.iter_mut().zip(["a", "A", "a!", "a-1", "名"]) {
        disk.id = id.into();
    }
    let all = made(&machine, DiskBus::Sata, NicModel::Virtio);
    let names: std::collections::BTreeSet<_> =
        all[..5].iter().map(|volume| volume["metadata"]["name"].as_str().unwrap()).collect();
    assert_eq!(names.len(), 5);
    assert!(names.iter().all(|name| name.len() <= 63));
}

#[test]
fn golden_file() {
    let machine = modern(HOSTILE[4]);
    let made = definition(&machine, &options(&machine, DiskBus::VirtioBlk, NicModel::Virtio, "raw")).unwrap();
    documents(&made.text);
    golden("kubevirt.yaml", &made.text);
}

#[test]
fn hostile_names_are_values() {
    let tame = made(&machine("tame", 1), DiskBus::VirtioBlk, NicModel::Virtio);
    for name in HOSTILE {
        let mut machine = machine(name, 1);
        machine.disks[0].id = machine.name.clone();
        machine.nics[1].network = Some(machine.name.clone());
        machine.notes = Some(machine.name.clone());
        let all = made(&machine, DiskBus::VirtioBlk, NicModel::Virtio);
        assert_eq!(all.len(), tame.len());
        assert_eq!(all[1]["metadata"]["annotations"]["rehome-source-name"], machine.name);
        assert_eq!(all[1]["metadata"]["annotations"]["description"], machine.name);
        let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(
            keys(&all[1]["spec"]["template"]["spec"]["domain"]),
            keys(&tame[1]["spec"]["template"]["spec"]["domain"])
        );
        let label = all[1]["metadata"]["name"].as_str().unwrap();
        assert!(label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'));
    }
}

#[test]
fn what_kubevirt_has_not_is_unsupported() {
    let machine = machine("x", 1);
    for (bus, nic, format) in [
        (DiskBus::Ide, NicModel::Virtio, "raw"),
        (DiskBus::Nvme, NicModel::Virtio, "raw"),
        (DiskBus::Pvscsi, NicModel::Virtio, "raw"),
        (DiskBus::LsiSas, NicModel::E1000e, "raw"),
        (DiskBus::Sata, NicModel::Vmxnet3, "raw"),
        (DiskBus::Sata, NicModel::Netfront, "raw"),
        (DiskBus::Sata, NicModel::Virtio, "vhdx"),
    ] {
        let error = definition(&machine, &options(&machine, bus, nic, format)).unwrap_err();
        assert_eq!(error.kind(), MachineErrorKind::Unsupported, "{bus:?} {nic:?} {format}");
    }
}

#[test]
fn losses_of_writing_are_warned_of() {
    let mut machine = modern("A");
    machine.tpm = Some(Tpm::V1_2);
    machine.clock = Clock::Local;
    machine.tags.insert("team".into(), String::new());
    let mut options = options(&machine, DiskBus::Sata, NicModel::Virtio, "raw");
    options.fixed_clock = Some(Clock::Utc);
    let made = definition(&machine, &options).unwrap();
    assert_eq!(
        codes(&made.warnings),
        [
            "kubevirt-clock",
            "kubevirt-name-changed",
            "kubevirt-network",
            "kubevirt-pod-network",
            "kubevirt-tags",
            "kubevirt-tpm-new",
            "kubevirt-tpm-version",
        ]
    );
}

proptest! {
    #![proptest_config(config())]

    /// Every text comes back from the manifest exactly.
    #[test]
    fn any_text_is_kept_exactly(name in printable(), notes in printable()) {
        let mut machine = machine(&name, 1);
        machine.notes = Some(notes.clone());
        let all = made(&machine, DiskBus::VirtioBlk, NicModel::Virtio);
        prop_assert_eq!(all.len(), 2);
        let annotations = &all[1]["metadata"]["annotations"];
        prop_assert_eq!(&annotations["rehome-source-name"], &json!(name));
        prop_assert_eq!(&annotations["description"], &json!(notes));
    }
}
