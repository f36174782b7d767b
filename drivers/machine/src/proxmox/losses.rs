//! What a configuration has that no machine elsewhere has: each a warning.

use super::config::Config;
use crate::error::shown;
use crate::findings::Findings;

/// Keys that are taken over, or that any target sets by itself. A trailing `#` stands for a number.
const KNOWN: &[&str] = &[
    "name",
    "smbios#",
    "bios",
    "sockets",
    "cores",
    "vcpus",
    "memory",
    "balloon",
    "localtime",
    "ostype",
    "tpmstate#",
    "efidisk#",
    "ide#",
    "scsi#",
    "virtio#",
    "sata#",
    "net#",
    "boot",
    "bootdisk",
    "scsihw",
    "arch",
    "tags",
    "description",
    "meta",
    "machine",
    "acpi",
    "tablet",
    "vga",
    "keyboard",
    "numa",
    "kvm",
    "hotplug",
    "agent",
    "serial#",
    "rng#",
    "onboot",
    "startup",
    "protection",
    "autostart",
    "reboot",
    "shares",
    "cpuunits",
    "digest",
    "parent",
    "snaptime",
    "migrate_downtime",
    "migrate_speed",
    "spice_enhancements",
    "tdf",
    "runningmachine",
    "runningcpu",
];

/// Keys with what is lost.
const LOST: &[(&str, &str, &str)] = &[
    ("affinity", "proxmox-cpu-pinning", "processors were pinned to the host's, which is not kept"),
    ("allow-ksm", "proxmox-limits", "settings of memory sharing are not kept"),
    (
        "amd-sev",
        "proxmox-confidential",
        "the guest's memory was encrypted by the processor, which is not kept",
    ),
    ("args", "proxmox-qemu-arguments", "the machine has arguments for qemu of its own, which are not kept"),
    ("audio#", "proxmox-sound", "a sound device is not taken over"),
    ("cicustom", "proxmox-cloud-init", "settings of cloud-init are not kept"),
    ("cipassword", "proxmox-cloud-init", "settings of cloud-init are not kept"),
    ("citype", "proxmox-cloud-init", "settings of cloud-init are not kept"),
    ("ciupgrade", "proxmox-cloud-init", "settings of cloud-init are not kept"),
    ("ciuser", "proxmox-cloud-init", "settings of cloud-init are not kept"),
    ("cpulimit", "proxmox-limits", "a limit of processor time is not kept"),
    ("freeze", "proxmox-freeze", "the machine was started frozen, which is not kept"),
    ("hookscript", "proxmox-hook", "a script ran with the machine's starts and stops, which is not kept"),
    (
        "hostpci#",
        "proxmox-pass-through",
        "a PCI device of the host was passed through, which is not taken over",
    ),
    ("hugepages", "proxmox-memory-backing", "huge pages are not kept"),
    (
        "intel-tdx",
        "proxmox-confidential",
        "the guest's memory was encrypted by the processor, which is not kept",
    ),
    ("ipconfig#", "proxmox-cloud-init", "settings of cloud-init are not kept"),
    ("ivshmem", "proxmox-device", "shared memory with other machines is not taken over"),
    ("keephugepages", "proxmox-memory-backing", "huge pages are not kept"),
    (
        "lock",
        "proxmox-locked",
        "the machine was locked: a backup, migration or snapshot ran or was broken off",
    ),
    ("nameserver", "proxmox-cloud-init", "settings of cloud-init are not kept"),
    ("numa#", "proxmox-numa", "the guest saw several NUMA nodes, the target decides by itself"),
    (
        "parallel#",
        "proxmox-pass-through",
        "a parallel port of the host was passed through, which is not taken over",
    ),
    ("searchdomain", "proxmox-cloud-init", "settings of cloud-init are not kept"),
    ("sshkeys", "proxmox-cloud-init", "settings of cloud-init are not kept"),
    ("startdate", "proxmox-clock", "the clock started at a fixed time, which is not kept"),
    ("template", "proxmox-template", "the machine is a template: its disks are bases of other machines"),
    (
        "unused#",
        "proxmox-unused-disk",
        "a volume that belongs to the machine and is not attached is left out",
    ),
    ("usb#", "proxmox-usb", "a USB device of the host or of a viewer is not taken over"),
    (
        "virtiofs#",
        "proxmox-shared-folder",
        "a folder of the host was shared with the guest, which is not taken over",
    ),
    (
        "vmgenid",
        "proxmox-genid",
        "the generation id is not kept: a domain controller takes the copy for a clone",
    ),
    ("vmstate", "proxmox-suspended", "the machine was suspended to disk: start it and shut it down first"),
    ("watchdog", "proxmox-watchdog", "a watchdog is not taken over: switch off the guest's watchdog service"),
];

/// Adds a warning for everything that could not be carried over.
pub(super) fn collect(config: &Config, findings: &mut Findings) {
    for (key, value) in &config.values {
        let stem = key.trim_end_matches(|c: char| c.is_ascii_digit());
        let is = |pattern: &str| pattern == key || (stem != key && pattern.strip_suffix('#') == Some(stem));
        if let Some((_, code, loss)) = LOST.iter().find(|(pattern, ..)| is(pattern)) {
            // Off is the default of these.
            if !matches!(value.as_str(), "0" | "none") {
                findings.warn(code, *loss);
            }
        } else if !KNOWN.iter().any(|pattern| is(pattern)) {
            let message = match key.as_str() {
                // Whatever the host has is what the target's host has.
                "cpu" if value.starts_with("host") => continue,
                "cpu" => format!("the processor model {} is not kept, the target chooses one", shown(value)),
                _ => format!("{} is not taken over", shown(key)),
            };
            findings.warn(if key == "cpu" { "proxmox-cpu-model" } else { "proxmox-unknown" }, message);
        }
    }
    for key in &config.repeated {
        findings.warn("proxmox-repeated", format!("{} is given twice, the last one counts", shown(key)));
    }
    sections(config, findings);
}

fn sections(config: &Config, findings: &mut Findings) {
    let snapshots: Vec<String> = config
        .sections
        .iter()
        .filter(|name| !name.eq_ignore_ascii_case("pending") && !name.starts_with("special:"))
        .take(8)
        .map(|name| shown(name))
        .collect();
    if !snapshots.is_empty() {
        findings.warn(
            "proxmox-snapshots",
            format!("the snapshots {} are left out: the current state is taken", snapshots.join(", ")),
        );
    }
    if config.sections.iter().any(|name| name.eq_ignore_ascii_case("pending")) {
        findings.warn("proxmox-pending", "changes that wait for the next start are left out");
    }
}
