//! What a domain has that no machine elsewhere has: each a warning.

use roxmltree::Node;

use crate::error::shown;
use crate::findings::Findings;
use crate::xml::{at, attribute, child};

/// Children of the domain that are taken over, or that any target sets by itself.
const KNOWN: &[&str] = &[
    "name",
    "uuid",
    "title",
    "description",
    "metadata",
    "memory",
    "currentMemory",
    "vcpu",
    "os",
    "features",
    "cpu",
    "clock",
    "devices",
    "on_poweroff",
    "on_reboot",
    "on_crash",
    "on_lockfailure",
    "pm",
    "resource",
    "seclabel",
];

/// Children of the domain with what is lost.
const LOST: &[(&str, &str, &str)] = &[
    ("blkiotune", "libvirt-limits", "weights and limits of disk input and output are not kept"),
    ("cputune", "libvirt-cpu-pinning", "processors were pinned to the host's or limited, which is not kept"),
    (
        "genid",
        "libvirt-genid",
        "the generation id is not kept: a domain controller takes the copy for a clone",
    ),
    ("iothreads", "libvirt-iothreads", "threads for disk input and output are not kept"),
    ("iothreadids", "libvirt-iothreads", "threads for disk input and output are not kept"),
    (
        "launchSecurity",
        "libvirt-confidential",
        "the guest's memory was encrypted by the processor, which is not kept",
    ),
    (
        "maxMemory",
        "libvirt-memory-hotplug",
        "memory could be plugged in later, the target has a fixed amount",
    ),
    ("memoryBacking", "libvirt-memory-backing", "huge pages, locking or sharing of memory are not kept"),
    ("memtune", "libvirt-limits", "limits of memory are not kept"),
    ("numatune", "libvirt-numa", "placement of memory on the host's nodes is not kept"),
    (
        "sysinfo",
        "libvirt-smbios",
        "vendor, product and serial number of the SMBIOS are not kept: a licence may be bound to them",
    ),
    ("vcpus", "libvirt-vcpu-hotplug", "settings of single processors are not kept"),
    (
        "commandline",
        "libvirt-qemu-arguments",
        "the domain has arguments for qemu of its own, which are not kept",
    ),
    (
        "override",
        "libvirt-qemu-arguments",
        "the domain overrides properties of qemu's devices, which is not kept",
    ),
];

/// Devices that any target has in its own way.
const COMMON_DEVICES: &[&str] = &[
    "disk",
    "interface",
    "tpm",
    "emulator",
    "controller",
    "input",
    "graphics",
    "video",
    "console",
    "serial",
    "channel",
    "memballoon",
    "rng",
    "hub",
    "audio",
    "panic",
    "nvram",
];

/// Devices with what is lost.
const LOST_DEVICES: &[(&str, &str, &str)] = &[
    ("crypto", "libvirt-device", "a crypto device is not taken over"),
    (
        "filesystem",
        "libvirt-shared-folder",
        "a folder of the host was shared with the guest, which is not taken over",
    ),
    (
        "hostdev",
        "libvirt-pass-through",
        "a device of the host was passed through to the guest, which is not taken over",
    ),
    ("iommu", "libvirt-device", "an IOMMU is not taken over"),
    ("lease", "libvirt-lease", "a lease of a lock manager is not taken over"),
    ("memory", "libvirt-memory-module", "a memory module is not taken over; a persistent one holds data"),
    ("parallel", "libvirt-device", "a parallel port is not taken over"),
    ("pstore", "libvirt-device", "a store for crash records is not taken over"),
    ("redirdev", "libvirt-usb-redirection", "USB redirection is not taken over"),
    ("redirfilter", "libvirt-usb-redirection", "USB redirection is not taken over"),
    ("shmem", "libvirt-device", "shared memory with other machines is not taken over"),
    ("smartcard", "libvirt-smartcard", "a smart card is not taken over"),
    ("sound", "libvirt-sound", "a sound device is not taken over"),
    ("vsock", "libvirt-device", "a socket to the host (vsock) is not taken over"),
    ("watchdog", "libvirt-watchdog", "a watchdog is not taken over: switch off the guest's watchdog service"),
];

/// Adds a warning for everything that could not be carried over.
pub(super) fn collect(domain: Node<'_, '_>, findings: &mut Findings) {
    for node in domain.children().filter(Node::is_element) {
        let name = node.tag_name().name();
        if let Some((_, code, loss)) = LOST.iter().find(|(element, ..)| *element == name) {
            findings.warn(code, *loss);
        } else if !KNOWN.contains(&name) {
            findings.warn("libvirt-unknown", format!("the element {} is not taken over", shown(name)));
        }
    }
    for node in child(domain, "devices").into_iter().flat_map(|devices| devices.children()) {
        let name = node.tag_name().name();
        if !node.is_element() || COMMON_DEVICES.contains(&name) {
            continue;
        }
        match LOST_DEVICES.iter().find(|(element, ..)| *element == name) {
            Some((_, code, loss)) => findings.warn(code, *loss),
            None => findings.warn("libvirt-device", format!("the device {} is not taken over", shown(name))),
        }
    }
    start(domain, findings);
    processors(domain, findings);
}

fn start(domain: Node<'_, '_>, findings: &mut Findings) {
    if matches!(
        at(domain, &["os", "type"]).and_then(|kind| kind.text()).map(str::trim),
        Some("xen" | "linux")
    ) {
        findings.warn(
            "libvirt-paravirtual",
            "the guest was started by the host (Xen paravirtual): it needs a boot loader and a kernel that runs on hardware",
        );
    }
    if at(domain, &["os", "kernel"]).is_some() || child(domain, "bootloader").is_some() {
        findings.warn(
            "libvirt-host-kernel",
            "the kernel came from the host, not from the disk: the disk needs a boot loader of its own",
        );
    }
    if at(domain, &["os", "nvram"]).is_some() || attribute(domain, &["os"], "firmware") == Some("efi") {
        findings.warn(
            "libvirt-nvram",
            "the variables of the UEFI firmware do not move: the disk is started by its fallback loader",
        );
    }
    if at(domain, &["os", "acpi"]).is_some() {
        findings
            .warn("libvirt-acpi-table", "an ACPI table of its own (a Windows licence, mostly) is not kept");
    }
}

fn processors(domain: Node<'_, '_>, findings: &mut Findings) {
    if attribute(domain, &["vcpu"], "cpuset").is_some() {
        findings.warn("libvirt-cpu-pinning", "processors were pinned to the host's, which is not kept");
    }
    if at(domain, &["cpu", "numa"]).is_some() {
        findings.warn("libvirt-numa", "the guest saw several NUMA nodes, the target decides by itself");
    }
    if let Some(model) = at(domain, &["cpu", "model"]).and_then(|model| model.text()) {
        findings.warn(
            "libvirt-cpu-model",
            format!("the processor model {} is not kept, the target chooses one", shown(model.trim())),
        );
    }
    for (path, code, loss) in [
        (
            ["features", "hyperv"],
            "libvirt-hyperv",
            "enlightenments for Windows are not kept, the target has its own",
        ),
        (["features", "kvm"], "libvirt-kvm-features", "settings that hide KVM from the guest are not kept"),
    ] {
        if at(domain, &path).is_some() {
            findings.warn(code, loss);
        }
    }
}
