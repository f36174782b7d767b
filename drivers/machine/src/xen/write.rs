//! From a machine to a configuration for `xl create`.

use super::DIALECT;
use super::syntax::quoted;
use crate::definition::definition_file;
use crate::disk_names::{folder_fault, letters};
use crate::error::shown;
use crate::writing::{self, Codes};
use crate::{
    Architecture, Clock, Definition, DefinitionOptions, DiskBus, DiskFile, FirmwareKind, Machine,
    MachineError, Nic, NicModel, Warning, adapters, windows,
};

/// Disks that the emulated controller has; an HVM guest starts from one of them.
const IDE_DISKS: usize = 4;
const MAX_NAME_BYTES: usize = 200;

const CODES: Codes = Codes {
    firmware: "xen-firmware-differs",
    secure_boot: "xen-secure-boot-off",
    boot_disk: "xen-boot-disk-large",
    tags: "xen-tags",
    name: "xen-name-changed",
    clock: "xen-clock",
    tpm: "xen-tpm-none",
};

/// How Xen runs the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Guest {
    /// With emulated hardware and firmware.
    Hvm,
    /// Without: a boot loader of the host starts the guest from its own disk.
    Pvh {
        /// Absolute path of the boot loader on the host, such as [`super::PVH_GRUB`].
        loader: String,
    },
}

/// Writes the configuration. The disks lie in `folder`, an absolute path on the host, such as [`super::IMAGE_FOLDER`].
///
/// # Errors
/// Kind `Invalid` as [`DefinitionOptions::pair`] says, or when a path is not absolute; kind `Unsupported` when Xen has
/// no such bus, adapter, format or firmware.
pub fn definition(
    machine: &Machine,
    options: &DefinitionOptions,
    guest: &Guest,
    folder: &str,
) -> Result<Definition, MachineError> {
    let disks = options.pair(machine)?;
    let loader = if let Guest::Pvh { loader } = guest { Some(loader.as_str()) } else { None };
    for path in [Some(folder), loader].into_iter().flatten() {
        if let Some(fault) = folder_fault(path) {
            return Err(MachineError::field("definition", fault));
        }
    }
    check_limits(machine, options, guest)?;
    adapters::check(&options.adapters, DIALECT, |name| {
        (!adapters::is_interface(name)).then_some("is no name of a bridge such as xenbr0")
    })?;
    let machine_name = name_of(machine);
    let mut warnings = Vec::new();
    writing::losses(machine, options, &machine_name, &CODES, &mut warnings);
    if *guest != Guest::Hvm {
        // There is no firmware that could differ, or be limited.
        warnings.retain(|warning| ![CODES.firmware, CODES.boot_disk].contains(&warning.code));
    }
    own_losses(machine, options, &mut warnings);
    let mut lines = vec![format!("name = {}", quoted(&machine_name))];
    lines.extend(machine.uuid.map(|uuid| format!("uuid = \"{uuid}\"")));
    lines.extend(start(options, guest));
    lines.push(format!("vcpus = {}", machine.cpu.count));
    lines.push(format!("memory = {}", machine.memory_mib));
    lines.push(format!("localtime = {}", u8::from(machine.clock == Clock::Local)));
    if windows::is_windows(machine) {
        // The set of enlightenments that suits every release which knows them (xl.cfg(5), "viridian").
        lines.push("viridian = 1".into());
    }
    lines.push("disk = [".into());
    for (index, (_, file)) in disks.iter().enumerate() {
        lines.push(format!("    {},", quoted(&disk_spec(options, folder, index, file)?)));
    }
    lines.push("]\nvif = [".into());
    for (index, nic) in machine.nics.iter().enumerate() {
        lines.push(format!("    {},", quoted(&vif_spec(options, index, nic, &mut warnings))));
    }
    lines.push("]".into());
    if *guest == Guest::Hvm {
        lines.push("serial = \"pty\"\nvnc = 1\nstdvga = 1\nusb = 1\nusbdevice = [ \"tablet\" ]".into());
    }
    let mut text = lines.join("\n");
    text.push('\n');
    Ok(Definition { text, file_name: definition_file(machine, ".cfg"), machine_name, warnings })
}

fn unsupported(reason: impl Into<String>) -> MachineError {
    MachineError::Unsupported { what: DIALECT, reason: reason.into() }
}

fn check_limits(machine: &Machine, options: &DefinitionOptions, guest: &Guest) -> Result<(), MachineError> {
    if machine.architecture == Architecture::Arm64 {
        return Err(unsupported("an arm64 guest does not run on an x86-64 host"));
    }
    if options.secure_boot {
        return Err(unsupported("its uefi firmware has no secure boot"));
    }
    match options.disk_bus {
        DiskBus::XenBlk => {}
        DiskBus::Ide if *guest != Guest::Hvm => {
            return Err(unsupported("a pvh guest has xen block devices only"));
        }
        DiskBus::Ide if machine.disks.len() > IDE_DISKS => {
            let reason = format!("{} disks, at most {IDE_DISKS} are possible on ide", machine.disks.len());
            return Err(unsupported(reason));
        }
        DiskBus::Ide => {}
        _ => return Err(unsupported("disks are xen block devices or ide")),
    }
    if *guest != Guest::Hvm {
        if windows::is_windows(machine) {
            return Err(unsupported("windows needs the emulated hardware of hvm, a pvh guest has none"));
        }
        if options.nic_model != NicModel::Netfront {
            return Err(unsupported("a pvh guest has xen network adapters only"));
        }
        if options.firmware == FirmwareKind::Uefi {
            return Err(unsupported(
                "a pvh guest is started by a boot loader of the host, not by uefi; use hvm",
            ));
        }
    }
    if options.nic_model == NicModel::Virtio {
        return Err(unsupported("virtio adapters need a backend that xl does not start by itself"));
    }
    Ok(())
}

/// A slash would lead out of the folders of logs, and a name of digits is taken for a domain's number.
fn name_of(machine: &Machine) -> String {
    let mut name = String::new();
    for c in machine.name.trim().chars().map(|c| if c == '/' { '_' } else { c }) {
        if name.len() + c.len_utf8() > MAX_NAME_BYTES {
            break;
        }
        name.push(c);
    }
    let digits = name.bytes().all(|byte| byte.is_ascii_digit());
    if digits || matches!(name.as_str(), "." | "..") { format!("vm-{name}") } else { name }
}

fn own_losses(machine: &Machine, options: &DefinitionOptions, warnings: &mut Vec<Warning>) {
    let mut warn = |code, message: &str| warnings.push(Warning::new(code, message));
    if windows::is_windows(machine) && options.disk_bus == DiskBus::XenBlk && machine.disks.len() > IDE_DISKS
    {
        warn(
            "xen-windows-disks",
            "only the first four disks are emulated: Windows sees the others once it has Xen's drivers",
        );
    }
    if machine.tpm.is_some() {
        warn(
            "xen-tpm-none",
            "the machine had a TPM, and has none on Xen: what is sealed to it needs its recovery key",
        );
    }
    if machine.cpu.topology.is_some_and(|at| at.threads > 1 || at.sockets > 1) {
        warn("xen-topology", "sockets and threads have no place in xl.cfg: Xen arranges the processors");
    }
    if machine.notes.is_some() {
        warn("xen-notes", "the notes of the machine have no place in xl.cfg");
    }
}

fn start(options: &DefinitionOptions, guest: &Guest) -> Vec<String> {
    match guest {
        Guest::Hvm => {
            let bios = if options.firmware == FirmwareKind::Uefi { "ovmf" } else { "seabios" };
            vec!["type = \"hvm\"".into(), format!("bios = \"{bios}\""), "boot = \"c\"".into()]
        }
        Guest::Pvh { loader } => vec!["type = \"pvh\"".into(), format!("kernel = {}", quoted(loader))],
    }
}

fn disk_spec(
    options: &DefinitionOptions,
    folder: &str,
    index: usize,
    file: &DiskFile,
) -> Result<String, MachineError> {
    if !matches!(file.format, "raw" | "qcow2" | "vhd") {
        let reason = format!("{} is no format of its disks: raw, qcow2 and vhd are", file.format);
        return Err(unsupported(reason));
    }
    let prefix = if options.disk_bus == DiskBus::Ide { "hd" } else { "xvd" };
    // The target takes the rest of the text, so its name may hold anything.
    Ok(format!(
        "format={}, vdev={}, access=rw, target={}/{}",
        file.format,
        letters(prefix, index),
        folder.trim_end_matches('/'),
        file.file
    ))
}

fn vif_spec(options: &DefinitionOptions, index: usize, nic: &Nic, warnings: &mut Vec<Warning>) -> String {
    let mut parts = Vec::new();
    parts.extend(nic.mac.map(|mac| format!("mac={mac}")));
    match adapters::network(&options.adapters, index).or(nic.network.as_deref()) {
        Some(network) if adapters::is_interface(network) => parts.push(format!("bridge={network}")),
        Some(network) => warnings.push(Warning::new(
            "xen-network",
            format!(
                "the network {} of adapter {index} is no name of a bridge; the adapter is connected to xl's default",
                shown(network)
            ),
        )),
        None => {}
    }
    parts.push(match options.nic_model {
        NicModel::E1000 => "model=e1000".into(),
        NicModel::E1000e => "model=e1000e".into(),
        NicModel::Vmxnet3 => "model=vmxnet3".into(),
        NicModel::Netfront | NicModel::Virtio => "type=vif".into(),
    });
    parts.join(",")
}
