//! What a machine has that Hyper-V cannot say: each a warning.

use super::place::Placed;
use super::{Generation, HypervOptions, SecureBoot};
use crate::adapters::keeps_a_mac;
use crate::writing::NO_TPM;
use crate::{Clock, FirmwareKind, Machine, Warning, windows};

/// Adds a warning for everything the script leaves out or changes.
pub(super) fn collect(
    machine: &Machine,
    options: &HypervOptions,
    placed: &[Placed<'_>],
    warnings: &mut Vec<Warning>,
) {
    firmware(machine, options, placed, warnings);
    hardware(machine, options, warnings);
}

fn firmware(machine: &Machine, options: &HypervOptions, placed: &[Placed<'_>], warnings: &mut Vec<Warning>) {
    let mut warn = |code, message: String| warnings.push(Warning::new(code, message));
    match (machine.firmware.kind, options.generation) {
        (FirmwareKind::Bios, Generation::Two) => warn(
            "hyperv-firmware-differs",
            "the source started by BIOS, generation 2 starts by UEFI: the disk needs a UEFI loader".into(),
        ),
        (FirmwareKind::Uefi, Generation::One) => warn(
            "hyperv-firmware-differs",
            "the source started by UEFI, generation 1 starts by BIOS: the disk needs a BIOS loader".into(),
        ),
        _ => {}
    }
    if machine.firmware.secure_boot == Some(true) && options.secure_boot == SecureBoot::Off {
        warn("hyperv-secure-boot-off", "secure boot was on at the source and is off now".into());
    }
    if options.generation == Generation::One
        && placed.first().and_then(|disk| disk.size_bytes).is_some_and(|size| size > 2 << 40)
    {
        warn(
            "hyperv-boot-disk-large",
            "a BIOS reads the first 2 TiB only: the loader and the kernel have to lie there".into(),
        );
    }
}

fn hardware(machine: &Machine, options: &HypervOptions, warnings: &mut Vec<Warning>) {
    let mut warn = |code, message: String| warnings.push(Warning::new(code, message));
    if machine.memory_mib % 2 == 1 {
        warn(
            "hyperv-memory-rounded",
            format!(
                "{} MiB of memory become {}: Hyper-V takes even numbers",
                machine.memory_mib,
                machine.memory_mib + 1
            ),
        );
    }
    if let Some(topology) = machine.cpu.topology
        && (topology.threads > 1 || topology.sockets > 1)
    {
        warn(
            "hyperv-topology",
            format!(
                "{} sockets × {} cores × {} threads: Hyper-V takes the number of processors only and arranges them by the host",
                topology.sockets, topology.cores, topology.threads
            ),
        );
    }
    // Linux is told the right time by the integration services.
    if windows::is_windows(machine)
        && options.fixed_clock == Some(Clock::Local)
        && machine.clock == Clock::Utc
    {
        warn("hyperv-clock",
            "the guest expects a UTC clock, Hyper-V gives Windows local time: reset RealTimeIsUniversal in the guest".into());
    }
    if machine.tpm.is_some() {
        let message = match options.generation {
            Generation::One => {
                "the machine had a TPM, generation 1 has none: what is sealed to it needs its recovery key"
            }
            Generation::Two => {
                "the TPM is a new one, and bound to this host: what is sealed to the keys of the old one needs its recovery key"
            }
        };
        warn("hyperv-tpm", message.into());
    } else if windows::wants_tpm(machine) {
        warn("hyperv-tpm-none", NO_TPM.into());
    }
    if machine.uuid.is_some() {
        warn("hyperv-uuid", "the SMBIOS UUID of the source is not kept: Hyper-V makes a new one".into());
    }
    if keeps_a_mac(machine, &options.adapters) {
        warn("hyperv-mac", "hardware addresses change unless the script is run with -StaticMac".into());
    }
    if !machine.tags.is_empty() {
        warn("hyperv-tags", format!("{} tags have no place in Hyper-V", machine.tags.len()));
    }
}
