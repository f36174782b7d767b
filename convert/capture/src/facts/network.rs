//! Network adapters (`Documentation/ABI/testing/sysfs-class-net`) and the addresses that they have.

use super::{Roots, names_in, number_of, text_of};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

/// A network adapter.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Adapter {
    /// The kernel's name.
    pub name: String,
    /// Hardware address.
    pub mac: String,
    /// The driver's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// Largest packet in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u64>,
    /// Bond, bridge or team that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub master: Option<String>,
    /// Addresses with the length of their prefix, those of its master included.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<String>,
}

/// Adapters with a device behind them: no bridges, no tunnels, no loopback.
pub(super) fn read(roots: &Roots) -> Vec<Adapter> {
    let folder = roots.path("sys/class/net");
    let addresses = addresses(roots);
    let of = |name: String| {
        let folder = folder.join(&name);
        if !folder.join("device").exists() {
            return None;
        }
        let last = |link: &str| {
            let target = std::fs::read_link(folder.join(link)).ok()?;
            Some(target.file_name()?.to_string_lossy().into_owned())
        };
        let master = last("master");
        let own = std::iter::once(&name).chain(&master);
        let found = own.filter_map(|name| addresses.get(name)).flatten().cloned().collect();
        Some(Adapter {
            // A bond gives all its members one address; this is the hardware's.
            mac: text_of(&folder.join("bonding_slave/perm_hwaddr"))
                .or_else(|| text_of(&folder.join("address")))?,
            driver: last("device/driver"),
            mtu: number_of(&folder.join("mtu")),
            master,
            addresses: found,
            name,
        })
    };
    names_in(&folder).into_iter().filter_map(of).collect()
}

/// The addresses by interface. Those of version 4 are found by the networks in the routing table that lead to them: `/proc` has
/// no plainer list.
fn addresses(roots: &Roots) -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let networks = networks(&roots.text("proc/net/route").unwrap_or_default());
    for address in local_v4(&roots.text("proc/net/fib_trie").unwrap_or_default()) {
        let inside = networks.iter().filter(|(network, mask, _)| u32::from(address) & mask == *network);
        if let Some((_, mask, name)) = inside.max_by_key(|(_, mask, _)| *mask) {
            found.entry(name.clone()).or_default().push(format!("{address}/{}", mask.count_ones()));
        }
    }
    for line in roots.text("proc/net/if_inet6").unwrap_or_default().lines() {
        let mut fields = line.split_whitespace();
        let (Some(digits), Some(prefix), Some(name)) = (fields.next(), fields.nth(1), fields.nth(2)) else {
            continue;
        };
        let (Ok(bits), Ok(prefix)) = (u128::from_str_radix(digits, 16), u32::from_str_radix(prefix, 16))
        else {
            continue;
        };
        let address = Ipv6Addr::from(bits);
        if !address.is_loopback() {
            found.entry(name.into()).or_default().push(format!("{address}/{prefix}"));
        }
    }
    found
}

/// Network, mask and interface of each route without a gateway; numbers there are in the machine's own order.
fn networks(routes: &str) -> Vec<(u32, u32, String)> {
    let of = |line: &str| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let number = |at: usize| {
            let digits = fields.get(at)?;
            Some(u32::from_be(u32::from_str_radix(digits, 16).ok()?))
        };
        let (network, gateway, mask) = (number(1)?, number(2)?, number(7)?);
        (gateway == 0 && mask != 0).then(|| (network, mask, fields[0].to_owned()))
    };
    routes.lines().skip(1).filter_map(of).collect()
}

/// The host's own addresses: leaves that say `/32 host LOCAL`.
fn local_v4(trie: &str) -> Vec<Ipv4Addr> {
    let mut found = Vec::new();
    let mut leaf = None;
    for line in trie.lines() {
        let line = line.trim_start();
        if let Some(address) = line.strip_prefix("|-- ") {
            leaf = address.parse::<Ipv4Addr>().ok();
        } else if line.starts_with("/32 host LOCAL")
            && let Some(address) = leaf.filter(|address| !address.is_loopback() && !found.contains(address))
        {
            found.push(address);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_belongs_to_the_interface_whose_network_it_is_in() {
        let trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 10.1.2.0\n        /24 link UNICAST\n     |-- 10.1.2.7\n        /32 host LOCAL\n     |-- 127.0.0.1\n        /32 host LOCAL\n";
        assert_eq!(local_v4(trie), [Ipv4Addr::new(10, 1, 2, 7)]);
        let routes = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\nens3\t00000000\t0102010A\t3\t0\t0\t0\t00000000\nens3\t0002010A\t00000000\t1\t0\t0\t0\t00FFFFFF\n";
        let networks = networks(routes);
        assert_eq!(networks, [(0x0a01_0200, 0xffff_ff00, "ens3".to_owned())]);
    }
}
