//! OVF envelopes of version 1 and 2 (DMTF DSP0243): read as VMware and VirtualBox write them, and written for both.
//!
//! | machine | from |
//! |---|---|
//! | name | `Name`, else the id of the VirtualSystem |
//! | firmware | `vmw:Config` `firmware` and `bootOptions.efiSecureBootEnabled`, VirtualBox's `Firmware`, else BIOS |
//! | cpu, memory | items of type 3 and 4 in the default deployment configuration |
//! | disks | items of type 17 and 31, by bus, controller and place; sizes from the DiskSection, names from References |
//! | nics | items of type 10; VirtualBox's own section has their hardware addresses |
//! | os | `vmw:osType`, `vbox:OSType`, else the description |
//! | TPM | an item `vmware.vtpm`, or VirtualBox's own section; its keys stay behind |
//! | uuid, clock | VirtualBox's own section only |
//!
//! An envelope with several machines needs the id of one. Elements are told by their local names: the namespaces of the
//! CIM classes differ between products. A package (OVA) is a container of formats and not read here.

mod devices;
mod envelope;
mod losses;
mod manifest;
mod system;
mod units;
mod write;

pub use manifest::{Digested, manifest};
pub use write::definition;

use std::collections::BTreeMap;

use roxmltree::Node;

use crate::error::shown;
use crate::findings::Findings;
use crate::xml::{self, child, children, local_attribute, text};
use crate::{Machine, MachineError, SchemaVersion, Warning};
use envelope::Item;

const ENVELOPE_0_9: &str = "http://www.vmware.com/schema/ovf/1/envelope";
const ENVELOPES: [&str; 2] =
    ["http://schemas.dmtf.org/ovf/envelope/1", "http://schemas.dmtf.org/ovf/envelope/2"];

/// The machine in the envelope and what belongs to it.
struct Source<'a, 'i> {
    root: Node<'a, 'i>,
    system: Node<'a, 'i>,
    hardware: Node<'a, 'i>,
    items: Vec<Item<'a, 'i>>,
    /// VirtualBox's own description, which it adds to what it exports.
    vbox: Option<Node<'a, 'i>>,
}

/// Whether a text is an envelope, by its root element.
pub(crate) fn is_envelope(text: &str) -> bool {
    xml_root(text) == Some("Envelope")
}

/// Local name of the root element of a text that begins like XML, whatever it describes.
pub(crate) fn xml_root(text: &str) -> Option<&str> {
    xml::root_name(text)
}

/// Makes the machine of an OVF envelope, at most 8 MiB. `instance` is the id of a VirtualSystem, needed only when the
/// envelope has several.
///
/// # Errors
/// Kind `Invalid` when the XML or what it says cannot be understood, kind `Choice` when it is not clear which machine
/// is meant, kind `Unsupported` for envelopes of version 0.9.
pub fn machine_from_ovf(text: &str, instance: Option<&str>) -> Result<(Machine, Vec<Warning>), MachineError> {
    let document = xml::parse("ovf", text)?;
    let root = document.root_element();
    check_version(root)?;
    let system = choose(root, instance)?;
    let mut notes = Findings::default();
    let hardware = hardware(system, &mut notes)?;
    let source = Source {
        root,
        system,
        hardware,
        items: envelope::items(root, hardware, &mut notes)?,
        vbox: child(system, "Machine"),
    };
    notes.known(
        "machine",
        format!("VirtualSystem {}", local_attribute(system, "id").unwrap_or("without an id")),
    );
    let os = system::os(&source, &mut notes);
    let machine = Machine {
        rehome_machine: SchemaVersion,
        name: system::name(&source, &mut notes),
        uuid: system::uuid(&source, &mut notes),
        architecture: system::architecture(&source, &mut notes),
        firmware: system::firmware(&source, &mut notes)?,
        cpu: system::cpu(&source, &mut notes)?,
        memory_mib: system::memory(&source, &mut notes)?,
        clock: system::clock(&source, os.as_ref(), &mut notes),
        tpm: system::tpm(&source),
        disks: devices::disks(&source, &mut notes)?,
        nics: devices::nics(&source, &mut notes),
        os,
        tags: BTreeMap::new(),
        notes: system::annotation(&source, &mut notes),
        provenance: BTreeMap::new(),
    };
    losses::collect(&source, &mut notes);
    let machine = Machine { provenance: notes.provenance, ..machine };
    machine.validate()?;
    Ok((machine, notes.warnings))
}

fn check_version(root: Node<'_, '_>) -> Result<(), MachineError> {
    let name = root.tag_name();
    let namespace = name.namespace().unwrap_or_default();
    let refuse = |reason: String| Err(MachineError::Unsupported { what: "ovf", reason });
    if name.name() != "Envelope" {
        let reason = format!("the root element is {}, expected Envelope", shown(name.name()));
        return Err(MachineError::Dialect { dialect: "ovf", reason });
    }
    if namespace == ENVELOPE_0_9 {
        return refuse("version 0.9 of OVF, possible are 1 and 2; export the machine again".into());
    }
    if !ENVELOPES.contains(&namespace) {
        return refuse(format!(
            "namespace {} of the Envelope, possible are versions 1 and 2",
            shown(namespace)
        ));
    }
    Ok(())
}

fn choose<'a, 'i>(root: Node<'a, 'i>, wanted: Option<&str>) -> Result<Node<'a, 'i>, MachineError> {
    let all: Vec<Node<'a, 'i>> =
        root.descendants().filter(|node| node.tag_name().name() == "VirtualSystem").collect();
    let id = |node: Node<'a, 'i>| local_attribute(node, "id").unwrap_or_default();
    let fitting: Vec<Node<'a, 'i>> =
        all.iter().copied().filter(|node| wanted.is_none_or(|wanted| id(*node) == wanted)).collect();
    let reason = match (fitting.as_slice(), wanted) {
        ([only], _) => return Ok(*only),
        ([], None) => {
            return Err(MachineError::Dialect { dialect: "ovf", reason: "there is no VirtualSystem".into() });
        }
        ([], Some(wanted)) => format!("there is no VirtualSystem {}", shown(wanted)),
        (_, Some(wanted)) => format!("VirtualSystem {} is there {} times", shown(wanted), fitting.len()),
        (_, None) => format!("there are {} VirtualSystems, name one of them", fitting.len()),
    };
    let mut ids: Vec<String> = all.iter().take(20).map(|node| shown(id(*node))).collect();
    if all.len() > ids.len() {
        ids.push(format!("and {} more", all.len() - ids.len()));
    }
    Err(MachineError::Instance { reason, ids: ids.join(", ") })
}

/// The hardware section: of several, the first for a hypervisor whose flavour is known here.
fn hardware<'a, 'i>(system: Node<'a, 'i>, notes: &mut Findings) -> Result<Node<'a, 'i>, MachineError> {
    let all: Vec<Node<'a, 'i>> = children(system, "VirtualHardwareSection").collect();
    let known = |node: &&Node<'a, 'i>| {
        let stated = child(**node, "System").and_then(|system| text(system, &["VirtualSystemType"]));
        stated.is_some_and(|stated| stated.contains("vmx-") || stated.contains("virtualbox-"))
    };
    if all.len() > 1 {
        let message =
            format!("the machine has {} descriptions of its hardware, one of them is read", all.len());
        notes.warn("ovf-hardware-alternatives", message);
    }
    all.iter().find(known).or_else(|| all.first()).copied().ok_or_else(|| MachineError::Dialect {
        dialect: "ovf",
        reason: "the VirtualSystem has no VirtualHardwareSection".into(),
    })
}
