//! A machine as an OVF envelope.

use std::collections::BTreeSet;

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesEnd, BytesStart, BytesText, Event};

use super::devices::{DISK, ETHERNET};
use crate::definition::definition_file;
use crate::vmware::{self, Controller};
use crate::{
    Definition, DefinitionOptions, Disk, DiskFile, Machine, MachineError, Nic, Warning, adapters, guest_ids,
    writing,
};

const WHAT: &str = "ovf";

const CODES: writing::Codes = writing::Codes {
    firmware: "ovf-firmware-differs",
    secure_boot: "ovf-secure-boot-off",
    boot_disk: "ovf-boot-disk-large",
    tags: "ovf-tags",
    name: "ovf-name-changed",
    clock: "ovf-clock",
    tpm: "ovf-tpm-none",
};

const HARDWARE_CODES: vmware::Codes =
    vmware::Codes { memory: "ovf-memory-rounded", topology: "ovf-topology", tpm: "ovf-tpm-left-out" };

const NAMESPACES: [(&str, &str); 5] = [
    ("xmlns", "http://schemas.dmtf.org/ovf/envelope/1"),
    ("xmlns:ovf", "http://schemas.dmtf.org/ovf/envelope/1"),
    ("xmlns:rasd", "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData"),
    ("xmlns:vmw", "http://www.vmware.com/schema/ovf"),
    ("xmlns:vssd", "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData"),
];

const STREAM_OPTIMIZED: &str = "http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized";

/// VMware's name for the network that every host has at first.
const DEFAULT_NETWORK: &str = "VM Network";

/// Writes the OVF 1.1 envelope for `machine`, as VMware and VirtualBox import it. The images lie beside it and must
/// be stream-optimized VMDKs.
///
/// # Errors
/// Kind `Invalid` when the machine breaks a rule or its disks and the files do not match one to one; kind
/// `Unsupported` for what VMware's hardware has not: a bus or adapter of another hypervisor, arm64, too many or too
/// large parts, an image that is no VMDK.
pub fn definition(machine: &Machine, options: &DefinitionOptions) -> Result<Definition, MachineError> {
    let disks = options.pair(machine)?;
    vmware::check(machine, &disks, WHAT)?;
    adapters::check(&options.adapters, WHAT, |_| None)?;
    let networks = networks_of(machine, options);
    let controller = Controller::of(options.disk_bus, WHAT)?;
    let (_, adapter) = vmware::adapter(options.nic_model, WHAT)?;
    let mut xml = Xml { writer: Writer::new_with_indent(Vec::new(), b' ', 2) };
    xml.event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    xml.open("Envelope", &NAMESPACES)?;
    references(&mut xml, &disks)?;
    network_section(&mut xml, &networks)?;
    xml.open("VirtualSystem", &[("ovf:id", &machine.name)])?;
    xml.text("Info", &[], "A virtual machine")?;
    xml.text("Name", &[], &machine.name)?;
    operating_system(&mut xml, machine)?;
    let next = hardware(&mut xml, machine, &disks, controller)?;
    attach_nics(&mut xml, &machine.nics, &networks, adapter, next)?;
    settings(&mut xml, options)?;
    xml.open("AnnotationSection", &[])?;
    xml.text("Info", &[], "Notes")?;
    xml.text("Annotation", &[], machine.notes.as_deref().unwrap_or("Migrated by rehome"))?;
    xml.close("AnnotationSection")?;
    xml.close("VirtualSystem")?;
    xml.close("Envelope")?;
    let mut text = String::from_utf8(xml.writer.into_inner()).map_err(failed)?;
    text.push('\n');
    let mut warnings = Vec::new();
    writing::losses(machine, options, &machine.name, &CODES, &mut warnings);
    vmware::losses(machine, &HARDWARE_CODES, &mut warnings);
    losses(machine, options, &disks, &mut warnings);
    let file_name = definition_file(machine, ".ovf");
    Ok(Definition { text, file_name, machine_name: machine.name.clone(), warnings })
}

fn losses(
    machine: &Machine,
    options: &DefinitionOptions,
    disks: &[(&Disk, &DiskFile)],
    warnings: &mut Vec<Warning>,
) {
    let mut warn = |code, message: String| warnings.push(Warning::new(code, message));
    if machine.uuid.is_some() {
        warn("ovf-uuid", "an envelope has no SMBIOS UUID: the importer makes a new one".into());
    }
    if machine.nics.iter().any(|nic| nic.mac.is_some()) {
        warn("ovf-mac", "hardware addresses are written, but most importers make new ones".into());
    }
    let missing = adapters::without_network(machine, &options.adapters);
    if missing > 0 {
        let message = format!("{missing} network adapters have no network, \"{DEFAULT_NETWORK}\" is written");
        warn("ovf-no-network", message);
    }
    let encoded = disks.iter().filter(|(_, file)| href(&file.file) != file.file).count();
    if encoded > 0 {
        let message = format!(
            "{encoded} file names are written with % codes, as URIs are: VirtualBox takes them literally, rename the \
             files for it"
        );
        warn("ovf-file-name", message);
    }
}

/// An escaping writer of elements.
struct Xml {
    writer: Writer<Vec<u8>>,
}

impl Xml {
    /// Two characters of Unicode are no characters of XML 1.0 (section 2.2).
    fn check(text: &str) -> Result<(), MachineError> {
        match text.chars().find(|c| matches!(c, '\u{fffe}' | '\u{ffff}')) {
            Some(bad) => Err(MachineError::Unsupported {
                what: WHAT,
                reason: format!("the character U+{:04X} cannot stand in XML", u32::from(bad)),
            }),
            None => Ok(()),
        }
    }

    fn event(&mut self, event: Event<'_>) -> Result<(), MachineError> {
        self.writer.write_event(event).map_err(failed)
    }

    fn open(&mut self, name: &str, attributes: &[(&str, &str)]) -> Result<(), MachineError> {
        attributes.iter().try_for_each(|(_, value)| Self::check(value))?;
        self.event(Event::Start(BytesStart::new(name).with_attributes(attributes.iter().copied())))
    }

    fn close(&mut self, name: &str) -> Result<(), MachineError> {
        self.event(Event::End(BytesEnd::new(name)))
    }

    fn empty(&mut self, name: &str, attributes: &[(&str, &str)]) -> Result<(), MachineError> {
        self.event(Event::Empty(BytesStart::new(name).with_attributes(attributes.iter().copied())))
    }

    fn text(&mut self, name: &str, attributes: &[(&str, &str)], text: &str) -> Result<(), MachineError> {
        Self::check(text)?;
        self.open(name, attributes)?;
        self.event(Event::Text(BytesText::new(text)))?;
        self.close(name)
    }

    /// An item; its fields come in the order of the alphabet, as the schema wants them.
    fn item(&mut self, fields: &[(&str, &str)], cores: Option<u32>) -> Result<(), MachineError> {
        self.open("Item", &[])?;
        for (name, value) in fields.iter().filter(|(_, value)| !value.is_empty()) {
            self.text(&format!("rasd:{name}"), &[], value)?;
        }
        if let Some(cores) = cores {
            self.text("vmw:CoresPerSocket", &[("ovf:required", "false")], &cores.to_string())?;
        }
        self.close("Item")
    }

    fn config(&mut self, key: &str, value: &str) -> Result<(), MachineError> {
        self.empty("vmw:Config", &[("ovf:required", "false"), ("vmw:key", key), ("vmw:value", value)])
    }
}

fn failed(error: impl std::fmt::Display) -> MachineError {
    MachineError::Dialect { dialect: WHAT, reason: error.to_string() }
}

/// A file name as a URI reference (RFC 3986): what is not unreserved is a `%` code.
fn href(name: &str) -> String {
    name.bytes().fold(String::with_capacity(name.len()), |mut out, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
        out
    })
}

fn references(xml: &mut Xml, disks: &[(&Disk, &DiskFile)]) -> Result<(), MachineError> {
    xml.open("References", &[])?;
    for (number, (_, file)) in (1..).zip(disks) {
        xml.empty("File", &[("ovf:href", &href(&file.file)), ("ovf:id", &format!("file{number}"))])?;
    }
    xml.close("References")?;
    xml.open("DiskSection", &[])?;
    xml.text("Info", &[], "Virtual disks")?;
    for (number, (_, file)) in (1..).zip(disks) {
        xml.empty(
            "Disk",
            &[
                ("ovf:capacity", &file.size_bytes.to_string()),
                ("ovf:capacityAllocationUnits", "byte"),
                ("ovf:diskId", &format!("vmdisk{number}")),
                ("ovf:fileRef", &format!("file{number}")),
                ("ovf:format", STREAM_OPTIMIZED),
            ],
        )?;
    }
    xml.close("DiskSection")
}

/// The network of each adapter.
fn networks_of<'a>(machine: &'a Machine, options: &'a DefinitionOptions) -> Vec<&'a str> {
    let known = |nic: &'a Nic| nic.network.as_deref().filter(|network| !network.trim().is_empty());
    let nics = machine.nics.iter().enumerate();
    nics.map(|(index, nic)| {
        adapters::network(&options.adapters, index).or_else(|| known(nic)).unwrap_or(DEFAULT_NETWORK)
    })
    .collect()
}

fn network_section(xml: &mut Xml, networks: &[&str]) -> Result<(), MachineError> {
    xml.open("NetworkSection", &[])?;
    xml.text("Info", &[], "Networks of the source, or those chosen for it")?;
    for network in networks.iter().copied().collect::<BTreeSet<_>>() {
        xml.open("Network", &[("ovf:name", network)])?;
        xml.text("Description", &[], network)?;
        xml.close("Network")?;
    }
    xml.close("NetworkSection")
}

fn operating_system(xml: &mut Xml, machine: &Machine) -> Result<(), MachineError> {
    let id = guest_ids::guest_id(machine);
    let number = id.cim.to_string();
    xml.open("OperatingSystemSection", &[("ovf:id", &number), ("vmw:osType", id.vsphere)])?;
    xml.text("Info", &[], "The guest operating system")?;
    if let Some(os) = &machine.os {
        xml.text("Description", &[], &os.description)?;
    }
    xml.close("OperatingSystemSection")
}

/// The hardware up to the disks; gives the next free InstanceID.
fn hardware(
    xml: &mut Xml,
    machine: &Machine,
    disks: &[(&Disk, &DiskFile)],
    controller: Controller,
) -> Result<u32, MachineError> {
    xml.open("VirtualHardwareSection", &[])?;
    xml.text("Info", &[], "Virtual hardware")?;
    xml.open("System", &[])?;
    xml.text("vssd:ElementName", &[], "Virtual Hardware Family")?;
    xml.text("vssd:InstanceID", &[], "0")?;
    xml.text("vssd:VirtualSystemIdentifier", &[], &machine.name)?;
    xml.text("vssd:VirtualSystemType", &[], &format!("vmx-{:02}", vmware::HARDWARE))?;
    xml.close("System")?;
    let count = machine.cpu.count.to_string();
    xml.item(
        &[
            ("AllocationUnits", "hertz * 10^6"),
            ("Description", "Number of virtual CPUs"),
            ("ElementName", &format!("{count} virtual CPUs")),
            ("InstanceID", "1"),
            ("ResourceType", "3"),
            ("VirtualQuantity", &count),
        ],
        vmware::cores_per_socket(machine),
    )?;
    let memory = vmware::memory_mib(machine).to_string();
    xml.item(
        &[
            ("AllocationUnits", "byte * 2^20"),
            ("Description", "Memory size"),
            ("ElementName", &format!("{memory} MiB of memory")),
            ("InstanceID", "2"),
            ("ResourceType", "4"),
            ("VirtualQuantity", &memory),
        ],
        None,
    )?;
    attach_disks(xml, disks, controller)
}

/// What VMware has no items for, and the end of the hardware.
fn settings(xml: &mut Xml, options: &DefinitionOptions) -> Result<(), MachineError> {
    xml.config("firmware", vmware::firmware_word(options))?;
    if options.secure_boot {
        xml.config("bootOptions.efiSecureBootEnabled", "true")?;
    }
    xml.close("VirtualHardwareSection")
}

/// The controllers, each with its disks; gives the next free InstanceID.
fn attach_disks(
    xml: &mut Xml,
    disks: &[(&Disk, &DiskFile)],
    controller: Controller,
) -> Result<u32, MachineError> {
    let mut id = 3_u32;
    let mut parent = (usize::MAX, String::new());
    for (index, _) in disks.iter().enumerate() {
        let slot = controller.slot(index, WHAT)?;
        if parent.0 != slot.controller {
            parent = (slot.controller, id.to_string());
            xml.item(
                &[
                    ("Address", &slot.controller.to_string()),
                    ("Description", "Disk controller"),
                    ("ElementName", &format!("{} controller {}", controller.name, slot.controller)),
                    ("InstanceID", &parent.1),
                    ("ResourceSubType", controller.sub_type.unwrap_or_default()),
                    ("ResourceType", &controller.resource_type.to_string()),
                ],
                None,
            )?;
            id += 1;
        }
        xml.item(
            &[
                ("AddressOnParent", &slot.unit.to_string()),
                ("ElementName", &format!("Hard disk {}", index + 1)),
                ("HostResource", &format!("ovf:/disk/vmdisk{}", index + 1)),
                ("InstanceID", &id.to_string()),
                ("Parent", &parent.1),
                ("ResourceType", &DISK.to_string()),
            ],
            None,
        )?;
        id += 1;
    }
    Ok(id)
}

fn attach_nics(
    xml: &mut Xml,
    nics: &[Nic],
    networks: &[&str],
    adapter: &str,
    first: u32,
) -> Result<(), MachineError> {
    for (number, (id, (nic, network))) in (1..).zip((first..).zip(nics.iter().zip(networks))) {
        xml.item(
            &[
                ("Address", &nic.mac.map(|mac| mac.to_string()).unwrap_or_default()),
                ("AutomaticAllocation", "true"),
                ("Connection", network),
                ("ElementName", &format!("Network adapter {number}")),
                ("InstanceID", &id.to_string()),
                ("ResourceSubType", adapter),
                ("ResourceType", &ETHERNET.to_string()),
            ],
            None,
        )?;
    }
    Ok(())
}
