//! From a machine to a script that makes it with `qm`.

use super::DIALECT;
use crate::definition::definition_file;
use crate::error::shown;
use crate::writing::{self, Codes};
use crate::{
    Architecture, Clock, Definition, DefinitionOptions, Disk, DiskBus, DiskFile, FirmwareKind, Machine,
    MachineError, NicModel, OsFamily, Tpm, Warning, adapters, windows,
};

const HEAD: &str = include_str!("head.sh");
const BODY: &str = include_str!("body.sh");

/// Adapters of one machine.
const MAX_NICS: usize = 32;

const CODES: Codes = Codes {
    firmware: "proxmox-firmware-differs",
    secure_boot: "proxmox-secure-boot-off",
    boot_disk: "proxmox-boot-disk-large",
    tags: "proxmox-tags",
    name: "proxmox-name-changed",
    clock: "proxmox-clock",
    tpm: "proxmox-tpm-none",
};

/// Writes the script. It imports the disks into a storage, so their files stay as they are.
///
/// # Errors
/// Kind `Invalid` as [`DefinitionOptions::pair`] says, or when a file's name does not end in its format, by which
/// `qm importdisk` tells it; kind `Unsupported` when Proxmox has no such bus, adapter or architecture.
pub fn definition(machine: &Machine, options: &DefinitionOptions) -> Result<Definition, MachineError> {
    let disks = options.pair(machine)?;
    check_files(&disks)?;
    let (stem, scsihw, most) = bus(options.disk_bus)?;
    check_limits(machine, options, most)?;
    adapters::check(&options.adapters, DIALECT, bridge_fault)?;
    let machine_name = dns_name(&machine.name);
    let mut warnings = Vec::new();
    writing::losses(machine, options, &machine_name, &CODES, &mut warnings);
    own_losses(machine, options, &mut warnings);
    let values = Values { machine, options, disks, stem, scsihw, name: &machine_name };
    let text = [HEAD, &values.block(), BODY].concat();
    Ok(Definition { text, file_name: definition_file(machine, ".sh"), machine_name, warnings })
}

fn unsupported(reason: impl Into<String>) -> MachineError {
    MachineError::Unsupported { what: DIALECT, reason: reason.into() }
}

/// A word of the shell whose value is exactly `text`. Nothing is expanded between single quotes; one of them is written
/// outside. `text` holds no control characters: the model refuses them.
fn word(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn check_files(disks: &[(&Disk, &DiskFile)]) -> Result<(), MachineError> {
    for (_, file) in disks {
        if !matches!(file.format, "qcow2" | "raw" | "vmdk") {
            return Err(unsupported(format!(
                "{} is no format it imports: qcow2, raw and vmdk are",
                file.format
            )));
        }
        if file.file.strip_suffix(file.format).is_none_or(|stem| !stem.ends_with('.')) {
            let reason = format!("file {} does not end in .{}", shown(&file.file), file.format);
            return Err(MachineError::field("definition", reason));
        }
    }
    Ok(())
}

/// Stem of the disks' keys, controller for SCSI, and how many disks there can be.
fn bus(bus: DiskBus) -> Result<(&'static str, &'static str, usize), MachineError> {
    match bus {
        DiskBus::VirtioBlk => Ok(("virtio", "", 16)),
        DiskBus::VirtioScsi => Ok(("scsi", "virtio-scsi-single", 31)),
        DiskBus::Pvscsi => Ok(("scsi", "pvscsi", 31)),
        DiskBus::Sata => Ok(("sata", "", 6)),
        DiskBus::Ide => Ok(("ide", "", 4)),
        DiskBus::LsiLogic | DiskBus::LsiSas => {
            Err(unsupported("qemu's lsi logic controller is another chip than vmware's"))
        }
        DiskBus::Nvme => Err(unsupported("it emulates no nvme disks")),
        DiskBus::XenBlk => Err(unsupported("kvm has no xen block devices")),
    }
}

fn check_limits(machine: &Machine, options: &DefinitionOptions, most: usize) -> Result<(), MachineError> {
    if machine.disks.len() > most {
        return Err(unsupported(format!("{} disks, this bus has at most {most}", machine.disks.len())));
    }
    if machine.nics.len() > MAX_NICS {
        return Err(unsupported(format!("{} adapters, at most {MAX_NICS} are possible", machine.nics.len())));
    }
    if machine.architecture == Architecture::Arm64 {
        return Err(unsupported("an arm64 guest does not run on an x86-64 host"));
    }
    if machine.memory_mib < 16 {
        return Err(unsupported(format!("{} MiB of memory, at least 16 are needed", machine.memory_mib)));
    }
    if options.nic_model == NicModel::Netfront {
        return Err(unsupported("kvm has no xen network adapters"));
    }
    Ok(())
}

/// As the script checks those that it is given.
fn bridge_fault(name: &str) -> Option<&'static str> {
    let bridge = adapters::is_interface(name) && name.starts_with(|c: char| c.is_ascii_alphabetic());
    (!bridge).then_some("is no name of a bridge such as vmbr0")
}

fn own_losses(machine: &Machine, options: &DefinitionOptions, warnings: &mut Vec<Warning>) {
    if machine.tpm.is_some() {
        let message =
            "the TPM is a new one: what is sealed to the keys of the old one needs its recovery key";
        warnings.push(Warning::new("proxmox-tpm-new", message));
    }
    if machine.cpu.topology.is_some_and(|at| at.threads > 1) {
        let message = "threads of a core become cores: Proxmox knows sockets and cores only";
        warnings.push(Warning::new("proxmox-topology", message));
    }
    let open = |index: usize| adapters::network(&options.adapters, index).is_none();
    if machine.nics.iter().enumerate().any(|(index, nic)| nic.network.is_some() && open(index)) {
        warnings.push(Warning::new(
            "proxmox-network",
            "every adapter for which no bridge was chosen is connected to vmbr0 unless the script is run with --bridge or --bridge-of",
        ));
    }
    if let Some(os) = machine.os.as_ref().filter(|_| windows::is_windows(machine))
        && windows::release(machine).is_none()
    {
        let message = format!(
            "the version of {} is not known, the machine is set up for Windows 10",
            shown(&os.description)
        );
        warnings.push(Warning::new("proxmox-windows-version", message));
    }
}

/// Proxmox takes DNS names only: letters, digits and dashes in labels of at most 63 characters.
fn dns_name(text: &str) -> String {
    let plain: String =
        text.chars().take(200).map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' }).collect();
    let labels = plain.split('.').filter_map(|label| {
        let label = label.get(..label.len().min(63)).unwrap_or_default().trim_matches('-');
        (!label.is_empty()).then_some(label)
    });
    let name = labels.collect::<Vec<_>>().join(".");
    if name.is_empty() { "machine".into() } else { name }
}

/// What stands between head and body of the script.
struct Values<'a> {
    machine: &'a Machine,
    options: &'a DefinitionOptions,
    disks: Vec<(&'a Disk, &'a DiskFile)>,
    stem: &'static str,
    scsihw: &'static str,
    name: &'a str,
}

impl Values<'_> {
    fn block(&self) -> String {
        let machine = self.machine;
        let (sockets, cores) = match machine.cpu.topology {
            Some(at) => (at.sockets, at.cores.saturating_mul(at.threads)),
            None => (1, machine.cpu.count),
        };
        let uefi = self.options.firmware == FirmwareKind::Uefi;
        let bios = if uefi { "ovmf" } else { "seabios" };
        // The newer board has no IDE controller: what is called so there is AHCI.
        let board = if uefi && self.options.disk_bus != DiskBus::Ide { "q35" } else { "pc" };
        let tpm = match machine.tpm {
            None => "",
            Some(Tpm::V1_2) => "v1.2",
            Some(Tpm::V2_0) => "v2.0",
        };
        let uuid = machine.uuid.map(|uuid| uuid.to_string()).unwrap_or_default();
        let lines = [
            format!("vm_name={}", word(self.name)),
            format!("description={}", word(machine.notes.as_deref().unwrap_or("Migrated by rehome"))),
            format!("uuid={}", word(&uuid)),
            format!("memory_mib={}", machine.memory_mib),
            format!("sockets={sockets}"),
            format!("cores={cores}"),
            format!("bios={}", word(bios)),
            format!("firmware_reason={}", word(&self.options.firmware_reason)),
            format!("enrolled_keys={}", u8::from(self.options.secure_boot)),
            format!("machine={}", word(board)),
            format!("ostype={}", word(self.ostype())),
            format!("localtime={}", u8::from(machine.clock == Clock::Local)),
            format!("tpm_version={}", word(tpm)),
            format!("scsihw={}", word(self.scsihw)),
            "# The first disk is the one the firmware starts.".into(),
            list("disk_files", self.disks.iter().map(|(_, file)| file.file.clone())),
            list("disk_manifests", self.disks.iter().map(|(_, file)| file.manifest.clone())),
            list("disk_keys", (0..self.disks.len()).map(|index| format!("{}{index}", self.stem))),
            "# The networks are those of the source; the bridges were chosen for this machine.".into(),
            format!("nic_model={}", word(self.nic_model())),
            list("nic_macs", machine.nics.iter().map(|nic| nic.mac.map(String::from).unwrap_or_default())),
            list("nic_networks", machine.nics.iter().map(|nic| nic.network.clone().unwrap_or_default())),
            list(
                "nic_bridges",
                adapters::networks(machine, &self.options.adapters).into_iter().map(str::to_owned),
            ),
        ];
        let mut text = lines.join("\n");
        text.push('\n');
        text
    }

    fn ostype(&self) -> &'static str {
        match &self.machine.os {
            Some(os) if os.family == OsFamily::Windows => windows::release_or_usual(self.machine).proxmox,
            Some(os) if os.family == OsFamily::Linux => "l26",
            _ => "other",
        }
    }

    fn nic_model(&self) -> &'static str {
        match self.options.nic_model {
            NicModel::Virtio | NicModel::Netfront => "virtio",
            NicModel::E1000e => "e1000e",
            NicModel::E1000 => "e1000",
            NicModel::Vmxnet3 => "vmxnet3",
        }
    }
}

fn list(name: &str, values: impl Iterator<Item = String>) -> String {
    let values: Vec<String> = values.map(|value| word(&value)).collect();
    format!("{name}=({})", values.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_dns_names() {
        for (from, to) in [
            ("web-1", "web-1"),
            ("db.example.org", "db.example.org"),
            ("Web server (prod)", "Web-server--prod"),
            ("../x", "x"),
            ("名前", "machine"),
            ("-a-", "a"),
        ] {
            assert_eq!(dns_name(from), to);
            assert_eq!(dns_name(to), to);
        }
        assert_eq!(dns_name(&"x".repeat(255)).len(), 63);
    }

    #[test]
    fn words_end_only_where_they_should() {
        assert_eq!(word("it's $(x)"), r"'it'\''s $(x)'");
    }
}
