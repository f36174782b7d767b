//! What VMware's two dialects share: limits, controllers and adapters of its virtual hardware.
//!
//! Source: "VMware configuration maximums" for ESXi 6.5 to 8.0 and the vSphere virtual machine administration guide.

use crate::error::shown;
use crate::{
    Architecture, Bus, DefinitionOptions, Disk, DiskBus, DiskFile, Machine, MachineError, NicModel, Warning,
};

/// Virtual hardware version that is written: ESXi 6.5 and later, Workstation 14 and later. It has Secure Boot and NVMe.
pub(crate) const HARDWARE: u32 = 13;
/// 62 TiB: largest VMDK.
const MAX_DISK: u64 = 62 << 40;
const MAX_CPUS: u32 = 128;
const MAX_MEMORY_MIB: u64 = 6128 << 10;
const MAX_NICS: usize = 10;
const CONTROLLERS: usize = 4;

/// Where a disk is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) controller: usize,
    pub(crate) unit: usize,
}

/// A kind of disk controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Controller {
    /// `scsi`, `sata`, `ide` or `nvme`: the name in a VMX file.
    pub(crate) name: &'static str,
    /// `virtualDev` of a VMX file, for SCSI only.
    pub(crate) virtual_dev: Option<&'static str>,
    /// ResourceType of an OVF item.
    pub(crate) resource_type: u16,
    /// ResourceSubType of an OVF item, where the type has several.
    pub(crate) sub_type: Option<&'static str>,
    /// Controllers of one machine, and disks of one controller.
    controllers: usize,
    units: usize,
}

impl Controller {
    /// The controller for a bus.
    pub(crate) fn of(bus: DiskBus, what: &'static str) -> Result<Self, MachineError> {
        let scsi = |virtual_dev, sub_type| Self {
            name: "scsi",
            virtual_dev: Some(virtual_dev),
            resource_type: 6,
            sub_type: Some(sub_type),
            controllers: CONTROLLERS,
            units: 15,
        };
        let plain = |name, resource_type, sub_type, controllers, units| Self {
            name,
            virtual_dev: None,
            resource_type,
            sub_type,
            controllers,
            units,
        };
        match bus {
            DiskBus::Pvscsi => Ok(scsi("pvscsi", "VirtualSCSI")),
            DiskBus::LsiLogic => Ok(scsi("lsilogic", "lsilogic")),
            DiskBus::LsiSas => Ok(scsi("lsisas1068", "lsilogicsas")),
            DiskBus::Sata => Ok(plain("sata", 20, Some("vmware.sata.ahci"), CONTROLLERS, 30)),
            DiskBus::Nvme => Ok(plain("nvme", 20, Some("vmware.nvme.controller"), CONTROLLERS, 15)),
            DiskBus::Ide => Ok(plain("ide", 5, None, 2, 2)),
            DiskBus::VirtioBlk | DiskBus::VirtioScsi | DiskBus::XenBlk => {
                let reason = format!(
                    "no {bus:?} controller, possible are pvscsi, lsilogic, lsisas, sata, nvme and ide"
                );
                Err(MachineError::Unsupported { what, reason })
            }
        }
    }

    /// The place of the disk with this index, the first one being that the firmware starts.
    pub(crate) fn slot(&self, index: usize, what: &'static str) -> Result<Slot, MachineError> {
        let (controller, unit) = (index / self.units, index % self.units);
        if controller >= self.controllers {
            let most = self.controllers * self.units;
            let reason = format!("more than {most} disks on {} controllers", self.name);
            return Err(MachineError::Unsupported { what, reason });
        }
        // Unit 7 is the SCSI controller itself.
        let unit = if self.name == "scsi" && unit >= 7 { unit + 1 } else { unit };
        Ok(Slot { controller, unit })
    }
}

/// `ethernetN.virtualDev` and the ResourceSubType of an adapter.
pub(crate) fn adapter(
    model: NicModel,
    what: &'static str,
) -> Result<(&'static str, &'static str), MachineError> {
    match model {
        NicModel::Vmxnet3 => Ok(("vmxnet3", "VmxNet3")),
        NicModel::E1000e => Ok(("e1000e", "E1000e")),
        NicModel::E1000 => Ok(("e1000", "E1000")),
        NicModel::Virtio | NicModel::Netfront => Err(MachineError::Unsupported {
            what,
            reason: format!("no {model:?} network adapter, possible are vmxnet3, e1000e and e1000"),
        }),
    }
}

/// The bus of a controller named as in a VMX file.
pub(crate) fn bus_of(name: &str) -> Bus {
    match name {
        "scsi" => Bus::Scsi,
        "sata" => Bus::Sata,
        "ide" => Bus::Ide,
        "nvme" => Bus::Nvme,
        _ => Bus::Other,
    }
}

/// Memory in the steps of 4 MiB that VMware takes, rounded up.
pub(crate) fn memory_mib(machine: &Machine) -> u64 {
    machine.memory_mib.next_multiple_of(4)
}

/// Cores in each socket: threads count as cores, for VMware has no field for them.
pub(crate) fn cores_per_socket(machine: &Machine) -> Option<u32> {
    machine.cpu.topology.map(|topology| machine.cpu.count / topology.sockets.max(1))
}

/// Refuses what VMware's hardware cannot have.
pub(crate) fn check(
    machine: &Machine,
    disks: &[(&Disk, &DiskFile)],
    what: &'static str,
) -> Result<(), MachineError> {
    let refuse = |reason: String| Err(MachineError::Unsupported { what, reason });
    if machine.architecture == Architecture::Arm64 {
        return refuse("an arm64 guest does not run on an x86-64 host".into());
    }
    if machine.cpu.count > MAX_CPUS {
        return refuse(format!("{} processors, at most {MAX_CPUS} are possible", machine.cpu.count));
    }
    if machine.memory_mib < 4 || machine.memory_mib > MAX_MEMORY_MIB {
        return refuse(format!("{} MiB of memory, possible are 4 to {MAX_MEMORY_MIB}", machine.memory_mib));
    }
    if machine.nics.len() > MAX_NICS {
        return refuse(format!("{} network adapters, at most {MAX_NICS} are possible", machine.nics.len()));
    }
    for (disk, file) in disks {
        if file.format != "vmdk" {
            return refuse(format!("disk {} is a {} image, VMware takes vmdk", shown(&disk.id), file.format));
        }
        if file.size_bytes > MAX_DISK {
            return refuse(format!("disk {} is larger than 62 TiB, the limit of vmdk", shown(&disk.id)));
        }
    }
    Ok(())
}

/// Codes of the warnings that both dialects have.
pub(crate) struct Codes {
    pub(crate) memory: &'static str,
    pub(crate) topology: &'static str,
    pub(crate) tpm: &'static str,
}

/// Warnings about what VMware's hardware has no field for.
pub(crate) fn losses(machine: &Machine, codes: &Codes, warnings: &mut Vec<Warning>) {
    let memory = memory_mib(machine);
    if memory != machine.memory_mib {
        let message =
            format!("{} MiB of memory become {memory}: VMware takes multiples of 4", machine.memory_mib);
        warnings.push(Warning::new(codes.memory, message));
    }
    if let Some(topology) = machine.cpu.topology
        && topology.threads > 1
    {
        let message = format!(
            "{} threads in each core are given as cores: VMware has no field for threads",
            topology.threads
        );
        warnings.push(Warning::new(codes.topology, message));
    }
    if machine.tpm.is_some() {
        warnings.push(Warning::new(
            codes.tpm,
            "the machine had a TPM: VMware makes a new one only where it has a key to encrypt with, add it there; what is \
             sealed to the keys of the old one needs its recovery key",
        ));
    }
}

/// What VMware's firmware setting is called.
pub(crate) fn firmware_word(options: &DefinitionOptions) -> &'static str {
    match options.firmware {
        crate::FirmwareKind::Bios => "bios",
        crate::FirmwareKind::Uefi => "efi",
    }
}
