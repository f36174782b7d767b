//! Fixed addresses in the form of each configuration system: text in, text out.
//!
//! What is about addresses goes, routes by hand included, because they belong to the old network; everything else stays.

use crate::config_file::{Line, edit_lines, with_line};
use crate::ini::{Item, item};
use crate::netplan_text::Ethernet;
use driver_core::StaticAddress;

fn words(addresses: &[std::net::IpAddr], between: &str) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(between)
}

/// The definition keeps what selects and names the interface.
pub(crate) fn netplan(text: &str, ethernet: &Ethernet, fixed: &StaticAddress) -> String {
    let lines: Vec<&str> = text.split('\n').collect();
    let end = if text.contains("\r\n") { "\r" } else { "" };
    let key = lines.get(ethernet.line).copied().unwrap_or_default();
    let indent = " ".repeat(key.len() - key.trim_start().len());
    let body: Vec<(usize, &str)> =
        (ethernet.line + 1..ethernet.end).filter_map(|at| Some((at, *lines.get(at)?))).collect();
    let first = body.iter().map(|(_, line)| *line).find(|line| !line.trim().is_empty());
    let step = first.map_or(indent.len() + 2, |line| line.len() - line.trim_start().len());
    let pad = " ".repeat(step.max(indent.len() + 1));
    let kept = |at: usize| {
        ethernet.matches.as_ref().is_some_and(|matches| matches.contains(&at))
            || ethernet.set_name == Some(at)
    };
    let mut out: Vec<String> =
        lines.get(..ethernet.line).unwrap_or_default().iter().map(|line| (*line).to_owned()).collect();
    out.push(format!("{}:{end}", key.trim_end().split(':').next().unwrap_or_default()));
    out.extend(body.iter().filter(|(at, _)| kept(*at)).map(|(_, line)| (*line).to_owned()));
    let mut put = |line: String| out.push(format!("{pad}{line}{end}"));
    put("dhcp4: false".into());
    put("dhcp6: false".into());
    put(format!("addresses: [\"{}/{}\"]", fixed.address, fixed.prefix));
    if let Some(gateway) = fixed.gateway {
        let all = if gateway.is_ipv4() { "0.0.0.0/0" } else { "::/0" };
        put(format!("routes: [{{to: \"{all}\", via: \"{gateway}\"}}]"));
    }
    if !fixed.dns.is_empty() {
        put(format!("nameservers: {{addresses: [\"{}\"]}}", words(&fixed.dns, "\", \"")));
    }
    out.extend(lines.get(ethernet.end..).unwrap_or_default().iter().map(|line| (*line).to_owned()));
    out.join("\n")
}

/// The content with a line end behind its last line: several lines may take the place of that one.
fn ended(content: &[u8]) -> Vec<u8> {
    let mut content = content.to_vec();
    if content.last().is_some_and(|&byte| byte != b'\n') {
        content.push(b'\n');
    }
    content
}

fn stanza_of(line: &str) -> Option<(&str, Option<&str>, Option<&str>)> {
    let mut words = line.split_whitespace();
    let word = words.next()?;
    let starts = matches!(word, "iface" | "auto" | "mapping" | "source" | "source-directory")
        || word.starts_with("allow-");
    starts.then(|| (word, words.next(), words.next()))
}

fn family(fixed: &StaticAddress) -> &'static str {
    if fixed.address.is_ipv4() { "inet" } else { "inet6" }
}

/// Whether interfaces(5) configures `name` in a line that can be edited: one that is no UTF-8 would stay beside a new one.
pub(crate) fn has_stanza(text: &str, name: &str) -> bool {
    text.lines()
        .filter(|line| !line.contains('\u{fffd}'))
        .any(|line| matches!(stanza_of(line), Some(("iface", Some(found), _)) if found == name))
}

/// The first stanza of the address's family becomes a static one; without one, it is added.
pub(crate) fn ifupdown(content: &[u8], fixed: &StaticAddress) -> Vec<u8> {
    const ADDRESSES: [&str; 10] = [
        "address",
        "netmask",
        "gateway",
        "network",
        "broadcast",
        "dns-nameservers",
        "dns-nameserver",
        "dns-search",
        "hostname",
        "pointopoint",
    ];
    // The length apart from the address: old versions and BusyBox's want it so.
    let mask = fixed.netmask().map_or_else(|| fixed.prefix.to_string(), |mask| mask.to_string());
    let (name, family) = (&fixed.interface, family(fixed));
    let mut stanza =
        format!("iface {name} {family} static\n    address {}\n    netmask {mask}", fixed.address);
    if let Some(gateway) = fixed.gateway {
        stanza += &format!("\n    gateway {gateway}");
    }
    if !fixed.dns.is_empty() {
        stanza += &format!("\n    dns-nameservers {}", words(&fixed.dns, " "));
    }
    let mut inside = false;
    let mut written = false;
    let new = edit_lines(&ended(content), |line| {
        if let Some((word, name, kind)) = stanza_of(line) {
            inside = word == "iface" && name == Some(&fixed.interface) && kind == Some(family);
            if !inside {
                return Line::Keep;
            }
            if written {
                return Line::Drop;
            }
            written = true;
            return Line::Replace(stanza.clone());
        }
        let key = line.split_whitespace().next().unwrap_or_default();
        if inside && ADDRESSES.contains(&key) { Line::Drop } else { Line::Keep }
    });
    if written { new } else { with_line(new, &stanza) }
}

/// Keys of addresses, numbered or not.
fn is_key(key: &str, names: &[&str]) -> bool {
    names.contains(&key.trim_end_matches(|c: char| c.is_ascii_digit()))
}

pub(crate) fn ifcfg(content: &[u8], fixed: &StaticAddress) -> Vec<u8> {
    let mut gone =
        vec!["BOOTPROTO", "IPADDR", "PREFIX", "NETMASK", "GATEWAY", "NETWORK", "BROADCAST", "DNS", "PEERDNS"];
    if !fixed.address.is_ipv4() {
        gone = vec!["IPV", "IPV6ADDR", "IPV6_AUTOCONF", "IPV6_DEFAULTGW", "IPV6INIT", "DHCPV6C", "DNS"];
    }
    let mut new = edit_lines(content, |line| match item(line) {
        Item::Pair(key, _) if is_key(key, &gone) => Line::Drop,
        _ => Line::Keep,
    });
    let (address, prefix) = (fixed.address, fixed.prefix);
    let mut lines = match fixed.netmask() {
        Some(mask) => vec![
            "BOOTPROTO=none".into(),
            format!("IPADDR={address}"),
            format!("PREFIX={prefix}"),
            format!("NETMASK={mask}"),
        ],
        None => {
            vec!["IPV6INIT=yes".into(), "IPV6_AUTOCONF=no".into(), format!("IPV6ADDR={address}/{prefix}")]
        }
    };
    let gateway = if address.is_ipv4() { "GATEWAY" } else { "IPV6_DEFAULTGW" };
    lines.extend(fixed.gateway.map(|via| format!("{gateway}={via}")));
    lines.extend(fixed.dns.iter().zip(1..).map(|(dns, number)| format!("DNS{number}={dns}")));
    for line in lines {
        new = with_line(new, &line);
    }
    new
}

pub(crate) fn keyfile(content: &[u8], fixed: &StaticAddress) -> Vec<u8> {
    const GONE: [&str; 8] =
        ["method", "address", "addresses", "gateway", "dns", "route", "routes", "ignore-auto-dns"];
    let section = if fixed.address.is_ipv4() { "ipv4" } else { "ipv6" };
    let mut lines = vec![
        format!("[{section}]"),
        "method=manual".into(),
        format!("address1={}/{}", fixed.address, fixed.prefix),
    ];
    lines.extend(fixed.gateway.map(|gateway| format!("gateway={gateway}")));
    let own = |v4: bool| -> Vec<_> { fixed.dns.iter().copied().filter(|dns| dns.is_ipv4() == v4).collect() };
    let dns = own(fixed.address.is_ipv4());
    if !dns.is_empty() {
        lines.push(format!("dns={};", words(&dns, ";")));
    }
    replace_in_section(content, section, &lines, |key| is_key(key, &GONE))
}

pub(crate) fn networkd(content: &[u8], fixed: &StaticAddress) -> Vec<u8> {
    let mut lines =
        vec!["[Network]".to_owned(), "DHCP=no".into(), format!("Address={}/{}", fixed.address, fixed.prefix)];
    lines.extend(fixed.gateway.map(|gateway| format!("Gateway={gateway}")));
    lines.extend(fixed.dns.iter().map(|dns| format!("DNS={dns}")));
    let mut dropped = false;
    let without = edit_lines(content, |line| {
        if let Item::Section(name) = item(line) {
            dropped = matches!(name, "Address" | "Route");
        }
        if dropped { Line::Drop } else { Line::Keep }
    });
    replace_in_section(&without, "Network", &lines, |key| {
        matches!(key, "DHCP" | "Address" | "Gateway" | "DNS")
    })
}

/// The section with `gone` keys taken out and `lines` (its header first) put in; added at the end when there is none.
fn replace_in_section(
    content: &[u8],
    section: &str,
    lines: &[String],
    gone: impl Fn(&str) -> bool,
) -> Vec<u8> {
    let mut inside = false;
    let mut written = false;
    let new = edit_lines(&ended(content), |line| match item(line) {
        Item::Section(name) => {
            inside = name == section;
            if !inside || written {
                return Line::Keep;
            }
            written = true;
            Line::Replace(lines.join("\n"))
        }
        Item::Pair(key, _) if inside && gone(key) => Line::Drop,
        _ => Line::Keep,
    });
    if written { new } else { lines.iter().fold(new, |new, line| with_line(new, line)) }
}

pub(crate) fn wicked(content: &[u8], fixed: &StaticAddress) -> Vec<u8> {
    let gone = |key: &str| {
        ["BOOTPROTO", "IPADDR", "PREFIXLEN", "NETMASK", "BROADCAST", "NETWORK", "REMOTE_IPADDR"]
            .iter()
            .any(|name| key == *name || key.strip_prefix(name).is_some_and(|rest| rest.starts_with('_')))
    };
    let new = edit_lines(content, |line| match item(line) {
        Item::Pair(key, _) if gone(key) => Line::Drop,
        _ => Line::Keep,
    });
    let new = with_line(new, "BOOTPROTO='static'");
    with_line(new, &format!("IPADDR='{}/{}'", fixed.address, fixed.prefix))
}

pub(crate) fn wicked_routes(content: &[u8], fixed: &StaticAddress) -> Vec<u8> {
    let new = edit_lines(content, |line| match line.split_whitespace().next() {
        Some("default") => Line::Drop,
        _ => Line::Keep,
    });
    match fixed.gateway {
        Some(gateway) => with_line(new, &format!("default {gateway} - {}", fixed.interface)),
        None => new,
    }
}

pub(crate) fn wicked_dns(content: &[u8], fixed: &StaticAddress) -> Vec<u8> {
    edit_lines(content, |line| match item(line) {
        Item::Pair(key @ "NETCONFIG_DNS_STATIC_SERVERS", _) => {
            Line::Replace(format!("{key}=\"{}\"", words(&fixed.dns, " ")))
        }
        _ => Line::Keep,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netplan_text::ethernets;

    fn fixed() -> StaticAddress {
        "ens5=192.0.2.10/24,192.0.2.1,192.0.2.53,192.0.2.54".parse().unwrap()
    }

    fn twice(content: &str, edit: impl Fn(&[u8]) -> Vec<u8>) -> String {
        let once = edit(content.as_bytes());
        assert_eq!(
            String::from_utf8_lossy(&edit(&once)),
            String::from_utf8_lossy(&once),
            "a second time changes nothing"
        );
        String::from_utf8(once).unwrap()
    }

    #[test]
    fn netplan_definitions_keep_their_match() {
        let edit = |content: &[u8]| {
            let text = String::from_utf8_lossy(content);
            let found = ethernets(&text.split('\n').collect::<Vec<_>>()).unwrap();
            netplan(&text, &found[0], &fixed()).into_bytes()
        };
        let text = "network:\n  ethernets:\n    ens5:\n      match:\n        macaddress: x\n      dhcp4: true\n      routes:\n      - to: 10.0.0.0/8\n        via: 10.1.1.1\n      set-name: ens5\n    ens6:\n      dhcp4: true\n";
        assert_eq!(
            twice(text, edit),
            "network:\n  ethernets:\n    ens5:\n      match:\n        macaddress: x\n      set-name: ens5\n      dhcp4: false\n      dhcp6: false\n      addresses: [\"192.0.2.10/24\"]\n      routes: [{to: \"0.0.0.0/0\", via: \"192.0.2.1\"}]\n      nameservers: {addresses: [\"192.0.2.53\", \"192.0.2.54\"]}\n    ens6:\n      dhcp4: true\n"
        );
        let flow = twice("network:\n  ethernets:\n    ens5: {dhcp4: true}\n", edit);
        assert!(flow.starts_with("network:\n  ethernets:\n    ens5:\n      dhcp4: false\n"), "{flow}");
    }

    #[test]
    fn a_stanza_that_cannot_be_edited_is_none() {
        assert!(has_stanza("auto eth0\niface eth0 inet dhcp\n", "eth0"));
        let text = String::from_utf8_lossy(b"iface eth0 inet dhcp\x80\n");
        assert!(!has_stanza(&text, "eth0"));
    }

    #[test]
    fn interfaces_become_static() {
        let text = "auto lo\niface lo inet loopback\n\nallow-hotplug ens5\niface ens5 inet dhcp\n    mtu 1500\n    hostname x\niface ens5 inet6 auto\n";
        assert_eq!(
            twice(text, |content| ifupdown(content, &fixed())),
            "auto lo\niface lo inet loopback\n\nallow-hotplug ens5\niface ens5 inet static\n    address 192.0.2.10\n    netmask 255.255.255.0\n    gateway 192.0.2.1\n    dns-nameservers 192.0.2.53 192.0.2.54\n    mtu 1500\niface ens5 inet6 auto\n"
        );
    }

    #[test]
    fn shell_and_ini_files_become_static() {
        let text = "DEVICE=ens5\nBOOTPROTO=dhcp\nIPADDR0=10.0.0.1\nONBOOT=yes\nDNS1=10.0.0.2\n";
        assert_eq!(
            twice(text, |content| ifcfg(content, &fixed())),
            "DEVICE=ens5\nONBOOT=yes\nBOOTPROTO=none\nIPADDR=192.0.2.10\nPREFIX=24\nNETMASK=255.255.255.0\nGATEWAY=192.0.2.1\nDNS1=192.0.2.53\nDNS2=192.0.2.54\n"
        );
        let text =
            "[connection]\ntype=ethernet\n\n[ipv4]\nmethod=auto\nmay-fail=false\n\n[ipv6]\nmethod=auto\n";
        assert_eq!(
            twice(text, |content| keyfile(content, &fixed())),
            "[connection]\ntype=ethernet\n\n[ipv4]\nmethod=manual\naddress1=192.0.2.10/24\ngateway=192.0.2.1\ndns=192.0.2.53;192.0.2.54;\nmay-fail=false\n\n[ipv6]\nmethod=auto\n"
        );
        let text = "[Match]\nName=ens5\n[Network]\nDHCP=yes\nLLDP=yes\n[Address]\nAddress=10.0.0.1/8\n[DHCPv4]\nUseDNS=no\n";
        assert_eq!(
            twice(text, |content| networkd(content, &fixed())),
            "[Match]\nName=ens5\n[Network]\nDHCP=no\nAddress=192.0.2.10/24\nGateway=192.0.2.1\nDNS=192.0.2.53\nDNS=192.0.2.54\nLLDP=yes\n[DHCPv4]\nUseDNS=no\n"
        );
        let text = "STARTMODE='auto'\nBOOTPROTO='dhcp'\nIPADDR_1='10.0.0.1/8'\n";
        assert_eq!(
            twice(text, |content| wicked(content, &fixed())),
            "STARTMODE='auto'\nBOOTPROTO='static'\nIPADDR='192.0.2.10/24'\n"
        );
        assert_eq!(
            twice("default 10.0.0.1 - ens5\n", |content| wicked_routes(content, &fixed())),
            "default 192.0.2.1 - ens5\n"
        );
        let dns = twice("A=b\nNETCONFIG_DNS_STATIC_SERVERS=\"\"\n", |content| wicked_dns(content, &fixed()));
        assert_eq!(dns, "A=b\nNETCONFIG_DNS_STATIC_SERVERS=\"192.0.2.53 192.0.2.54\"\n");
    }

    #[test]
    fn a_last_line_without_an_end_gets_one() {
        assert!(
            twice("iface ens5 inet dhcp", |content| ifupdown(content, &fixed())).ends_with("192.0.2.54\n")
        );
        assert!(
            twice("[Match]\nName=ens5\n[Network]", |content| networkd(content, &fixed()))
                .ends_with("192.0.2.54\n")
        );
        assert!(
            twice("iface ens5 inet dhcp\r\n", |content| ifupdown(content, &fixed())).contains("static\r\n")
        );
        assert!(twice("[ipv4]", |content| keyfile(content, &fixed())).ends_with("192.0.2.54;\n"));
    }

    #[test]
    fn ipv6_addresses_fit_too() {
        let fixed: StaticAddress = "ens5=2001:db8::10/64,2001:db8::1".parse().unwrap();
        assert!(
            twice("DEVICE=ens5\nBOOTPROTO=dhcp\n", |content| ifcfg(content, &fixed))
                .contains("BOOTPROTO=dhcp\nIPV6INIT=yes\n")
        );
        let text = twice("iface ens5 inet dhcp\n", |content| ifupdown(content, &fixed));
        assert_eq!(
            text,
            "iface ens5 inet dhcp\niface ens5 inet6 static\n    address 2001:db8::10\n    netmask 64\n    gateway 2001:db8::1\n"
        );
    }
}
