//! KubeVirt: a manifest with a `DataVolume` for each disk and the `VirtualMachine`, for `kubectl apply -f`.
//!
//! The volumes wait for an upload; each has the name of its image file in an annotation, and is filled by
//! `virtctl image-upload dv NAME --no-create --image-path FILE`. The machine stays off until it is started.
//!
//! Every foreign value is a double-quoted scalar in the part of YAML 1.2 that JSON is, or a name made of letters,
//! digits and dashes. Facts: the KubeVirt user guide and API reference (`kubevirt.io/v1`), and CDI's documentation of
//! `DataVolume` (`cdi.kubevirt.io/v1beta1`).

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::definition::definition_file;
use crate::error::shown;
use crate::writing::{self, Codes};
use crate::{
    Architecture, Definition, DefinitionOptions, Disk, DiskBus, DiskFile, FirmwareKind, Machine,
    MachineError, Nic, NicModel, Tpm, Warning, adapters, windows,
};

const DIALECT: &str = "kubevirt";
/// A chosen network that is the one of every pod.
const POD: &str = "pod";
/// Longest label of DNS, which names of machines and volumes are.
const MAX_LABEL: usize = 63;

/// As KubeVirt's own templates for Windows have them (its user guide, "Virtual Hardware", "Windows").
const WINDOWS_TIMERS: &str = "          \
timer:
            hpet:
              present: false
            pit:
              tickPolicy: delay
            rtc:
              tickPolicy: catchup
            hyperv: {}";

/// The enlightenments that every release since Vista uses.
const WINDOWS_FEATURES: &str = "          \
hyperv:
            relaxed: {}
            vapic: {}
            spinlocks:
              spinlocks: 8191";

const CODES: Codes = Codes {
    firmware: "kubevirt-firmware-differs",
    secure_boot: "kubevirt-secure-boot-off",
    boot_disk: "kubevirt-boot-disk-large",
    tags: "kubevirt-tags",
    name: "kubevirt-name-changed",
    clock: "kubevirt-clock",
    tpm: "kubevirt-tpm-none",
};

/// Writes the manifest.
///
/// # Errors
/// Kind `Invalid` as [`DefinitionOptions::pair`] says; kind `Unsupported` when KubeVirt has no such bus, adapter, or
/// image format.
pub fn definition(machine: &Machine, options: &DefinitionOptions) -> Result<Definition, MachineError> {
    let disks = options.pair(machine)?;
    for (_, file) in &disks {
        if !matches!(file.format, "qcow2" | "raw") {
            return Err(unsupported(format!(
                "{} is no format for an upload: qcow2 and raw are",
                file.format
            )));
        }
    }
    let (bus, model) = (bus(options.disk_bus)?, model(options.nic_model)?);
    if options.secure_boot && machine.architecture != Architecture::X86_64 {
        return Err(unsupported("secure boot is possible with x86-64 only"));
    }
    if machine.architecture == Architecture::Arm64 && options.firmware == FirmwareKind::Bios {
        return Err(unsupported("arm64 machines start by uefi only"));
    }
    adapters::check(&options.adapters, DIALECT, network_fault)?;
    // KubeVirt's admission refuses a second interface in the pod network.
    let pods = machine.nics.iter().enumerate();
    if pods.filter(|(index, nic)| matches!(network_at(options, *index, nic), Network::Pod)).count() > 1 {
        let reason = "the network pod takes one adapter of a machine".to_owned();
        return Err(MachineError::Network { what: DIALECT, reason });
    }
    let machine_name = label(&machine.name, "machine");
    let names = volume_names(&machine_name, &disks);
    let mut warnings = Vec::new();
    writing::losses(machine, options, &machine_name, &CODES, &mut warnings);
    own_losses(machine, options, &mut warnings);
    let mut text = String::new();
    for ((_, file), name) in disks.iter().zip(&names) {
        text.push_str(&volume(name, file));
    }
    text.push_str(&head(machine, options, &machine_name));
    text.push_str(&devices(machine, options, (bus, model), &names));
    text.push_str(&networks(machine, options, &names));
    Ok(Definition { text, file_name: definition_file(machine, ".yaml"), machine_name, warnings })
}

fn unsupported(reason: impl Into<String>) -> MachineError {
    MachineError::Unsupported { what: DIALECT, reason: reason.into() }
}

fn bus(bus: DiskBus) -> Result<&'static str, MachineError> {
    match bus {
        DiskBus::VirtioBlk => Ok("virtio"),
        DiskBus::VirtioScsi => Ok("scsi"),
        DiskBus::Sata => Ok("sata"),
        _ => Err(unsupported("disks are virtio, scsi (virtio) or sata")),
    }
}

fn model(model: NicModel) -> Result<&'static str, MachineError> {
    match model {
        NicModel::Virtio => Ok("virtio"),
        NicModel::E1000e => Ok("e1000e"),
        NicModel::E1000 => Ok("e1000"),
        NicModel::Vmxnet3 | NicModel::Netfront => Err(unsupported("adapters are virtio, e1000e or e1000")),
    }
}

/// A double-quoted scalar whose value is exactly `text`. What YAML does not call printable (section 5.1) is escaped; the
/// model refuses control characters.
fn scalar(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            '\u{feff}' | '\u{fffe}' | '\u{ffff}' | '\u{2028}' | '\u{2029}' => {
                // Writing to a string cannot fail.
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            _ => out.push(c),
        }
    }
    out.push('"');
    out
}

/// `text` as a label of DNS, or `fallback` when nothing of it can stay.
fn label(text: &str, fallback: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        let c = if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
        if out.len() < MAX_LABEL && !(c == '-' && (out.is_empty() || out.ends_with('-'))) {
            out.push(c);
        }
    }
    let out = out.trim_end_matches('-');
    if out.is_empty() { fallback.to_owned() } else { out.to_owned() }
}

/// A volume for each disk: the machine's name and the disk's id, with the number where that is taken already.
fn volume_names(machine: &str, disks: &[(&Disk, &DiskFile)]) -> Vec<String> {
    let mut taken = BTreeSet::new();
    let short = |text: &str, most: usize| {
        text.get(..text.len().min(most)).unwrap_or_default().trim_end_matches('-').to_owned()
    };
    disks
        .iter()
        .enumerate()
        .map(|(index, (disk, _))| {
            let id = label(&disk.id, "disk");
            let plain = format!("{}-{}", short(machine, 30), short(&id, 28));
            let numbered = (index..).map(|number| format!("{plain}-{number}"));
            let name = std::iter::once(plain.clone()).chain(numbered).find(|name| !taken.contains(name));
            let name = name.unwrap_or(plain);
            taken.insert(name.clone());
            name
        })
        .collect()
}

/// What an adapter is connected to.
enum Network {
    /// The network that every pod has, behind address translation.
    Pod,
    /// A `NetworkAttachmentDefinition`, with its namespace where it is another.
    Multus(String),
}

/// Where nothing was chosen, the first adapter is in the pod network, unless another was put there.
fn network_at(options: &DefinitionOptions, index: usize, nic: &Nic) -> Network {
    let is_taken =
        || (1..options.adapters.len()).any(|at| adapters::network(&options.adapters, at) == Some(POD));
    match (adapters::network(&options.adapters, index), index) {
        (Some(POD), _) => Network::Pod,
        (None, 0) if !is_taken() => Network::Pod,
        (Some(chosen), _) => Network::Multus(chosen.to_owned()),
        (None, _) => Network::Multus(label(nic.network.as_deref().unwrap_or_default(), "network")),
    }
}

/// `pod`, or `[NAMESPACE/]NAME` of labels of DNS with dots between them.
fn network_fault(name: &str) -> Option<&'static str> {
    let is_label = |text: &str| label(text, "") == text && !text.is_empty();
    let (namespace, name) = name.split_once('/').unwrap_or(("default", name));
    let named = is_label(namespace) && name.len() <= 253 && name.split('.').all(is_label);
    (!named).then_some("is neither pod nor [NAMESPACE/]NAME of a NetworkAttachmentDefinition")
}

fn own_losses(machine: &Machine, options: &DefinitionOptions, warnings: &mut Vec<Warning>) {
    let mut warn = |code, message: String| warnings.push(Warning::new(code, message));
    if machine.tpm.is_some() {
        warn(
            "kubevirt-tpm-new",
            "the TPM is a new one: what is sealed to the keys of the old one needs its recovery key".into(),
        );
    }
    if machine.tpm == Some(Tpm::V1_2) {
        warn("kubevirt-tpm-version", "the TPM had version 1.2, KubeVirt's has 2.0".into());
    }
    for (index, nic) in machine.nics.iter().enumerate() {
        let was = nic.network.as_deref().map(|network| format!(" ({} at the source)", shown(network)));
        let was = was.unwrap_or_default();
        if matches!(network_at(options, index, nic), Network::Pod) {
            warn(
                "kubevirt-pod-network",
                format!(
                    "adapter {index}{was} is in the pod network behind address translation: the guest gets its address by DHCP, a \
                 static one does not work there"
                ),
            );
        } else if adapters::network(&options.adapters, index).is_none() {
            warn(
                "kubevirt-network",
                format!(
                    "adapter {index}{was} needs a NetworkAttachmentDefinition of the name in the manifest"
                ),
            );
        }
    }
}

fn volume(name: &str, file: &DiskFile) -> String {
    let size = file.size_bytes;
    format!(
        "apiVersion: cdi.kubevirt.io/v1beta1\n\
         kind: DataVolume\n\
         metadata:\n  \
           name: {name}\n  \
           annotations:\n    \
             rehome-image-file: {}\n\
         spec:\n  \
           source:\n    \
             upload: {{}}\n  \
           storage:\n    \
             resources:\n      \
               requests:\n        \
                 storage: \"{size}\"\n\
         ---\n",
        scalar(&file.file)
    )
}

fn head(machine: &Machine, options: &DefinitionOptions, name: &str) -> String {
    let mut text = format!(
        "apiVersion: kubevirt.io/v1\nkind: VirtualMachine\nmetadata:\n  name: {name}\n  annotations:\n"
    );
    let mut line = |indent: usize, line: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{:indent$}{line}", "");
    };
    line(4, format!("rehome-source-name: {}", scalar(&machine.name)));
    if let Some(notes) = &machine.notes {
        line(4, format!("description: {}", scalar(notes)));
    }
    line(4, format!("rehome-firmware-reason: {}", scalar(&options.firmware_reason)));
    line(0, "spec:\n  runStrategy: Halted\n  template:\n    spec:".into());
    let (arch, board) = match machine.architecture {
        Architecture::Arm64 => ("arm64", "virt"),
        Architecture::X86_64 | Architecture::I386 => ("amd64", "q35"),
    };
    line(6, format!("architecture: {arch}"));
    line(6, "domain:".into());
    line(8, "cpu:".into());
    let (sockets, cores, threads) = match machine.cpu.topology {
        Some(at) => (at.sockets, at.cores, at.threads),
        None => (1, machine.cpu.count, 1),
    };
    line(10, format!("sockets: {sockets}"));
    line(10, format!("cores: {cores}"));
    line(10, format!("threads: {threads}"));
    line(8, "memory:".into());
    line(10, format!("guest: {}Mi", machine.memory_mib));
    line(8, "machine:".into());
    line(10, format!("type: {board}"));
    line(8, "clock:".into());
    line(10, "utc: {}".into());
    let enlightened = windows::is_windows(machine) && machine.architecture != Architecture::Arm64;
    if enlightened {
        line(0, WINDOWS_TIMERS.into());
    }
    line(8, "firmware:".into());
    if let Some(uuid) = machine.uuid {
        line(10, format!("uuid: \"{uuid}\""));
    }
    line(10, "bootloader:".into());
    match options.firmware {
        FirmwareKind::Bios => line(12, "bios: {}".into()),
        FirmwareKind::Uefi => line(12, format!("efi:\n              secureBoot: {}", options.secure_boot)),
    }
    line(8, "features:".into());
    line(10, "acpi: {}".into());
    if enlightened {
        line(0, WINDOWS_FEATURES.into());
    }
    if options.secure_boot {
        // Without it the firmware could not keep its variables from the guest.
        line(10, "smm:\n            enabled: true".into());
    }
    text
}

fn devices(
    machine: &Machine,
    options: &DefinitionOptions,
    (bus, model): (&str, &str),
    names: &[String],
) -> String {
    let mut text = String::from("        devices:\n          rng: {}\n");
    if machine.tpm.is_some() {
        text.push_str("          tpm:\n            persistent: true\n");
    }
    text.push_str("          disks:\n");
    for (index, name) in names.iter().enumerate() {
        let _ = write!(text, "            - name: {name}\n              disk:\n                bus: {bus}\n");
        if index == 0 {
            text.push_str("              bootOrder: 1\n");
        }
    }
    if machine.nics.is_empty() {
        // Without this word every machine gets an adapter in the pod network.
        text.push_str("          autoattachPodInterface: false\n");
        return text;
    }
    text.push_str("          interfaces:\n");
    for (index, nic) in machine.nics.iter().enumerate() {
        let _ = write!(text, "            - name: nic{index}\n              model: {model}\n");
        if let Some(mac) = nic.mac {
            let _ = writeln!(text, "              macAddress: \"{mac}\"");
        }
        text.push_str(match network_at(options, index, nic) {
            Network::Pod => "              masquerade: {}\n",
            Network::Multus(_) => "              bridge: {}\n",
        });
    }
    text
}

fn networks(machine: &Machine, options: &DefinitionOptions, names: &[String]) -> String {
    let mut text = String::new();
    if !machine.nics.is_empty() {
        text.push_str("      networks:\n");
    }
    for (index, nic) in machine.nics.iter().enumerate() {
        let _ = writeln!(text, "        - name: nic{index}");
        match network_at(options, index, nic) {
            Network::Pod => text.push_str("          pod: {}\n"),
            Network::Multus(network) => {
                let _ = write!(text, "          multus:\n            networkName: {network}\n");
            }
        }
    }
    text.push_str("      volumes:\n");
    for name in names {
        let _ = write!(text, "        - name: {name}\n          dataVolume:\n            name: {name}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_labels() {
        for (from, to) in
            [("Web Server (1)", "web-server-1"), ("--", "x"), ("名", "x"), ("a_b", "a-b"), ("123", "123")]
        {
            assert_eq!(label(from, "x"), to);
        }
        assert_eq!(label(&"ab-".repeat(99), "x").len(), 62);
    }

    #[test]
    fn scalars_escape_what_is_not_printable() {
        assert_eq!(scalar("a\"b\\c\u{feff}é"), "\"a\\\"b\\\\c\\ufeffé\"");
    }
}
