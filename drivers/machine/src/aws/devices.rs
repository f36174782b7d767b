//! Disks and network adapters of an instance.

use super::{Findings, Source, sizes};
use crate::error::shown;
use crate::validate::plain_text_fault;
use crate::{Bus, Disk, DiskSource, MachineError, Nic};

/// The EBS volumes, root first, then as listed.
pub(super) fn disks(source: &Source<'_>, notes: &mut Findings) -> Result<Vec<Disk>, MachineError> {
    let instance = source.instance;
    if instance.root_device_type.as_deref() == Some("instance-store") {
        return Err(MachineError::Unsupported {
            what: "aws",
            reason: format!(
                "instance {} has its root on instance store, which cannot be exported",
                instance.instance_id
            ),
        });
    }
    let error =
        |reason: &str| MachineError::Aws { instance: instance.instance_id.clone(), reason: reason.into() };
    let mut mapped: Vec<(&str, &str)> = instance
        .block_device_mappings
        .iter()
        .filter_map(|mapping| {
            let volume = mapping.ebs.as_ref()?.volume_id.as_deref()?;
            Some((mapping.device_name.as_deref().unwrap_or_default(), volume))
        })
        .collect();
    if mapped.is_empty() {
        return Err(error("BlockDeviceMappings names no EBS volume"));
    }
    let root = instance.root_device_name.as_deref();
    let root_index = mapped.iter().position(|(device, _)| Some(*device) == root);
    match root_index {
        Some(index) => {
            if let Some(moved) = mapped.get_mut(..=index) {
                moved.rotate_right(1);
            }
            notes.known("disks", "BlockDeviceMappings, RootDeviceName first");
        }
        None => {
            notes.known("disks", "BlockDeviceMappings as listed");
            notes.warn("aws-root-unknown", format!(
                "RootDeviceName {} is not among BlockDeviceMappings; the first volume, {}, is taken as the boot disk",
                shown(root.unwrap_or_default()),
                shown(mapped.first().map_or("", |(_, volume)| *volume))
            ));
        }
    }
    let bus = bus(source);
    mapped
        .into_iter()
        .zip(0_u32..)
        .map(|((device, volume), order)| disk(source, (device, volume), order, bus, notes))
        .collect()
}

fn disk(
    source: &Source<'_>,
    (device, volume): (&str, &str),
    order: u32,
    bus: Bus,
    notes: &mut Findings,
) -> Result<Disk, MachineError> {
    let size_gib = source.volumes.get(volume).and_then(|entry| entry.size);
    let size_bytes = match size_gib {
        Some(gib) => Some(gib.checked_mul(1 << 30).ok_or_else(|| MachineError::Aws {
            instance: source.instance.instance_id.clone(),
            reason: format!("volume {} has Size {gib} GiB, which is no possible size", shown(volume)),
        })?),
        None => {
            notes.warn(
                "aws-volume-size-unknown",
                format!(
                    "volume {} is not in the documents, its size is not known; save describe-volumes too",
                    shown(volume)
                ),
            );
            None
        }
    };
    Ok(Disk {
        id: volume.to_owned(),
        source: DiskSource::Volume(volume.to_owned()),
        bus,
        order,
        boot: order == 0,
        size_bytes,
        device_name: Some(device.to_owned())
            .filter(|text| !text.is_empty() && plain_text_fault(text).is_none()),
    })
}

/// `Hypervisor` of the instance itself says xen for both; only the instance type tells them apart.
fn bus(source: &Source<'_>) -> Bus {
    let type_name = source.instance.instance_type.as_deref().unwrap_or_default();
    match source.instance_type.and_then(|entry| entry.hypervisor.as_deref()) {
        Some("xen") => Bus::Xen,
        Some(_) => Bus::Nvme,
        None if sizes::is_xen(type_name) => Bus::Xen,
        None if type_name.is_empty() => Bus::Other,
        None => Bus::Nvme,
    }
}

/// The interfaces in the order the guest counts them.
pub(super) fn nics(source: &Source<'_>, notes: &mut Findings) -> Vec<Nic> {
    let mut interfaces: Vec<_> = source.instance.network_interfaces.iter().collect();
    interfaces.sort_by_key(|interface| {
        interface
            .attachment
            .as_ref()
            .map_or((u32::MAX, u32::MAX), |at| (at.network_card_index, at.device_index))
    });
    if !interfaces.is_empty() {
        notes.known("nics", "NetworkInterfaces by device index");
    }
    let model = match (source.instance.ena_support, source.instance.sriov_net_support.as_deref()) {
        (Some(true), _) => Some("ena"),
        (_, Some("simple")) => Some("ixgbevf"),
        _ => None,
    };
    let mut nics = Vec::new();
    for interface in interfaces {
        let id = interface.network_interface_id.as_deref().unwrap_or("without an id");
        let mac = match interface.mac_address.as_deref().map(str::parse) {
            Some(Ok(mac)) => Some(mac),
            Some(Err(fault)) => {
                notes.warn(
                    "aws-mac",
                    format!("network interface {}: {fault}; the target chooses one", shown(id)),
                );
                None
            }
            None => None,
        };
        let private =
            interface.private_ip_addresses.iter().filter_map(|entry| entry.private_ip_address.as_ref());
        let ipv6 = interface.ipv6_addresses.iter().filter_map(|entry| entry.ipv6_address.as_ref());
        let network = interface.subnet_id.as_ref().or(interface.vpc_id.as_ref());
        nics.push(Nic {
            mac,
            network: network.filter(|text| plain_text_fault(text).is_none()).cloned(),
            model: if interface.interface_type.as_deref() == Some("efa") { Some("efa") } else { model }
                .map(str::to_owned),
            addresses: private
                .chain(ipv6)
                .filter(|text| text.parse::<std::net::IpAddr>().is_ok())
                .take(256)
                .cloned()
                .collect(),
        });
    }
    nics
}
