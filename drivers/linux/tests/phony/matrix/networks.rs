//! Network configuration as each system keeps it: two interfaces with fixed addresses, a route and a VLAN; or one by DHCP.

use super::{Init, MACS};
use driver_core::MemFs;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    Netplan,
    Ifupdown,
    Networkd,
    Ifcfg,
    Keyfiles,
    Wicked,
    /// DHCP by whatever is there, without a file.
    None,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addresses {
    /// Two interfaces with fixed addresses, a route and a VLAN.
    Fixed,
    /// The same, bound to the hardware addresses.
    Pinned,
    /// One interface, by DHCP.
    Dhcp,
}

impl Network {
    pub fn name(self) -> &'static str {
        match self {
            Self::Netplan => "netplan",
            Self::Ifupdown => "ifupdown",
            Self::Networkd => "networkd",
            Self::Ifcfg => "ifcfg",
            Self::Keyfiles => "keyfiles",
            Self::Wicked => "wicked",
            Self::None => "no-network",
        }
    }

    /// The guest with the configuration of interfaces `a` and `b`.
    pub fn configure(self, fs: MemFs, addresses: Addresses, [a, b]: [&str; 2], init: Init) -> MemFs {
        let pinned = addresses == Addresses::Pinned;
        let dhcp = addresses == Addresses::Dhcp;
        match self {
            Self::Netplan => fs.with_file("/etc/netplan/50-cloud-init.yaml", netplan(pinned, dhcp, a, b)),
            Self::Ifupdown => fs.with_file("/etc/network/interfaces", ifupdown(dhcp, a, b, init)),
            Self::Networkd => networkd(fs, pinned, dhcp, a, b),
            Self::Ifcfg => ifcfg(fs, pinned, dhcp, a, b),
            Self::Keyfiles => keyfiles(fs, pinned, dhcp, a, b),
            Self::Wicked => wicked(fs, dhcp, a, b),
            Self::None => fs,
        }
    }
}

fn netplan(pinned: bool, dhcp: bool, a: &str, b: &str) -> String {
    let pin = |mac: &str, name: &str| {
        let text = format!("      match:\n        macaddress: \"{mac}\"\n      set-name: \"{name}\"\n");
        if pinned || dhcp { text } else { String::new() }
    };
    let (first, second) = (pin(MACS[0], a), pin(MACS[1], b));
    if dhcp {
        return format!("network:\n  version: 2\n  ethernets:\n    {a}:\n      dhcp4: true\n{first}");
    }
    format!(
        "network:\n  version: 2\n  ethernets:\n    {a}:\n{first}      addresses:\n        - 10.1.2.3/24\n        - 2001:db8:1::3/64\n      \
         nameservers:\n        addresses: [10.1.2.53]\n      routes:\n        - to: default\n          via: 10.1.2.1\n        - to: 10.9.0.0/16\n          \
         via: 10.1.2.254\n    {b}:\n{second}      addresses: [10.2.0.3/24]\n  vlans:\n    vlan20:\n      id: 20\n      link: {b}\n      addresses: [10.3.0.3/24]\n"
    )
}

fn ifupdown(dhcp: bool, a: &str, b: &str, init: Init) -> String {
    let lo = "auto lo\niface lo inet loopback\n\n";
    if dhcp {
        return format!("{lo}auto {a}\niface {a} inet dhcp\n");
    }
    let raw = if init == Init::OpenRc { "" } else { "\tvlan-raw-device " };
    let raw = if raw.is_empty() { String::new() } else { format!("{raw}{b}\n") };
    format!(
        "{lo}auto {a}\niface {a} inet static\n\taddress 10.1.2.3\n\tnetmask 255.255.255.0\n\tgateway 10.1.2.1\n\tdns-nameservers 10.1.2.53\n\t\
         up ip route add 10.9.0.0/16 via 10.1.2.254 dev {a}\n\niface {a} inet6 static\n\taddress 2001:db8:1::3\n\tnetmask 64\n\nauto {b}\n\
         iface {b} inet static\n\taddress 10.2.0.3/24\n\nauto {b}.20\niface {b}.20 inet static\n\taddress 10.3.0.3/24\n{raw}"
    )
}

fn networkd(fs: MemFs, pinned: bool, dhcp: bool, a: &str, b: &str) -> MemFs {
    let select =
        |mac: &str, name: &str| if pinned { format!("MACAddress={mac}") } else { format!("Name={name}") };
    let folder = "/etc/systemd/network";
    if dhcp {
        return fs
            .with_file(&format!("{folder}/80-dhcp.network"), "[Match]\nName=en*\n\n[Network]\nDHCP=yes\n");
    }
    fs.with_file(
        &format!("{folder}/10-first.network"),
        format!(
            "[Match]\n{}\n\n[Network]\nAddress=10.1.2.3/24\nAddress=2001:db8:1::3/64\nGateway=10.1.2.1\nDNS=10.1.2.53\n\n\
             [Route]\nDestination=10.9.0.0/16\nGateway=10.1.2.254\n",
            select(MACS[0], a)
        ),
    )
    .with_file(&format!("{folder}/20-second.network"), format!("[Match]\n{}\n\n[Network]\nAddress=10.2.0.3/24\nVLAN=vlan20\n", select(MACS[1], b)))
    .with_file(&format!("{folder}/30-vlan20.netdev"), "[NetDev]\nName=vlan20\nKind=vlan\n\n[VLAN]\nId=20\n")
    .with_file(&format!("{folder}/30-vlan20.network"), "[Match]\nName=vlan20\n\n[Network]\nAddress=10.3.0.3/24\n")
}

fn ifcfg(fs: MemFs, pinned: bool, dhcp: bool, a: &str, b: &str) -> MemFs {
    let folder = "/etc/sysconfig/network-scripts";
    let fs = fs.with_file(&format!("{folder}/ifcfg-lo"), "DEVICE=lo\nIPADDR=127.0.0.1\n");
    let pin = |mac: &str| if pinned { format!("HWADDR={mac}\n") } else { String::new() };
    if dhcp {
        return fs.with_file(
            &format!("{folder}/ifcfg-{a}"),
            format!("DEVICE={a}\nBOOTPROTO=dhcp\nONBOOT=yes\nTYPE=Ethernet\n"),
        );
    }
    fs.with_file(
        &format!("{folder}/ifcfg-{a}"),
        format!(
            "TYPE=Ethernet\nDEVICE={a}\n{}ONBOOT=yes\nBOOTPROTO=none\nIPADDR=10.1.2.3\nPREFIX=24\nGATEWAY=10.1.2.1\nDNS1=10.1.2.53\nIPV6ADDR=2001:db8:1::3/64\n",
            pin(MACS[0])
        ),
    )
    .with_file(&format!("{folder}/route-{a}"), format!("10.9.0.0/16 via 10.1.2.254 dev {a}\n"))
    .with_file(
        &format!("{folder}/ifcfg-{b}"),
        format!("TYPE=Ethernet\nDEVICE={b}\n{}ONBOOT=yes\nBOOTPROTO=none\nIPADDR=10.2.0.3\nNETMASK=255.255.255.0\n", pin(MACS[1])),
    )
    .with_file(
        &format!("{folder}/ifcfg-{b}.20"),
        format!("DEVICE={b}.20\nVLAN=yes\nONBOOT=yes\nBOOTPROTO=none\nIPADDR=10.3.0.3\nPREFIX=24\n"),
    )
    .with_file("/etc/sysconfig/network", format!("NETWORKING=yes\nHOSTNAME=app1\nGATEWAYDEV={a}\n"))
}

fn keyfiles(fs: MemFs, pinned: bool, dhcp: bool, a: &str, b: &str) -> MemFs {
    let folder = "/etc/NetworkManager/system-connections";
    let pin = |mac: &str| {
        if pinned { format!("\n[ethernet]\nmac-address={}\n", mac.to_uppercase()) } else { String::new() }
    };
    if dhcp {
        return fs.with_file(
            &format!("{folder}/Wired connection 1.nmconnection"),
            format!("[connection]\nid=Wired connection 1\ntype=ethernet\ninterface-name={a}\n\n[ipv4]\nmethod=auto\n"),
        );
    }
    fs.with_file(
        &format!("{folder}/{a}.nmconnection"),
        format!(
            "[connection]\nid={a}\nuuid=11111111-2222-3333-4444-555555555555\ntype=ethernet\ninterface-name={a}\n{}\n[ipv4]\n\
             address1=10.1.2.3/24,10.1.2.1\ndns=10.1.2.53;\nroute1=10.9.0.0/16,10.1.2.254\nmethod=manual\n\n[ipv6]\naddress1=2001:db8:1::3/64\nmethod=manual\n",
            pin(MACS[0])
        ),
    )
    .with_file(
        &format!("{folder}/{b}.nmconnection"),
        format!("[connection]\nid={b}\ntype=ethernet\ninterface-name={b}\n{}\n[ipv4]\naddress1=10.2.0.3/24\nmethod=manual\n", pin(MACS[1])),
    )
    .with_file(
        &format!("{folder}/vlan20.nmconnection"),
        format!("[connection]\nid=vlan20\ntype=vlan\ninterface-name={b}.20\n\n[vlan]\nid=20\nparent={b}\n\n[ipv4]\naddress1=10.3.0.3/24\nmethod=manual\n"),
    )
}

fn wicked(fs: MemFs, dhcp: bool, a: &str, b: &str) -> MemFs {
    let folder = "/etc/sysconfig/network";
    let fs = fs
        .with_file(&format!("{folder}/config"), "NETCONFIG_DNS_STATIC_SERVERS=\"10.1.2.53\"\n")
        .with_file(&format!("{folder}/ifcfg-lo"), "IPADDR=127.0.0.1\nSTARTMODE=nfsroot\n");
    if dhcp {
        return fs.with_file(&format!("{folder}/ifcfg-{a}"), "BOOTPROTO='dhcp'\nSTARTMODE='auto'\n");
    }
    fs.with_file(
        &format!("{folder}/ifcfg-{a}"),
        "BOOTPROTO='static'\nSTARTMODE='auto'\nIPADDR='10.1.2.3/24'\nIPADDR_1='2001:db8:1::3/64'\nMTU=''\n",
    )
    .with_file(&format!("{folder}/routes"), format!("default 10.1.2.1 - {a}\n"))
    .with_file(&format!("{folder}/ifroute-{a}"), format!("10.9.0.0/16 10.1.2.254 - {a}\n"))
    .with_file(
        &format!("{folder}/ifcfg-{b}"),
        "BOOTPROTO='static'\nSTARTMODE='auto'\nIPADDR='10.2.0.3'\nNETMASK='255.255.255.0'\n",
    )
    .with_file(
        &format!("{folder}/ifcfg-vlan20"),
        format!(
            "BOOTPROTO='static'\nSTARTMODE='auto'\nETHERDEVICE='{b}'\nVLAN_ID='20'\nIPADDR='10.3.0.3/24'\n"
        ),
    )
}
