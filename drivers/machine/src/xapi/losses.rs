//! What a machine of xapi has that no machine elsewhere has: each a warning.

use super::objects::{Object, Objects, Value};
use super::read::is_paravirtual;
use crate::findings::Findings;

/// Lists of a machine that are empty where nothing is lost.
const LISTS: &[(&str, &str, &str)] = &[
    ("VGPUs", "xapi-pass-through", "a graphics card of the host was passed through, which is not taken over"),
    (
        "attached_PCIs",
        "xapi-pass-through",
        "a PCI device of the host was passed through, which is not taken over",
    ),
    ("VUSBs", "xapi-usb", "USB devices of the host are not taken over"),
    ("tags", "xapi-tags", "tags of the machine are not kept"),
    ("VCPUs_params", "xapi-limits", "weights, limits or pinning of processors are not kept"),
];

/// Keys of `other_config` and `platform`.
const KEYS: &[(&str, &str, &str, &str)] = &[
    (
        "other_config",
        "pci",
        "xapi-pass-through",
        "a PCI device of the host was passed through, which is not taken over",
    ),
    ("platform", "exp-nested-hvm", "xapi-nested", "nested virtualisation is not kept"),
    ("platform", "nested-virt", "xapi-nested", "nested virtualisation is not kept"),
];

pub(super) fn collect(objects: &Objects, vm: &Object, findings: &mut Findings) {
    let members = &vm.members;
    for (name, code, loss) in LISTS {
        if members.get(name).is_some_and(|list| list.len() > 0) {
            findings.warn(code, *loss);
        }
    }
    for (map, name, code, loss) in KEYS {
        if members.at(map, name).is_some_and(|value| value != "false") {
            findings.warn(code, *loss);
        }
    }
    if members.at("bios_strings", "bios-vendor").is_some_and(|vendor| vendor != "Xen") {
        findings.warn("xapi-smbios", "the SMBIOS of the host was shown: a licence may be bound to it");
    }
    if is_paravirtual(members) {
        paravirtual(members, findings);
    }
    if members.at("NVRAM", "EFI-variables").is_some() {
        findings.warn("xapi-nvram", "the variables of the UEFI firmware are not kept");
    }
    if members.get("VTPMs").is_some_and(|list| list.len() > 0) {
        findings.warn("xapi-tpm", "the machine has a TPM, whose keys are not taken over");
    }
    let snapshots = objects.of("VM").filter(|other| other.id != vm.id).count();
    if snapshots > 0 {
        let text =
            format!("{snapshots} snapshots are in the export and left out: the current state is taken");
        findings.warn("xapi-snapshots", text);
    }
    if members.text("power_state") == Some("Suspended") {
        findings.warn("xapi-suspended", "the machine was suspended: what was in its memory only is lost");
    }
}

/// Guests without firmware start only where the target has a boot loader for them.
fn paravirtual(vm: &Value, findings: &mut Findings) {
    findings.warn(
        "xapi-paravirtual",
        "the guest was paravirtual: the host's boot loader read its kernel, the disk may have no boot loader and no \
         partition table of its own",
    );
    if vm.text("PV_kernel").is_some() {
        findings.warn("xapi-kernel", "the guest's kernel came from the host, not from its disk");
    }
}
