//! Which devices are disks of the machine, and in which order.
//!
//! The names of devices are those of the machine's configuration with `drive-` before them. What the machine is, is read
//! elsewhere, from the configuration that the container hands on; here only the boot disk is looked for, to put it first.

use crate::parse::{Device, Header};
use format_core::Access;

/// The configuration of the machine.
const CONFIG: &str = "qemu-server.conf";
/// What firmware keeps for itself: no disk of the guest, and never its boot disk.
const STORES: [&str; 2] = ["drive-efidisk", "drive-tpmstate"];

/// The devices as the operator sees them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Choice {
    /// Disks by their index in [`Header::devices`], the boot disk first.
    pub(crate) disks: Vec<usize>,
    /// Firmware's stores that are left out.
    pub(crate) stores: Vec<usize>,
    /// The memory of the machine.
    pub(crate) memory: Option<usize>,
}

/// Sorts the devices. A store of firmware is a disk only when the operator picks it by its name.
pub(crate) fn choose(header: &Header, access: &Access) -> Choice {
    let mut choice = Choice::default();
    let is_store = |device: &Device| {
        STORES.iter().any(|stem| device.name.starts_with(stem)) && access.pick.as_ref() != Some(&device.name)
    };
    for (index, device) in header.devices.iter().enumerate() {
        match device {
            device if device.is_memory() => choice.memory = Some(index),
            device if is_store(device) => choice.stores.push(index),
            _ => choice.disks.push(index),
        }
    }
    // A machine of stores only is none: they are all there is to convert.
    if choice.disks.is_empty() {
        choice.disks.append(&mut choice.stores);
    }
    let config = header.configs.iter().find(|config| config.name == CONFIG);
    let order = config.map(|config| boot_order(&String::from_utf8_lossy(&config.bytes))).unwrap_or_default();
    let rank = |index: &usize| {
        let name = header.devices.get(*index).map_or("", |device| device.name.as_str());
        let key = name.strip_prefix("drive-").unwrap_or(name);
        order.iter().position(|wanted| wanted == key).unwrap_or(usize::MAX)
    };
    choice.disks.sort_by_key(rank);
    choice
}

/// The devices that a machine is started from, as `boot: order=scsi0;net0` or the older `bootdisk: scsi0` say it.
fn boot_order(config: &str) -> Vec<String> {
    // Sections behind the first are snapshots.
    let current = config.lines().take_while(|line| !line.trim_start().starts_with('['));
    let pairs: Vec<_> = current.filter_map(|line| line.split_once(':')).collect();
    let value = |key: &str| pairs.iter().find(|(name, _)| *name == key).map(|(_, value)| value.trim());
    let order = value("boot").and_then(|boot| boot.split(',').find_map(|part| part.strip_prefix("order=")));
    match (order, value("bootdisk")) {
        (Some(order), _) => order.split(';').map(|key| key.trim().to_owned()).collect(),
        (None, Some(disk)) => vec![disk.to_owned()],
        (None, None) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::boot_order;

    #[test]
    fn both_ways_to_name_the_boot_disk() {
        assert_eq!(boot_order("a: b\nboot: order=scsi1;net0\nbootdisk: ide0\n"), ["scsi1", "net0"]);
        assert_eq!(boot_order("boot: cdn\nbootdisk: ide0\n[snap]\nbootdisk: ide9\n"), ["ide0"]);
        assert!(boot_order("boot: cdn\n[snap]\nbootdisk: ide9\n").is_empty());
    }
}
