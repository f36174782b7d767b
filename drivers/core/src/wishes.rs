//! What the operator wants changed in the guest beyond making it start: nothing, unless asked for.

use crate::DriverPackage;
use format_core::{Error, Result};
use serde::Serialize;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

/// Everything that can be wished. The default wishes nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// The network.
    pub network: NetworkWishes,
    /// What tells this machine from its copies.
    pub identity: IdentityWishes,
    /// The guest's own tool rebuilds its initramfs: before the copy where the editor can run it, else once in the running guest.
    pub rebuild_initramfs: bool,
    /// The guest's own tool writes the boot menu.
    pub rebuild_menu: bool,
    /// Driver packages for a Windows guest: those that fit it.
    pub drivers: Vec<DriverPackage>,
}

impl Wishes {
    /// No wish at all.
    pub const NONE: Self = Self {
        network: NetworkWishes { adapters: Vec::new(), static_addresses: Vec::new(), keep_mtu: false },
        identity: IdentityWishes { machine_id: false, ssh_host_keys: false },
        rebuild_initramfs: false,
        rebuild_menu: false,
        drivers: Vec::new(),
    };
}

/// What is known and wanted of the machine's network adapters. Which virtual network an adapter is plugged into is no
/// business of the guest's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkWishes {
    /// The machine's adapters in order, source and target alike; empty when no description names them.
    pub adapters: Vec<Adapter>,
    /// Addresses that replace what the guest has for an interface (`--static-ip`).
    pub static_addresses: Vec<StaticAddress>,
    /// The new network carries the source's jumbo frames: an MTU of 9001 stays.
    pub keep_mtu: bool,
}

/// One network adapter, before and after.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Adapter {
    /// The address it had.
    pub source: Option<Mac>,
    /// The address it will have: the same for `--mac keep`, another for `--mac MAP`, `None` where the target chooses
    /// (`--mac new`).
    pub target: Option<Mac>,
}

/// What tells this machine from its copies (`--regenerate`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IdentityWishes {
    /// A new machine id.
    pub machine_id: bool,
    /// New host keys of sshd.
    pub ssh_host_keys: bool,
}

/// A hardware address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 6]);

impl FromStr for Mac {
    type Err = Error;

    /// Reads `06:3f:9a:52:c4:1d`, with `:` or `-`, in either case.
    fn from_str(text: &str) -> Result<Self> {
        let wrong = || Error::usage(format!("{text:?} is no hardware address such as 06:3f:9a:52:c4:1d"));
        let mut octets = [0u8; 6];
        let mut parts = text.split([':', '-']);
        for octet in &mut octets {
            let part = parts.next().filter(|part| part.len() == 2).ok_or_else(wrong)?;
            *octet =
                u8::from_str_radix(part, 16).ok().filter(|_| !part.starts_with('+')).ok_or_else(wrong)?;
        }
        if parts.next().is_some() {
            return Err(wrong());
        }
        Ok(Self(octets))
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl Serialize for Mac {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A fixed address for one interface: `eth0=192.0.2.10/24,192.0.2.1,192.0.2.53`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaticAddress {
    /// The interface as the guest's configuration calls it *before* the move; of Windows, the connection (`Ethernet 2`) or the
    /// adapter's hardware address.
    pub interface: String,
    /// The address.
    pub address: IpAddr,
    /// Bits of the network.
    pub prefix: u8,
    /// The default gateway.
    pub gateway: Option<IpAddr>,
    /// Name servers.
    pub dns: Vec<IpAddr>,
}

impl StaticAddress {
    /// The netmask in dots; `None` for IPv6.
    #[must_use]
    pub fn netmask(&self) -> Option<Ipv4Addr> {
        let bits = u32::MAX.checked_shl(32 - u32::from(self.prefix.min(32))).unwrap_or(0);
        self.address.is_ipv4().then(|| Ipv4Addr::from(bits))
    }
}

impl StaticAddress {
    /// The gateway, where it lies outside the address's network: then it is reached only where the guest is told so.
    #[must_use]
    pub fn far_gateway(&self) -> Option<IpAddr> {
        let is_far = |gateway: &IpAddr| match (self.address, gateway) {
            (IpAddr::V4(own), IpAddr::V4(gateway)) => !same_bits(own, *gateway, self.prefix),
            // Every network has these (RFC 4291, 2.5.6).
            (IpAddr::V6(_), IpAddr::V6(gateway)) if gateway.is_unicast_link_local() => false,
            (IpAddr::V6(own), IpAddr::V6(gateway)) => {
                let differing = u128::from(own) ^ u128::from(*gateway);
                differing.leading_zeros() < u32::from(self.prefix)
            }
            _ => false,
        };
        self.gateway.filter(is_far)
    }

    /// Why a machine with this address would reach nobody.
    fn fault(&self) -> Option<String> {
        if self.gateway == Some(self.address) {
            return Some("the gateway is the address itself".into());
        }
        let named = [("the address", Some(self.address)), ("the gateway", self.gateway)];
        // Networks of two addresses and of one have neither (RFC 3021).
        named.into_iter().filter(|_| self.prefix <= 30).find_map(|(what, ip)| match (ip, self.address) {
            (Some(IpAddr::V4(ip)), IpAddr::V4(own)) if same_bits(ip, own, self.prefix) => {
                let host = u32::from(ip) & (u32::MAX >> self.prefix);
                (host == 0).then(|| format!("{what} is that of the network")).or_else(|| {
                    (host == u32::MAX >> self.prefix).then(|| format!("{what} is the broadcast address"))
                })
            }
            _ => None,
        })
    }
}

fn same_bits(one: Ipv4Addr, other: Ipv4Addr, prefix: u8) -> bool {
    (u32::from(one) ^ u32::from(other)).leading_zeros() >= u32::from(prefix)
}

impl FromStr for StaticAddress {
    type Err = Error;

    /// Reads `IFACE=ADDRESS/BITS[,GATEWAY[,DNS]…]`; an empty gateway is none.
    fn from_str(text: &str) -> Result<Self> {
        let wrong = |what: &str| {
            Error::usage(format!("{text:?}: {what}"))
                .hint("write it as eth0=192.0.2.10/24,192.0.2.1,192.0.2.53 (address, gateway, name servers)")
        };
        let (interface, rest) = text.split_once('=').ok_or_else(|| wrong("there is no ="))?;
        // Windows has names such as "Ethernet 2 (LAN)", and takes an adapter's hardware address, too.
        let is_plain = |c: char| c.is_alphanumeric() || " ._-:#*()[]".contains(c);
        if interface.trim().is_empty() || interface.len() > 256 || !interface.chars().all(is_plain) {
            return Err(wrong("no name of an interface"));
        }
        let mut parts = rest.split(',');
        let (address, prefix) = parts
            .next()
            .and_then(|part| part.split_once('/'))
            .ok_or_else(|| wrong("the address needs a length such as /24"))?;
        let address: IpAddr = address.parse().map_err(|_| wrong("no IP address"))?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let prefix: u8 = prefix
            .parse()
            .ok()
            .filter(|p| (1..=most).contains(p))
            .ok_or_else(|| wrong("the length does not fit"))?;
        let gateway = match parts.next().filter(|part| !part.is_empty()) {
            Some(part) => Some(part.parse::<IpAddr>().map_err(|_| wrong("the gateway is no IP address"))?),
            None => None,
        };
        if gateway.is_some_and(|gateway| gateway.is_ipv4() != address.is_ipv4()) {
            return Err(wrong("address and gateway are of different IP versions"));
        }
        let dns = parts.map(|part| part.parse().map_err(|_| wrong("a name server is no IP address")));
        let dns = dns.collect::<Result<Vec<IpAddr>>>()?;
        if dns.len() > 8 {
            return Err(wrong("more than 8 name servers"));
        }
        let read = Self { interface: interface.to_owned(), address, prefix, gateway, dns };
        match read.fault() {
            Some(fault) => Err(wrong(&fault)),
            None => Ok(read),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_wrong_ones_are_refused() {
        let mac: Mac = "06-3F-9a:52:c4:1d".parse().unwrap();
        assert_eq!(mac.to_string(), "06:3f:9a:52:c4:1d");
        for text in ["", "06:3f:9a:52:c4", "06:3f:9a:52:c4:1d:00", "06:3f:9a:52:c4:1g", "+6:3f:9a:52:c4:1d"] {
            assert!(text.parse::<Mac>().is_err(), "{text}");
        }
        let fixed: StaticAddress = "ens5=192.0.2.10/24,192.0.2.1,192.0.2.53,2001:db8::53".parse().unwrap();
        assert_eq!((fixed.interface.as_str(), fixed.prefix, fixed.dns.len()), ("ens5", 24, 2));
        assert_eq!(fixed.netmask().unwrap().to_string(), "255.255.255.0");
        let fixed: StaticAddress = "e=10.0.0.1/32,,10.0.0.2".parse().unwrap();
        assert_eq!((fixed.gateway, fixed.netmask().unwrap().to_string().as_str()), (None, "255.255.255.255"));
        assert_eq!("e=2001:db8::1/64".parse::<StaticAddress>().unwrap().netmask(), None);
        for text in [
            "192.0.2.1/24",
            "=192.0.2.1/24",
            "eth\t0=192.0.2.1/24",
            "\"eth0\"=192.0.2.1/24",
            "eth0=192.0.2.1",
            "eth0=192.0.2.1/33",
            "eth0=192.0.2.1/0",
            "eth0=x/24",
            "eth0=192.0.2.1/24,x",
            "eth0=192.0.2.1/24,2001:db8::1",
            "eth0=192.0.2.1/24,192.0.2.1,x",
        ] {
            assert!(text.parse::<StaticAddress>().is_err(), "{text}");
        }
    }

    #[test]
    fn addresses_that_cannot_work_are_refused() {
        for (text, words) in [
            ("e=192.0.2.1/24,192.0.2.1", "the gateway is the address itself"),
            ("e=2001:db8::1/64,2001:db8::1", "the gateway is the address itself"),
            ("e=192.0.2.0/24,192.0.2.1", "the address is that of the network"),
            ("e=192.0.2.255/24", "the address is the broadcast address"),
            ("e=192.0.2.8/30", "the address is that of the network"),
            ("e=192.0.2.1/24,192.0.2.255", "the gateway is the broadcast address"),
        ] {
            let error = text.parse::<StaticAddress>().unwrap_err();
            assert!(error.to_string().contains(words), "{text}: {error}");
        }
        for (text, far) in [
            ("e=192.0.2.0/31,192.0.2.1", false),
            ("e=192.0.2.255/32,192.0.2.1", true),
            ("e=192.0.2.255/23,192.0.3.1", false),
            ("e=192.0.2.5/24,192.0.3.255", true),
            ("e=192.0.2.5/24", false),
            ("e=2001:db8::/64,fe80::1", false),
            ("e=2001:db8::2/64,2001:db8::1", false),
            ("e=2001:db8::2/64,2001:db8:1::1", true),
        ] {
            let fixed: StaticAddress = text.parse().unwrap();
            assert_eq!(fixed.far_gateway().is_some(), far, "{text}");
        }
    }
}
