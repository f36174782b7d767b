//! The definition of the machine in the words of its new platform.

use crate::choose::Choice;
use crate::machine::convert_error;
use driver_core::{Clock, Firmware, Platform};
use driver_machine::hyperv::{self, HypervDisk, HypervOptions, SecureBoot};
use driver_machine::{
    AdapterChoice, DefinitionOptions, Disk, DiskBus, DiskFile, FirmwareKind, Machine, NicModel, Warning,
    clouds, kubevirt, libvirt, ovf, proxmox, virtualbox, vmx, xen,
};
use format_core::{Error, Result};

/// The target's definition of the machine.
#[derive(Clone)]
pub(crate) struct Definition {
    /// The text.
    pub(crate) text: String,
    /// Name of its file.
    pub(crate) file_name: String,
    /// Stem of all other file names.
    pub(crate) name: String,
    /// File name of each disk's image, in the order of the sources.
    pub(crate) disk_files: Vec<String>,
    /// The file that all of it goes into, where the definition is one.
    pub(crate) package: Option<String>,
    /// What the target cannot say about this machine.
    pub(crate) warnings: Vec<Warning>,
    /// What a person does with it.
    pub(crate) use_it: &'static str,
}

/// Writes the definition. Done before anything is copied, so that a machine the target cannot have is found early.
///
/// # Errors
/// `Corrupt` or `Unsupported` as the dialect says.
pub(crate) fn define(
    machine: &Machine,
    choice: &Choice,
    adapters: &[AdapterChoice],
    sizes: &[u64],
) -> Result<Definition> {
    let name = hyperv::windows_name(&machine.name);
    let format = choice.definition.image_format;
    let ordered = machine.disks_in_boot_order();
    let disk_files: Vec<String> = match ordered.len() {
        1 => vec![format!("{name}.{format}")],
        count => (0..count).map(|i| format!("{name}-disk{i}.{format}")).collect(),
    };
    let disks = ordered.iter().zip(disk_files.iter().zip(sizes)).map(|(disk, (file, size))| DiskFile {
        id: disk.id.clone(),
        file: file.clone(),
        manifest: format!("{file}{}", convert_engine::MANIFEST_SUFFIX),
        format,
        size_bytes: *size,
    });
    let options = DefinitionOptions {
        firmware: match choice.target.firmware {
            Firmware::Bios | Firmware::Host => FirmwareKind::Bios,
            Firmware::Uefi => FirmwareKind::Uefi,
        },
        firmware_reason: choice.reason.clone(),
        secure_boot: choice.secure_boot,
        disk_bus: disk_bus(choice.target.disk_bus)?,
        nic_model: nic_model(choice.network_module)?,
        disks: disks.collect(),
        adapters: adapters.to_vec(),
        fixed_clock: match choice.definition.clock {
            Clock::Either => None,
            Clock::Utc => Some(driver_machine::Clock::Utc),
            Clock::Local => Some(driver_machine::Clock::Local),
        },
    };
    let (written, use_it) = write(machine, choice, &options)?;
    let mut warnings = written.warnings.clone();
    warnings.extend(ordered.iter().zip(sizes).filter_map(|(disk, size)| other_size(disk, *size)));
    let package = (choice.definition.id == "ova").then(|| format!("{name}.ova"));
    let driver_machine::Definition { text, file_name, .. } = written;
    Ok(Definition { text, file_name, name, disk_files, package, warnings, use_it })
}

fn write(
    machine: &Machine,
    choice: &Choice,
    options: &DefinitionOptions,
) -> Result<(driver_machine::Definition, &'static str)> {
    let (written, use_it) = match choice.target.platform {
        Platform::HyperV => (
            hyperv_script(machine, choice, options),
            "copy the folder to the Hyper-V host and run the script there in PowerShell, first with -WhatIf",
        ),
        Platform::Kvm => (
            libvirt::definition(machine, options, libvirt::IMAGE_FOLDER),
            "put the disks where the XML says, then: virsh define FILE, virsh start NAME",
        ),
        Platform::Proxmox => (
            proxmox::definition(machine, options),
            "copy the folder to the Proxmox node and run the script there with bash",
        ),
        Platform::Vmware if choice.definition.id == "vmx" => (
            vmx::definition(machine, options),
            "open the VMX file in Workstation or Fusion; on ESXi, first put vmkfstools -i DISK NEW -d thin in the place of \
             each disk, then vim-cmd solo/registervm FILE",
        ),
        Platform::Vmware => (
            ovf::definition(machine, options),
            "import it: Deploy OVF Template in vCenter or ESXi, or ovftool",
        ),
        Platform::VirtualBox => {
            (virtualbox::definition(machine, options), "run the script with bash on the host of VirtualBox")
        }
        Platform::Xen => (
            xen::definition(machine, options, &xen_guest(choice), xen::IMAGE_FOLDER),
            match choice.target.firmware {
                Firmware::Host => {
                    "put the disks and GRUB for PVH guests (Debian: grub-xen-host) where the configuration says, then: xl \
                     create -c FILE"
                }
                Firmware::Bios | Firmware::Uefi => {
                    "put the disks where the configuration says, then: xl create FILE"
                }
            },
        ),
        Platform::KubeVirt => (
            kubevirt::definition(machine, options),
            "kubectl apply -f FILE, fill each DataVolume by virtctl image-upload dv NAME --no-create --image-path DISK, \
             then virtctl start MACHINE",
        ),
        Platform::Azure => (
            clouds::azure::definition(machine, options),
            "fill in the variables at the top of the script and run it with bash where az is logged in",
        ),
        Platform::Gcp => (
            clouds::gcp::definition(machine, options),
            "fill in the variables at the top of the script and run it with bash where gcloud is logged in",
        ),
        Platform::Aws => (
            clouds::ec2::definition(machine, options),
            "fill in the variables at the top of the script and run it with bash where aws is configured",
        ),
    };
    Ok((written.map_err(convert_error)?, use_it))
}

fn xen_guest(choice: &Choice) -> xen::Guest {
    match choice.target.firmware {
        Firmware::Host => xen::Guest::Pvh { loader: xen::PVH_GRUB.into() },
        Firmware::Bios | Firmware::Uefi => xen::Guest::Hvm,
    }
}

fn hyperv_script(
    machine: &Machine,
    choice: &Choice,
    options: &DefinitionOptions,
) -> std::result::Result<driver_machine::Definition, driver_machine::MachineError> {
    let disk = |file: &DiskFile| HypervDisk {
        id: file.id.clone(),
        file: file.file.clone(),
        manifest: file.manifest.clone(),
        size_bytes: Some(file.size_bytes),
    };
    let script = hyperv::script(
        machine,
        &HypervOptions {
            generation: match options.firmware {
                FirmwareKind::Bios => hyperv::Generation::One,
                FirmwareKind::Uefi => hyperv::Generation::Two,
            },
            generation_reason: choice.reason.clone(),
            secure_boot: match (choice.secure_boot, choice.is_windows) {
                (false, _) => SecureBoot::Off,
                (true, true) => SecureBoot::MicrosoftWindows,
                (true, false) => SecureBoot::MicrosoftUefiCa,
            },
            secure_boot_reason: choice.secure_boot_reason.clone(),
            disks: options.disks.iter().map(disk).collect(),
            adapters: options.adapters.clone(),
            fixed_clock: options.fixed_clock,
        },
    )?;
    Ok(driver_machine::Definition {
        file_name: format!("{}.ps1", script.vm_name),
        text: script.text,
        machine_name: script.vm_name,
        warnings: script.warnings,
    })
}

fn disk_bus(name: &str) -> Result<DiskBus> {
    Ok(match name {
        "virtio-blk" => DiskBus::VirtioBlk,
        "virtio-scsi" => DiskBus::VirtioScsi,
        "sata" => DiskBus::Sata,
        "ide" => DiskBus::Ide,
        "nvme" => DiskBus::Nvme,
        "pvscsi" => DiskBus::Pvscsi,
        // Hyper-V's own and Azure's: their writers have no choice to make.
        "lsilogic" | "scsi" => DiskBus::LsiLogic,
        "lsisas" => DiskBus::LsiSas,
        "xen" => DiskBus::XenBlk,
        other => return Err(Error::contract(format!("a target with the controller {other}"))),
    })
}

fn nic_model(module: &str) -> Result<NicModel> {
    Ok(match module {
        "virtio_net" => NicModel::Virtio,
        "e1000e" => NicModel::E1000e,
        "e1000" => NicModel::E1000,
        "vmxnet3" => NicModel::Vmxnet3,
        "xen_netfront" => NicModel::Netfront,
        // The only adapter there is.
        "hv_netvsc" | "ena" => NicModel::E1000,
        other => return Err(Error::contract(format!("a target with the network driver {other}"))),
    })
}

/// Images are matched with disks by their order alone: a wrong size shows that two were given the wrong way round.
fn other_size(disk: &Disk, size: u64) -> Option<Warning> {
    let expected = disk.size_bytes.filter(|expected| *expected != size)?;
    Some(Warning {
        code: "machine-disk-size",
        message: format!(
            "disk {} of the machine has {expected} bytes, its image has {size}: check that the images are given in the \
             order of the machine's disks",
            disk.id
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::plain;
    use driver_core::{Guest, Target};
    use driver_machine::{Bus, DiskSource};

    /// Every target with every kind of definition that it takes.
    fn every_choice() -> impl Iterator<Item = Choice> {
        let kinds = |target: &'static Target| target.definitions.iter().map(move |kind| (target, kind));
        driver_targets::targets().flat_map(kinds).map(|(target, definition)| Choice {
            target,
            definition,
            reason: "test".into(),
            secure_boot: false,
            secure_boot_reason: "test".into(),
            network_module: target.network_module,
            is_windows: false,
        })
    }

    #[test]
    fn every_target_can_be_defined() {
        let guest = Guest { disks: vec![Default::default(); 2], ..Guest::default() };
        let (machine, _) = plain(&guest, &["a.raw".into(), "b.raw".into()]);
        for choice in every_choice() {
            let target = choice.target;
            let found = define(&machine, &choice, &[], &[4 << 30, 1 << 30])
                .unwrap_or_else(|e| panic!("{}: {e}", target.id));
            assert_eq!(found.disk_files.len(), 2);
            for file in &found.disk_files {
                assert!(found.text.contains(file.as_str()), "{}: {}", target.id, found.text);
            }
        }
    }

    #[test]
    fn every_target_can_be_defined_for_windows() {
        let guest = Guest { disks: vec![Default::default()], ..Guest::default() };
        let (mut machine, _) = plain(&guest, &["a.raw".into()]);
        let description = "Windows Server 2022 Datacenter 10.0.20348".into();
        machine.os = Some(driver_machine::OsHint { family: driver_machine::OsFamily::Windows, description });
        for mut choice in every_choice() {
            let target = choice.target;
            choice.is_windows = true;
            // Without the platform's drivers.
            choice.network_module =
                driver_targets::plain_network_module(target).unwrap_or(target.network_module);
            choice.secure_boot = target.firmware == Firmware::Uefi && target.platform == Platform::HyperV;
            let found = define(&machine, &choice, &[], &[4 << 30]);
            if target.firmware == Firmware::Host {
                assert!(found.is_err_and(|error| error.to_string().contains("hvm")), "{}", target.id);
                continue;
            }
            let found = found.unwrap_or_else(|e| panic!("{}: {e}", target.id));
            let template = found.text.contains("$SecureBootTemplate = 'MicrosoftWindows'");
            assert_eq!(template, choice.secure_boot, "{}", target.id);
        }
    }

    #[test]
    fn a_clock_in_local_time_is_said_or_warned_of() {
        let mut guest = Guest { disks: vec![Default::default()], ..Guest::default() };
        guest.os = Some(driver_core::OsFacts { local_clock: true, ..Default::default() });
        let (machine, _) = plain(&guest, &["a.raw".into()]);
        assert_eq!(machine.clock, driver_machine::Clock::Local);
        for choice in every_choice() {
            let (target, definition) = (choice.target, choice.definition);
            let found = define(&machine, &choice, &[], &[4 << 30]).unwrap();
            let warned = found.warnings.iter().any(|warning| warning.code.ends_with("-clock"));
            // A VMX file runs on ESXi as well, whose clock is UTC.
            let expected = definition.clock == Clock::Utc || definition.id == "vmx";
            assert_eq!(warned, expected, "{} {}", target.id, definition.id);
        }
    }

    #[test]
    fn an_image_of_another_size_is_noticed() {
        let (mut machine, _) = plain(&Guest::default(), &[]);
        machine.disks.push(Disk {
            id: "vol-1".into(),
            source: DiskSource::Volume("vol-1".into()),
            bus: Bus::Nvme,
            order: 0,
            boot: true,
            size_bytes: Some(8 << 30),
            device_name: None,
        });
        assert_eq!(other_size(&machine.disks[0], 8 << 30), None);
        let warning = other_size(&machine.disks[0], 9 << 30).unwrap();
        assert!(warning.message.starts_with("disk vol-1 of the machine has 8589934592 bytes"), "{warning:?}");
        machine.disks[0].size_bytes = None;
        assert_eq!(other_size(&machine.disks[0], 9 << 30), None);
    }
}
