//! Which adapter of the machine a network connection belongs to.
//!
//! Windows keeps the hardware address of a connection where these are found, and nowhere else (DhcpGatewayHardware is the gateway's):
//! - Windows 10 and Server 2016 or later: `Control\NetworkSetup2\Interfaces\{guid}\Kernel`, PermanentAddress and CurrentAddress, 6 bytes
//!   each. Not documented; forensic tools and other migration tools read them.
//! - The device instance of adapters with a PCI Express serial number that is made of it. Intel's 82574L (e1000e), here as VMware has it:
//!   `005056FFFFB9E8F200` is 00:50:56:b9:e8:f2; vmxnet3: `FF565000BB0895FE00` is 00:50:56:95:08:bb (device instances with their
//!   addresses were published in bug reports; the serial number itself is that of the PCI Express capability).

use crate::services::service_key;
use driver_core::{Draft, InterfaceFacts, Mac, NetworkWishes};
use driver_registry::Value;
use format_core::Result;

/// Beginnings of the device instances of adapters that a machine has. Teams, bridges, tunnels and the like have others.
const HARDWARE: [&str; 5] = ["PCI\\", "VMBUS\\", "XENVIF\\", "XENBUS\\", "XEN\\"];
/// Device instances that have the hardware address in their last part.
const WITH_ADDRESS: [&str; 2] = ["PCI\\VEN_15AD&DEV_07B0&", "PCI\\VEN_8086&DEV_10D3&"];

/// Where fixed addresses go when Windows runs again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// To the adapter with this address.
    Address(Mac),
    /// The same, or else to the only adapter, because there is one.
    AddressOrOnly(Mac),
    /// To the only adapter.
    Only,
}

/// A connection, with what its adapter is known by.
pub(super) struct Connection<'a> {
    pub(super) facts: &'a InterfaceFacts,
    macs: Vec<Mac>,
}

/// The connections of adapters that the machine has, or had.
pub(super) fn connections<'a>(
    draft: &Draft<'_>,
    set: &str,
    interfaces: &'a [InterfaceFacts],
) -> Result<Vec<Connection<'a>>> {
    let hardware = interfaces.iter().filter(|facts| is_hardware(facts));
    hardware.map(|facts| Ok(Connection { facts, macs: hardware_addresses(draft, set, facts)? })).collect()
}

pub(super) fn is_hardware(facts: &InterfaceFacts) -> bool {
    let device = facts.device.as_deref().unwrap_or_default().to_ascii_uppercase();
    HARDWARE.iter().any(|bus| device.starts_with(bus))
}

/// Where what `connection` has goes to, when that is certain.
pub(super) fn place(
    connection: &Connection<'_>,
    all: &[Connection<'_>],
    network: &NetworkWishes,
) -> Option<Place> {
    let is_its = |mac: &Mac, of: &Connection<'_>| of.macs.contains(mac);
    let sources = network.adapters.iter().enumerate().filter_map(|(at, adapter)| Some((at, adapter.source?)));
    let mut own = sources.filter(|(_, mac)| is_its(mac, connection));
    match (own.next(), own.next()) {
        // An adapter that was replaced before leaves a connection of the same address behind.
        (Some((at, mac)), None) if all.iter().filter(|other| is_its(&mac, other)).count() == 1 => {
            place_of(at, network)
        }
        (None, _) if connection.macs.is_empty() && all.len() == 1 && network.adapters.len() == 1 => {
            place_of(0, network)
        }
        (None, _) if all.len() == 1 && network.adapters.is_empty() => Some(Place::Only),
        _ => None,
    }
}

/// The place that an adapter of the machine has, by its position.
pub(super) fn place_of(at: usize, network: &NetworkWishes) -> Option<Place> {
    let alone = network.adapters.len() == 1;
    match network.adapters.get(at)?.target {
        Some(mac) if alone => Some(Place::AddressOrOnly(mac)),
        Some(mac) => Some(Place::Address(mac)),
        None if alone => Some(Place::Only),
        None => None,
    }
}

fn hardware_addresses(draft: &Draft<'_>, set: &str, facts: &InterfaceFacts) -> Result<Vec<Mac>> {
    let kernel = format!(r"SYSTEM\{set}\Control\NetworkSetup2\Interfaces\{}\Kernel", facts.guid);
    let mut macs: Vec<Mac> = facts.device.as_deref().and_then(address_in_instance).into_iter().collect();
    for name in ["PermanentAddress", "CurrentAddress"] {
        let value = draft.value(&kernel, name)?;
        let octets: Option<[u8; 6]> = value.and_then(|value| value.data.as_slice().try_into().ok());
        macs.extend(octets.filter(|octets| *octets != [0; 6]).map(Mac));
    }
    macs.sort_unstable();
    macs.dedup();
    Ok(macs)
}

/// The hardware address in a device instance.
fn address_in_instance(device: &str) -> Option<Mac> {
    let device = device.to_ascii_uppercase();
    if !WITH_ADDRESS.iter().any(|start| device.starts_with(start)) {
        return None;
    }
    let serial = device.rsplit('\\').next().filter(|part| part.len() == 18 && part.is_ascii())?;
    let mut octets = [0u8; 9];
    for (at, octet) in octets.iter_mut().enumerate() {
        let digits = serial.get(2 * at..2 * at + 2).filter(|digits| !digits.starts_with('+'))?;
        *octet = u8::from_str_radix(digits, 16).ok()?;
    }
    match octets {
        [a, b, c, 0xff, 0xff, d, e, f, 0] => Some(Mac([a, b, c, d, e, f])),
        [0xff, c, b, a, f, e, d, 0xfe, 0] => Some(Mac([a, b, c, d, e, f])),
        _ => None,
    }
}

/// How the DNS client registers what a connection has: the values RegistrationEnabled and RegisterAdapterName in the words of netsh.
pub(super) fn registration(draft: &Draft<'_>, set: &str, guid: &str) -> Result<&'static str> {
    let key = interface_key(set, guid);
    let number = |name: &str| Ok::<_, format_core::Error>(draft.value(&key, name)?.and_then(|v| v.as_u32()));
    Ok(match (number("RegistrationEnabled")?, number("RegisterAdapterName")?) {
        (Some(0), _) => "none",
        (_, Some(1)) => "both",
        _ => "primary",
    })
}

/// The metric of the default gateways; `None` for an automatic one.
pub(super) fn gateway_metric(draft: &Draft<'_>, set: &str, guid: &str) -> Result<Option<u16>> {
    let value = draft.value(&interface_key(set, guid), "DefaultGatewayMetric")?;
    let first = value.as_ref().and_then(Value::as_multi_str).and_then(|texts| texts.into_iter().next());
    Ok(first.and_then(|text| text.trim().parse().ok()).filter(|metric| *metric > 0))
}

/// What a connection has besides, and netsh cannot set or nobody reads here, in words.
pub(super) fn not_carried(draft: &Draft<'_>, set: &str, guid: &str) -> Result<Vec<&'static str>> {
    let key = interface_key(set, guid);
    let mut found = Vec::new();
    if draft.value(&key, "Domain")?.and_then(|value| value.as_str()).is_some_and(|text| !text.is_empty()) {
        found.push("its DNS suffix");
    }
    let netbt = format!(r"{}\Parameters\Interfaces\Tcpip_{guid}", service_key(set, "NetBT"));
    let wins = draft.value(&netbt, "NameServerList")?.and_then(|value| value.as_multi_str());
    if wins.is_some_and(|servers| !servers.is_empty()) {
        found.push("its WINS servers");
    }
    if draft.value(&key, "InterfaceMetric")?.and_then(|value| value.as_u32()).is_some_and(|metric| metric > 0)
    {
        found.push("its interface metric");
    }
    Ok(found)
}

fn interface_key(set: &str, guid: &str) -> String {
    format!(r"{}\Parameters\Interfaces\{guid}", service_key(set, "Tcpip"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_instances_tell_addresses_or_nothing() {
        for (device, mac) in [
            (r"PCI\VEN_15AD&DEV_07B0&SUBSYS_07B015AD&REV_01\FF565000BB0895FE00", Some("00:50:56:95:08:bb")),
            (r"PCI\VEN_8086&DEV_10D3&SUBSYS_07D015AD&REV_00\005056FFFFB9E8F200", Some("00:50:56:b9:e8:f2")),
            (r"PCI\VEN_8086&DEV_100F&SUBSYS_075015AD&REV_01\4&B70F118&0&0888", None),
            (r"PCI\VEN_15AD&DEV_07B0&SUBSYS_07B015AD&REV_01\4&2B7C36E&0&00A80", None),
            (r"PCI\VEN_15AD&DEV_07B0&SUBSYS_07B015AD&REV_01\FF565000BB0895FE01", None),
            (r"PCI\VEN_15AD&DEV_07B0&SUBSYS_07B015AD&REV_01\FF565000ÄB0895FE0", None),
            (r"PCI\VEN_1D0F&DEV_EC20&SUBSYS_EC201D0F&REV_00\FF565000BB0895FE00", None),
        ] {
            let found = address_in_instance(device).map(|mac| mac.to_string());
            assert_eq!(found.as_deref(), mac, "{device}");
        }
    }
}
