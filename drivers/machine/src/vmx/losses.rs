//! What a VMX file has that no machine elsewhere has: each a warning.

use super::dictionary::Dictionary;
use crate::error::shown;
use crate::findings::Findings;

/// Devices with a number: prefix of the key, code, and what is lost.
const NUMBERED: &[(&str, &str, &str)] = &[
    ("serial", "vmx-serial", "serial port"),
    ("parallel", "vmx-parallel", "parallel port"),
    ("floppy", "vmx-floppy", "floppy drive"),
    ("pcipassthru", "vmx-passthrough", "device of the host handed to the guest"),
    ("nvdimm", "vmx-nvdimm", "persistent memory"),
    ("sharedfolder", "vmx-shared-folder", "folder shared with the host"),
];

/// Entries whose value `TRUE` matters: key in lower case, code, and what is lost.
const SWITCHES: &[(&str, &str, &str)] = &[
    (
        "vtpm.present",
        "vmx-tpm",
        "the virtual TPM stays behind: keys sealed in it (LUKS, BitLocker) are lost, have a \
      passphrase or recovery key",
    ),
    ("sound.present", "vmx-sound", "the sound card is not taken over"),
    ("mks.enable3d", "vmx-graphics", "3D graphics are not taken over"),
    ("vhv.enable", "vmx-nested", "the guest could run virtual machines itself: allow that on the target"),
    ("mem.hotadd", "vmx-hotplug", "memory could be added while the guest ran: that is not taken over"),
    ("vcpu.hotadd", "vmx-hotplug", "processors could be added while the guest ran: that is not taken over"),
    (
        "smbios.reflecthost",
        "vmx-smbios",
        "the guest saw the SMBIOS names of its host: licences bound to them end",
    ),
    ("ftcpt.ftenabled", "vmx-fault-tolerance", "fault tolerance is not taken over"),
];

/// Adds a warning for everything that is not taken over, besides disks and adapters.
pub(super) fn collect(file: &Dictionary, notes: &mut Findings) {
    for (key, code, message) in SWITCHES {
        if file.is_true(key) {
            notes.warn(code, *message);
        }
    }
    for (prefix, code, what) in NUMBERED {
        for number in 0..64 {
            let name = format!("{prefix}{number}");
            if file.is_true(&format!("{name}.present")) {
                notes.warn(code, format!("the {what} {name} is not taken over"));
            }
        }
    }
    state(file, notes);
    firmware(file, notes);
    identity(file, notes);
    resources(file, notes);
}

fn state(file: &Dictionary, notes: &mut Findings) {
    if let Some(name) = file.get("checkpoint.vmstate") {
        notes.warn("vmx-suspended", format!(
            "the machine is suspended ({}): its memory is lost, and the disks are as after a power cut; resume it and \
             shut it down first",
            shown(name)
        ));
    }
    if file.get("encryption.keysafe").is_some() {
        notes.warn(
            "vmx-encrypted",
            "the machine has an encryption key: encrypted disks are not readable, remove the encryption in VMware",
        );
    }
    if file.get("cleanshutdown").is_some_and(|word| word.eq_ignore_ascii_case("false")) {
        notes.warn("vmx-not-stopped", "the machine was running or was cut off when the file was saved");
    }
}

fn firmware(file: &Dictionary, notes: &mut Findings) {
    let uefi = file.get("firmware").is_some_and(|word| word.eq_ignore_ascii_case("efi"));
    if let Some(name) = file.get("nvram")
        && uefi
    {
        notes.warn("vmx-nvram", format!(
            "the UEFI variables in {} stay behind: boot entries and keys enrolled there are lost, the firmware starts \
             the fallback loader",
            shown(name)
        ));
    }
    if file.get("managedvm.autoaddvtpm").is_some() && !file.is_true("vtpm.present") {
        notes.warn("vmx-tpm", "the virtual TPM stays behind: keys sealed in it are lost");
    }
    let order = file.get("bios.bootorder").unwrap_or_default().to_ascii_lowercase();
    if !order.is_empty() && !order.starts_with("hdd") {
        let message = format!("the firmware tried {} first; here it starts the first disk", shown(&order));
        notes.warn("vmx-boot-order", message);
    }
}

fn identity(file: &Dictionary, notes: &mut Findings) {
    let guestinfo = file.below("guestinfo.").filter(|(_, value)| !value.is_empty()).count();
    if guestinfo > 0 {
        let message = format!(
            "{guestinfo} guestinfo values are not taken over: programs in the guest may ask for them"
        );
        notes.warn("vmx-guestinfo", message);
    }
    let smbios = file.below("smbios.").filter(|(key, _)| *key != "reflecthost").count();
    if smbios > 0 {
        notes.warn(
            "vmx-smbios",
            format!("{smbios} SMBIOS values are not taken over: licences bound to them end"),
        );
    }
    let masks = file.below("cpuid.").filter(|(key, _)| key.contains(".e")).count();
    if masks > 0 {
        notes.warn("vmx-cpu-mask", format!("{masks} masks of processor features are not taken over"));
    }
    let usb = file.below("usb.autoconnect.").count();
    if usb > 0 {
        notes.warn("vmx-usb", format!("{usb} USB devices of the host are not taken over"));
    }
}

fn resources(file: &Dictionary, notes: &mut Findings) {
    let set = |key: &str, default: &[&str]| {
        file.get(key).is_some_and(|value| !default.contains(&value.to_ascii_lowercase().as_str()))
    };
    let keys = [
        ("sched.cpu.min", &["0"][..]),
        ("sched.cpu.max", &["unlimited", "-1"]),
        ("sched.cpu.affinity", &["all"]),
        ("sched.mem.min", &["0"]),
        ("sched.mem.max", &["unlimited", "-1"]),
    ];
    let limits: Vec<&str> =
        keys.iter().filter(|(key, default)| set(key, default)).map(|(key, _)| *key).collect();
    if !limits.is_empty() {
        let message = format!("reservations and limits are not taken over: {}", limits.join(", "));
        notes.warn("vmx-resources", message);
    }
}
