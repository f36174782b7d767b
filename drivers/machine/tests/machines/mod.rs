//! Machines, options and names that try to break out, for the tests of the writers.

#![allow(dead_code, reason = "each test file uses its part")]

use driver_machine::{
    Architecture, Bus, Clock, Cpu, Definition, DefinitionOptions, Disk, DiskBus, DiskFile, DiskSource,
    Firmware, FirmwareKind, Machine, MachineError, Nic, NicModel, OsFamily, OsHint, SchemaVersion, Topology,
    Warning,
};

/// A writer of definitions.
pub type Writer = fn(&Machine, &DefinitionOptions) -> Result<Definition, MachineError>;

/// Names that try to leave a literal, a comment, an element, an option or a file.
pub const HOSTILE: &[&str] = &[
    "'; touch CANARY; '",
    "$(touch CANARY) `touch CANARY` \\",
    "\" # <!-- ]]> &amp; <x y=\"z\"/> |22 %s %n",
    "--delete -x @/etc/passwd file:///etc/passwd",
    "* ? [a-z] ~ !! {a,b} ${HOME} \"$@\"",
    "名前 – ünïcode 🖥 ‘’‚‛",
];

pub fn machine(name: &str, disks: u32) -> Machine {
    Machine {
        rehome_machine: SchemaVersion,
        name: name.into(),
        uuid: Some("564d96af-e646-bd86-5c4d-654e7736ef31".parse().unwrap()),
        architecture: Architecture::X86_64,
        firmware: Firmware { kind: FirmwareKind::Uefi, secure_boot: Some(true) },
        cpu: Cpu { count: 4, topology: Some(Topology { sockets: 2, cores: 2, threads: 1 }) },
        memory_mib: 4096,
        clock: Clock::Utc,
        tpm: None,
        disks: (0..disks)
            .map(|order| Disk {
                id: format!("disk-{order}"),
                source: DiskSource::File(format!("source-{order}.qcow2")),
                bus: Bus::Virtio,
                order,
                boot: order == 0,
                size_bytes: None,
                device_name: None,
            })
            .collect(),
        nics: vec![
            Nic {
                mac: Some("00:50:56:01:02:03".parse().unwrap()),
                network: Some("VM Network".into()),
                ..Nic::default()
            },
            Nic {
                mac: Some("52:54:00:aa:bb:cc".parse().unwrap()),
                network: Some("backup & \"storage\"".into()),
                ..Nic::default()
            },
        ],
        os: Some(OsHint { family: OsFamily::Linux, description: "Debian GNU/Linux 12".into() }),
        tags: Default::default(),
        notes: Some("one line".into()),
        provenance: Default::default(),
    }
}

/// A machine whose every text is hostile.
pub fn hostile(index: usize) -> Machine {
    let text = |shift: usize| HOSTILE[(index + shift) % HOSTILE.len()].to_owned();
    let mut machine = machine(&text(0), 2);
    machine.disks[0].id = text(1);
    machine.disks[1].id = text(2);
    machine.nics[0].network = Some(text(3));
    machine.nics[1].network = Some(text(4));
    machine.notes = Some(text(5));
    machine.os = Some(OsHint { family: OsFamily::Linux, description: text(1) });
    machine
}

pub fn options(machine: &Machine, format: &'static str, bus: DiskBus, nic: NicModel) -> DefinitionOptions {
    DefinitionOptions {
        firmware: machine.firmware.kind,
        firmware_reason: "the disk has this loader".into(),
        secure_boot: machine.firmware.secure_boot == Some(true),
        disk_bus: bus,
        nic_model: nic,
        disks: machine
            .disks
            .iter()
            .map(|disk| DiskFile {
                id: disk.id.clone(),
                file: format!("web-{}.{format}", disk.order),
                manifest: format!("web-{}.{format}.rehome.json", disk.order),
                format,
                size_bytes: (3 + u64::from(disk.order)) << 20,
            })
            .collect(),
        adapters: Vec::new(),
        fixed_clock: None,
    }
}

/// [`options`] with file names that are hostile as far as a file name can be.
pub fn hostile_files(machine: &Machine, mut options: DefinitionOptions, index: usize) -> DefinitionOptions {
    let name = HOSTILE[index % HOSTILE.len()].replace(['/', '\\'], "_");
    for (number, (file, disk)) in options.disks.iter_mut().zip(&machine.disks).enumerate() {
        file.id.clone_from(&disk.id);
        file.file = format!("{number} {name}.{}", file.format);
        file.manifest = format!("{}.rehome.json", file.file);
    }
    options.firmware_reason = HOSTILE[(index + 1) % HOSTILE.len()].into();
    options
}

pub fn codes(warnings: &[Warning]) -> Vec<&'static str> {
    let mut codes: Vec<_> = warnings.iter().map(|warning| warning.code).collect();
    codes.sort_unstable();
    codes
}

/// Compares with a file in `tests/golden`.
pub fn golden(name: &str, text: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("REHOME_WRITE_GOLDEN").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let wanted = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text, wanted.replace("\r\n", "\n"), "{name}: REHOME_WRITE_GOLDEN=1 renews it");
}

/// What a dialect keeps of a machine.
#[derive(Debug, PartialEq, Eq)]
pub struct Kept {
    name: String,
    firmware: Firmware,
    cpu: Cpu,
    memory_mib: u64,
    disks: Vec<(u32, bool)>,
    networks: Vec<Option<String>>,
    notes: Option<String>,
}

/// For comparing a machine with what was read again.
pub fn kept(machine: &Machine) -> Kept {
    Kept {
        name: machine.name.clone(),
        firmware: machine.firmware,
        cpu: machine.cpu,
        memory_mib: machine.memory_mib,
        disks: machine.disks.iter().map(|disk| (disk.order, disk.boot)).collect(),
        networks: machine.nics.iter().map(|nic| nic.network.clone()).collect(),
        notes: machine.notes.clone(),
    }
}
