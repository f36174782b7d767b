//! Proxmox: configurations, and the script run with something that looks like `qm`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

mod qm;
mod sample;

use std::path::Path;
use std::time::{Duration, Instant};

use driver_machine::proxmox::{definition, machine_from_conf};
use driver_machine::{
    Bus, Clock, Cpu, Definition, DefinitionOptions, Dialect, DiskBus, DiskSource, Firmware, FirmwareKind,
    Machine, MachineErrorKind, NicModel, OsFamily, OsHint, Topology, Tpm, detect, read_documents,
};
use proptest::prelude::*;
use qm::{Host, settings, text};
use sample::{HOSTILE, codes, config, data, golden, machine, modern, options, printable, run};

#[test]
fn a_configuration_is_read() {
    let text = data("100.conf");
    assert_eq!(detect(&text).unwrap(), Dialect::Proxmox);
    let (machine, warnings) = read_documents(&[text.as_bytes()], None).unwrap();
    assert_eq!(machine.name, "mail.example.org");
    assert_eq!(machine.notes.as_deref(), Some("Mail server, 50% of the second floor"));
    assert_eq!(machine.uuid.unwrap().to_string(), "b3247ab1-1fe6-428e-965b-08a1b64a8746");
    assert_eq!(machine.firmware, Firmware { kind: FirmwareKind::Uefi, secure_boot: Some(true) });
    assert_eq!(machine.cpu, Cpu { count: 6, topology: None });
    assert_eq!((machine.memory_mib, machine.clock, machine.tpm), (6144, Clock::Local, Some(Tpm::V2_0)));
    assert_eq!(machine.os.as_ref().unwrap().family, OsFamily::Linux);
    let disks: Vec<_> = machine
        .disks
        .iter()
        .map(|disk| (disk.id.as_str(), disk.bus, disk.boot, disk.size_bytes.unwrap()))
        .collect();
    assert_eq!(
        disks,
        [
            ("scsi0", Bus::Scsi, false, 32 << 30),
            ("scsi1", Bus::Scsi, true, 8193 << 20),
            ("scsi10", Bus::Scsi, false, 512 << 10),
            ("virtio0", Bus::Virtio, false, 1 << 40),
        ]
    );
    assert_eq!(machine.disks[1].source, DiskSource::Volume("nfs:100/vm-100-disk-2.qcow2".into()));
    let nics: Vec<_> = machine
        .nics
        .iter()
        .map(|nic| (nic.model.as_deref().unwrap(), nic.network.as_deref().unwrap()))
        .collect();
    assert_eq!(nics, [("virtio", "vmbr1"), ("e1000", "vmbr0"), ("vmxnet3", "vmbr2")]);
    assert_eq!(machine.nics[1].mac.unwrap().to_string(), "bc:24:11:2c:69:ed");
    assert_eq!(machine.tags.keys().collect::<Vec<_>>(), ["mail", "prod"]);
    assert_eq!(
        codes(&warnings),
        [
            "proxmox-balloon",
            "proxmox-boot-order",
            "proxmox-cdrom",
            "proxmox-cloud-init",
            "proxmox-cpu-model",
            "proxmox-disk-host",
            "proxmox-disk-limits",
            "proxmox-disk-read-only",
            "proxmox-disk-serial",
            "proxmox-efi-variables",
            "proxmox-genid",
            "proxmox-nic-down",
            "proxmox-nic-firewall",
            "proxmox-nic-vlan",
            "proxmox-pass-through",
            "proxmox-pending",
            "proxmox-smbios",
            "proxmox-snapshots",
            "proxmox-tpm",
            "proxmox-unknown",
            "proxmox-unused-disk",
            "proxmox-usb",
            "proxmox-vcpu-hotplug",
        ]
    );
}

#[test]
fn an_old_configuration_is_read() {
    let (machine, warnings) = machine_from_conf(&data("old.conf")).unwrap();
    assert_eq!(machine.name, "VM 101");
    assert_eq!(machine.firmware, Firmware { kind: FirmwareKind::Bios, secure_boot: None });
    assert_eq!(machine.cpu, Cpu { count: 1, topology: Some(Topology { sockets: 1, cores: 1, threads: 1 }) });
    assert_eq!(machine.clock, Clock::Local);
    let boot: Vec<_> = machine.disks.iter().map(|disk| disk.boot).collect();
    assert_eq!(boot, [false, true]);
    assert_eq!(codes(&warnings), ["proxmox-cdrom"]);
}

fn made(machine: &Machine, bus: DiskBus, nic: NicModel) -> (Definition, DefinitionOptions) {
    let options = options(machine, bus, nic, "qcow2");
    let made = definition(machine, &options).unwrap();
    let output = run("bash", &["-n"], made.text.as_bytes());
    assert!(output.status.success(), "{}", text(&output));
    (made, options)
}

#[test]
fn the_script_makes_the_machine() {
    let mut machine = machine("web-1", 2);
    machine.disks[0].boot = false;
    machine.disks[1].boot = true;
    let (made, options) = made(&machine, DiskBus::VirtioScsi, NicModel::Virtio);
    let host = Host::new(&made, &options);
    let output = host.run(&["--storage", "tank", "--bridge-of", "xenbr1=vmbr7", "--start"], "");
    assert!(output.status.success(), "{}", text(&output));
    let calls = host.calls();
    let names: Vec<_> = calls.iter().map(|call| call[0].as_str()).collect();
    assert_eq!(
        names,
        ["config", "create", "importdisk", "config", "set", "importdisk", "config", "set", "set", "start"]
    );
    let create = settings(&calls[1]);
    for (key, value) in [
        ("--name", "web-1"),
        ("--description", "moved by hand"),
        ("--memory", "4096"),
        ("--sockets", "2"),
        ("--cores", "2"),
        ("--cpu", "host"),
        ("--bios", "seabios"),
        ("--machine", "pc"),
        ("--ostype", "l26"),
        ("--localtime", "0"),
        ("--scsihw", "virtio-scsi-single"),
        ("--smbios1", "uuid=8a6f6c6f-2f3b-4c41-9d5e-010203040506"),
        ("--net0", "model=virtio,macaddr=0a:1b:2c:3d:4e:5f,bridge=vmbr7"),
        ("--net1", "model=virtio,macaddr=0a:1b:2c:3d:4e:60,bridge=vmbr0"),
    ] {
        assert_eq!(create.get(key), Some(&value), "{key}");
    }
    assert!(!create.contains_key("--efidisk0") && !create.contains_key("--tpmstate0"));
    let image = |name: &str| host.images().canonicalize().unwrap().join(name).display().to_string();
    assert_eq!(calls[2], ["importdisk", "105", &image("web-1-1.qcow2"), "tank"]);
    assert_eq!(calls[5], ["importdisk", "105", &image("web-1-0.qcow2"), "tank"]);
    assert_eq!(calls[4][2..], ["--scsi0", "tank:vm-105-disk-7"]);
    assert_eq!(calls[8], ["set", "105", "--boot", "order=scsi0"]);
}

/// What `qm` was told is, as a configuration, the same machine again.
#[test]
fn what_the_script_makes_reads_back() {
    let buses = [
        (DiskBus::VirtioBlk, Bus::Virtio, "virtio"),
        (DiskBus::VirtioScsi, Bus::Scsi, "scsi"),
        (DiskBus::Sata, Bus::Sata, "sata"),
        (DiskBus::Ide, Bus::Ide, "ide"),
        (DiskBus::Pvscsi, Bus::Scsi, "scsi"),
    ];
    let models = [
        (NicModel::E1000, "e1000"),
        (NicModel::E1000e, "e1000e"),
        (NicModel::Vmxnet3, "vmxnet3"),
        (NicModel::Virtio, "virtio"),
    ];
    for (index, (disk_bus, bus, stem)) in buses.into_iter().enumerate() {
        let (nic, model) = models[index % models.len()];
        let mut machine = if index % 2 == 0 { machine("web", 3) } else { modern("web") };
        machine.os =
            Some(OsHint { family: OsFamily::Windows, description: "Windows 11, 2022 or 2025".into() });
        machine.clock = Clock::Local;
        let (made, options) = made(&machine, disk_bus, nic);
        let host = Host::new(&made, &options);
        let output = host.run(&["--vmid", "4711"], "");
        assert!(output.status.success(), "{}", text(&output));
        let (read, _) = machine_from_conf(&host.configuration("4711").unwrap()).unwrap();
        let mut wanted = machine.clone();
        for (number, disk) in wanted.disks.iter_mut().enumerate() {
            disk.id = format!("{stem}{number}");
            disk.source = read.disks[number].source.clone();
            disk.bus = bus;
            disk.size_bytes = None;
        }
        for nic in &mut wanted.nics {
            nic.model = Some(model.into());
            nic.network = Some("vmbr0".into());
        }
        if wanted.firmware.kind == FirmwareKind::Bios {
            wanted.firmware.secure_boot = None;
        }
        assert_eq!(Machine { provenance: Default::default(), ..read }, wanted);
    }
}

#[test]
fn hostile_names_are_arguments_and_run_nothing() {
    for name in HOSTILE {
        let mut machine = machine(name, 1);
        machine.notes = Some((*name).replace('\n', " "));
        machine.nics[0].network = Some((*name).replace('\n', " "));
        let (made, mut options) = made(&machine, DiskBus::VirtioBlk, NicModel::Virtio);
        options.firmware_reason = machine.notes.clone().unwrap();
        let again = definition(&machine, &options).unwrap();
        let host = Host::new(&again, &options);
        let network = format!("{}=vmbr9", machine.nics[0].network.as_ref().unwrap());
        let output = host.run(&["--bridge-of", &network], "");
        assert!(output.status.success(), "{}", text(&output));
        let calls = host.calls();
        let create = settings(&calls[1]);
        assert_eq!(create["--name"], made.machine_name);
        assert_eq!(create["--description"], machine.notes.as_deref().unwrap());
        assert!(create["--net0"].ends_with(",bridge=vmbr9"), "{name}");
        assert!(calls[2][2].ends_with(&options.disks[0].file));
        assert!(text(&output).contains(options.firmware_reason.as_str()));
        for folder in [host.images(), host.path("."), "/".into()] {
            assert!(!folder.join("pwned").exists());
        }
    }
}

/// Nothing is made before all checks have passed.
#[test]
fn what_does_not_fit_is_found_before_anything_is_made() {
    let machine = machine("web", 1);
    let (made, options) = made(&machine, DiskBus::VirtioBlk, NicModel::Virtio);
    let host = Host::new(&made, &options);
    let refused = |arguments: &[&str], words: &str| {
        let output = host.run(arguments, "");
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(text(&output).contains(words), "{}", text(&output));
        assert!(!host.calls().iter().any(|call| call[0] == "create"));
    };
    refused(&["--storage", "x; rm"], "no name of a storage");
    refused(&["--bridge", "vmbr0,tag=1"], "no name of a bridge");
    refused(&["--bridge-of", "xenbr1=a b"], "no name of a bridge");
    refused(&["--bridge-of", "unknown=vmbr0"], "no adapter had");
    refused(&["--vmid", "99"], "no number of a virtual machine");
    refused(&["--vmid"], "needs a value");
    refused(&["--cpu", "host,flags=+x"], "no processor type");
    refused(&["what"], "unknown argument");
    let manifest = host.images().join(&options.disks[0].manifest);
    std::fs::write(&manifest, r#"{"image": {"file_size": 6}}"#).unwrap();
    refused(&[], "its manifest says 6");
    std::fs::remove_file(&manifest).unwrap();
    refused(&[], "manifest not found");
    std::fs::remove_file(host.images().join(&options.disks[0].file)).unwrap();
    refused(&[], "disk file not found");
    std::fs::write(host.path("105.conf"), "name: other\n").unwrap();
    refused(&[], "exists already");
    assert_eq!(host.configuration("105").unwrap(), "name: other\n");
}

#[test]
fn a_failure_leaves_no_half_machine_and_keeps_the_images() {
    let machine = modern("web");
    let (made, options) = made(&machine, DiskBus::VirtioScsi, NicModel::Virtio);
    for step in ["importdisk", "set"] {
        let host = Host::new(&made, &options);
        let output = host.run(&[], step);
        assert_eq!(output.status.code(), Some(5));
        assert!(text(&output).contains("destroyed again"), "{}", text(&output));
        assert_eq!(host.calls().last().unwrap()[..2], ["destroy", "105"]);
        assert_eq!(host.configuration("105"), None);
        assert!(host.images().join(&options.disks[0].file).exists());
    }
    // A machine that was never made is never destroyed.
    let host = Host::new(&made, &options);
    assert_eq!(host.run(&[], "create").status.code(), Some(5));
    assert!(!host.calls().iter().any(|call| call[0] == "destroy"));
    // A dry run changes nothing, and says what it would do.
    let host = Host::new(&made, &options);
    let output = host.run(&["--dry-run", "--new-macs"], "");
    assert!(output.status.success(), "{}", text(&output));
    assert!(host.calls().iter().all(|call| call[0] == "config"));
    let said = text(&output);
    assert!(
        said.contains("qm importdisk 105") && said.contains("order=scsi0") && !said.contains("macaddr"),
        "{said}"
    );
}

#[test]
fn golden_files() {
    let plain = machine("web-1", 2);
    golden("proxmox_bios.sh", &made(&plain, DiskBus::Sata, NicModel::E1000).0.text);
    let mut modern = modern(HOSTILE[0]);
    modern.nics[0].network = Some(HOSTILE[1].into());
    golden("proxmox_uefi.sh", &made(&modern, DiskBus::VirtioScsi, NicModel::Virtio).0.text);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    for name in ["proxmox_bios.sh", "proxmox_uefi.sh"] {
        let output = run("shellcheck", &["-S", "warning", path.join(name).to_str().unwrap()], b"");
        assert!(output.status.success(), "{}", text(&output));
    }
}

#[test]
fn what_proxmox_has_not_is_unsupported() {
    let machine = machine("x", 7);
    for (bus, nic, format) in [
        (DiskBus::Nvme, NicModel::Virtio, "raw"),
        (DiskBus::LsiLogic, NicModel::Virtio, "raw"),
        (DiskBus::XenBlk, NicModel::Virtio, "raw"),
        (DiskBus::Sata, NicModel::Virtio, "raw"),
        (DiskBus::Ide, NicModel::Virtio, "raw"),
        (DiskBus::VirtioBlk, NicModel::Netfront, "raw"),
        (DiskBus::VirtioBlk, NicModel::Virtio, "vhdx"),
        (DiskBus::VirtioBlk, NicModel::Virtio, "vhd"),
    ] {
        let error = definition(&machine, &options(&machine, bus, nic, format)).unwrap_err();
        assert_eq!(error.kind(), MachineErrorKind::Unsupported, "{bus:?} {nic:?} {format}");
    }
    let mut wrong = options(&machine, DiskBus::VirtioBlk, NicModel::Virtio, "raw");
    wrong.disks[0].file = "x.img".into();
    assert_eq!(definition(&machine, &wrong).unwrap_err().kind(), MachineErrorKind::Invalid);
}

#[test]
fn losses_of_writing_are_warned_of() {
    let mut machine = modern("a b");
    machine.cpu.topology = Some(Topology { sockets: 1, cores: 2, threads: 2 });
    machine.os = Some(OsHint { family: OsFamily::Windows, description: "Windows".into() });
    machine.tags.insert("team".into(), String::new());
    let (made, _) = made(&machine, DiskBus::VirtioScsi, NicModel::Virtio);
    assert_eq!(
        codes(&made.warnings),
        [
            "proxmox-name-changed",
            "proxmox-network",
            "proxmox-tags",
            "proxmox-topology",
            "proxmox-tpm-new",
            "proxmox-windows-version",
        ]
    );
}

#[test]
fn hostile_configurations_end_soon() {
    let good = "name: x\nscsi0: local:x,size=1G\n";
    let many: String = (0..3000).map(|number| format!("k{number}: 1\n")).collect();
    for text in [
        String::new(),
        "\u{0}".into(),
        format!("{good}{}", " ".repeat(2 << 20)),
        format!("{good}{many}"),
        "[a]\n".repeat(5000),
        "name: x\n".into(),
        format!("{good}cores: 99999999999\n"),
        format!("{good}cores: 4294967295\nsockets: 2\n"),
        format!("{good}cores: 0\n"),
        format!("{good}memory: -1\n"),
        format!("{good}memory: 99999999999999999999\n"),
        format!("{good}arch: ppc64\n"),
        "scsi0: \u{1b}[2J,size=1G\n".into(),
        format!("{good}\u{1b}[2J\n"),
        "scsi0: ,size=1G\n".into(),
    ] {
        let start = Instant::now();
        let error = machine_from_conf(&text).unwrap_err();
        assert!(start.elapsed() < Duration::from_secs(1), "{error}");
        assert!(!error.to_string().chars().any(char::is_control), "{error}");
    }
    for line in [
        format!("net0: {}", ",".repeat(900_000)),
        format!("tags: {}", "a;".repeat(400_000)),
        "scsi1: a,size=99999999999999999999T".into(),
        "name: a\tb".into(),
        format!("#{}", "%41".repeat(300_000)),
        "smbios1: uuid=zz".into(),
        "net0: virtio=01:00:5e:00:00:01".into(),
        "boot: order=;;;".into(),
    ] {
        let start = Instant::now();
        let (_, warnings) = machine_from_conf(&format!("{good}{line}\n")).unwrap();
        assert!(start.elapsed() < Duration::from_secs(1));
        assert!(warnings.iter().all(|warning| !warning.message.chars().any(char::is_control)));
    }
}

proptest! {
    #![proptest_config(config())]

    /// Bash gives back every text exactly, and nothing of it runs.
    #[test]
    fn any_text_is_kept_exactly(notes in printable(), network in printable()) {
        let mut machine = machine("x", 1);
        machine.notes = Some(notes.clone());
        machine.nics[0].network = Some(network.clone());
        let (made, _) = made(&machine, DiskBus::VirtioBlk, NicModel::Virtio);
        let values = made.text.split("# ---- Arguments. ----").next().unwrap();
        let script = format!("{values}\nprintf '%s\\0' \"$description\" \"${{nic_networks[@]}}\"");
        let output = run("bash", &["-c", &script], b"");
        let told: Vec<_> = output.stdout.split(|byte| *byte == 0).map(|text| String::from_utf8_lossy(text).into_owned()).collect();
        prop_assert_eq!(&told[..3], &[notes, network, String::new()]);
    }
}
