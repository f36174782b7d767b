//! The rules a machine must keep that types alone cannot say.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::shown;
use crate::{Cpu, Disk, DiskSource, FirmwareKind, Machine, MachineError, Nic};

const MAX_NAME: usize = 255;
const MAX_TEXT: usize = 1024;
const MAX_CPUS: u32 = 4096;
/// 64 TiB: twice the largest machine on the market.
const MAX_MEMORY_MIB: u64 = 64 << 20;
const MAX_DISKS: usize = 256;
const MAX_NICS: usize = 64;
const MAX_ENTRIES: usize = 256;
/// 1 PiB.
const MAX_DISK_BYTES: u64 = 1 << 50;

impl Machine {
    /// Checks every rule that holds for a machine on any hypervisor. Pure; the first broken rule is reported.
    ///
    /// # Errors
    /// [`MachineError::Field`] with the path of the field, what was read and what is possible.
    pub fn validate(&self) -> Result<(), MachineError> {
        check_text("name", &self.name, MAX_NAME)?;
        if self.name.trim().is_empty() {
            return Err(MachineError::field("name", "is empty"));
        }
        if self.firmware.kind == FirmwareKind::Bios && self.firmware.secure_boot == Some(true) {
            return Err(MachineError::field("firmware.secure_boot", "is true, but BIOS has no secure boot"));
        }
        check_cpu(&self.cpu)?;
        if self.memory_mib == 0 || self.memory_mib > MAX_MEMORY_MIB {
            return Err(range("memory_mib", self.memory_mib, 1, MAX_MEMORY_MIB));
        }
        check_disks(&self.disks)?;
        check_nics(&self.nics)?;
        if let Some(os) = &self.os {
            check_text("os.description", &os.description, MAX_TEXT)?;
        }
        if let Some(notes) = &self.notes {
            check_text("notes", notes, MAX_TEXT)?;
        }
        check_map("tags", &self.tags)?;
        check_map("provenance", &self.provenance)
    }
}

/// Whether `text` may stand in a machine: no control characters, none that reorder the text around them, and at most
/// `max` characters. Says what is wrong otherwise.
pub(crate) fn text_fault(text: &str, max: usize) -> Option<String> {
    if let Some(bad) = text.chars().find(|&c| is_refused(c)) {
        let code = u32::from(bad);
        return Some(format!("{} holds the control character U+{code:04X}", shown(text)));
    }
    let length = text.chars().count();
    (length > max).then(|| format!("{} has {length} characters, at most {max} are possible", shown(text)))
}

/// [`text_fault`] with the limit of ordinary text fields.
pub(crate) fn plain_text_fault(text: &str) -> Option<String> {
    text_fault(text, MAX_TEXT)
}

/// [`text_fault`] with the limit of a machine's name, which may not be blank either.
pub(crate) fn name_fault(text: &str) -> Option<String> {
    if text.trim().is_empty() { Some("is empty".into()) } else { text_fault(text, MAX_NAME) }
}

/// Control characters; bidirectional overrides, embeddings and isolates; the two Unicode line ends. They make a script
/// or a report read differently from what it says.
pub(crate) fn is_refused(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn check_text(field: &str, text: &str, max: usize) -> Result<(), MachineError> {
    match text_fault(text, max) {
        Some(fault) => Err(MachineError::field(field, fault)),
        None => Ok(()),
    }
}

fn range(field: &str, actual: u64, low: u64, high: u64) -> MachineError {
    MachineError::field(field, format!("is {actual}, possible are {low} to {high}"))
}

fn check_cpu(cpu: &Cpu) -> Result<(), MachineError> {
    if cpu.count == 0 || cpu.count > MAX_CPUS {
        return Err(range("cpu.count", cpu.count.into(), 1, MAX_CPUS.into()));
    }
    let Some(topology) = cpu.topology else { return Ok(()) };
    let product = [topology.cores, topology.threads]
        .into_iter()
        .try_fold(topology.sockets, |product: u32, factor| product.checked_mul(factor));
    if product != Some(cpu.count) {
        let reason = format!(
            "{} sockets × {} cores × {} threads is not cpu.count {}",
            topology.sockets, topology.cores, topology.threads, cpu.count
        );
        return Err(MachineError::field("cpu.topology", reason));
    }
    Ok(())
}

fn check_disks(disks: &[Disk]) -> Result<(), MachineError> {
    if disks.is_empty() || disks.len() > MAX_DISKS {
        let reason = format!("has {} entries, possible are 1 to {MAX_DISKS}", disks.len());
        return Err(MachineError::field("disks", reason));
    }
    let mut ids = BTreeSet::new();
    let mut orders = BTreeSet::new();
    let mut boot = None;
    for (index, disk) in disks.iter().enumerate() {
        let at = |field: &str| format!("disks[{index}].{field}");
        check_disk(disk, &at)?;
        if !ids.insert(&disk.id) {
            return Err(MachineError::field(at("id"), format!("{} is used twice", shown(&disk.id))));
        }
        if !orders.insert(disk.order) {
            return Err(MachineError::field(at("order"), format!("{} is used twice", disk.order)));
        }
        if disk.boot && boot.replace(index).is_some() {
            return Err(MachineError::field(at("boot"), "is true for a second disk"));
        }
    }
    Ok(())
}

fn check_disk(disk: &Disk, at: &dyn Fn(&str) -> String) -> Result<(), MachineError> {
    let (DiskSource::File(source) | DiskSource::Volume(source)) = &disk.source;
    for (field, text) in [("id", &disk.id), ("source", source)] {
        check_text(&at(field), text, MAX_TEXT)?;
        if text.trim().is_empty() {
            return Err(MachineError::field(at(field), "is empty"));
        }
    }
    if let Some(size) = disk.size_bytes {
        if size == 0 || size > MAX_DISK_BYTES {
            return Err(range(&at("size_bytes"), size, 512, MAX_DISK_BYTES));
        }
        if size % 512 != 0 {
            return Err(MachineError::field(at("size_bytes"), format!("{size} is no multiple of 512")));
        }
    }
    disk.device_name.as_ref().map_or(Ok(()), |name| check_text(&at("device_name"), name, MAX_TEXT))
}

fn check_nics(nics: &[Nic]) -> Result<(), MachineError> {
    if nics.len() > MAX_NICS {
        let reason = format!("has {} entries, at most {MAX_NICS} are possible", nics.len());
        return Err(MachineError::field("nics", reason));
    }
    let mut macs = BTreeSet::new();
    for (index, nic) in nics.iter().enumerate() {
        let at = |field: &str| format!("nics[{index}].{field}");
        if let Some(mac) = nic.mac
            && !macs.insert(mac)
        {
            return Err(MachineError::field(at("mac"), format!("{mac} is used twice")));
        }
        for (field, text) in [("network", &nic.network), ("model", &nic.model)] {
            text.as_ref().map_or(Ok(()), |text| check_text(&at(field), text, MAX_TEXT))?;
        }
        if nic.addresses.len() > MAX_ENTRIES {
            let reason = format!("has {} entries, at most {MAX_ENTRIES} are possible", nic.addresses.len());
            return Err(MachineError::field(at("addresses"), reason));
        }
        nic.addresses.iter().try_for_each(|address| check_text(&at("addresses"), address, MAX_TEXT))?;
    }
    Ok(())
}

fn check_map(field: &str, map: &BTreeMap<String, String>) -> Result<(), MachineError> {
    if map.len() > MAX_ENTRIES {
        let reason = format!("has {} entries, at most {MAX_ENTRIES} are possible", map.len());
        return Err(MachineError::field(field, reason));
    }
    map.iter().try_for_each(|(key, value)| {
        check_text(field, key, MAX_TEXT)?;
        check_text(field, value, MAX_TEXT)
    })
}
