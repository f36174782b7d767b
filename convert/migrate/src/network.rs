//! The adapters of the machine: what becomes of their hardware addresses, and where they are plugged in.

use driver_core::{Adapter, Addresses, DefinitionKind, Mac, StaticAddress, Target};
use driver_machine::{AdapterChoice, MacAddress, Machine, Nic, Warning};
use format_core::{Error, Result};
use serde::Serialize;
use std::collections::BTreeSet;
use std::str::FromStr;

/// What the operator wants of the machine's adapters.
#[derive(Clone, Debug, Default)]
pub struct AdapterWishes {
    /// The target chooses the addresses that no pair names; else they are kept.
    pub new_macs: bool,
    /// Addresses for the target.
    pub macs: Vec<MacPair>,
    /// Networks of the target.
    pub networks: Vec<NetworkPair>,
}

/// An adapter's address at the source and the one it gets: `06:3f:9a:52:c4:1d=52:54:00:aa:bb:cc`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MacPair {
    /// At the source.
    pub source: MacAddress,
    /// At the target.
    pub target: MacAddress,
}

impl FromStr for MacPair {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = |what: String| {
            Error::usage(format!("{text:?}: {what}")).hint("write it as 06:3f:9a:52:c4:1d=52:54:00:aa:bb:cc")
        };
        let (source, target) =
            text.split_once('=').ok_or_else(|| wrong("neither keep, new nor a pair of addresses".into()))?;
        Ok(Self { source: source.parse().map_err(wrong)?, target: target.parse().map_err(wrong)? })
    }
}

/// Which adapters are plugged into which network of the target: `subnet-1=LAN`, `06:3f:9a:52:c4:1d=LAN`, `*=LAN`. Names of
/// the source may hold `=`, those of the target not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkPair {
    /// Which adapters.
    pub source: NetworkSource,
    /// The network, switch or bridge, in the target's own words.
    pub target: String,
}

/// Which adapters a [`NetworkPair`] is about; the closer a name, the sooner it counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetworkSource {
    /// The one with this address at the source.
    Mac(MacAddress),
    /// Those in this network of the source.
    Name(String),
    /// All others.
    Others,
}

impl FromStr for NetworkPair {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let pair = text.rsplit_once('=').filter(|(source, target)| {
            !source.trim().is_empty() && !target.trim().is_empty() && !text.chars().any(char::is_control)
        });
        let (source, target) = pair.ok_or_else(|| {
            Error::usage(format!("{text:?} is no pair of networks"))
                .hint("write it as SOURCE=TARGET, such as subnet-1=LAN or *=LAN")
        })?;
        let source = match (source, source.parse()) {
            ("*", _) => NetworkSource::Others,
            (_, Ok(mac)) => NetworkSource::Mac(mac),
            (name, Err(_)) => NetworkSource::Name(name.to_owned()),
        };
        Ok(Self { source, target: target.to_owned() })
    }
}

impl NetworkSource {
    fn is(&self, nic: &Nic) -> bool {
        match self {
            Self::Mac(mac) => nic.mac == Some(*mac),
            Self::Name(name) => nic.network.as_ref() == Some(name),
            Self::Others => true,
        }
    }

    fn words(&self) -> String {
        match self {
            Self::Mac(mac) => mac.to_string(),
            Self::Name(name) => format!("{name:?}"),
            Self::Others => "*".into(),
        }
    }
}

/// One adapter of the machine, before and after.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AdapterReport {
    /// Its address at the source.
    pub source_mac: Option<MacAddress>,
    /// Its address at the target; `None` where the target chooses one.
    pub mac: Option<MacAddress>,
    /// Its network at the source.
    pub source_network: Option<String>,
    /// The network of the target that was chosen for it.
    pub network: Option<String>,
}

/// What was decided about all adapters, each list in the machine's order.
pub(crate) struct Decided {
    /// For the guest; empty for a machine without any address, which tells nothing about its adapters.
    pub(crate) guest: Vec<Adapter>,
    /// For the definition.
    pub(crate) choices: Vec<AdapterChoice>,
    /// For the report.
    pub(crate) report: Vec<AdapterReport>,
}

/// Decides about the adapters of `machine` and gives it its addresses for the target.
///
/// # Errors
/// `Usage` for a pair that names no adapter, names what another pair named, or asks for what the definition cannot say.
pub(crate) fn decide(
    machine: &mut Machine,
    wishes: &AdapterWishes,
    target: &Target,
    definition: &DefinitionKind,
) -> Result<Decided> {
    check_macs(&machine.nics, wishes, target, definition)?;
    check_networks(&machine.nics, wishes)?;
    let mut decided = Decided { guest: Vec::new(), choices: Vec::new(), report: Vec::new() };
    for nic in &mut machine.nics {
        let network = network_of(nic, wishes);
        let source_mac = nic.mac;
        let given = given_mac(nic, wishes);
        nic.mac = given.or(source_mac.filter(|_| !wishes.new_macs));
        let certain = match definition.addresses {
            Addresses::Kept => nic.mac,
            Addresses::Given => given,
            Addresses::Chosen => None,
        };
        let plain = |mac: MacAddress| Mac(mac.octets());
        decided.guest.push(Adapter { source: source_mac.map(plain), target: certain.map(plain) });
        decided.choices.push(AdapterChoice { network: network.clone(), new_mac: given.is_some() });
        decided.report.push(AdapterReport {
            source_mac,
            mac: certain,
            source_network: nic.network.clone(),
            network,
        });
    }
    if decided.guest.iter().all(|adapter| adapter.source.is_none()) {
        decided.guest.clear();
    }
    unique(&machine.nics)?;
    Ok(decided)
}

fn given_mac(nic: &Nic, wishes: &AdapterWishes) -> Option<MacAddress> {
    wishes.macs.iter().find(|pair| nic.mac == Some(pair.source)).map(|pair| pair.target)
}

fn network_of(nic: &Nic, wishes: &AdapterWishes) -> Option<String> {
    let closeness = |pair: &&NetworkPair| match pair.source {
        NetworkSource::Mac(_) => 0,
        NetworkSource::Name(_) => 1,
        NetworkSource::Others => 2,
    };
    let fitting = wishes.networks.iter().filter(|pair| pair.source.is(nic));
    fitting.min_by_key(closeness).map(|pair| pair.target.clone())
}

fn check_macs(
    nics: &[Nic],
    wishes: &AdapterWishes,
    target: &Target,
    definition: &DefinitionKind,
) -> Result<()> {
    if wishes.macs.is_empty() {
        return Ok(());
    }
    if definition.addresses == Addresses::Chosen {
        let text = format!(
            "hardware addresses cannot be given: {} chooses its own, whatever the definition ({}) says",
            target.platform.name(),
            definition.id
        );
        let other = target.definitions.iter().find(|kind| kind.addresses != Addresses::Chosen);
        let hint = other
            .map_or("leave --mac away, and set addresses there where that is possible".into(), |kind| {
                format!("use --definition {}, which says them", kind.id)
            });
        return Err(Error::usage(text).hint(hint));
    }
    let mut sources = BTreeSet::new();
    for pair in &wishes.macs {
        let source = pair.source;
        if !sources.insert(source) {
            return Err(Error::usage(format!("--mac names {source} twice")));
        }
        if !nics.iter().any(|nic| nic.mac == Some(source)) {
            return Err(unknown(format!("the machine has no network adapter {source}"), nics));
        }
    }
    Ok(())
}

fn check_networks(nics: &[Nic], wishes: &AdapterWishes) -> Result<()> {
    for (index, pair) in wishes.networks.iter().enumerate() {
        let source = &pair.source;
        if wishes.networks.iter().take(index).any(|other| other.source == *source) {
            return Err(Error::usage(format!("--network-map names {} twice", source.words())));
        }
        // There may be no others.
        if *source != NetworkSource::Others && !nics.iter().any(|nic| source.is(nic)) {
            let text =
                format!("--network-map names {}, which no network adapter of the machine is", source.words());
            return Err(unknown(text, nics));
        }
    }
    Ok(())
}

fn unknown(text: String, nics: &[Nic]) -> Error {
    let known: Vec<String> = nics
        .iter()
        .map(|nic| {
            let mac = nic.mac.map_or("an unknown address".into(), |mac| mac.to_string());
            let network = nic.network.as_ref().map(|network| format!(" in {network:?}")).unwrap_or_default();
            format!("{mac}{network}")
        })
        .collect();
    Error::usage(text).hint(match known.as_slice() {
        [] => "it has no adapter".into(),
        known => format!("it has {}; --machine FILE tells what a machine has", known.join(", ")),
    })
}

/// Gateways that a guest reaches only with a route to them of their own.
pub(crate) fn far_gateways(addresses: &[StaticAddress]) -> impl Iterator<Item = Warning> {
    addresses.iter().filter_map(|fixed| {
        let (gateway, prefix) = (fixed.far_gateway()?, fixed.prefix);
        let message = format!(
            "--static-ip: the gateway {gateway} of {} lies outside {}/{prefix}: most guests do not reach it then",
            fixed.interface, fixed.address
        );
        Some(Warning { code: "static-ip-gateway", message })
    })
}

/// No two adapters may have one address, be it given or kept.
fn unique(nics: &[Nic]) -> Result<()> {
    let mut seen = BTreeSet::new();
    match nics.iter().filter_map(|nic| nic.mac).find(|mac| !seen.insert(*mac)) {
        Some(mac) => Err(Error::usage(format!("two network adapters would have the address {mac}"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use driver_core::{Firmware, Guest, Platform};
    use format_core::ErrorKind;

    const FIRST: &str = "0a:00:00:00:00:01";
    const SECOND: &str = "0a:00:00:00:00:02";
    const NEW: &str = "52:54:00:00:00:01";

    fn machine() -> Machine {
        let (mut machine, _) = crate::machine::plain(&Guest::default(), &[]);
        let nic = |mac: Option<&str>, network: Option<&str>| Nic {
            mac: mac.map(|mac| mac.parse().unwrap()),
            network: network.map(str::to_owned),
            ..Nic::default()
        };
        machine.nics = vec![nic(Some(FIRST), Some("a=b")), nic(Some(SECOND), Some("dmz")), nic(None, None)];
        machine
    }

    fn target(platform: Platform) -> &'static Target {
        driver_targets::target(platform, Firmware::Bios, None).unwrap()
    }

    fn wishes(macs: &[&str], networks: &[&str]) -> AdapterWishes {
        AdapterWishes {
            new_macs: false,
            macs: macs.iter().map(|pair| pair.parse().unwrap()).collect(),
            networks: networks.iter().map(|pair| pair.parse().unwrap()).collect(),
        }
    }

    fn decided(platform: Platform, wishes: &AdapterWishes) -> Result<(Decided, Machine)> {
        let (mut machine, target) = (machine(), target(platform));
        Ok((decide(&mut machine, wishes, target, &target.definitions[0])?, machine))
    }

    /// The guest's addresses at the target.
    fn certain(platform: Platform, wishes: &AdapterWishes) -> Vec<String> {
        let (found, _) = decided(platform, wishes).unwrap();
        let words = |adapter: &Adapter| adapter.target.map_or("-".into(), |mac| mac.to_string());
        found.guest.iter().map(words).collect()
    }

    #[test]
    fn the_guest_counts_on_addresses_that_the_definition_says() {
        let none = AdapterWishes::default();
        let pair = wishes(&[&format!("{SECOND}={NEW}")], &[]);
        let new = AdapterWishes { new_macs: true, ..none.clone() };
        let both = AdapterWishes { new_macs: true, ..pair.clone() };
        for (platform, wishes, expected) in [
            (Platform::Kvm, &none, [FIRST, SECOND, "-"]),
            (Platform::Kvm, &new, ["-", "-", "-"]),
            (Platform::Kvm, &pair, [FIRST, NEW, "-"]),
            (Platform::KubeVirt, &both, ["-", NEW, "-"]),
            (Platform::HyperV, &none, ["-", "-", "-"]),
            (Platform::HyperV, &pair, ["-", NEW, "-"]),
            (Platform::Aws, &none, ["-", "-", "-"]),
        ] {
            assert_eq!(certain(platform, wishes), expected, "{platform:?} {wishes:?}");
        }
        let mut nameless = machine();
        nameless.nics.iter_mut().for_each(|nic| nic.mac = None);
        let target = target(Platform::Kvm);
        assert!(decide(&mut nameless, &none, target, &target.definitions[0]).unwrap().guest.is_empty());
    }

    #[test]
    fn addresses_can_change_places() {
        let swapped = wishes(&[&format!("{FIRST}={SECOND}"), &format!("{SECOND}={FIRST}")], &[]);
        let (found, machine) = decided(Platform::Proxmox, &swapped).unwrap();
        assert_eq!(machine.nics[0].mac.unwrap().to_string(), SECOND);
        assert!(found.choices[0].new_mac && !found.choices[2].new_mac);
        assert_eq!(found.report[1].source_mac.unwrap().to_string(), SECOND);
    }

    #[test]
    fn the_closest_name_of_a_network_counts() {
        let map = wishes(&[], &["*=rest", "dmz=outer", &format!("{FIRST}=inner")]);
        let (found, _) = decided(Platform::HyperV, &map).unwrap();
        let networks: Vec<_> = found.choices.iter().map(|choice| choice.network.as_deref()).collect();
        assert_eq!(networks, [Some("inner"), Some("outer"), Some("rest")]);
        // A name of the source may hold an equals sign, and there may be no others.
        let map = wishes(&[], &["a=b=x"]);
        let (found, _) = decided(Platform::HyperV, &map).unwrap();
        assert_eq!((found.choices[0].network.as_deref(), &found.choices[1].network), (Some("x"), &None));
        let (mut none, target) = (machine(), target(Platform::Kvm));
        none.nics.clear();
        assert!(decide(&mut none, &wishes(&[], &["*=x"]), target, &target.definitions[0]).is_ok());
    }

    #[test]
    fn a_gateway_outside_the_network_is_told() {
        let addresses =
            ["e=192.0.2.5/24,192.0.2.1", "f=192.0.2.5/24,192.0.3.1"].map(|text| text.parse().unwrap());
        let told: Vec<_> = far_gateways(&addresses).map(|warning| warning.message).collect();
        assert!(told.len() == 1 && told[0].contains("192.0.3.1 of f lies outside 192.0.2.5/24"), "{told:?}");
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (platform, macs, networks, words) in [
            (Platform::Kvm, vec![format!("{NEW}={FIRST}")], vec![], "has no network adapter"),
            (Platform::Kvm, vec![format!("{FIRST}={NEW}"), format!("{SECOND}={NEW}")], vec![], "two network"),
            (Platform::Kvm, vec![format!("{FIRST}={SECOND}")], vec![], "two network adapters"),
            (Platform::Kvm, vec![format!("{FIRST}={NEW}"), format!("{FIRST}={FIRST}")], vec![], "twice"),
            (Platform::Aws, vec![format!("{FIRST}={NEW}")], vec![], "chooses its own"),
            (Platform::Vmware, vec![format!("{FIRST}={NEW}")], vec![], "chooses its own"),
            (Platform::Kvm, vec![], vec!["lan=x"], "which no network adapter"),
            (Platform::Kvm, vec![], vec!["dmz=x", "dmz=y"], "twice"),
            (Platform::Kvm, vec![], vec!["*=x", "*=x"], "twice"),
        ] {
            let macs: Vec<&str> = macs.iter().map(String::as_str).collect();
            let error = decided(platform, &wishes(&macs, &networks)).err().unwrap();
            assert_eq!(error.kind(), ErrorKind::Usage);
            assert!(error.to_string().contains(words), "{error}");
        }
        for pair in
            [FIRST, "", "x=y", &format!("{FIRST}=01:00:00:00:00:01"), &format!("{FIRST}=00:00:00:00:00:00")]
        {
            assert!(pair.parse::<MacPair>().is_err(), "{pair}");
        }
        for pair in ["", "lan", "=lan", "lan=", " = ", "a\nb=c"] {
            assert!(pair.parse::<NetworkPair>().is_err(), "{pair:?}");
        }
    }
}
