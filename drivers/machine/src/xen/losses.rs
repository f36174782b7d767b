//! What a configuration has that no machine elsewhere has: each a warning.

use super::read::{Kind, kind};
use super::syntax::Config;
use crate::error::shown;
use crate::findings::Findings;

/// Keys that are taken over, or that any target sets by itself.
const KNOWN: &[&str] = &[
    "name",
    "uuid",
    "type",
    "builder",
    "firmware",
    "bios",
    "vcpus",
    "maxvcpus",
    "memory",
    "maxmem",
    "localtime",
    "rtc_timeoffset",
    "disk",
    "vif",
    "acpi",
    "apic",
    "pae",
    "hap",
    "vga",
    "stdvga",
    "videoram",
    "vnc",
    "vncunused",
    "vnclisten",
    "vncdisplay",
    "vncpasswd",
    "sdl",
    "spice",
    "spicehost",
    "spiceport",
    "opengl",
    "keymap",
    "serial",
    "parallel",
    "usb",
    "usbdevice",
    "on_poweroff",
    "on_reboot",
    "on_crash",
    "on_watchdog",
    "on_soft_reset",
    "device_model",
    "device_model_version",
    "device_model_override",
    "xen_platform_pci",
    "vfb",
    "vkb",
    "soundhw",
    "autoballoon",
    "boot",
    "kernel",
    "ramdisk",
    "cmdline",
    "extra",
    "root",
    "bootloader",
    "bootloader_args",
    "loader",
    "hpet",
    "timer_mode",
    "tsc_mode",
    "gfx_passthru_kind",
    "acpi_s3",
    "acpi_s4",
    "nx",
    "smbios_firmware",
    "pool",
    "max_event_channels",
    "max_grant_frames",
    "max_maptrack_frames",
    "max_grant_version",
    "shadow_memory",
    "seclabel",
    "spicedisable_ticketing",
    "spicepasswd",
    "spiceagent_mouse",
    "spicevdagent",
    "spice_clipboard_sharing",
    "nographic",
];

/// Keys with what is lost.
const LOST: &[(&str, &str, &str)] = &[
    ("acpi_firmware", "xen-acpi-table", "an ACPI table of its own (a Windows licence, mostly) is not kept"),
    ("altp2m", "xen-feature", "features of introspection are not kept"),
    ("cap", "xen-limits", "a limit of processor time is not kept"),
    ("channel", "xen-device", "a channel to the host is not taken over"),
    ("cpu_weight", "xen-limits", "a weight of processor time is not kept"),
    ("cpuid", "xen-cpu-model", "settings of processor features are not kept"),
    ("cpus", "xen-cpu-pinning", "processors were pinned to the host's, which is not kept"),
    ("cpus_soft", "xen-cpu-pinning", "processors were pinned to the host's, which is not kept"),
    (
        "device_model_args",
        "xen-qemu-arguments",
        "the guest has arguments for qemu of its own, which are not kept",
    ),
    (
        "device_model_args_hvm",
        "xen-qemu-arguments",
        "the guest has arguments for qemu of its own, which are not kept",
    ),
    ("driver_domain", "xen-driver-domain", "the guest serves devices to others, which is not kept"),
    ("dtdev", "xen-pass-through", "a device of the host was passed through, which is not taken over"),
    (
        "gfx_passthru",
        "xen-pass-through",
        "the graphics of the host were passed through, which is not taken over",
    ),
    ("ioports", "xen-pass-through", "ports of the host were passed through, which is not taken over"),
    ("iomem", "xen-pass-through", "memory of the host's devices was passed through, which is not taken over"),
    ("irqs", "xen-pass-through", "interrupts of the host were passed through, which is not taken over"),
    (
        "ms_vm_genid",
        "xen-genid",
        "the generation id is not kept: a domain controller takes the copy for a clone",
    ),
    ("nestedhvm", "xen-nested", "nested virtualisation is not kept"),
    ("nodes", "xen-numa", "placement on the host's nodes is not kept"),
    ("p9", "xen-shared-folder", "a folder of the host was shared with the guest, which is not taken over"),
    ("pci", "xen-pass-through", "a PCI device of the host was passed through, which is not taken over"),
    ("pvusb", "xen-usb", "USB devices of the host are not taken over"),
    ("rdm", "xen-pass-through", "memory was reserved for a device of the host, which is not kept"),
    ("smbios", "xen-smbios", "entries of the SMBIOS are not kept: a licence may be bound to them"),
    ("usbctrl", "xen-usb", "USB devices of the host are not taken over"),
    ("usbdev", "xen-usb", "USB devices of the host are not taken over"),
    ("vdispl", "xen-device", "a paravirtual display is not taken over"),
    ("viridian", "xen-viridian", "enlightenments for Windows are not kept, the target has its own"),
    ("vnuma", "xen-numa", "the guest saw several NUMA nodes, the target decides by itself"),
    ("vsnd", "xen-sound", "a sound device is not taken over"),
    ("vtpm", "xen-tpm", "the keys in the TPM do not move: what is sealed to them needs its recovery key"),
];

/// Adds a warning for everything that could not be carried over.
pub(super) fn collect(config: &Config, findings: &mut Findings) {
    for key in config.values.keys() {
        if let Some((_, code, loss)) = LOST.iter().find(|(known, ..)| known == key) {
            // A number that says no.
            if config.text(key) != Some("0") {
                findings.warn(code, *loss);
            }
        } else if !KNOWN.contains(&key.as_str()) {
            findings.warn("xen-unknown", format!("{} is not taken over", shown(key)));
        }
    }
    start(config, findings);
}

fn start(config: &Config, findings: &mut Findings) {
    let kind = kind(config);
    if kind == Kind::Pv {
        findings.warn(
            "xen-paravirtual",
            "the guest was paravirtual (PV): it needs a boot loader and a kernel that runs on hardware",
        );
    }
    let kernel = config.text("kernel").or_else(|| config.text("loader"));
    let file = kernel.and_then(|path| path.rsplit('/').next()).unwrap_or_default();
    // A boot loader of the host reads the guest's own configuration; hvmloader is how HVM guests were written once.
    if kernel.is_some() && !file.contains("grub") && file != "hvmloader" {
        findings.warn(
            "xen-host-kernel",
            format!("the kernel {} came from the host: the disk needs a boot loader of its own", shown(file)),
        );
    }
    if kind == Kind::Hvm
        && let Some(order) = config.text("boot").filter(|order| !order.starts_with('c'))
    {
        findings.warn(
            "xen-boot-order",
            format!("boot is {}: another device than a disk is started first", shown(order)),
        );
    }
    if config.text("bios") == Some("ovmf") || config.text("firmware") == Some("uefi") {
        findings.warn(
            "xen-efi-variables",
            "the variables of the UEFI firmware do not move: the disk is started by its fallback loader",
        );
    }
}
