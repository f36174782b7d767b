//! Network interfaces and their addresses.
//!
//! Source: Microsoft, "TCP/IP and NBT configuration parameters": `Tcpip\Parameters\Interfaces\{guid}` with EnableDHCP, IPAddress,
//! SubnetMask, DefaultGateway, NameServer; `Control\Network\{4D36E972-…}\{guid}\Connection` with the name and the device. Addresses of IPv6
//! are kept elsewhere, in binary (`Nsi`), and are not read.

use crate::services::service_key;
use driver_core::{GuestTree, InterfaceFacts};
use driver_registry::{Key, Value};
use format_core::Result;
use std::net::{IpAddr, Ipv4Addr};

/// Class of network adapters.
const NETWORK: &str = "{4D36E972-E325-11CE-BFC1-08002BE10318}";
/// A machine has fewer that are fixed.
const MOST: usize = 256;

/// The interfaces that have an adapter, those with fixed addresses first.
pub(crate) fn interfaces(tree: &GuestTree, set: &str) -> Result<Vec<InterfaceFacts>> {
    let all = format!(r"{}\Parameters\Interfaces", service_key(set, "Tcpip"));
    let Some(key) = tree.registry_key(&all)? else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for interface in key.subkeys()? {
        let guid = interface.name().to_string();
        let connection = format!(r"SYSTEM\{set}\Control\Network\{NETWORK}\{guid}\Connection");
        let text = |name: &str| -> Result<Option<String>> {
            Ok(tree.registry_value(&connection, name)?.as_ref().and_then(Value::as_str))
        };
        let (name, device) = (text("Name")?, text("PnpInstanceID")?);
        // Tunnels and the like have no device, or one of software.
        if device.as_ref().is_none_or(|device| device.to_ascii_uppercase().starts_with("SWD\\")) {
            continue;
        }
        found.push(read_interface(&interface, guid, name, device)?);
    }
    // What was removed leaves its key behind, so that there may be many; what is fixed stays in any case.
    found.sort_by_key(|interface| interface.addresses.is_empty());
    found.truncate(MOST);
    Ok(found)
}

fn read_interface(
    key: &Key<'_>,
    guid: String,
    name: Option<String>,
    device: Option<String>,
) -> Result<InterfaceFacts> {
    let dhcp = key.value("EnableDHCP")?.as_ref().and_then(Value::as_u32) != Some(0);
    let mut facts = InterfaceFacts { guid, name, device, dhcp, ..InterfaceFacts::default() };
    facts.dns = addresses(&list(key, "NameServer")?).into_iter().map(IpAddr::V4).collect();
    if dhcp {
        return Ok(facts);
    }
    let masks = list(key, "SubnetMask")?;
    for (address, mask) in list(key, "IPAddress")?.iter().zip(&masks) {
        let (Ok(address), Ok(mask)) = (address.parse::<Ipv4Addr>(), mask.parse::<Ipv4Addr>()) else {
            continue;
        };
        if let (false, Some(bits)) = (address.is_unspecified(), prefix(mask)) {
            facts.addresses.push((IpAddr::V4(address), bits));
        }
    }
    facts.gateways = addresses(&list(key, "DefaultGateway")?).into_iter().map(IpAddr::V4).collect();
    Ok(facts)
}

/// Lists are of type REG_MULTI_SZ, or a text with commas or blanks between the entries.
fn list(key: &Key<'_>, name: &str) -> Result<Vec<String>> {
    let Some(value) = key.value(name)? else { return Ok(Vec::new()) };
    let texts = value.as_multi_str().or_else(|| value.as_str().map(|text| vec![text])).unwrap_or_default();
    let parts = texts.iter().flat_map(|text| text.split([',', ' '])).filter(|part| !part.is_empty());
    Ok(parts.map(str::to_owned).collect())
}

fn addresses(texts: &[String]) -> Vec<Ipv4Addr> {
    texts.iter().filter_map(|text| text.parse().ok()).filter(|ip: &Ipv4Addr| !ip.is_unspecified()).collect()
}

/// Bits of a mask that has no holes.
fn prefix(mask: Ipv4Addr) -> Option<u8> {
    let bits = u32::from(mask);
    let ones = bits.leading_ones();
    (bits.count_ones() == ones).then(|| u8::try_from(ones).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phony::{Phony, SET};

    #[test]
    fn what_is_fixed_is_found_behind_hundreds_of_interfaces() {
        let tcp = format!(r"{SET}\Services\Tcpip\Parameters\Interfaces");
        let connection = format!(r"{SET}\Control\Network\{NETWORK}\{{ff}}\Connection");
        let fixed = format!(r"{tcp}\{{ff}}");
        let tunnels =
            (0..300).fold(Phony::windows_2016(), |phony, n| phony.key(&format!(r"{tcp}\{{{n:04}}}")));
        let (_, guest) = tunnels
            .value(&connection, "PnpInstanceID", Value::string(r"PCI\VEN_1D0F\3"))
            .value(&fixed, "EnableDHCP", Value::dword(0))
            .value(&fixed, "IPAddress", Value::multi_string(&["192.0.2.10"]))
            .value(&fixed, "SubnetMask", Value::multi_string(&["255.255.255.0"]))
            .build();
        assert_eq!(guest.windows.unwrap().interfaces.len(), 1);
    }

    #[test]
    fn masks_have_no_holes() {
        for (mask, bits) in [("255.255.255.0", Some(24)), ("0.0.0.0", Some(0)), ("255.0.255.0", None)] {
            assert_eq!(prefix(mask.parse().unwrap()), bits);
        }
    }
}
