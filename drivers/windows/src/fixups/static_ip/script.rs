//! The batch file that gives a connection its fixed addresses again.
//!
//! Facts: `route print` lists the adapters that are there with index and hardware address (`12...52 54 00 12 34 56 ......Red Hat …`) in every
//! language and without WMI or a console's code page, which `getmac` and `ipconfig` need; loopback has dots alone there, tunnels have eight
//! bytes. netsh takes the index for the name of an interface (its own help: "Interface name or index"), so that no name is ever quoted. `set
//! address` takes the place of all addresses and gateways of the interface, `add address` adds one, and all is kept; `validate=no` does
//! not ask the name servers (Microsoft, "netsh interface ipv4"). With the DHCP client disabled, other migration tools saw commands
//! that set addresses fail: it is on meanwhile then.

use super::adapters::Place;
use crate::fixups::first_boot::{AGAIN, plain};
use driver_core::{InterfaceFacts, Mac};
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};

/// What a connection is given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fixed {
    /// What it was called; in a remark only.
    pub(super) name: String,
    pub(super) addresses: Vec<(Ipv4Addr, u8)>,
    pub(super) gateways: Vec<Ipv4Addr>,
    pub(super) gateway_metric: Option<u16>,
    pub(super) dns: Vec<Ipv4Addr>,
    /// How the DNS client registers it: `none`, `primary`, `both`.
    pub(super) register: &'static str,
}

impl Fixed {
    /// What the guest has for a connection.
    pub(super) fn of(facts: &InterfaceFacts) -> Self {
        let v4 = |ip: &IpAddr| match ip {
            IpAddr::V4(ip) => Some(*ip),
            IpAddr::V6(_) => None,
        };
        Self {
            name: facts.name.clone().unwrap_or_default(),
            addresses: facts.addresses.iter().filter_map(|(ip, bits)| Some((v4(ip)?, *bits))).collect(),
            gateways: facts.gateways.iter().filter_map(v4).collect(),
            gateway_metric: None,
            dns: facts.dns.iter().filter_map(v4).collect(),
            register: "primary",
        }
    }

    /// Nothing is fixed.
    pub(super) fn is_empty(&self) -> bool {
        self.addresses.is_empty() && self.dns.is_empty()
    }

    /// For people: `192.0.2.10/24, name server 192.0.2.53`.
    pub(super) fn words(&self) -> String {
        let addresses = self.addresses.iter().map(|(ip, bits)| format!("{ip}/{bits}"));
        addresses.chain(self.dns.iter().map(|ip| format!("name server {ip}"))).collect::<Vec<_>>().join(", ")
    }
}

/// The whole file.
pub(super) fn script(fixed: &Fixed, place: Place, dhcp_is_disabled: bool) -> String {
    let mut text = format!(
        "@echo off\n\
         rem Written by rehome: what was fixed for the connection \"{}\", for the adapter that takes its place.\n\
         setlocal EnableExtensions DisableDelayedExpansion\n\
         set \"index=\"\n",
        plain(&fixed.name)
    );
    text += &search(place);
    let mut commands = commands(fixed).into_iter();
    let first = commands.next().unwrap_or_default();
    if dhcp_is_disabled {
        text += "sc.exe config Dhcp start= demand\nsc.exe start Dhcp\n";
    }
    // The interface may not be ready yet when its adapter is listed.
    text += "set \"failed=1\"\nfor /l %%t in (1,1,6) do call :first\n";
    for command in commands {
        let _ = writeln!(text, "if not defined failed {command}");
    }
    if dhcp_is_disabled {
        text += "sc.exe config Dhcp start= disabled\n";
    }
    let _ = write!(
        text,
        "if defined failed exit {AGAIN}\n\
         netsh.exe interface ipv4 show addresses name=%index%\n\
         exit 0\n\
         \n\
         :first\n\
         if not defined failed exit /b 0\n\
         {first}\n\
         if not errorlevel 1 set \"failed=\"\n\
         if defined failed ping.exe -n 6 127.0.0.1 >nul\n\
         exit /b 0\n"
    );
    text + &looks(place)
}

/// Waits for the adapter, five minutes at most.
fn search(place: Place) -> String {
    let wait = |label: &str| format!("for /l %%t in (1,1,60) do call :{label}\n");
    let mut text = match place {
        Place::Address(mac) => wait("look") + &missing(&format!("the adapter {mac} is not there")),
        Place::AddressOrOnly(mac) => {
            wait("look")
                + "if not defined index call :look_for_only\n"
                + &missing(&format!("the adapter {mac} is not there, and another is not the only one"))
        }
        Place::Only => wait("look_for_only") + &missing("there is no adapter, or more than one"),
    };
    text += "echo the adapter has index %index%\n";
    text
}

fn missing(why: &str) -> String {
    format!(
        "if not defined index echo {why}:\n\
         if not defined index route.exe print\n\
         if not defined index exit {AGAIN}\n"
    )
}

/// The subroutines that set `index` when exactly one adapter is listed so.
fn looks(place: Place) -> String {
    let look = |label: &str, filter: &str| {
        format!(
            "\n:{label}\n\
             if defined index exit /b 0\n\
             set \"found=0\"\n\
             for /f \"tokens=1 delims=. \" %%i in ('route.exe print ^| {filter}') do call :found %%i\n\
             if %found% equ 1 set \"index=%candidate%\"\n\
             if not defined index ping.exe -n 6 127.0.0.1 >nul\n\
             exit /b 0\n"
        )
    };
    let by_address = |mac: Mac| {
        let bytes = mac.to_string().replace(':', " ");
        look("look", &format!("find.exe /i \"...{bytes} \""))
    };
    // Six dots stand behind the address of an adapter alone.
    let any = || look("look_for_only", "find.exe \" ......\"");
    let found = "\n:found\nset /a found+=1\nset \"candidate=%1\"\nexit /b 0\n";
    let looks = match place {
        Place::Address(mac) => by_address(mac),
        Place::AddressOrOnly(mac) => by_address(mac) + &any(),
        Place::Only => any(),
    };
    looks + found
}

/// The commands of netsh; the first is the one that must succeed.
fn commands(fixed: &Fixed) -> Vec<String> {
    let address = |verb: &str| format!("netsh.exe interface ipv4 {verb} address name=%index%");
    let metric = fixed.gateway_metric.map(|metric| format!(" gwmetric={metric}")).unwrap_or_default();
    let mut commands = Vec::new();
    for (at, (ip, bits)) in fixed.addresses.iter().enumerate() {
        let own = format!("address={ip} mask={}", mask(*bits));
        commands.push(match (at, fixed.gateways.first()) {
            (0, None) => format!("{} source=static {own} gateway=none", address("set")),
            (0, Some(gateway)) => {
                format!("{} source=static {own} gateway={gateway}{metric}", address("set"))
            }
            _ => format!("{} {own}", address("add")),
        });
    }
    if !fixed.addresses.is_empty() {
        let more = fixed.gateways.iter().skip(1);
        commands.extend(more.map(|gateway| format!("{} gateway={gateway}{metric}", address("add"))));
    }
    let dns = |verb: &str| format!("netsh.exe interface ipv4 {verb} dnsservers name=%index%");
    for (at, ip) in fixed.dns.iter().enumerate() {
        commands.push(match at {
            0 => {
                format!("{} source=static address={ip} register={} validate=no", dns("set"), fixed.register)
            }
            _ => format!("{} address={ip} index={} validate=no", dns("add"), at + 1),
        });
    }
    commands
}

fn mask(bits: u8) -> Ipv4Addr {
    Ipv4Addr::from(u32::MAX.checked_shl(32 - u32::from(bits.min(32))).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn place() -> impl Strategy<Value = Place> {
        any::<[u8; 6]>().prop_flat_map(|octets| {
            let mac = Mac(octets);
            prop::sample::select(vec![Place::Address(mac), Place::AddressOrOnly(mac), Place::Only])
        })
    }

    fn fixed() -> impl Strategy<Value = Fixed> {
        let ips = || prop::collection::vec(any::<Ipv4Addr>(), 0..4);
        let addresses = prop::collection::vec((any::<Ipv4Addr>(), 0u8..=32), 1..4);
        (addresses, ips(), ips(), any::<Option<u16>>()).prop_map(
            |(addresses, gateways, dns, gateway_metric)| Fixed {
                name: String::new(),
                addresses,
                gateways,
                gateway_metric,
                dns,
                register: "primary",
            },
        )
    }

    proptest! {
        #[test]
        fn a_name_of_the_guest_changes_nothing_but_a_remark(
            name in r#"[ -~\r\n%&|<>^!"()äЖ]{0,60}"#, fixed in fixed(), place in place(), disabled: bool
        ) {
            let named = script(&Fixed { name, ..fixed.clone() }, place, disabled);
            let plain = script(&fixed, place, disabled);
            prop_assert!(named.is_ascii() && !named.contains('\r'));
            prop_assert_eq!(named.lines().count(), plain.lines().count());
            for (one, other) in named.lines().zip(plain.lines()).filter(|(one, other)| one != other) {
                let start = "rem Written by rehome: what was fixed for the connection \"";
                prop_assert!(one.starts_with(start) && other.starts_with(start));
                prop_assert!(!one.contains(['%', '&', '|', '<', '>', '^']));
            }
        }

        #[test]
        fn every_address_gateway_and_server_is_set(fixed in fixed(), place in place()) {
            let text = script(&fixed, place, false);
            for (ip, _) in &fixed.addresses {
                let word = format!(" address={ip} ");
                prop_assert!(text.contains(&word));
            }
            for ip in &fixed.gateways {
                let word = format!(" gateway={ip}");
                prop_assert!(text.contains(&word));
            }
            prop_assert_eq!(text.matches(" dnsservers ").count(), fixed.dns.len());
        }
    }

    #[test]
    fn masks_are_in_dots() {
        let masks = [0, 1, 24, 32].map(|bits| mask(bits).to_string());
        assert_eq!(masks, ["0.0.0.0", "128.0.0.0", "255.255.255.0", "255.255.255.255"]);
    }
}
