//! A machine as a VMX file.

use super::dictionary::encode_value;
use crate::definition::definition_file;
use crate::vmware::{self, Controller};
use crate::{
    Clock, Definition, DefinitionOptions, Disk, DiskFile, FirmwareKind, MacAddress, Machine, MachineError,
    Warning, adapters, guest_ids, writing,
};

const WHAT: &str = "vmx";

const CODES: writing::Codes = writing::Codes {
    firmware: "vmx-firmware-differs",
    secure_boot: "vmx-secure-boot-off",
    boot_disk: "vmx-boot-disk-large",
    tags: "vmx-tags",
    name: "vmx-name-changed",
    clock: "vmx-clock",
    tpm: "vmx-tpm-none",
};

const HARDWARE_CODES: vmware::Codes =
    vmware::Codes { memory: "vmx-memory-rounded", topology: "vmx-topology", tpm: "vmx-tpm-left-out" };

/// The PCI bridges that every machine of this hardware version has; PCIe devices hang on the last four.
const BRIDGES: [u32; 4] = [4, 5, 6, 7];

/// Writes the VMX file for `machine`, UTF-8 with LF line ends. The images lie beside it.
///
/// # Errors
/// Kind `Invalid` when the machine breaks a rule or its disks and the files do not match one to one; kind
/// `Unsupported` for what VMware's hardware has not: a bus or adapter of another hypervisor, arm64, too many or too
/// large parts, an image that is no VMDK.
pub fn definition(machine: &Machine, options: &DefinitionOptions) -> Result<Definition, MachineError> {
    let disks = options.pair(machine)?;
    vmware::check(machine, &disks, WHAT)?;
    adapters::check(&options.adapters, WHAT, |_| None)?;
    let file_name = definition_file(machine, ".vmx");
    let mut lines = Lines::default();
    head(&mut lines, machine, options, &file_name);
    attach_disks(&mut lines, options, &disks)?;
    let mut warnings = Vec::new();
    attach_nics(&mut lines, machine, options, &mut warnings)?;
    writing::losses(machine, options, &machine.name, &CODES, &mut warnings);
    vmware::losses(machine, &HARDWARE_CODES, &mut warnings);
    if machine.clock == Clock::Local {
        warnings.push(Warning::new(
            CODES.clock,
            "the guest expects local time, which Workstation and Fusion give it; ESXi keeps its clock in UTC: there the time \
             is right once VMware Tools or a time server have set it",
        ));
    }
    Ok(Definition { text: lines.text, file_name, machine_name: machine.name.clone(), warnings })
}

#[derive(Default)]
struct Lines {
    text: String,
}

impl Lines {
    fn add(&mut self, key: &str, value: &str) {
        self.text.push_str(&format!("{key} = \"{}\"\n", encode_value(value)));
    }
}

fn head(lines: &mut Lines, machine: &Machine, options: &DefinitionOptions, file_name: &str) {
    lines.add(".encoding", "UTF-8");
    lines.add("config.version", "8");
    lines.add("virtualHW.version", &vmware::HARDWARE.to_string());
    lines.add("displayName", &machine.name);
    lines.add("annotation", machine.notes.as_deref().unwrap_or("Migrated by rehome"));
    lines.add("guestOS", guest_ids::guest_id(machine).vmx);
    // BIOS is what no entry means; libvirt knows no other word than efi.
    if options.firmware == FirmwareKind::Uefi {
        lines.add("firmware", "efi");
    }
    if options.secure_boot {
        lines.add("uefi.secureBoot.enabled", "TRUE");
    }
    let stem = file_name.strip_suffix(".vmx").unwrap_or(file_name);
    lines.add("nvram", &format!("{stem}.nvram"));
    if let Some(uuid) = machine.uuid {
        lines.add("uuid.bios", &spaced(uuid));
        // Without it VMware asks whether the machine was moved or copied, and a copy gets a new one.
        lines.add("uuid.action", "keep");
    }
    lines.add("numvcpus", &machine.cpu.count.to_string());
    if let Some(cores) = vmware::cores_per_socket(machine) {
        lines.add("cpuid.coresPerSocket", &cores.to_string());
    }
    lines.add("memSize", &vmware::memory_mib(machine).to_string());
    if machine.clock == Clock::Utc {
        lines.add("rtc.diffFromUTC", "0");
    }
    lines.add("pciBridge0.present", "TRUE");
    for number in BRIDGES {
        lines.add(&format!("pciBridge{number}.present"), "TRUE");
        lines.add(&format!("pciBridge{number}.virtualDev"), "pcieRootPort");
        lines.add(&format!("pciBridge{number}.functions"), "8");
    }
    for (key, value) in [("vmci0.present", "TRUE"), ("hpet0.present", "TRUE"), ("floppy0.present", "FALSE")] {
        lines.add(key, value);
    }
}

fn spaced(uuid: uuid::Uuid) -> String {
    let octets: Vec<String> = uuid.as_bytes().iter().map(|octet| format!("{octet:02x}")).collect();
    let (low, high) = octets.split_at(8);
    format!("{}-{}", low.join(" "), high.join(" "))
}

fn attach_disks(
    lines: &mut Lines,
    options: &DefinitionOptions,
    disks: &[(&Disk, &DiskFile)],
) -> Result<(), MachineError> {
    let controller = Controller::of(options.disk_bus, WHAT)?;
    let bus = controller.name;
    let mut last = None;
    let mut first = None;
    for (index, (_, file)) in disks.iter().enumerate() {
        let slot = controller.slot(index, WHAT)?;
        if last.replace(slot.controller) != Some(slot.controller) && bus != "ide" {
            lines.add(&format!("{bus}{}.present", slot.controller), "TRUE");
            if let Some(model) = controller.virtual_dev {
                lines.add(&format!("{bus}{}.virtualDev", slot.controller), model);
            }
        }
        let title = format!("{bus}{}:{}", slot.controller, slot.unit);
        lines.add(&format!("{title}.present"), "TRUE");
        lines.add(&format!("{title}.fileName"), &file.file);
        if bus == "scsi" {
            lines.add(&format!("{title}.deviceType"), "scsi-hardDisk");
        }
        first.get_or_insert(title);
    }
    lines.add("bios.bootOrder", "hdd");
    lines.add("bios.hddOrder", &first.unwrap_or_default());
    Ok(())
}

fn attach_nics(
    lines: &mut Lines,
    machine: &Machine,
    options: &DefinitionOptions,
    warnings: &mut Vec<Warning>,
) -> Result<(), MachineError> {
    let (model, _) = vmware::adapter(options.nic_model, WHAT)?;
    for (number, nic) in machine.nics.iter().enumerate() {
        let mut add = |rest: &str, value: &str| lines.add(&format!("ethernet{number}.{rest}"), value);
        add("present", "TRUE");
        add("virtualDev", model);
        if let Some(network) = adapters::network(&options.adapters, number).or(nic.network.as_deref()) {
            add("networkName", network);
        }
        match nic.mac {
            None => add("addressType", "generated"),
            Some(mac) => {
                add("addressType", "static");
                add("address", &mac.to_string());
                if !is_static_range(mac) {
                    // Addresses of other vendors are refused unless the check is off.
                    add("checkMACAddress", "FALSE");
                }
            }
        }
    }
    network_warnings(machine, options, warnings);
    Ok(())
}

fn network_warnings(machine: &Machine, options: &DefinitionOptions, warnings: &mut Vec<Warning>) {
    if adapters::keeps_a_mac(machine, &options.adapters) {
        warnings.push(Warning::new(
            "vmx-mac-kept",
            "hardware addresses of the source are kept: it must never run in the same network again",
        ));
    }
    let missing = adapters::without_network(machine, &options.adapters);
    if missing > 0 {
        let message = format!("{missing} network adapters have no network: connect them in VMware");
        warnings.push(Warning::new("vmx-no-network", message));
    }
}

/// 00:50:56:00:00:00 to 00:50:56:3f:ff:ff, VMware's range for addresses set by hand.
fn is_static_range(mac: MacAddress) -> bool {
    matches!(mac.octets(), [0x00, 0x50, 0x56, 0x00..=0x3f, ..])
}
