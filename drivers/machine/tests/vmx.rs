//! VMX files: read, written, and read again.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

mod machines;

use driver_machine::vmx::{definition, machine_from_vmx};
use driver_machine::{
    Architecture, Bus, Clock, Dialect, DiskBus, DiskSource, FirmwareKind, Machine, MachineErrorKind,
    NicModel, OsFamily, Warning, detect, read_documents,
};
use machines::{HOSTILE, codes, golden, hostile, hostile_files, kept, machine, options};
use proptest::prelude::*;

/// As ESXi writes it, shortened.
const SAMPLE: &str = r#".encoding = "UTF-8"
config.version = "8"
virtualHW.version = "14"
displayName = "web |22prod|22"
annotation = "first line|0Asecond"
guestOS = "rhel8-64"
memSize = "2048"
numvcpus = "4"
cpuid.coresPerSocket = "2"
firmware = "efi"
uefi.secureBoot.enabled = "TRUE"
nvram = "web.nvram"
uuid.bios = "42 2c 17 6d 0b 31 4e 16-82 97 f0 b4 99 0b 86 09"
scsi0.present = "TRUE"
scsi0.virtualDev = "pvscsi"
scsi0:10.present = "TRUE"
scsi0:10.fileName = "web_2.vmdk"
scsi0:2.present = "TRUE"
scsi0:2.fileName = "web_1.vmdk"
scsi0:0.present = "TRUE"
scsi0:0.fileName = "web.vmdk"
scsi0:0.deviceType = "scsi-hardDisk"
scsi0:3.present = "FALSE"
scsi0:3.fileName = "gone.vmdk"
ethernet0.present = "TRUE"
ethernet0.virtualDev = "vmxnet3"
ethernet0.networkName = "VM Network"
ethernet0.addressType = "vpx"
ethernet0.generatedAddress = "00:50:56:ac:cf:51"
ethernet3.present = "TRUE"
ethernet3.connectionType = "nat"
floppy0.present = "FALSE"
"#;

fn read(text: &str) -> (Machine, Vec<Warning>) {
    machine_from_vmx(text.as_bytes()).unwrap()
}

fn refused(text: &str) -> String {
    machine_from_vmx(text.as_bytes()).unwrap_err().to_string()
}

#[test]
fn every_documented_field_arrives() {
    let (machine, warnings) = read(SAMPLE);
    assert_eq!(machine.name, "web \"prod\"");
    assert_eq!(machine.notes.as_deref(), Some("first line second"));
    assert_eq!((machine.architecture, machine.clock), (Architecture::X86_64, Clock::Utc));
    assert_eq!((machine.firmware.kind, machine.firmware.secure_boot), (FirmwareKind::Uefi, Some(true)));
    let topology = machine.cpu.topology.unwrap();
    assert_eq!((machine.cpu.count, topology.sockets, topology.cores, machine.memory_mib), (4, 2, 2, 2048));
    assert_eq!(machine.uuid.unwrap().to_string(), "422c176d-0b31-4e16-8297-f0b4990b8609");
    let disks: Vec<_> = machine
        .disks
        .iter()
        .map(|disk| (disk.id.as_str(), disk.bus, disk.boot, disk.source.clone()))
        .collect();
    let file = |name: &str| DiskSource::File(name.into());
    assert_eq!(
        disks,
        [
            ("scsi0:0", Bus::Scsi, true, file("web.vmdk")),
            ("scsi0:2", Bus::Scsi, false, file("web_1.vmdk")),
            ("scsi0:10", Bus::Scsi, false, file("web_2.vmdk")),
        ]
    );
    let nics: Vec<_> = machine
        .nics
        .iter()
        .map(|nic| (nic.mac.map(|mac| mac.to_string()), nic.network.as_deref(), nic.model.as_deref()))
        .collect();
    assert_eq!(
        nics,
        [(Some("00:50:56:ac:cf:51".into()), Some("VM Network"), Some("vmxnet3")), (None, Some("nat"), None)]
    );
    assert_eq!(machine.os.as_ref().unwrap().family, OsFamily::Linux);
    assert_eq!(codes(&warnings), ["vmx-nvram"]);
    assert_eq!(Machine::from_json(&machine.to_json().unwrap()).unwrap(), machine);
}

#[test]
fn the_file_is_recognised() {
    assert_eq!(detect(SAMPLE).unwrap(), Dialect::Vmx);
    assert_eq!(detect("\u{feff}CONFIG.VERSION=8\nx = 1").unwrap(), Dialect::Vmx);
    assert!(detect("displayName = \"a\"").is_err());
    assert_eq!(read_documents(&[SAMPLE.as_bytes()], None).unwrap(), read(SAMPLE));
    let error = read_documents(&[b"{}", SAMPLE.as_bytes()], None).unwrap_err();
    assert_eq!(error.to_string(), "vmx: document 2 is given together with 1 other documents");
    let latin =
        b".encoding = \"windows-1252\"\ndisplayName = \"caf\xe9\"\nmemsize = 4\nide0:0.present = TRUE\n\
                  ide0:0.fileName = \"a.vmdk\"\n";
    assert_eq!(read_documents(&[latin], None).unwrap().0.name, "café");
}

#[test]
fn the_firmware_order_decides_which_disk_is_first() {
    let extra = "sata0.present = TRUE\nsata0:1.present = TRUE\nsata0:1.fileName = \"s.vmdk\"\n";
    let ids = |text: &str| -> Vec<String> { read(text).0.disks.into_iter().map(|disk| disk.id).collect() };
    let mixed = format!("{SAMPLE}{extra}");
    assert_eq!(ids(&mixed), ["scsi0:0", "scsi0:2", "scsi0:10", "sata0:1"]);
    assert!(codes(&read(&mixed).1).contains(&"vmx-boot-order-guessed"));
    let ordered = format!("{mixed}bios.hddOrder = \"sata0:1,scsi0:2\"\n");
    assert_eq!(ids(&ordered), ["sata0:1", "scsi0:2", "scsi0:0", "scsi0:10"]);
    assert!(!codes(&read(&ordered).1).contains(&"vmx-boot-order-guessed"));
}

#[test]
fn what_is_not_taken_over_is_a_warning() {
    for (line, code) in [
        (
            "ide1:0.present = TRUE\nide1:0.deviceType = \"cdrom-image\"\nide1:0.fileName = \"/iso/a.iso\"",
            "vmx-cdrom",
        ),
        ("scsi0:5.present = TRUE\nscsi0:5.deviceType = \"scsi-passthru\"", "vmx-passthrough"),
        ("pciPassthru0.present = TRUE", "vmx-passthrough"),
        ("scsi3:0.present = TRUE\nscsi3:0.fileName = \"a.vmdk\"", "vmx-controller-absent"),
        ("scsi0:5.present = TRUE\nscsi0:5.fileName = \"web-000002.vmdk\"", "vmx-snapshot"),
        ("scsi0:0.redo = \"web.vmdk-redo_x\"", "vmx-snapshot"),
        ("scsi0:5.present = TRUE\nscsi0:5.fileName = \"/vmfs/volumes/a/b.vmdk\"", "vmx-disk-elsewhere"),
        (
            "scsi0:5.present = TRUE\nscsi0:5.fileName = \"raw.vmdk\"\nscsi0:5.deviceType = \"rawDisk\"",
            "vmx-raw-disk",
        ),
        ("scsi0:0.mode = \"independent-nonpersistent\"", "vmx-disk-mode"),
        ("scsi0:0.sharing = \"multi-writer\"", "vmx-shared-disk"),
        ("scsi0.sharedBus = \"physical\"", "vmx-shared-disk"),
        ("serial0.present = TRUE", "vmx-serial"),
        ("parallel0.present = TRUE", "vmx-parallel"),
        ("vtpm.present = TRUE", "vmx-tpm"),
        ("managedvm.autoAddVTPM = \"software\"", "vmx-tpm"),
        ("sound.present = TRUE", "vmx-sound"),
        ("checkpoint.vmState = \"web.vmss\"", "vmx-suspended"),
        ("encryption.keySafe = \"vmware:key/list\"", "vmx-encrypted"),
        ("cleanShutdown = FALSE", "vmx-not-stopped"),
        ("guestinfo.userdata = \"abc\"", "vmx-guestinfo"),
        ("smbios.reflectHost = TRUE", "vmx-smbios"),
        ("SMBIOS.assetTag = \"7\"", "vmx-smbios"),
        ("cpuid.1.eax = \"0000\"", "vmx-cpu-mask"),
        ("usb.autoConnect.device0 = \"0x1\"", "vmx-usb"),
        ("sched.cpu.min = \"500\"", "vmx-resources"),
        ("vhv.enable = TRUE", "vmx-nested"),
        ("mem.hotadd = TRUE", "vmx-hotplug"),
        ("bios.bootOrder = \"ethernet0,hdd\"", "vmx-boot-order"),
        ("ethernet0.startConnected = FALSE", "vmx-nic-disconnected"),
        ("rtc.diffFromUTC = \"3600\"", "vmx-clock-shifted"),
        ("floppy1.present = TRUE", "vmx-floppy"),
        ("sharedFolder0.present = TRUE", "vmx-shared-folder"),
        ("nvdimm0.present = TRUE", "vmx-nvdimm"),
    ] {
        let (_, warnings) = read(&format!("{SAMPLE}{line}\n"));
        assert!(codes(&warnings).contains(&code), "{line}: {warnings:?}");
        assert!(
            warnings.iter().all(|warning| [code, "vmx-nvram"].contains(&warning.code)),
            "{line}: {warnings:?}"
        );
    }
}

#[test]
fn contradictions_are_refused_with_the_line() {
    for (line, wanted) in [
        ("memSize = \"4096\"", "vmx: line 33: \"memsize\" has another value on line 7"),
        ("no entry", "vmx: line 33: \"no entry\" is no entry of the form key = \"value\""),
        ("x = \"\u{1b}[31m", "vmx: line 33: the value of \"x\" has no closing quotation mark"),
    ] {
        assert_eq!(refused(&format!("{SAMPLE}{line}\n")), wanted);
    }
    for (from, to, wanted) in [
        ("memSize = \"2048\"", "", "memsize is missing, expected the memory in MiB"),
        ("memSize = \"2048\"", "memSize = \"-1\"", "memsize is \"-1\", expected a number"),
        ("memSize = \"2048\"", "memSize = \"99999999999999999999\"", "expected a number"),
        ("\"efi\"", "\"coreboot\"", "firmware is \"coreboot\", possible are bios and efi"),
        ("42 2c", "42", "expected 32 hexadecimal digits"),
        ("00:50:56:ac:cf:51", "zz", "mac address \"zz\" is not six octets"),
        (
            "scsi0:0.fileName = \"web.vmdk\"\n",
            "",
            "scsi0:0.filename is missing, expected the name of an image",
        ),
        ("numvcpus = \"4\"", "numvcpus = \"5000000000\"", "numvcpus is \"5000000000\""),
    ] {
        let text = refused(&SAMPLE.replace(from, to));
        assert!(text.contains(wanted), "{text}");
    }
    assert!(
        refused(&SAMPLE.replace("present = \"TRUE\"", "present = \"FALSE\""))
            .contains("disks: has 0 entries")
    );
    let tpm = |line: &str| read(&format!("{SAMPLE}{line}\n")).0.tpm;
    assert_eq!((tpm(""), tpm("vtpm.present = TRUE")), (None, Some(driver_machine::Tpm::V2_0)));
    let encrypted = machine_from_vmx(format!("{SAMPLE}encryption.data = \"AAAA\"\n").as_bytes()).unwrap_err();
    assert_eq!(encrypted.kind(), MachineErrorKind::Unsupported);
}

#[test]
fn hostile_files_end_in_an_error_at_once() {
    let started = std::time::Instant::now();
    let many: String = (0..100_000).map(|n| format!("scsi{n}:{n}.present = TRUE\n")).collect();
    for bytes in [
        vec![b'a'; 10 << 20],
        b"config.version = 8\n".repeat(600_000),
        many.into_bytes(),
        [SAMPLE.as_bytes(), &[0xff, 0xfe, 0x00]].concat(),
        [SAMPLE.as_bytes(), b"\0 = \"\0\"\n"].concat(),
        format!("{SAMPLE}bios.hddOrder = \"{}\"\n", "scsi4294967295:4294967295,".repeat(10_000)).into_bytes(),
        b"config.version = 8\nmemsize = 4\nscsi4294967295:1.present = TRUE\n".to_vec(),
    ] {
        let _ = read_documents(&[&bytes], None);
        let _ = machine_from_vmx(&bytes);
    }
    assert!(machine_from_vmx(&vec![b'\n'; (1 << 20) + 1]).is_err());
    assert!(started.elapsed().as_secs() < 3, "{:?}", started.elapsed());
    let named = |name: &str| read(&SAMPLE.replace("web |22prod|22", name)).0.name;
    assert_eq!(named("a|0Ab"), "machine", "control characters make no name");
    assert_eq!(named("$(id) 'x'"), "$(id) 'x'");
}

#[test]
fn golden_files() {
    let web = machine("web", 2);
    let made = definition(&web, &options(&web, "vmdk", DiskBus::Pvscsi, NicModel::Vmxnet3)).unwrap();
    golden("pvscsi.vmx", &made.text);
    assert_eq!((made.file_name.as_str(), made.machine_name.as_str()), ("web.vmx", "web"));
    assert_eq!(codes(&made.warnings), ["vmx-mac-kept"]);
    let mut bios = machine("old", 1);
    bios.firmware = driver_machine::Firmware { kind: FirmwareKind::Bios, secure_boot: None };
    bios.uuid = None;
    bios.nics.truncate(1);
    bios.nics[0] = driver_machine::Nic::default();
    bios.clock = Clock::Local;
    bios.memory_mib = 1023;
    bios.tags.insert("a".into(), "b".into());
    let made = definition(&bios, &options(&bios, "vmdk", DiskBus::Ide, NicModel::E1000)).unwrap();
    golden("ide_bios.vmx", &made.text);
    assert_eq!(codes(&made.warnings), ["vmx-clock", "vmx-memory-rounded", "vmx-no-network", "vmx-tags"]);
}

#[test]
fn what_is_written_is_read_again() {
    for bus in
        [DiskBus::Pvscsi, DiskBus::LsiLogic, DiskBus::LsiSas, DiskBus::Sata, DiskBus::Nvme, DiskBus::Ide]
    {
        for index in 0..HOSTILE.len() {
            let source = hostile(index);
            let given = hostile_files(&source, options(&source, "vmdk", bus, NicModel::E1000e), index);
            let made = definition(&source, &given).unwrap();
            let (again, warnings) = read(&made.text);
            assert_eq!(kept(&again), kept(&source), "{bus:?} {index}");
            assert_eq!((again.uuid, again.clock), (source.uuid, source.clock));
            let macs = |machine: &Machine| machine.nics.iter().map(|nic| nic.mac).collect::<Vec<_>>();
            assert_eq!(macs(&again), macs(&source));
            let files: Vec<_> = again.disks.iter().map(|disk| disk.source.clone()).collect();
            let wanted: Vec<_> = given.disks.iter().map(|file| DiskSource::File(file.file.clone())).collect();
            assert_eq!(files, wanted);
            assert_eq!(codes(&warnings), ["vmx-nvram"]);
            // Once through the dialect, nothing changes any more.
            let again_given = hostile_files(&again, options(&again, "vmdk", bus, NicModel::E1000e), index);
            assert_eq!(read(&definition(&again, &again_given).unwrap().text).0, again);
        }
    }
}

#[test]
fn places_leave_out_the_controller_itself() {
    let ids = |count, bus| -> Vec<String> {
        let source = machine("x", count);
        let made = definition(&source, &options(&source, "vmdk", bus, NicModel::Vmxnet3)).unwrap();
        read(&made.text).0.disks.into_iter().map(|disk| disk.id).collect()
    };
    let scsi = ids(60, DiskBus::Pvscsi);
    assert_eq!([&scsi[6], &scsi[7], &scsi[15], &scsi[59]], ["scsi0:6", "scsi0:8", "scsi1:0", "scsi3:15"]);
    assert_eq!(ids(4, DiskBus::Ide), ["ide0:0", "ide0:1", "ide1:0", "ide1:1"]);
    for (count, bus) in [(61, DiskBus::Pvscsi), (5, DiskBus::Ide), (121, DiskBus::Sata), (61, DiskBus::Nvme)]
    {
        let source = machine("x", count);
        let error = definition(&source, &options(&source, "vmdk", bus, NicModel::Vmxnet3)).unwrap_err();
        assert_eq!(error.kind(), MachineErrorKind::Unsupported);
    }
}

#[test]
fn what_vmware_has_not_is_unsupported() {
    type Change = fn(&mut Machine);
    let nothing: Change = |_| {};
    let cases: [(DiskBus, NicModel, &'static str, Change); 9] = [
        (DiskBus::VirtioBlk, NicModel::Vmxnet3, "vmdk", nothing),
        (DiskBus::XenBlk, NicModel::Vmxnet3, "vmdk", nothing),
        (DiskBus::Sata, NicModel::Virtio, "vmdk", nothing),
        (DiskBus::Sata, NicModel::Netfront, "vmdk", nothing),
        (DiskBus::Sata, NicModel::E1000, "qcow2", nothing),
        (DiskBus::Sata, NicModel::E1000, "vmdk", |m| m.architecture = Architecture::Arm64),
        (DiskBus::Sata, NicModel::E1000, "vmdk", |m| {
            m.cpu = driver_machine::Cpu { count: 129, topology: None }
        }),
        (DiskBus::Sata, NicModel::E1000, "vmdk", |m| m.memory_mib = 7 << 20),
        (DiskBus::Sata, NicModel::E1000, "vmdk", |m| {
            m.nics = (0..11).map(|_| driver_machine::Nic::default()).collect();
        }),
    ];
    for (bus, nic, format, change) in cases {
        let mut source = machine("x", 1);
        change(&mut source);
        for write in [definition, driver_machine::ovf::definition] {
            let error = write(&source, &options(&source, format, bus, nic)).unwrap_err();
            assert_eq!(error.kind(), MachineErrorKind::Unsupported, "{error}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn any_name_survives(name in "[ -~é‘🖥|\"\\\\]{1,60}", network in "[ -~|\"]{1,60}") {
        prop_assume!(!name.trim().is_empty());
        let mut source = machine(&name, 1);
        source.nics[0].network = Some(network.clone());
        let made = definition(&source, &options(&source, "vmdk", DiskBus::Sata, NicModel::E1000)).unwrap();
        let again = read(&made.text).0;
        prop_assert_eq!(&again.name, &name);
        prop_assert_eq!(again.nics[0].network.as_ref(), Some(&network));
    }

    #[test]
    fn no_text_makes_it_panic(lines in proptest::collection::vec("[ -~]{0,40}", 0..20)) {
        let _ = machine_from_vmx(format!("{SAMPLE}{}", lines.join("\n")).as_bytes());
        let _ = machine_from_vmx(lines.join("\n").as_bytes());
    }
}
