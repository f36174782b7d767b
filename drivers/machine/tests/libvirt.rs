//! libvirt's domain XML, judged by libvirt's own schema.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

mod sample;

use std::time::{Duration, Instant};

use driver_machine::libvirt::{IMAGE_FOLDER, definition, machine_from_xml};
use driver_machine::{
    Bus, Clock, Cpu, Dialect, DiskBus, DiskSource, Firmware, FirmwareKind, Machine, MachineErrorKind,
    NicModel, OsFamily, Topology, Tpm, detect, read_documents,
};
use proptest::prelude::*;
use sample::{HOSTILE, codes, collection, config, data, golden, machine, modern, options, printable, run};

const SCHEMA: &str = "/usr/share/libvirt/schemas/domain.rng";

/// What libvirt's schema says about a domain; empty when it is valid.
fn faults(text: &str) -> String {
    let output = run("xmllint", &["--noout", "--nonet", "--relaxng", SCHEMA, "-"], text.as_bytes());
    if output.status.success() { String::new() } else { String::from_utf8_lossy(&output.stderr).into_owned() }
}

#[test]
fn a_modern_domain_is_read() {
    let text = data("uefi.xml");
    assert_eq!(faults(&text), "");
    assert_eq!(detect(&text).unwrap(), Dialect::Libvirt);
    let (machine, warnings) = read_documents(&[text.as_bytes()], None).unwrap();
    assert_eq!(machine.name, "mail & \"web\"");
    assert_eq!(machine.uuid.unwrap().to_string(), "0b6ee1a4-5a2e-4d7b-8a3c-5f1d2e3c4b5a");
    assert_eq!(machine.firmware, Firmware { kind: FirmwareKind::Uefi, secure_boot: Some(true) });
    assert_eq!(machine.cpu, Cpu { count: 4, topology: None });
    assert_eq!(machine.memory_mib, 6144);
    assert_eq!((machine.clock, machine.tpm), (Clock::Local, Some(Tpm::V2_0)));
    assert_eq!(machine.notes.as_deref(), Some("Mail server, second floor"));
    assert_eq!(machine.os.as_ref().unwrap().family, OsFamily::Linux);
    let disks: Vec<_> = machine.disks.iter().map(|disk| (disk.id.as_str(), disk.bus, disk.boot)).collect();
    assert_eq!(disks, [("vda", Bus::Virtio, true), ("vdb", Bus::Virtio, false), ("sda", Bus::Scsi, false)]);
    assert_eq!(machine.disks[0].source, DiskSource::File("mail root.qcow2".into()));
    assert_eq!(machine.disks[1].source, DiskSource::Volume("/dev/vg0/data".into()));
    assert_eq!(machine.disks[2].source, DiskSource::Volume("rbd:pool/mail-archive".into()));
    assert_eq!(machine.nics[0].mac.unwrap().to_string(), "52:54:00:aa:bb:01");
    assert_eq!(machine.nics[1].network.as_deref(), Some("storage net"));
    assert_eq!(machine.nics[1].model.as_deref(), Some("e1000e"));
    assert_eq!(
        codes(&warnings),
        [
            "libvirt-balloon",
            "libvirt-boot-order",
            "libvirt-cdrom",
            "libvirt-clock",
            "libvirt-cpu-model",
            "libvirt-cpu-pinning",
            "libvirt-dies",
            "libvirt-disk-sectors",
            "libvirt-disk-serial",
            "libvirt-disk-shared",
            "libvirt-genid",
            "libvirt-hyperv",
            "libvirt-memory-hotplug",
            "libvirt-nic-down",
            "libvirt-nic-vlan",
            "libvirt-nvram",
            "libvirt-pass-through",
            "libvirt-qemu-arguments",
            "libvirt-shared-folder",
            "libvirt-topology",
            "libvirt-tpm",
            "libvirt-vcpu-hotplug",
            "libvirt-watchdog",
        ]
    );
}

#[test]
fn an_old_domain_in_a_snapshot_is_read() {
    let (machine, warnings) = machine_from_xml(&data("bios.xml")).unwrap();
    assert_eq!(machine.name, "old");
    assert_eq!(machine.firmware, Firmware { kind: FirmwareKind::Bios, secure_boot: None });
    assert_eq!((machine.memory_mib, machine.cpu.count), (1025, 1));
    let ids: Vec<_> = machine.disks.iter().map(|disk| disk.id.as_str()).collect();
    assert_eq!(ids, ["hda", "hdb"]);
    assert_eq!(machine.disks[0].source, DiskSource::Volume("default/a.img".into()));
    assert!(machine.disks[0].boot && machine.disks[0].bus == Bus::Ide);
    assert_eq!(
        codes(&warnings),
        ["libvirt-boot-order", "libvirt-disk-transient", "libvirt-floppy", "libvirt-memory-rounded"]
    );
}

/// The sample machine as it has to come back: what a domain has no words for is the reader's.
fn expected(machine: &Machine, bus: Bus, prefix: &str, model: &str, format: &str) -> Machine {
    let mut wanted = machine.clone();
    wanted.os = None;
    wanted.provenance.clear();
    for (disk, letter) in wanted.disks.iter_mut().zip("abcdefgh".chars()) {
        let stem = driver_machine::hyperv::windows_name(&machine.name);
        disk.source = DiskSource::File(format!("{stem}-{}.{format}", disk.order));
        disk.id = format!("{prefix}{letter}");
        disk.device_name = Some(format!("/dev/{}", disk.id));
        disk.bus = bus;
        disk.size_bytes = None;
    }
    for nic in &mut wanted.nics {
        nic.model = Some(model.into());
        nic.network.get_or_insert_with(|| "default".into());
    }
    wanted
}

#[test]
fn what_is_written_is_valid_and_reads_back() {
    let buses = [
        (DiskBus::VirtioBlk, Bus::Virtio, "vd"),
        (DiskBus::VirtioScsi, Bus::Scsi, "sd"),
        (DiskBus::Sata, Bus::Sata, "sd"),
        (DiskBus::Ide, Bus::Ide, "hd"),
        (DiskBus::Pvscsi, Bus::Scsi, "sd"),
    ];
    let models = [
        (NicModel::Virtio, "virtio"),
        (NicModel::E1000e, "e1000e"),
        (NicModel::E1000, "e1000"),
        (NicModel::Vmxnet3, "vmxnet3"),
    ];
    for (index, (disk_bus, bus, prefix)) in buses.into_iter().enumerate() {
        let (nic_model, model) = models[index % models.len()];
        for machine in [machine("web", 3), modern("web 2")] {
            if machine.firmware.secure_boot == Some(true) && disk_bus == DiskBus::Ide {
                continue;
            }
            let options = options(&machine, disk_bus, nic_model, "qcow2");
            let made = definition(&machine, &options, IMAGE_FOLDER).unwrap();
            assert_eq!(faults(&made.text), "", "{}", made.text);
            let (read, _) = machine_from_xml(&made.text).unwrap();
            let read = Machine { provenance: Default::default(), ..read };
            assert_eq!(read, expected(&machine, bus, prefix, model, "qcow2"));
        }
    }
}

#[test]
fn golden_files() {
    let plain = machine("web-1", 2);
    let made = definition(&plain, &options(&plain, DiskBus::VirtioScsi, NicModel::Virtio, "raw"), "/images/");
    golden("libvirt_bios.xml", &made.unwrap().text);
    let modern = modern("web-2");
    let made =
        definition(&modern, &options(&modern, DiskBus::VirtioBlk, NicModel::Virtio, "qcow2"), "/images");
    golden("libvirt_uefi.xml", &made.unwrap().text);
}

#[test]
fn hostile_names_are_values() {
    for name in HOSTILE {
        let machine = machine(name, 1);
        let made =
            definition(&machine, &options(&machine, DiskBus::Sata, NicModel::E1000, "qcow2"), IMAGE_FOLDER)
                .unwrap();
        assert_eq!(faults(&made.text), "", "{}", made.text);
        let (read, _) = machine_from_xml(&made.text).unwrap();
        assert_eq!(read.name, made.machine_name);
        assert_eq!(read.name, machine.name.replace('/', "_"));
    }
}

#[test]
fn many_disks_have_places() {
    let machine = machine("x", 40);
    for bus in [DiskBus::VirtioScsi, DiskBus::Pvscsi, DiskBus::VirtioBlk] {
        let made =
            definition(&machine, &options(&machine, bus, NicModel::Virtio, "raw"), IMAGE_FOLDER).unwrap();
        assert_eq!(faults(&made.text), "");
        let (read, _) = machine_from_xml(&made.text).unwrap();
        let files: Vec<_> = read.disks.iter().map(|disk| disk.source.clone()).collect();
        let wanted: Vec<_> = (0..40).map(|index| DiskSource::File(format!("x-{index}.raw"))).collect();
        assert_eq!(files, wanted);
    }
}

#[test]
fn many_cpus_have_their_interrupts_remapped() {
    let mut machine = modern("x");
    machine.cpu.topology = None;
    let made = |machine: &Machine, bus| {
        definition(machine, &options(machine, bus, NicModel::Virtio, "raw"), IMAGE_FOLDER)
    };
    for (count, remapped, older) in
        [(255, false, false), (256, true, false), (288, true, false), (289, true, true)]
    {
        machine.cpu.count = count;
        let found = made(&machine, DiskBus::VirtioBlk).unwrap();
        assert_eq!(faults(&found.text), "");
        assert_eq!(found.text.contains("<driver intremap='on' eim='on'/>"), remapped, "{count}");
        assert_eq!(found.text.contains("<ioapic driver='qemu'/>"), remapped, "{count}");
        let told = found.warnings.iter().find(|warning| warning.code == "libvirt-many-cpus");
        assert_eq!(told.is_some(), remapped);
        assert_eq!(told.is_some_and(|warning| warning.message.contains("QEMU before 8.1")), older);
    }
    let mut plain = self::machine("x", 1);
    plain.cpu = Cpu { count: 256, topology: None };
    let error = made(&plain, DiskBus::Ide).unwrap_err();
    assert_eq!(error.kind(), MachineErrorKind::Unsupported);
    assert!(error.to_string().contains("at most 255"), "{error}");
}

#[test]
fn what_kvm_has_not_is_unsupported() {
    let machine = machine("x", 5);
    for (bus, nic) in [
        (DiskBus::Nvme, NicModel::Virtio),
        (DiskBus::LsiLogic, NicModel::Virtio),
        (DiskBus::LsiSas, NicModel::Virtio),
        (DiskBus::XenBlk, NicModel::Virtio),
        (DiskBus::Ide, NicModel::Virtio),
        (DiskBus::Sata, NicModel::Netfront),
    ] {
        let error = definition(&machine, &options(&machine, bus, nic, "raw"), IMAGE_FOLDER).unwrap_err();
        assert_eq!(error.kind(), MachineErrorKind::Unsupported, "{bus:?}");
    }
    let plain = options(&machine, DiskBus::Sata, NicModel::Virtio, "raw");
    let error = definition(&machine, &plain, "images").unwrap_err();
    assert_eq!(error.kind(), MachineErrorKind::Invalid);
    for name in ["x\u{fffe}", "\u{ffff}"] {
        let machine = self::machine(name, 1);
        let plain = options(&machine, DiskBus::Sata, NicModel::Virtio, "raw");
        assert_eq!(definition(&machine, &plain, "/i").unwrap_err().kind(), MachineErrorKind::Unsupported);
    }
}

#[test]
fn files_have_to_match_the_disks() {
    let machine = machine("x", 2);
    type Change = fn(&mut driver_machine::DefinitionOptions);
    let cases: [(&str, Change); 8] = [
        ("no file for disk", |o| drop(o.disks.pop())),
        ("which the machine has not", |o| o.disks[1].id = "other".into()),
        ("two files for disk", |o| o.disks[1].id = o.disks[0].id.clone()),
        ("given for two disks", |o| o.disks[1].file = o.disks[0].file.clone()),
        ("file name", |o| o.disks[0].file = "../x".into()),
        ("file name", |o| o.disks[0].manifest = "a\nb".into()),
        ("the reason for the firmware", |o| o.firmware_reason = "a\nb".into()),
        ("BIOS has none", |o| o.secure_boot = true),
    ];
    for (words, change) in cases {
        let mut options = options(&machine, DiskBus::Sata, NicModel::Virtio, "raw");
        change(&mut options);
        let error = definition(&machine, &options, IMAGE_FOLDER).unwrap_err();
        assert_eq!(error.kind(), MachineErrorKind::Invalid);
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn losses_of_writing_are_warned_of() {
    let mut machine = modern("a/b");
    machine.tags.insert("team".into(), "shop".into());
    let mut options = options(&machine, DiskBus::Sata, NicModel::Virtio, "raw");
    options.firmware = FirmwareKind::Bios;
    options.secure_boot = false;
    options.disks[0].size_bytes = 3 << 40;
    let made = definition(&machine, &options, IMAGE_FOLDER).unwrap();
    assert_eq!(
        codes(&made.warnings),
        [
            "libvirt-boot-disk-large",
            "libvirt-firmware-differs",
            "libvirt-name-changed",
            "libvirt-network",
            "libvirt-secure-boot-off",
            "libvirt-tags",
            "libvirt-tpm-new",
        ]
    );
}

/// Bombs, depths and sizes end in an error or a machine within a second, and an error never shows raw controls.
#[test]
fn hostile_documents_end_soon() {
    let domain = |inner: &str| {
        format!(
            "<domain><name>x</name><memory>1048576</memory><devices><disk><source file='/a'/><target dev='vda'/></disk>\
             </devices>{inner}</domain>"
        )
    };
    let bomb = (1..10).fold("<!DOCTYPE d [<!ENTITY e0 'x'>".to_owned(), |text, level| {
        let before = level - 1;
        text + &format!("<!ENTITY e{level} '{}'>", format!("&e{before};").repeat(10))
    }) + "]><domain><name>&e9;</name></domain>";
    let attributes: String = (0..60_000).map(|number| format!(" a{number}=''")).collect();
    let near: String = (0..8000).map(|number| format!(" a{number}=''")).collect();
    let names: String = (0..8000).map(|number| format!("<a{number} xmlns:p{number}='u'>")).collect();
    let refused = [
        bomb,
        "<!DOCTYPE d SYSTEM 'file:///etc/passwd'><domain/>".into(),
        "<a>".repeat(200_000),
        "<domain>".repeat(20_000),
        format!("<domain{attributes}/>"),
        format!("<domain>{names}"),
        domain(&" ".repeat(10 << 20)),
        "<".repeat(900_000),
        "<domain><name>\u{1}</name></domain>".into(),
        "<domain/>".into(),
        "<x><domain/><domain/></x>".into(),
        "<domain type='lxc'/>".into(),
        "<domain><memory>x</memory><devices><disk><source file='/a'/><target dev='vda'/></disk></devices></domain>".into(),
        domain("<vcpu>99999999999</vcpu>"),
        domain("<vcpu>0</vcpu>"),
        domain("<os><type arch='ppc64'>hvm</type></os>"),
        String::new(),
        "\u{0}".into(),
    ];
    for text in refused {
        let start = Instant::now();
        let error = machine_from_xml(&text).unwrap_err();
        assert!(start.elapsed() < Duration::from_secs(1), "{error}");
        assert!(!error.to_string().chars().any(char::is_control), "{error}");
    }
    for text in
        [domain(&format!("<x{near}/>")), domain(&"<x>".repeat(9000)).replace("</domain>", ""), domain("<x/>")]
    {
        let start = Instant::now();
        let _ = machine_from_xml(&text);
        assert!(start.elapsed() < Duration::from_secs(1));
    }
    assert!(machine_from_xml(&domain("")).is_ok());
}

#[test]
fn foreign_text_never_becomes_a_field_unchecked() {
    let text = data("bios.xml").replace("<name>old</name>", "<name>a&#10;b&#x202e;</name>").replace(
        "<interface type='user'/>",
        "<interface type='bridge'><source bridge='a&#9;b'/><mac address='01:00:00:00:00:00'/></interface>",
    );
    let (machine, warnings) = machine_from_xml(&text).unwrap();
    assert_eq!(machine.name, "domain");
    assert_eq!((machine.nics[0].network.as_ref(), machine.nics[0].mac), (None, None));
    let codes = codes(&warnings);
    for code in ["libvirt-name", "libvirt-mac", "libvirt-text"] {
        assert!(codes.contains(&code), "{code}");
    }
    assert!(warnings.iter().all(|warning| !warning.message.chars().any(char::is_control)));
}

/// Domains that virt-v2v and others test with.
#[test]
fn samples_of_other_products_are_read() {
    let Some((_guard, folder)) = collection("third-party/configs/*.xml*") else { return };
    let folder = folder.join("third-party/configs");
    let read = |name: &str| machine_from_xml(&std::fs::read_to_string(folder.join(name)).unwrap()).unwrap();

    let (machine, warnings) = read("virt-v2v/test-i-ova.xml");
    assert_eq!((machine.name.as_str(), machine.memory_mib, machine.cpu.count), ("TestOva", 2048, 1));
    assert_eq!(machine.clock, Clock::Local);
    assert_eq!(machine.os.unwrap().family, OsFamily::Windows);
    assert_eq!(machine.nics[0].network.as_deref(), Some("VM Network"));
    assert_eq!(machine.disks[0].source, DiskSource::File("TestOva-sda".into()));
    assert_eq!(codes(&warnings), ["libvirt-cdrom", "libvirt-floppy"]);

    let (machine, warnings) = read("virt-v2v/test-print-source.xml.in");
    assert_eq!(machine.cpu, Cpu { count: 64, topology: Some(Topology { sockets: 4, cores: 8, threads: 2 }) });
    assert_eq!(machine.memory_mib, 1024);
    assert_eq!(machine.nics[0].mac.unwrap().to_string(), "00:11:22:33:44:55");
    assert_eq!(codes(&warnings), ["libvirt-cpu-model"]);

    let (machine, warnings) = read("virt-v2v/test-cdrom.xml.in");
    assert_eq!((machine.disks.len(), machine.disks[0].bus), (1, Bus::Ide));
    assert_eq!(codes(&warnings), ["libvirt-cdrom"]);

    let (machine, warnings) = read("virt-v2v/test-rhbz1232192.xml.in");
    assert_eq!((machine.disks.len(), machine.cpu.count), (2, 2));
    assert_eq!(codes(&warnings), [""; 0]);

    assert_eq!(codes(&read("virt-v2v/test-sound.xml.in").1), ["libvirt-sound"]);

    let (machine, warnings) = read("forklift/testdata/valid_config.xml");
    assert_eq!(machine.name, "yzamir-03");
    assert_eq!(machine.os.unwrap().family, OsFamily::Linux);
    assert_eq!(codes(&warnings), ["libvirt-device"]);

    // Two adapters in a file of no domain.
    let text = std::fs::read_to_string(folder.join("virt-v2v/test-mac-expected.xml")).unwrap();
    assert!(machine_from_xml(&text).is_err());
}

proptest! {
    #![proptest_config(config())]

    /// Every text comes back exactly, and the schema has no objection.
    #[test]
    fn any_text_is_kept_exactly(name in printable(), network in printable(), notes in printable()) {
        let mut machine = machine(&name, 1);
        machine.nics[0].network = Some(network.trim().to_owned());
        machine.notes = Some(notes.clone());
        let made = definition(&machine, &options(&machine, DiskBus::VirtioBlk, NicModel::Virtio, "raw"), "/i").unwrap();
        prop_assert_eq!(faults(&made.text), "");
        let (read, _) = machine_from_xml(&made.text).unwrap();
        prop_assert_eq!(read.name, name.replace('/', "_").trim().to_owned());
        prop_assert_eq!(read.nics[0].network.as_deref(), Some(network.trim()));
        prop_assert_eq!(read.notes.as_deref(), Some(notes.trim()));
    }
}
