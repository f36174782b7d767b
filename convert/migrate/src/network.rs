//! The adapters of the machine: what becomes of their addresses and networks.

use driver_core::{Adapter, Mac, Platform};
use driver_machine::{Machine, Nic};
use format_core::{Error, Result};

/// What the operator wants of the machine's adapters.
#[derive(Clone, Debug, Default)]
pub struct NicWishes {
    /// The target shall choose new hardware addresses.
    pub new_macs: bool,
    /// Networks of the source and what they are called on the target.
    pub networks: Vec<(String, String)>,
}

/// Gives the machine's adapters their networks and addresses on the target.
///
/// # Errors
/// `Usage` for a network that no adapter is in.
pub(crate) fn apply(machine: &mut Machine, wishes: &NicWishes) -> Result<()> {
    for (from, _) in &wishes.networks {
        if !machine.nics.iter().any(|nic| nic.network.as_deref() == Some(from)) {
            let known: Vec<_> = machine.nics.iter().filter_map(|nic| nic.network.as_deref()).collect();
            return Err(Error::usage(format!("no adapter of the machine is in the network {from:?}"))
                .hint(format!("its networks are: {}", known.join(", "))));
        }
    }
    for nic in &mut machine.nics {
        if wishes.new_macs {
            nic.mac = None;
        }
        let mapped = wishes.networks.iter().find(|(from, _)| nic.network.as_deref() == Some(from));
        if let Some((_, to)) = mapped {
            nic.network = Some(to.clone());
        }
    }
    Ok(())
}

/// Each adapter with the address it had and the one it will have there, in order. A machine without any address tells
/// nothing about its adapters.
pub(crate) fn adapters(source: &[Nic], platform: Platform, wishes: &NicWishes) -> Vec<Adapter> {
    if source.iter().all(|nic| nic.mac.is_none()) {
        return Vec::new();
    }
    // An OVF cannot say addresses, and clouds give their own.
    let keeps = !matches!(platform, Platform::Vmware | Platform::Azure | Platform::Gcp | Platform::Aws);
    let adapter = |nic: &Nic| {
        let mac = nic.mac.map(|mac| Mac(mac.octets()));
        Adapter { source: mac, target: mac.filter(|_| keeps && !wishes.new_macs) }
    };
    source.iter().map(adapter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use format_core::ErrorKind;

    fn nic(mac: &str, network: &str) -> Nic {
        Nic { mac: mac.parse().ok(), network: Some(network.into()), ..Nic::default() }
    }

    #[test]
    fn addresses_are_known_where_the_definition_says_them() {
        let nics = [nic("0a:00:00:00:00:01", "a"), nic("", "b")];
        let first = Some(Mac([10, 0, 0, 0, 0, 1]));
        let found =
            |platform, new_macs| adapters(&nics, platform, &NicWishes { new_macs, networks: Vec::new() });
        let adapter = |target| vec![Adapter { source: first, target }, Adapter::default()];
        assert_eq!(found(Platform::Kvm, false), adapter(first));
        assert_eq!(found(Platform::Kvm, true), adapter(None));
        assert_eq!(found(Platform::Vmware, false), adapter(None));
        assert_eq!(adapters(&nics[1..], Platform::Kvm, &NicWishes::default()), []);
    }

    #[test]
    fn networks_get_their_new_names_and_unknown_ones_are_refused() {
        let (mut machine, _) = crate::machine::plain(&driver_core::Guest::default(), &[]);
        machine.nics = vec![nic("0a:00:00:00:00:01", "subnet-1"), nic("0a:00:00:00:00:02", "subnet-2")];
        let map = |from: &str| NicWishes { new_macs: true, networks: vec![(from.into(), "vmbr0".into())] };
        apply(&mut machine, &map("subnet-2")).unwrap();
        let found: Vec<_> = machine.nics.iter().map(|nic| (nic.mac, nic.network.as_deref())).collect();
        assert_eq!(found, [(None, Some("subnet-1")), (None, Some("vmbr0"))]);
        assert_eq!(apply(&mut machine, &map("subnet-9")).unwrap_err().kind(), ErrorKind::Usage);
    }
}
