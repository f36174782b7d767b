//! What every writer of a machine definition is told and gives back.
//!
//! A caller decides about firmware, bus and adapter once, from what was found in the guest, and asks any dialect for
//! its text. What a dialect cannot say is a [`Warning`], what it cannot run an error of kind `Unsupported`.

use std::collections::BTreeSet;

use crate::error::shown;
use crate::hyperv::windows_name;
use crate::validate::{is_refused, plain_text_fault};
use crate::{AdapterChoice, Clock, Disk, FirmwareKind, Machine, MachineError, Warning};

/// The converted file of one disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskFile {
    /// [`crate::Disk::id`] of the disk.
    pub id: String,
    /// Name of the image file, beside the definition: a name only, no folder.
    pub file: String,
    /// Name of its digest manifest, beside the definition.
    pub manifest: String,
    /// `qcow2`, `raw`, `vmdk`, `vhd`, `vhdx` or `vdi`.
    pub format: &'static str,
    /// Virtual size in bytes, as found in the image.
    pub size_bytes: u64,
}

/// How the target attaches the disks; all in the same way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names of the controllers say it all")]
pub enum DiskBus {
    VirtioBlk,
    VirtioScsi,
    Sata,
    Ide,
    Nvme,
    /// VMware's paravirtual SCSI controller.
    Pvscsi,
    LsiLogic,
    /// VMware's LSI Logic SAS 1068, for which Windows has a driver.
    LsiSas,
    /// Xen's paravirtual block device.
    XenBlk,
}

/// Model of every network adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names of the models say it all")]
pub enum NicModel {
    Virtio,
    E1000e,
    E1000,
    Vmxnet3,
    /// Xen's paravirtual adapter.
    Netfront,
}

/// What the caller decided about the target machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefinitionOptions {
    /// Firmware the disks can be started by.
    pub firmware: FirmwareKind,
    /// Why this one, one line for people.
    pub firmware_reason: String,
    /// Whether Secure Boot is enforced; never with BIOS.
    pub secure_boot: bool,
    /// Bus of every disk.
    pub disk_bus: DiskBus,
    /// Model of every network adapter.
    pub nic_model: NicModel,
    /// One entry for each disk of the machine, in any order.
    pub disks: Vec<DiskFile>,
    /// What was decided about the network adapters, in the machine's order; what is missing was not decided.
    pub adapters: Vec<AdapterChoice>,
    /// The clock that the platform gives every machine; `None` where the definition says what the machine has.
    pub fixed_clock: Option<Clock>,
}

/// A finished definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    /// The text as it belongs into the file, with a final newline.
    pub text: String,
    /// Name of the file, which lies in the folder of the disks.
    pub file_name: String,
    /// Name of the virtual machine, which differs from the machine's where the target cannot take that.
    pub machine_name: String,
    /// What the target cannot say about this machine.
    pub warnings: Vec<Warning>,
}

impl DefinitionOptions {
    /// Checks machine and options and pairs the disks with their files, boot disk first. Pure.
    ///
    /// # Errors
    /// Kind `Invalid` when the machine breaks a rule, when disks and files do not match one to one, when a file name is
    /// no plain name, or when Secure Boot is asked for with BIOS.
    pub fn pair<'a>(&'a self, machine: &'a Machine) -> Result<Vec<(&'a Disk, &'a DiskFile)>, MachineError> {
        machine.validate()?;
        if let Some(fault) = plain_text_fault(&self.firmware_reason) {
            return Err(fault_of(format!("the reason for the firmware {fault}")));
        }
        if self.secure_boot && self.firmware == FirmwareKind::Bios {
            return Err(fault_of("secure boot is on, but BIOS has none".into()));
        }
        self.check_files(machine)?;
        machine
            .disks_in_boot_order()
            .into_iter()
            .map(|disk| {
                let file = self.disks.iter().find(|file| file.id == disk.id);
                let missing =
                    || fault_of(format!("there is no file for disk {} of the machine", shown(&disk.id)));
                Ok((disk, file.ok_or_else(missing)?))
            })
            .collect()
    }

    fn check_files(&self, machine: &Machine) -> Result<(), MachineError> {
        let mut ids = BTreeSet::new();
        let mut names = BTreeSet::new();
        for file in &self.disks {
            if !machine.disks.iter().any(|disk| disk.id == file.id) {
                return Err(fault_of(format!(
                    "file {} is for disk {}, which the machine has not",
                    shown(&file.file),
                    shown(&file.id)
                )));
            }
            if !ids.insert(&file.id) {
                return Err(fault_of(format!("there are two files for disk {}", shown(&file.id))));
            }
            for name in [&file.file, &file.manifest] {
                if let Some(fault) = file_fault(name) {
                    return Err(fault_of(format!("file name {} {fault}", shown(name))));
                }
            }
            if !names.insert(&file.file) {
                return Err(fault_of(format!("file {} is given for two disks", shown(&file.file))));
            }
            if !matches!(file.format, "qcow2" | "raw" | "vmdk" | "vhd" | "vhdx" | "vdi") {
                return Err(fault_of(format!("format {} is not known", shown(file.format))));
            }
        }
        Ok(())
    }
}

/// Name of a definition file: the machine's name as any file system takes it, and `extension` with its dot.
pub(crate) fn definition_file(machine: &Machine, extension: &str) -> String {
    format!("{}{extension}", windows_name(&machine.name))
}

/// What keeps `name` from being the name of a file beside the definition.
fn file_fault(name: &str) -> Option<String> {
    if name.is_empty() || matches!(name, "." | "..") {
        return Some("is no file".into());
    }
    if name.len() > 255 {
        return Some("has more than 255 bytes".into());
    }
    let bad = name.chars().find(|&c| is_refused(c) || matches!(c, '/' | '\\'))?;
    Some(format!("holds '{}', which a file name beside the definition cannot have", bad.escape_debug()))
}

fn fault_of(reason: String) -> MachineError {
    MachineError::field("definition", reason)
}
