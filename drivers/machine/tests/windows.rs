//! What each dialect says for a guest that is Windows.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

mod qm;
mod sample;

use std::path::Path;

use driver_machine::{
    Architecture, Clock, Definition, DiskBus, FirmwareKind, Machine, MachineErrorKind, NicModel, OsFamily,
    OsHint, kubevirt, libvirt, ovf, proxmox, vmx, xen,
};
use qm::{Host, settings, text};
use sample::{codes, golden, machine, modern, options, run};

/// Description, type of Proxmox, libosinfo's word, `guestOS` and `vmw:osType` of VMware.
const RELEASES: &[[&str; 5]] = &[
    ["Windows Server 2008 Standard 6.0.6003", "w2k8", "2k8", "longhorn-64", "winLonghorn64Guest"],
    ["Windows Server 2008 R2 Standard 6.1.7601", "win7", "2k8r2", "windows7srv-64", "windows7Server64Guest"],
    ["Windows 7 Professional 6.1.7601", "win7", "7", "windows7-64", "windows7_64Guest"],
    ["Windows Server 2012 Standard 6.2.9200", "win8", "2k12", "windows8srv-64", "windows8Server64Guest"],
    ["Windows Server 2012 R2 Standard 6.3.9600", "win8", "2k12r2", "windows8srv-64", "windows8Server64Guest"],
    ["Windows Server 2016 Datacenter 10.0.14393", "win10", "2k16", "windows9srv-64", "windows9Server64Guest"],
    ["Windows Server 2019 Standard 10.0.17763", "win10", "2k19", "windows9srv-64", "windows9Server64Guest"],
    ["Windows Server 2022 Standard 10.0.20348", "win11", "2k22", "windows9srv-64", "windows9Server64Guest"],
    ["Windows Server 2025 Standard 10.0.26100", "win11", "2k25", "windows9srv-64", "windows9Server64Guest"],
    ["Windows 10 Pro 10.0.19045", "win10", "10", "windows9-64", "windows9_64Guest"],
    ["Windows 11 Pro 10.0.22631", "win11", "11", "windows9-64", "windows9_64Guest"],
];

fn windows(mut machine: Machine, description: &str) -> Machine {
    machine.os = Some(OsHint { family: OsFamily::Windows, description: description.into() });
    machine
}

/// A domain that libvirt's schema has no objection to.
fn domain(machine: &Machine, bus: DiskBus, nic: NicModel) -> Definition {
    const SCHEMA: &str = "/usr/share/libvirt/schemas/domain.rng";
    let given = options(machine, bus, nic, "qcow2");
    let made = libvirt::definition(machine, &given, libvirt::IMAGE_FOLDER).unwrap();
    let judge = run("xmllint", &["--noout", "--nonet", "--relaxng", SCHEMA, "-"], made.text.as_bytes());
    assert!(judge.status.success(), "{}{}", String::from_utf8_lossy(&judge.stderr), made.text);
    made
}

#[test]
fn libvirt_gets_enlightenments_timers_and_the_release() {
    for [description, _, id, ..] in RELEASES {
        let machine = windows(machine("web", 2), description);
        let made = domain(&machine, DiskBus::Sata, NicModel::E1000e);
        let (read, warnings) = libvirt::machine_from_xml(&made.text).unwrap();
        let os = read.os.unwrap();
        let wanted = format!("http://microsoft.com/win/{id}");
        assert_eq!((os.family, os.description), (OsFamily::Windows, wanted));
        assert_eq!(read.clock, Clock::Utc);
        assert!(codes(&warnings).contains(&"libvirt-hyperv"), "{warnings:?}");
    }
    let local = windows(modern("dc"), "Windows 11 Pro 10.0.22631");
    let made = domain(&local, DiskBus::VirtioScsi, NicModel::Virtio);
    golden("libvirt_windows.xml", &made.text);
    assert_eq!(libvirt::machine_from_xml(&made.text).unwrap().0.clock, Clock::Local);
    // KVM has them on x86 only, and no release is said that is not known.
    let mut arm = windows(modern("arm"), "Windows");
    arm.architecture = Architecture::Arm64;
    arm.firmware.secure_boot = None;
    let made = domain(&arm, DiskBus::VirtioBlk, NicModel::Virtio);
    assert!(!["hyperv", "timer", "metadata"].iter().any(|word| made.text.contains(word)), "{}", made.text);
}

/// What `qm` is told: type, board, firmware, first adapter, and what is started.
fn told_to_qm(machine: &Machine, bus: DiskBus) -> [String; 5] {
    let options = options(machine, bus, NicModel::E1000, "qcow2");
    let made = proxmox::definition(machine, &options).unwrap();
    let host = Host::new(&made, &options);
    let output = host.run(&[], "");
    assert!(output.status.success(), "{}", text(&output));
    let calls = host.calls();
    let all = settings(&calls[1]);
    let [kind, board, bios, net] =
        ["--ostype", "--machine", "--bios", "--net0"].map(|key| (*all.get(key).unwrap()).to_owned());
    [kind, board, bios, net, calls.last().unwrap()[3].clone()]
}

#[test]
fn proxmox_gets_the_type_of_the_release_and_the_board_of_the_bus() {
    for [description, kind, ..] in RELEASES {
        let machine = windows(machine("web", 1), description);
        assert_eq!(told_to_qm(&machine, DiskBus::Sata)[0], *kind, "{description}");
    }
    let net = "model=e1000,macaddr=0a:1b:2c:3d:4e:5f,bridge=vmbr0";
    for (bus, firmware, board, bios, boot) in [
        (DiskBus::Sata, FirmwareKind::Bios, "pc", "seabios", "order=sata0"),
        (DiskBus::Sata, FirmwareKind::Uefi, "q35", "ovmf", "order=sata0"),
        (DiskBus::Ide, FirmwareKind::Bios, "pc", "seabios", "order=ide0"),
        (DiskBus::Ide, FirmwareKind::Uefi, "pc", "ovmf", "order=ide0"),
    ] {
        let mut machine = windows(machine("web", 1), "Windows Server 2016");
        machine.firmware.kind = firmware;
        assert_eq!(told_to_qm(&machine, bus), ["win10", board, bios, net, boot]);
    }
}

#[test]
fn vmware_gets_the_identifier_and_the_sas_controller() {
    for [description, _, _, guest_os, os_type] in RELEASES {
        let machine = windows(machine("web", 1), description);
        let given = options(&machine, DiskBus::LsiSas, NicModel::E1000e, "vmdk");
        let file = vmx::definition(&machine, &given).unwrap().text;
        for line in [
            format!("guestOS = \"{guest_os}\"\n"),
            "scsi0.virtualDev = \"lsisas1068\"\n".into(),
            "ethernet0.virtualDev = \"e1000e\"\n".into(),
        ] {
            assert!(file.contains(&line), "{line}{file}");
        }
        let envelope = ovf::definition(&machine, &given).unwrap().text;
        let judge = run("xmllint", &["--noout", "--nonet", "-"], envelope.as_bytes());
        assert!(judge.status.success(), "{}", String::from_utf8_lossy(&judge.stderr));
        for part in [format!("osType=\"{os_type}\""), ">lsilogicsas<".into(), ">E1000e<".into()] {
            assert!(envelope.contains(&part), "{part}{envelope}");
        }
    }
    let mut narrow = windows(machine("old", 1), "Windows 7 Professional 6.1.7601");
    narrow.architecture = Architecture::I386;
    let given = options(&narrow, DiskBus::LsiSas, NicModel::E1000, "vmdk");
    assert!(vmx::definition(&narrow, &given).unwrap().text.contains("guestOS = \"windows7\"\n"));
}

#[test]
fn kubevirt_gets_enlightenments_and_timers() {
    let program = "import json, sys, yaml; print(json.dumps(list(yaml.safe_load_all(sys.stdin))[-1]))";
    let domain = |machine: &Machine| {
        let given = options(machine, DiskBus::Sata, NicModel::E1000e, "raw");
        let text = kubevirt::definition(machine, &given).unwrap().text;
        let output = run("python3", &["-c", program], text.as_bytes());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let all: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let domain = &all["spec"]["template"]["spec"]["domain"];
        (domain["clock"].clone(), domain["features"].clone())
    };
    let (clock, features) = domain(&windows(modern("dc"), "Windows Server 2022"));
    let timer = serde_json::json!({
        "hpet": { "present": false }, "pit": { "tickPolicy": "delay" }, "rtc": { "tickPolicy": "catchup" },
        "hyperv": {}
    });
    assert_eq!(clock, serde_json::json!({ "utc": {}, "timer": timer }));
    let hyperv = serde_json::json!({ "relaxed": {}, "vapic": {}, "spinlocks": { "spinlocks": 8191 } });
    assert_eq!(features, serde_json::json!({ "acpi": {}, "smm": { "enabled": true }, "hyperv": hyperv }));
    assert_eq!(domain(&modern("web")).0, serde_json::json!({ "utc": {} }));
}

#[test]
fn xen_gets_enlightenments_and_the_emulated_adapter() {
    let judge = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/xen/judge.py");
    let judged = |machine: &Machine, nic| {
        let given = options(machine, DiskBus::XenBlk, nic, "raw");
        let made = xen::definition(machine, &given, &xen::Guest::Hvm, xen::IMAGE_FOLDER).unwrap();
        let arguments = [judge.to_str().unwrap(), "viridian", "localtime", "vif"];
        let output = run("python3", &arguments, made.text.as_bytes());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        (found, made.warnings)
    };
    let mut local = windows(machine("dc", 5), "Windows Server 2019");
    local.clock = Clock::Local;
    let (found, warnings) = judged(&local, NicModel::E1000);
    assert_eq!((&found["viridian"], &found["localtime"]), (&"1".into(), &"1".into()));
    assert_eq!(found["vif"][0], "mac=0a:1b:2c:3d:4e:5f,bridge=xenbr1,model=e1000");
    assert!(codes(&warnings).contains(&"xen-windows-disks"));
    let (found, warnings) = judged(&machine("web", 5), NicModel::Netfront);
    assert!(found.get("viridian").is_none() && !codes(&warnings).contains(&"xen-windows-disks"));
    let given = options(&local, DiskBus::XenBlk, NicModel::Netfront, "raw");
    let guest = xen::Guest::Pvh { loader: xen::PVH_GRUB.into() };
    let error = xen::definition(&local, &given, &guest, xen::IMAGE_FOLDER).unwrap_err();
    assert_eq!(error.kind(), MachineErrorKind::Unsupported);
}

#[test]
fn windows_11_without_a_tpm_is_told_of() {
    let given = |machine: &Machine, format| options(machine, DiskBus::Sata, NicModel::E1000, format);
    let warned = |machine: &Machine| {
        let all = [
            domain(machine, DiskBus::Sata, NicModel::E1000e),
            proxmox::definition(machine, &given(machine, "raw")).unwrap(),
            vmx::definition(machine, &given(machine, "vmdk")).unwrap(),
            ovf::definition(machine, &given(machine, "vmdk")).unwrap(),
            kubevirt::definition(machine, &given(machine, "raw")).unwrap(),
        ];
        all.map(|made| codes(&made.warnings).iter().any(|code| code.ends_with("-tpm-none")))
    };
    let mut machine = windows(modern("pc"), "Windows 11 Pro 10.0.22631");
    assert_eq!(warned(&machine), [false; 5]);
    machine.tpm = None;
    assert_eq!(warned(&machine), [true; 5]);
    assert_eq!(warned(&windows(machine, "Windows 10 Pro 10.0.19045")), [false; 5]);
}
