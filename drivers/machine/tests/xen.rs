//! Configurations of xl, judged by xl's own parser.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

mod sample;

use std::path::Path;
use std::time::{Duration, Instant};

use driver_machine::xen::{Guest, IMAGE_FOLDER, PVH_GRUB, definition, machine_from_cfg};
use driver_machine::{
    Bus, Clock, Cpu, Dialect, DiskBus, DiskSource, FirmwareKind, Machine, MachineErrorKind, NicModel,
    Topology, detect, read_documents,
};
use proptest::prelude::*;
use sample::{HOSTILE, codes, config, data, golden, machine, modern, options, printable, run};
use serde_json::Value;

/// What xl's parser makes of a configuration; `None` when it refuses it.
fn judged(text: &str) -> Option<Value> {
    let judge = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/xen/judge.py");
    let keys = ["name", "uuid", "type", "kernel", "bios", "vcpus", "memory", "localtime", "disk", "vif"];
    let mut arguments = vec![judge.to_str().unwrap()];
    arguments.extend(keys);
    let output = run("python3", &arguments, text.as_bytes());
    match output.status.code() {
        Some(0) => Some(serde_json::from_slice(&output.stdout).unwrap()),
        Some(1) if !String::from_utf8_lossy(&output.stderr).contains("Traceback") => None,
        _ => panic!("{}", String::from_utf8_lossy(&output.stderr)),
    }
}

fn pvh() -> Guest {
    Guest::Pvh { loader: PVH_GRUB.into() }
}

#[test]
fn an_hvm_guest_is_read() {
    let text = data("hvm.cfg");
    assert!(judged(&text).is_some());
    assert_eq!(detect(&text).unwrap(), Dialect::Xen);
    let (machine, warnings) = read_documents(&[text.as_bytes()], None).unwrap();
    assert_eq!(machine.name, "mail \"web\"");
    assert_eq!(machine.firmware.kind, FirmwareKind::Uefi);
    assert_eq!((machine.cpu, machine.memory_mib), (Cpu { count: 2, topology: None }, 4096));
    assert_eq!(machine.clock, Clock::Local);
    let disks: Vec<_> =
        machine.disks.iter().map(|disk| (disk.id.as_str(), disk.bus, disk.source.clone())).collect();
    assert_eq!(
        disks,
        [
            ("hda", Bus::Ide, DiskSource::Volume("/dev/vg0/mail".into())),
            ("xvdb", Bus::Xen, DiskSource::File("mail data.qcow2".into())),
            ("xvdc", Bus::Xen, DiskSource::Volume("iqn.2001-05.com:disk,1".into())),
        ]
    );
    assert_eq!(machine.nics.len(), 3);
    assert_eq!(machine.nics[0].addresses, ["10.0.0.5", "fe80::1"]);
    assert_eq!(
        (machine.nics[0].model.as_deref(), machine.nics[0].network.as_deref()),
        (Some("e1000"), Some("xenbr0"))
    );
    assert_eq!(
        codes(&warnings),
        [
            "xen-balloon",
            "xen-boot-order",
            "xen-cdrom",
            "xen-cpu-pinning",
            "xen-disk-read-only",
            "xen-disk-script",
            "xen-efi-variables",
            "xen-nic-limits",
            "xen-nic-script",
            "xen-numa",
            "xen-pass-through",
            "xen-unknown",
            "xen-vcpu-hotplug",
            "xen-viridian",
        ]
    );
}

#[test]
fn a_pv_guest_is_read_with_what_it_lacks() {
    let (machine, warnings) = machine_from_cfg(&data("pv.cfg")).unwrap();
    assert_eq!((machine.memory_mib, machine.cpu.count), (512, 1));
    assert_eq!(machine.disks[0].device_name.as_deref(), Some("/dev/xvda1"));
    assert_eq!(machine.disks[0].source, DiskSource::File("old.img".into()));
    assert_eq!(codes(&warnings), ["xen-disk-shared", "xen-host-kernel", "xen-paravirtual"]);
}

fn expected(machine: &Machine, prefix: &str, bus: Bus, model: &str) -> Machine {
    let mut wanted = machine.clone();
    wanted.os = None;
    wanted.notes = None;
    wanted.cpu.topology = None;
    for (disk, letter) in wanted.disks.iter_mut().zip("abcdefgh".chars()) {
        let stem = driver_machine::hyperv::windows_name(&machine.name);
        disk.source = DiskSource::File(format!("{stem}-{}.qcow2", disk.order));
        disk.id = format!("{prefix}{letter}");
        disk.device_name = Some(format!("/dev/{}", disk.id));
        disk.bus = bus;
        disk.size_bytes = None;
    }
    for nic in &mut wanted.nics {
        nic.model = Some(model.into());
    }
    wanted
}

#[test]
fn what_is_written_is_of_the_language_and_reads_back() {
    let cases = [
        (Guest::Hvm, DiskBus::Ide, ("hd", Bus::Ide), NicModel::E1000, "e1000"),
        (Guest::Hvm, DiskBus::XenBlk, ("xvd", Bus::Xen), NicModel::Netfront, "netfront"),
        (Guest::Hvm, DiskBus::XenBlk, ("xvd", Bus::Xen), NicModel::Vmxnet3, "vmxnet3"),
        (Guest::Hvm, DiskBus::XenBlk, ("xvd", Bus::Xen), NicModel::E1000e, "e1000e"),
        (pvh(), DiskBus::XenBlk, ("xvd", Bus::Xen), NicModel::Netfront, "netfront"),
    ];
    for (index, (guest, disk_bus, (prefix, bus), nic, model)) in cases.into_iter().enumerate() {
        let mut machine = machine("web", 3);
        if index == 1 {
            machine.firmware.kind = FirmwareKind::Uefi;
            machine.clock = Clock::Local;
        }
        let options = options(&machine, disk_bus, nic, "qcow2");
        let made = definition(&machine, &options, &guest, IMAGE_FOLDER).unwrap();
        let judged = judged(&made.text).unwrap();
        assert_eq!(judged["name"], "web");
        assert_eq!(judged["vcpus"], "4");
        assert_eq!(
            judged["disks"][2],
            serde_json::json!([format!("{IMAGE_FOLDER}/web-2.qcow2"), format!("{prefix}c")])
        );
        assert_eq!(judged["vif"].as_array().unwrap().len(), 2);
        let (read, _) = machine_from_cfg(&made.text).unwrap();
        assert_eq!(
            Machine { provenance: Default::default(), ..read },
            expected(&machine, prefix, bus, model)
        );
    }
}

#[test]
fn golden_files() {
    let plain = machine("web-1", 2);
    let made =
        definition(&plain, &options(&plain, DiskBus::XenBlk, NicModel::Netfront, "raw"), &pvh(), "/images/");
    golden("xen_pvh.cfg", &made.unwrap().text);
    let mut modern = modern("web \"2\"");
    modern.firmware.secure_boot = None;
    let made = definition(
        &modern,
        &options(&modern, DiskBus::Ide, NicModel::E1000, "qcow2"),
        &Guest::Hvm,
        "/images",
    );
    golden("xen_hvm.cfg", &made.unwrap().text);
}

#[test]
fn hostile_names_are_values() {
    for name in HOSTILE {
        let mut machine = machine(name, 1);
        machine.nics[0].network = Some(machine.name.clone());
        let options = options(&machine, DiskBus::XenBlk, NicModel::Netfront, "raw");
        let made = definition(&machine, &options, &Guest::Hvm, "/im,ages'\"\\").unwrap();
        let judged = judged(&made.text).unwrap();
        assert_eq!(judged["name"], made.machine_name);
        assert_eq!(
            judged["disks"],
            serde_json::json!([[format!("/im,ages'\"\\/{}", options.disks[0].file), "xvda"]])
        );
        assert_eq!(judged["vif"][0], "mac=0a:1b:2c:3d:4e:5f,type=vif");
        assert!(codes(&made.warnings).contains(&"xen-network"));
        let (read, _) = machine_from_cfg(&made.text).unwrap();
        assert_eq!(read.name, made.machine_name);
    }
    for (name, called) in [("123", "vm-123"), ("a/b", "a_b"), ("..", "vm-..")] {
        let machine = machine(name, 1);
        let options = options(&machine, DiskBus::XenBlk, NicModel::Netfront, "raw");
        assert_eq!(definition(&machine, &options, &Guest::Hvm, "/i").unwrap().machine_name, called);
    }
}

#[test]
fn what_xen_has_not_is_unsupported() {
    let plain = machine("x", 5);
    let uefi = modern("x");
    for (machine, bus, nic, format, guest) in [
        (&plain, DiskBus::Nvme, NicModel::Netfront, "raw", Guest::Hvm),
        (&plain, DiskBus::Ide, NicModel::Netfront, "raw", Guest::Hvm),
        (&plain, DiskBus::Ide, NicModel::Netfront, "raw", pvh()),
        (&plain, DiskBus::XenBlk, NicModel::E1000, "raw", pvh()),
        (&plain, DiskBus::XenBlk, NicModel::Virtio, "raw", Guest::Hvm),
        (&plain, DiskBus::XenBlk, NicModel::Netfront, "vmdk", Guest::Hvm),
        (&uefi, DiskBus::XenBlk, NicModel::Netfront, "raw", Guest::Hvm),
    ] {
        let error = definition(machine, &options(machine, bus, nic, format), &guest, "/i").unwrap_err();
        assert_eq!(error.kind(), MachineErrorKind::Unsupported, "{bus:?} {nic:?} {format}");
    }
    let options = options(&plain, DiskBus::XenBlk, NicModel::Netfront, "raw");
    for (guest, folder) in [(Guest::Hvm, "images"), (Guest::Pvh { loader: "grub".into() }, "/i")] {
        let error = definition(&plain, &options, &guest, folder).unwrap_err();
        assert_eq!(error.kind(), MachineErrorKind::Invalid);
    }
}

#[test]
fn losses_of_writing_are_warned_of() {
    let mut machine = modern("a/b");
    machine.cpu.topology = Some(Topology { sockets: 2, cores: 2, threads: 1 });
    machine.tags.insert("team".into(), String::new());
    let mut options = options(&machine, DiskBus::XenBlk, NicModel::Netfront, "raw");
    options.secure_boot = false;
    options.firmware = FirmwareKind::Bios;
    let made = definition(&machine, &options, &pvh(), "/i").unwrap();
    assert_eq!(
        codes(&made.warnings),
        ["xen-name-changed", "xen-notes", "xen-secure-boot-off", "xen-tags", "xen-topology", "xen-tpm-none",]
    );
}

#[test]
fn hostile_configurations_end_soon() {
    let good = "name = 'x'\nmemory = 1\n";
    let disk = "disk = ['/a,raw,xvda']\n";
    for text in [
        String::new(),
        "\u{0}".into(),
        good.into(),
        format!("{good}disk = {}", "[".repeat(500_000)),
        format!("{good}disk = [{}]", "'/a,raw,xvda',".repeat(5000)),
        format!("{good}disk = [{}]", "'/a,raw,xvda',".repeat(2)),
        format!("{good}{}", " ".repeat(2 << 20)),
        format!("{good}disk = ['{}']", "a".repeat(900_000)),
        format!("{good}disk = ['/a']"),
        format!("{good}{disk}vcpus = 0\n"),
        format!("{good}{disk}vcpus = 99999999999999999999\n"),
        format!("{good}{disk}import os\n"),
        format!("{disk}name = 'x'\nmemory = 'abc'\n"),
        format!("{disk}name = 'x'\nmemory = 0\n"),
        "name = '\u{1b}[2J\n".into(),
    ] {
        let start = Instant::now();
        let error = machine_from_cfg(&text).unwrap_err();
        assert!(start.elapsed() < Duration::from_secs(1), "{error}");
        assert!(!error.to_string().chars().any(char::is_control), "{error}");
    }
    for line in [
        format!("vif = ['{}']", ",".repeat(900_000)),
        format!("vif = [{}]", "'',".repeat(60)),
        "name = 'a\\nb'".into(),
        "uuid = 'x'".into(),
        "vif = ['mac=ff:ff:ff:ff:ff:ff,bridge=a\\tb']".into(),
        format!("disk += ['{}raw,xvdb']", "tap:".repeat(100_000)),
    ] {
        let start = Instant::now();
        let read = machine_from_cfg(&format!("{good}{disk}{line}\n"));
        assert!(start.elapsed() < Duration::from_secs(1));
        if let Ok((_, warnings)) = read {
            assert!(warnings.iter().all(|warning| !warning.message.chars().any(char::is_control)));
        }
    }
}

proptest! {
    #![proptest_config(config())]

    /// xl's parser reads every text exactly, and so does ours.
    #[test]
    fn any_text_is_kept_exactly(name in printable(), folder in printable()) {
        let machine = machine(&name, 1);
        let options = options(&machine, DiskBus::XenBlk, NicModel::Netfront, "raw");
        let folder = format!("/{folder}");
        let made = definition(&machine, &options, &Guest::Hvm, &folder).unwrap();
        let judged = judged(&made.text).unwrap();
        prop_assert_eq!(&judged["name"], &Value::from(name.replace('/', "_")));
        let path = format!("{}/{}", folder.trim_end_matches('/'), options.disks[0].file);
        prop_assert_eq!(&judged["disks"][0][0], &Value::from(path));
        prop_assert_eq!(machine_from_cfg(&made.text).unwrap().0.name, name.replace('/', "_"));
    }

    /// Both parsers agree on what is of the language, as far as ours is not stricter.
    #[test]
    fn we_read_nothing_that_xl_refuses(pieces in proptest::collection::vec(
        proptest::sample::select(&["a", "name", "=", "+=", "'x'", "\"y\\n\"", "[", "]", ",", "[[", "]]", "\n", ";", "12", "0x1f", "#c\n", " ", "'", "\\", "'\\''"][..]), 1..12)) {
        let text = format!("name='x'\nmemory=1\ndisk=['/a,raw,xvda']\n{}\n", pieces.concat());
        if let Ok((machine, warnings)) = machine_from_cfg(&text) {
            let judged = judged(&text);
            prop_assert!(judged.is_some(), "{}", text);
            if !codes(&warnings).contains(&"xen-name") {
                prop_assert_eq!(&judged.unwrap()["name"], &Value::from(machine.name));
            }
        }
    }
}
