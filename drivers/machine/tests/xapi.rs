//! Descriptions of exports of XenServer and XCP-ng.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

use driver_machine::xapi::machine_from_ova;
use driver_machine::{
    Bus, Clock, Cpu, Dialect, Firmware, FirmwareKind, MachineErrorKind, OsFamily, Topology, Tpm, detect,
    read_documents,
};
use std::path::Path;
use std::time::{Duration, Instant};

fn data(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/xapi").join(name)).unwrap()
}

fn codes(warnings: &[driver_machine::Warning]) -> Vec<&'static str> {
    let mut codes: Vec<_> = warnings.iter().map(|warning| warning.code).collect();
    codes.sort_unstable();
    codes.dedup();
    codes
}

#[test]
fn an_hvm_guest_is_read_and_its_snapshot_is_not() {
    let text = data("hvm.xml");
    assert_eq!(detect(&text).unwrap(), Dialect::Xapi);
    let (machine, warnings) = read_documents(&[text.as_bytes()], None).unwrap();
    assert_eq!(machine.name, "mail \"web\" ☺");
    assert_eq!(machine.uuid.unwrap().to_string(), "4b0e1a5e-3a5e-4a0f-9c3b-0f2f5b6d7c81");
    assert_eq!(machine.notes.as_deref(), Some("mail & web of the office"));
    assert_eq!(machine.firmware, Firmware { kind: FirmwareKind::Uefi, secure_boot: Some(true) });
    let topology = Some(Topology { sockets: 2, cores: 2, threads: 1 });
    assert_eq!((machine.cpu, machine.memory_mib), (Cpu { count: 4, topology }, 4096));
    assert_eq!((machine.clock, machine.tpm), (Clock::Local, Some(Tpm::V2_0)));
    let disks: Vec<_> = machine.disks.iter().map(|d| (d.id.as_str(), d.bus, d.boot, d.size_bytes)).collect();
    assert_eq!(
        disks,
        [("Ref:13", Bus::Xen, true, Some(32 << 30)), ("Ref:14", Bus::Xen, false, Some(10 << 30))]
    );
    assert_eq!(machine.disks[1].device_name.as_deref(), Some("/dev/xvdb"));
    let nics: Vec<_> =
        machine.nics.iter().map(|nic| (nic.mac.unwrap().to_string(), nic.network.as_deref())).collect();
    assert_eq!(nics[0], ("aa:bb:cc:00:00:01".into(), Some("Pool-wide network associated with eth0")));
    assert_eq!(nics[1], ("aa:bb:cc:00:00:02".into(), Some("storage")));
    assert_eq!(machine.nics[0].addresses, ["10.0.0.5", "fe80::1"]);
    assert!(machine.nics[1].addresses.is_empty());
    assert_eq!(machine.os.unwrap().family, OsFamily::Windows);
    let wanted = [
        "xapi-balloon",
        "xapi-cdrom",
        "xapi-nvram",
        "xapi-pass-through",
        "xapi-snapshots",
        "xapi-tags",
        "xapi-tpm",
        "xapi-vcpu-hotplug",
    ];
    assert_eq!(codes(&warnings), wanted);
}

#[test]
fn a_paravirtual_guest_has_no_firmware_and_starts_from_the_marked_disk() {
    let (machine, warnings) = machine_from_ova(&data("pv.xml")).unwrap();
    assert_eq!(machine.firmware.kind, FirmwareKind::Bios);
    let disks: Vec<_> = machine.disks.iter().map(|disk| (disk.id.as_str(), disk.boot)).collect();
    assert_eq!(disks, [("Ref:6", true), ("Ref:4", false)]);
    let found = codes(&warnings);
    assert!(found.contains(&"xapi-paravirtual") && found.contains(&"xapi-disk-read-only"), "{found:?}");
}

#[test]
fn what_is_missing_is_said() {
    let text = data("pv.xml");
    for (from, to, part) in [
        ("<value>VM</value>", "<value>X</value>", "no machine in it, only disks"),
        ("<value>VBD</value>", "<value>X</value>", "there is no disk"),
        ("memory_", "m", "there is no memory"),
        ("VCPUs_", "m", "no number of processors"),
        ("4294967296", "much", "memory_static_max is \"much\""),
        ("<name>objects</name>", "<name>objects</name><!-- --><x/><name>others</name>", ""),
        ("Ref:6</value>", "Ref:4</value>", "is used twice"),
        ("</value>", "", "cannot be read"),
    ] {
        let error = machine_from_ova(&text.replace(from, to));
        if !part.is_empty() {
            let error = error.unwrap_err();
            assert_eq!(error.kind(), MachineErrorKind::Invalid, "{part}");
            assert!(error.to_string().contains(part), "{error}");
        }
    }
    // What xva-img makes of a disk image alone.
    let bare = "<?xml version=\"1.0\"?>\n<value><struct><member><name>objects</name><value><array><data/></array></value></member></struct></value>";
    assert_eq!(detect(bare).unwrap(), Dialect::Xapi);
    assert!(machine_from_ova(bare).unwrap_err().to_string().contains("only disks"));
}

#[test]
fn hostile_descriptions_are_refused_fast() {
    let start = Instant::now();
    let deep = format!("<value>{}", "<struct><member><name>objects</name><value>".repeat(20_000));
    let closed = format!("{}{}", "<value><array><data>".repeat(400), "</data></array></value>".repeat(400));
    let many = format!("<value><array><data>{}</data></array></value>", "<value>1</value>".repeat(150_000));
    for text in [deep, closed, many] {
        assert!(machine_from_ova(&text).is_err());
    }
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}
