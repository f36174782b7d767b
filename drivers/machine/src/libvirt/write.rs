//! From a machine to domain XML for KVM.

use std::fmt::Write as _;

use super::{DIALECT, windows};
use crate::definition::definition_file;
use crate::disk_names::{folder_fault, letters};
use crate::writing::{self, Codes};
use crate::xml::escape;
use crate::{
    Architecture, Definition, DefinitionOptions, Disk, DiskBus, DiskFile, FirmwareKind, Machine,
    MachineError, Nic, NicModel, Tpm, Warning, adapters,
};

/// Disks on one paravirtual controller of VMware as qemu emulates it.
const PVSCSI_DISKS: usize = 7;
/// Disks on the two channels of the IDE controller.
const IDE_DISKS: usize = 4;
/// CPUs whose interrupts need no remapping: more have APIC ids beyond eight bits.
const PLAIN_CPUS: u32 = 255;
/// CPUs of the board q35 before QEMU 8.1.
const OLDER_CPUS: u32 = 288;
/// libvirt makes a folder and a file of the name.
const MAX_NAME_BYTES: usize = 200;

/// Begins a chosen network that is a bridge of the host, not a network of libvirt's.
const BRIDGE: &str = "bridge:";

const CODES: Codes = Codes {
    firmware: "libvirt-firmware-differs",
    secure_boot: "libvirt-secure-boot-off",
    boot_disk: "libvirt-boot-disk-large",
    tags: "libvirt-tags",
    name: "libvirt-name-changed",
    clock: "libvirt-clock",
    tpm: "libvirt-tpm-none",
};

/// Writes the domain for `virsh define`. The disks lie in `folder`, an absolute path on the host, such as
/// [`super::IMAGE_FOLDER`].
///
/// # Errors
/// Kind `Invalid` as [`DefinitionOptions::pair`] says, or when `folder` is no absolute path; kind `Unsupported` when
/// KVM under libvirt has no such bus, adapter or firmware.
pub fn definition(
    machine: &Machine,
    options: &DefinitionOptions,
    folder: &str,
) -> Result<Definition, MachineError> {
    let disks = options.pair(machine)?;
    if let Some(fault) = folder_fault(folder) {
        return Err(MachineError::field("definition", fault));
    }
    check_limits(machine, options)?;
    adapters::check(&options.adapters, DIALECT, |name| {
        let bridge = name.strip_prefix(BRIDGE)?;
        (!adapters::is_interface(bridge)).then_some("names no bridge of the host such as bridge:br0")
    })?;
    let machine_name = name_of(machine);
    let mut warnings = Vec::new();
    writing::losses(machine, options, &machine_name, &CODES, &mut warnings);
    let mut text = head(machine, options, &machine_name)?;
    text.push_str("  <devices>\n");
    text.push_str(&controllers(options, disks.len()));
    for (index, (disk, file)) in disks.iter().enumerate() {
        text.push_str(&disk_element(options, folder, index, (disk, file))?);
    }
    for (index, nic) in machine.nics.iter().enumerate() {
        text.push_str(&nic_element(options, index, nic, &mut warnings)?);
    }
    text.push_str(&tpm_element(machine, &mut warnings));
    if remaps_interrupts(machine, options) {
        text.push_str(IOMMU);
    }
    warn_of_cpus(machine, options, &mut warnings);
    text.push_str(CONSOLES);
    text.push_str("  </devices>\n</domain>\n");
    Ok(Definition { text, file_name: definition_file(machine, ".xml"), machine_name, warnings })
}

fn unsupported(reason: impl Into<String>) -> MachineError {
    MachineError::Unsupported { what: DIALECT, reason: reason.into() }
}

/// Window, serial console and the socket of the guest agent: whatever the guest uses of them, it finds.
const CONSOLES: &str = "    \
<serial type='pty'>
      <target port='0'/>
    </serial>
    <console type='pty'>
      <target type='serial' port='0'/>
    </console>
    <channel type='unix'>
      <target type='virtio' name='org.qemu.guest_agent.0'/>
    </channel>
    <input type='tablet' bus='usb'/>
    <graphics type='vnc' port='-1' autoport='yes'/>
    <video>
      <model type='vga'/>
    </video>
    <rng model='virtio'>
      <backend model='random'>/dev/urandom</backend>
    </rng>
";

/// With interrupt remapping, and APIC ids of 32 bits.
const IOMMU: &str = "    \
<iommu model='intel'>
      <driver intremap='on' eim='on'/>
    </iommu>
";

fn check_limits(machine: &Machine, options: &DefinitionOptions) -> Result<(), MachineError> {
    match options.disk_bus {
        DiskBus::VirtioBlk | DiskBus::VirtioScsi | DiskBus::Sata | DiskBus::Pvscsi => {}
        DiskBus::Ide if machine.disks.len() > IDE_DISKS => {
            return Err(unsupported(format!(
                "{} disks, at most {IDE_DISKS} are possible on ide",
                machine.disks.len()
            )));
        }
        DiskBus::Ide if options.secure_boot => {
            return Err(unsupported("secure boot needs the machine q35, which has no ide"));
        }
        DiskBus::Ide => {}
        DiskBus::Nvme => {
            return Err(unsupported("libvirt emulates no nvme disks in the versions distributions ship"));
        }
        DiskBus::LsiLogic | DiskBus::LsiSas => {
            return Err(unsupported("qemu's lsi logic controller is another chip than vmware's"));
        }
        DiskBus::XenBlk => return Err(unsupported("kvm has no xen block devices")),
    }
    if options.nic_model == NicModel::Netfront {
        return Err(unsupported("kvm has no xen network adapters"));
    }
    if machine.cpu.count > PLAIN_CPUS
        && machine.architecture != Architecture::Arm64
        && !remaps_interrupts(machine, options)
    {
        return Err(unsupported(format!(
            "{} CPUs, at most {PLAIN_CPUS} are possible on ide and with 32 bits; choose another disk bus, or give fewer \
             CPUs in a description of the machine",
            machine.cpu.count
        )));
    }
    if machine.architecture == Architecture::Arm64 {
        if options.firmware == FirmwareKind::Bios {
            return Err(unsupported("arm64 machines start by uefi only"));
        }
        if !matches!(options.disk_bus, DiskBus::VirtioBlk | DiskBus::VirtioScsi) {
            return Err(unsupported("arm64 machines have virtio disks only"));
        }
    }
    if options.secure_boot && machine.architecture != Architecture::X86_64 {
        return Err(unsupported("secure boot is possible with x86-64 only"));
    }
    Ok(())
}

/// Whether the machine gets an IOMMU that remaps interrupts, without which libvirt refuses more CPUs (libvirt,
/// `qemuValidateDomainDefVcpus`). Only the board q35 can have one.
fn remaps_interrupts(machine: &Machine, options: &DefinitionOptions) -> bool {
    machine.cpu.count > PLAIN_CPUS
        && machine.architecture == Architecture::X86_64
        && options.disk_bus != DiskBus::Ide
}

fn warn_of_cpus(machine: &Machine, options: &DefinitionOptions, warnings: &mut Vec<Warning>) {
    if !remaps_interrupts(machine, options) {
        return;
    }
    let count = machine.cpu.count;
    let older = if count > OLDER_CPUS {
        format!("; QEMU before 8.1 takes {OLDER_CPUS} at most")
    } else {
        String::new()
    };
    let message = format!(
        "{count} CPUs need interrupt remapping: the machine gets an Intel IOMMU, and the guest's kernel must know x2APIC{older}"
    );
    warnings.push(Warning::new("libvirt-many-cpus", message));
}

/// libvirt refuses a slash in a name, and a name that is too long for the files it makes of it.
fn name_of(machine: &Machine) -> String {
    let mut name = String::new();
    for c in machine.name.trim().chars().map(|c| if c == '/' { '_' } else { c }) {
        if name.len() + c.len_utf8() > MAX_NAME_BYTES {
            break;
        }
        name.push(c);
    }
    if matches!(name.as_str(), "." | "..") { format!("_{name}") } else { name }
}

fn head(machine: &Machine, options: &DefinitionOptions, name: &str) -> Result<String, MachineError> {
    let (arch, board) = match (machine.architecture, options.disk_bus) {
        (Architecture::Arm64, _) => ("aarch64", "virt"),
        (Architecture::I386, DiskBus::Ide) => ("i686", "pc"),
        (Architecture::I386, _) => ("i686", "q35"),
        // Only the older board has an IDE controller.
        (Architecture::X86_64, DiskBus::Ide) => ("x86_64", "pc"),
        (Architecture::X86_64, _) => ("x86_64", "q35"),
    };
    let mut text = format!("<domain type='kvm'>\n  <name>{}</name>\n", escape(DIALECT, name)?);
    let mut line = |line: String| {
        text.push_str(&line);
        text.push('\n');
    };
    if let Some(uuid) = machine.uuid {
        line(format!("  <uuid>{uuid}</uuid>"));
    }
    if let Some(notes) = &machine.notes {
        line(format!("  <description>{}</description>", escape(DIALECT, notes)?));
    }
    if let Some(metadata) = windows::metadata(machine) {
        line(metadata);
    }
    line(format!("  <memory unit='MiB'>{}</memory>", machine.memory_mib));
    line(format!("  <vcpu>{}</vcpu>", machine.cpu.count));
    match options.firmware {
        FirmwareKind::Bios => line("  <os>".into()),
        FirmwareKind::Uefi => line("  <os firmware='efi'>".into()),
    }
    line(format!("    <type arch='{arch}' machine='{board}'>hvm</type>"));
    if options.firmware == FirmwareKind::Uefi && machine.architecture == Architecture::X86_64 {
        let enabled = if options.secure_boot { "yes" } else { "no" };
        line("    <firmware>".into());
        line(format!("      <feature enabled='{enabled}' name='secure-boot'/>"));
        line(format!("      <feature enabled='{enabled}' name='enrolled-keys'/>"));
        line("    </firmware>".into());
    }
    line("  </os>\n  <features>\n    <acpi/>\n    <apic/>".into());
    if options.secure_boot {
        line("    <smm state='on'/>".into());
    }
    if remaps_interrupts(machine, options) {
        // The IOMMU cannot remap what the kernel's own IOAPIC delivers.
        line("    <ioapic driver='qemu'/>".into());
    }
    line(format!("{}  </features>", windows::features(machine)));
    let mode = if machine.architecture == Architecture::Arm64 { "host-passthrough" } else { "host-model" };
    match machine.cpu.topology {
        None => line(format!("  <cpu mode='{mode}'/>")),
        Some(at) => line(format!(
            "  <cpu mode='{mode}'>\n    <topology sockets='{}' cores='{}' threads='{}'/>\n  </cpu>",
            at.sockets, at.cores, at.threads
        )),
    }
    line(windows::clock(machine));
    Ok(text)
}

fn controllers(options: &DefinitionOptions, disks: usize) -> String {
    let (model, count) = match options.disk_bus {
        DiskBus::VirtioScsi => ("virtio-scsi", 1),
        DiskBus::Pvscsi => ("vmpvscsi", disks.div_ceil(PVSCSI_DISKS)),
        _ => return String::new(),
    };
    (0..count)
        .map(|index| format!("    <controller type='scsi' index='{index}' model='{model}'/>\n"))
        .collect()
}

fn disk_element(
    options: &DefinitionOptions,
    folder: &str,
    index: usize,
    (_, file): (&Disk, &DiskFile),
) -> Result<String, MachineError> {
    let (prefix, bus) = match options.disk_bus {
        DiskBus::VirtioBlk => ("vd", "virtio"),
        DiskBus::Sata => ("sd", "sata"),
        DiskBus::Ide => ("hd", "ide"),
        _ => ("sd", "scsi"),
    };
    // qemu's name of the format.
    let format = if file.format == "vhd" { "vpc" } else { file.format };
    let path = format!("{}/{}", folder.trim_end_matches('/'), file.file);
    let mut text = String::from("    <disk type='file' device='disk'>\n");
    // Writing to a string cannot fail.
    let _ = writeln!(text, "      <driver name='qemu' type='{format}'/>");
    let _ = writeln!(text, "      <source file='{}'/>", escape(DIALECT, &path)?);
    let _ = writeln!(text, "      <target dev='{}' bus='{bus}'/>", letters(prefix, index));
    if index == 0 {
        text.push_str("      <boot order='1'/>\n");
    }
    let address = match options.disk_bus {
        DiskBus::VirtioScsi => Some((0, index)),
        DiskBus::Pvscsi => Some((index / PVSCSI_DISKS, index % PVSCSI_DISKS)),
        _ => None,
    };
    if let Some((controller, unit)) = address {
        let _ = writeln!(
            text,
            "      <address type='drive' controller='{controller}' bus='0' target='0' unit='{unit}'/>"
        );
    }
    text.push_str("    </disk>\n");
    Ok(text)
}

fn nic_element(
    options: &DefinitionOptions,
    index: usize,
    nic: &Nic,
    warnings: &mut Vec<Warning>,
) -> Result<String, MachineError> {
    let model = match options.nic_model {
        NicModel::Virtio | NicModel::Netfront => "virtio",
        NicModel::E1000e => "e1000e",
        NicModel::E1000 => "e1000",
        NicModel::Vmxnet3 => "vmxnet3",
    };
    let chosen = adapters::network(&options.adapters, index);
    let network = nic.network.as_deref().filter(|network| !network.trim().is_empty());
    match network {
        _ if chosen.is_some() => {}
        Some(network) => warnings.push(Warning::new(
            "libvirt-network",
            format!(
                "network adapter {index} is connected to a libvirt network called {}, as at the source: make it, or \
                 name another",
                crate::error::shown(network)
            ),
        )),
        None => warnings.push(Warning::new(
            "libvirt-network",
            format!("no network of adapter {index} is known, it is connected to libvirt's default"),
        )),
    }
    let source = chosen.or(network).unwrap_or("default");
    let (kind, source) = match chosen.and_then(|chosen| chosen.strip_prefix(BRIDGE)) {
        Some(bridge) => ("bridge", bridge),
        None => ("network", source),
    };
    let mut text = format!("    <interface type='{kind}'>\n");
    if let Some(mac) = nic.mac {
        let _ = writeln!(text, "      <mac address='{mac}'/>");
    }
    let _ = writeln!(text, "      <source {kind}='{}'/>", escape(DIALECT, source)?);
    let _ = writeln!(text, "      <model type='{model}'/>");
    text.push_str("    </interface>\n");
    Ok(text)
}

fn tpm_element(machine: &Machine, warnings: &mut Vec<Warning>) -> String {
    let (model, version) = match (machine.tpm, machine.architecture) {
        (None, _) => return String::new(),
        (Some(Tpm::V1_2), _) => ("tpm-tis", "1.2"),
        (Some(Tpm::V2_0), Architecture::Arm64) => ("tpm-tis", "2.0"),
        (Some(Tpm::V2_0), _) => ("tpm-crb", "2.0"),
    };
    let message = "the TPM is a new one: what is sealed to the keys of the old one needs its recovery key";
    warnings.push(Warning::new("libvirt-tpm-new", message));
    format!("    <tpm model='{model}'>\n      <backend type='emulator' version='{version}'/>\n    </tpm>\n")
}
