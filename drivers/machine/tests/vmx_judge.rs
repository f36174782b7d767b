//! VMX files judged by another reader: the driver for VMware that is part of libvirt.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

mod machines;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use driver_machine::{DiskBus, DiskSource, Machine, NicModel, vmx};
use machines::{HOSTILE, hostile, hostile_files, machine, options};

/// The driver asks VMware Workstation for its version and its running machines.
const WORKSTATION: &str = "#!/bin/sh\ncase \"$*\" in -v) echo VMware Workstation 17.0.0 build-1 ;; esac\n\
                           case \"$*\" in *list) echo Total running VMs: 0 ;; esac\n";

/// What both readers say about a machine.
#[derive(Debug, PartialEq, Eq)]
struct Facts {
    name: String,
    uuid: Option<String>,
    memory_kib: u64,
    cpus: u32,
    cores: Option<u32>,
    uefi: bool,
    disks: Vec<String>,
    macs: Vec<String>,
}

fn by_libvirt(file: &Path) -> Facts {
    let folder = tempfile::tempdir().unwrap();
    for tool in ["vmrun", "vmware"] {
        let path = folder.path().join(tool);
        std::fs::write(&path, WORKSTATION).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let output = Command::new("timeout")
        .args(["30", "virsh", "-q", "-c", "vmwarews:///session", "domxml-from-native", "vmware-vmx"])
        .arg(file)
        .env("PATH", format!("{}:/usr/bin:/bin", folder.path().display()))
        .env("HOME", folder.path())
        .env("XDG_RUNTIME_DIR", folder.path())
        .output()
        .unwrap();
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{}: {words}", file.display());
    let text = String::from_utf8(output.stdout).unwrap();
    let document = roxmltree::Document::parse(&text).unwrap();
    let all = |name: &'static str| document.descendants().filter(move |node| node.has_tag_name(name));
    let text_of = |name| all(name).next().and_then(|node| node.text()).map(str::to_owned);
    let disks = all("disk").filter(|disk| disk.attribute("device") == Some("disk"));
    let sources = disks.flat_map(|disk| disk.children().filter(|node| node.has_tag_name("source")));
    Facts {
        name: text_of("name").unwrap(),
        uuid: text_of("uuid"),
        memory_kib: text_of("memory").unwrap().parse().unwrap(),
        cpus: text_of("vcpu").unwrap().parse().unwrap(),
        cores: all("topology")
            .next()
            .and_then(|node| node.attribute("cores"))
            .map(|cores| cores.parse().unwrap()),
        uefi: all("os").next().and_then(|node| node.attribute("firmware")) == Some("efi"),
        disks: sources.filter_map(|node| node.attribute("file")).map(str::to_owned).collect(),
        macs: all("mac").filter_map(|node| node.attribute("address")).map(str::to_owned).collect(),
    }
}

fn by_us(machine: &Machine) -> Facts {
    let disks = machine.disks_in_boot_order().into_iter().map(|disk| match &disk.source {
        DiskSource::File(name) | DiskSource::Volume(name) => name.clone(),
    });
    Facts {
        name: machine.name.clone(),
        uuid: machine.uuid.map(|uuid| uuid.to_string()),
        memory_kib: machine.memory_mib * 1024,
        cpus: machine.cpu.count,
        cores: machine.cpu.topology.map(|topology| topology.cores),
        uefi: machine.firmware.kind == driver_machine::FirmwareKind::Uefi,
        disks: disks.collect(),
        macs: machine.nics.iter().filter_map(|nic| nic.mac).map(|mac| mac.to_string()).collect(),
    }
}

fn judged(machine: &Machine, bus: DiskBus, index: Option<usize>) {
    let mut given = options(machine, "vmdk", bus, NicModel::Vmxnet3);
    if let Some(index) = index {
        given = hostile_files(machine, given, index);
    }
    let text = vmx::definition(machine, &given).unwrap().text;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("made.vmx");
    std::fs::write(&path, &text).unwrap();
    let (ours, _) = vmx::machine_from_vmx(text.as_bytes()).unwrap();
    let mut theirs = by_libvirt(&path);
    // libvirt decodes the codes of few entries; the names of images are not among them.
    theirs.disks.iter_mut().for_each(|disk| *disk = disk.replace("|22", "\"").replace("|7C", "|"));
    assert_eq!(theirs, by_us(&ours), "{bus:?} {index:?}");
}

#[test]
fn libvirt_reads_what_is_written() {
    for bus in [DiskBus::Pvscsi, DiskBus::LsiLogic, DiskBus::LsiSas, DiskBus::Sata, DiskBus::Ide] {
        judged(&machine("web", if bus == DiskBus::Ide { 4 } else { 20 }), bus, None);
    }
    let mut bios = machine("old", 1);
    bios.firmware = driver_machine::Firmware { kind: driver_machine::FirmwareKind::Bios, secure_boot: None };
    judged(&bios, DiskBus::Ide, None);
    for index in (0..HOSTILE.len()).filter(|index| !HOSTILE[*index].contains('/')) {
        judged(&hostile(index), DiskBus::Pvscsi, Some(index));
    }
}

#[test]
fn libvirt_and_we_read_the_same_of_other_peoples_files() {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus");
    let corpus = std::env::var_os("REHOME_CORPUS").map_or(beside, std::path::PathBuf::from);
    let archive = corpus.join("third-party.tar.zst");
    if !archive.is_file() {
        let message = format!("the collection is not in {}: set REHOME_CORPUS", corpus.display());
        assert!(std::env::var_os("CI").is_none(), "{message}");
        eprintln!("NOT RUN: {message}");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let script = "zstd -dcq --long=31 \"$1\" | tar -xf - -C \"$2\" --no-same-owner --wildcards '*.vmx'";
    let arguments = [
        "-euo",
        "pipefail",
        "-c",
        script,
        "bash",
        archive.to_str().unwrap(),
        folder.path().to_str().unwrap(),
    ];
    assert!(Command::new("bash").args(arguments).status().unwrap().success());
    let files = folder.path().join("third-party/configs/virt-v2v");
    for number in [1, 3, 4, 6] {
        let path = files.join(format!("test-i-vmx-{number}.vmx"));
        let (ours, _) = vmx::machine_from_vmx(&std::fs::read(&path).unwrap()).unwrap();
        let mut theirs = by_libvirt(&path);
        if matches!(number, 1 | 6) {
            // libvirt 9 passes over NVMe, and over units above 6 of hardware version 8, in silence.
            assert!(theirs.disks.len() < ours.disks.len());
            let wanted = by_us(&ours).disks;
            assert!(theirs.disks.iter().all(|disk| wanted.contains(disk)));
            theirs.disks = wanted;
        }
        assert_eq!(theirs, by_us(&ours), "{number}");
    }
}
