//! The adapters of the machine: what becomes of their hardware addresses.

use driver_core::{Adapter, Mac, Platform};
use driver_machine::Nic;

/// Each adapter with the address it had and the one it will have there, in order. A machine without any address tells
/// nothing about its adapters.
pub(crate) fn adapters(source: &[Nic], platform: Platform, new_macs: bool) -> Vec<Adapter> {
    if source.iter().all(|nic| nic.mac.is_none()) {
        return Vec::new();
    }
    let adapter = |nic: &Nic| {
        let mac = nic.mac.map(|mac| Mac(mac.octets()));
        Adapter { source: mac, target: mac.filter(|_| keeps_addresses(platform) && !new_macs) }
    };
    source.iter().map(adapter).collect()
}

/// An OVF cannot say addresses, clouds give their own, and Hyper-V's script keeps them only when it is run with `-StaticMac`.
fn keeps_addresses(platform: Platform) -> bool {
    match platform {
        Platform::Kvm | Platform::Proxmox | Platform::VirtualBox | Platform::Xen => true,
        Platform::HyperV | Platform::Vmware | Platform::Azure | Platform::Gcp | Platform::Aws => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_known_where_the_definition_says_them() {
        let nics = [Nic { mac: "0a:00:00:00:00:01".parse().ok(), ..Nic::default() }, Nic::default()];
        let first = Some(Mac([10, 0, 0, 0, 0, 1]));
        let adapter = |target| vec![Adapter { source: first, target }, Adapter::default()];
        assert_eq!(adapters(&nics, Platform::Kvm, false), adapter(first));
        assert_eq!(adapters(&nics, Platform::Kvm, true), adapter(None));
        assert_eq!(adapters(&nics, Platform::HyperV, false), adapter(None));
        assert_eq!(adapters(&nics[1..], Platform::Kvm, false), []);
    }
}
