//! VirtualBox as a target: a bash script for VBoxManage that makes the machine, on VirtualBox 6.1 and later.
//!
//! Written with the names of options that every version since 5 knows. Secure Boot needs VirtualBox 7. The images are
//! VMDK or VHD and are attached where they lie; a stream-optimized VMDK is of no use, VirtualBox cannot write to it.
//!
//! Facts: the chapter "VBoxManage" of the VirtualBox manual.

use crate::bash::Data;
use crate::definition::definition_file;
use crate::error::shown;
use crate::hyperv::windows_name;
use crate::{
    Architecture, Clock, Definition, DefinitionOptions, DiskBus, FirmwareKind, MacAddress, Machine,
    MachineError, NicModel, Tpm, Warning, adapters, guest_ids, writing,
};

const HEAD: &str = include_str!("head.sh");
const BODY: &str = include_str!("body.sh");
const WHAT: &str = "virtualbox";
const MAX_CPUS: u32 = 64;
/// 2 TiB.
const MAX_MEMORY_MIB: u64 = 2 << 20;
/// Adapters of the PIIX3 chipset, and of the ICH9.
const FEW_NICS: usize = 8;
const MAX_NICS: usize = 36;

const CODES: writing::Codes = writing::Codes {
    firmware: "virtualbox-firmware-differs",
    secure_boot: "virtualbox-secure-boot-off",
    boot_disk: "virtualbox-boot-disk-large",
    tags: "virtualbox-tags",
    name: "virtualbox-name-changed",
    clock: "virtualbox-clock",
    tpm: "virtualbox-tpm-none",
};

/// A disk controller: arguments of `storagectl`, and how many disks it takes.
struct Controller {
    kind: &'static str,
    chip: &'static str,
    most: usize,
    /// Whether the number of ports is given.
    ports: bool,
}

/// Writes the script for `machine`.
///
/// # Errors
/// Kind `Invalid` when the machine breaks a rule or its disks and the files do not match one to one; kind
/// `Unsupported` for what VirtualBox has not: a bus or adapter of another hypervisor, arm64, too many or too large
/// parts, an image that is neither VMDK nor VHD.
pub fn definition(machine: &Machine, options: &DefinitionOptions) -> Result<Definition, MachineError> {
    let disks = options.pair(machine)?;
    check(machine, options)?;
    adapters::check(&options.adapters, WHAT, network_fault)?;
    let controller = controller(options.disk_bus)?;
    if disks.len() > controller.most {
        return Err(unsupported(format!("{} disks, this controller takes {}", disks.len(), controller.most)));
    }
    let name = machine_name(&machine.name);
    let mut data = Data::default();
    data.text("MACHINE", &name);
    data.text("NOTES", machine.notes.as_deref().unwrap_or("Migrated by rehome"));
    data.list("OS_TYPES", guest_ids::virtualbox_types(machine));
    data.text("PROCESSORS", &machine.cpu.count.to_string());
    data.text("MEMORY_MIB", &machine.memory_mib.to_string());
    data.text("FIRMWARE", if options.firmware == FirmwareKind::Uefi { "efi" } else { "bios" });
    data.text("FIRMWARE_REASON", &options.firmware_reason);
    data.text("SECURE_BOOT", if options.secure_boot { "on" } else { "off" });
    data.text("CHIPSET", if machine.nics.len() > FEW_NICS { "ich9" } else { "piix3" });
    data.text("UTC", if machine.clock == Clock::Utc { "on" } else { "off" });
    data.text("UUID", &machine.uuid.map(|uuid| uuid.to_string()).unwrap_or_default());
    data.text("TPM", tpm(machine));
    let mut arguments = vec!["--add", controller.kind, "--controller", controller.chip];
    let count = disks.len().to_string();
    if controller.ports {
        arguments.extend(["--portcount", &count]);
    }
    data.list("CONTROLLER", arguments);
    // The text of a disk's file says nothing about its length: VMDK and dynamic VHD are sparse.
    data.disks(&disks, |_| None);
    let per_port = if options.disk_bus == DiskBus::Ide { 2 } else { 1 };
    data.list("DISK_PORTS", (0..disks.len()).map(|index| (index / per_port).to_string()));
    data.list("DISK_DEVICES", (0..disks.len()).map(|index| (index % per_port).to_string()));
    data.text("NIC_TYPE", nic_type(options.nic_model)?);
    data.list(
        "MACS",
        machine.nics.iter().map(|nic| nic.mac.map(MacAddress::plain_upper).unwrap_or_default()),
    );
    data.list("SOURCE_NETWORKS", machine.nics.iter().map(|nic| nic.network.as_deref().unwrap_or_default()));
    data.list("NETWORKS", adapters::networks(machine, &options.adapters));
    let mut warnings = Vec::new();
    writing::losses(machine, options, &name, &CODES, &mut warnings);
    losses(machine, options, &mut warnings);
    let file_name = definition_file(machine, ".virtualbox.sh");
    Ok(Definition { text: data.script(HEAD, BODY), file_name, machine_name: name, warnings })
}

fn tpm(machine: &Machine) -> &'static str {
    match machine.tpm {
        None => "",
        Some(Tpm::V1_2) => "1.2",
        Some(Tpm::V2_0) => "2.0",
    }
}

fn unsupported(reason: String) -> MachineError {
    MachineError::Unsupported { what: WHAT, reason }
}

/// VirtualBox makes a folder with the machine's name, and VBoxManage takes a dash for an option.
fn machine_name(name: &str) -> String {
    let name = windows_name(name);
    if name.starts_with('-') { windows_name(&format!("_{name}")) } else { name }
}

fn check(machine: &Machine, options: &DefinitionOptions) -> Result<(), MachineError> {
    if machine.architecture == Architecture::Arm64 {
        return Err(unsupported("an arm64 guest does not run on an x86-64 host".into()));
    }
    if machine.cpu.count > MAX_CPUS {
        return Err(unsupported(format!(
            "{} processors, at most {MAX_CPUS} are possible",
            machine.cpu.count
        )));
    }
    if machine.memory_mib < 4 || machine.memory_mib > MAX_MEMORY_MIB {
        let reason = format!("{} MiB of memory, possible are 4 to {MAX_MEMORY_MIB}", machine.memory_mib);
        return Err(unsupported(reason));
    }
    if machine.nics.len() > MAX_NICS {
        let reason = format!("{} network adapters, at most {MAX_NICS} are possible", machine.nics.len());
        return Err(unsupported(reason));
    }
    match options.disks.iter().find(|file| !matches!(file.format, "vmdk" | "vhd" | "vdi")) {
        Some(file) => Err(unsupported(format!(
            "disk {} is a {} image, possible are vdi, vmdk and vhd",
            shown(&file.id),
            file.format
        ))),
        None => Ok(()),
    }
}

fn controller(bus: DiskBus) -> Result<Controller, MachineError> {
    match bus {
        DiskBus::Sata => Ok(Controller { kind: "sata", chip: "IntelAhci", most: 30, ports: true }),
        DiskBus::Ide => Ok(Controller { kind: "ide", chip: "PIIX4", most: 4, ports: false }),
        DiskBus::LsiLogic => Ok(Controller { kind: "scsi", chip: "LSILogic", most: 15, ports: false }),
        DiskBus::Nvme => Ok(Controller { kind: "pcie", chip: "NVMe", most: 64, ports: true }),
        DiskBus::VirtioScsi => Ok(Controller { kind: "virtio", chip: "VirtIO", most: 64, ports: true }),
        DiskBus::VirtioBlk | DiskBus::Pvscsi | DiskBus::LsiSas | DiskBus::XenBlk => Err(unsupported(
            format!("no {bus:?} controller, possible are sata, ide, lsilogic, nvme and virtio-scsi"),
        )),
    }
}

/// As the script reads those that it is given.
fn network_fault(name: &str) -> Option<&'static str> {
    let known = match name.split_once(':') {
        Some((kind, of)) => matches!(kind, "bridged" | "intnet" | "hostonly") && !of.trim().is_empty(),
        None => matches!(name, "nat" | "none"),
    };
    (!known).then_some("is none of nat, none, bridged:INTERFACE, intnet:NAME and hostonly:INTERFACE")
}

fn nic_type(model: NicModel) -> Result<&'static str, MachineError> {
    match model {
        NicModel::Virtio => Ok("virtio"),
        NicModel::E1000 => Ok("82540EM"),
        NicModel::E1000e | NicModel::Vmxnet3 | NicModel::Netfront => {
            Err(unsupported(format!("no {model:?} network adapter, possible are virtio and e1000")))
        }
    }
}

fn losses(machine: &Machine, options: &DefinitionOptions, warnings: &mut Vec<Warning>) {
    let mut warn = |code, message: String| warnings.push(Warning::new(code, message));
    if let Some(topology) = machine.cpu.topology
        && (topology.threads > 1 || topology.sockets > 1)
    {
        warn(
            "virtualbox-topology",
            format!(
                "{} sockets × {} cores × {} threads: VirtualBox takes the number of processors only",
                topology.sockets, topology.cores, topology.threads
            ),
        );
    }
    if adapters::keeps_a_mac(machine, &options.adapters) {
        warn(
            "virtualbox-mac-kept",
            "hardware addresses of the source are kept: it must never run in the same network again".into(),
        );
    }
    if machine.tpm.is_some() {
        warn("virtualbox-tpm-new", crate::clouds::TPM_NEW.into());
    }
    if options.secure_boot
        || machine.tpm.is_some()
        || matches!(options.disk_bus, DiskBus::Nvme | DiskBus::VirtioScsi)
    {
        warn(
            "virtualbox-needs-7",
            "Secure Boot, a TPM, NVMe without the extension pack, and a boot from virtio-scsi need VirtualBox 7"
                .into(),
        );
    }
    if options.firmware == FirmwareKind::Bios
        && matches!(options.disk_bus, DiskBus::Nvme | DiskBus::VirtioScsi)
    {
        warn(
            "virtualbox-bios-boot",
            "VirtualBox's BIOS starts no disk on NVMe or virtio-scsi: use sata, or UEFI".into(),
        );
    }
}
