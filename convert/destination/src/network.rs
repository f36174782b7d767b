//! Which volumes are reached over which network interface.

use crate::host::Host;
use crate::mounts::{Mount, mounts};
use crate::program;
use crate::volume::{Volume, VolumeKind, node_of};
use format_core::{Error, Result};
use serde::Deserialize;
use std::ffi::OsStr;
use std::net::{IpAddr, ToSocketAddrs};
use std::path::Path;
use std::time::Duration;

/// The kernel answers at once.
pub(crate) const ASK: Duration = Duration::from_secs(10);

/// All mounts that would be cut off from their bytes without the interface, those on top first. The destination's own is among them
/// when it is on any network.
///
/// # Errors
/// It cannot be told over which interface a volume is reached.
pub(crate) fn mounts_over(host: &Host, interface: &str, destination: &Mount) -> Result<Vec<Mount>> {
    let mut found = Vec::new();
    for mount in mounts(host)?.into_iter().rev() {
        let is_over = match Volume::of_kind(host, &mount) {
            VolumeKind::Network => is_reached_over(host, interface, &mount)?,
            // iSCSI, NBD, Ceph and DRBD: which server it is, sysfs does not say for all of them.
            VolumeKind::Disk => is_remote_disk(host, &mount),
            _ => false,
        };
        let is_own = mount.id == destination.id && Volume::of_kind(host, &mount) == VolumeKind::Network;
        if is_over || is_own {
            found.push(mount);
        }
    }
    Ok(found)
}

fn is_remote_disk(host: &Host, mount: &Mount) -> bool {
    let Some(node) = node_of(host, mount) else { return false };
    let name = node.file_name().unwrap_or_default().to_string_lossy();
    if ["nbd", "rbd", "drbd"].iter().any(|prefix| name.starts_with(prefix)) {
        return true;
    }
    let folder =
        std::fs::canonicalize(host.sys.join("dev/block").join(mount.device.to_string())).unwrap_or_default();
    let is_session =
        |part: &str| part.strip_prefix("session").is_some_and(|rest| rest.parse::<u32>().is_ok());
    folder.iter().filter_map(OsStr::to_str).any(is_session)
}

fn is_reached_over(host: &Host, interface: &str, mount: &Mount) -> Result<bool> {
    let unknown = || {
        let text = format!("it cannot be told over which interface {} is reached", mount.point.display());
        Error::needs_person(text).hint("unmount it, and try again")
    };
    let addresses = addresses_of(mount).ok_or_else(unknown)?;
    for address in addresses {
        if route_to(host, address).is_some_and(|over| over == interface) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The addresses of a network file system's server: as the mount says, else by its name.
fn addresses_of(mount: &Mount) -> Option<Vec<IpAddr>> {
    if let Some(address) = mount.super_value("addr").and_then(|text| text.parse().ok()) {
        return Some(vec![address]);
    }
    let name = server_of(mount.source.to_str()?)?;
    if let Ok(address) = name.parse() {
        return Some(vec![address]);
    }
    let found = (name.as_str(), 0).to_socket_addrs().ok()?;
    Some(found.map(|address| address.ip()).collect())
}

/// The server in `host:/path`, `user@host:path`, `[fd00::1]:/path`, `//host/share`, `scheme://host:port/path`, `host1,host2:/path`.
fn server_of(source: &str) -> Option<String> {
    let after = source.split_once("//").map_or(source, |(_, after)| after);
    let has_slashes = after.len() != source.len();
    let end = if has_slashes {
        after.find('/').unwrap_or(after.len())
    } else {
        after.find(":/").or_else(|| after.rfind(':'))?
    };
    let server = after.get(..end)?.split(',').next()?;
    let server = server.rsplit_once('@').map_or(server, |(_, server)| server);
    let server = match server.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?.0,
        // A port, unless it is an IPv6 address.
        None if server.matches(':').count() == 1 => server.split_once(':')?.0,
        None => server,
    };
    (!server.is_empty()).then(|| server.to_owned())
}

/// The interface over which the kernel sends to `address` now; nothing where it has no way.
pub(crate) fn route_to(host: &Host, address: IpAddr) -> Option<String> {
    #[derive(Deserialize)]
    struct Route {
        dev: String,
    }
    let address = address.to_string();
    let args = ["-j", "route", "get", &address].map(OsStr::new);
    let said = program::run(host, "ip", &args, ASK).ok()?.or_error().ok()?;
    serde_json::from_slice::<Vec<Route>>(&said).ok()?.into_iter().next().map(|route| route.dev)
}

/// Whether the interface has a default route, by `/proc/net/route` and `/proc/net/ipv6_route` (proc_net(5)). Two halves of
/// the address space, as VPNs route them, are one, too.
pub(crate) fn has_default_route(host: &Host, interface: &str) -> bool {
    let read =
        |name: &str| std::fs::read_to_string(host.proc.join("self/net").join(name)).unwrap_or_default();
    let four = read("route");
    let four = four.lines().skip(1).any(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        // Iface Destination Gateway Flags RefCnt Use Metric Mask
        let mask = words.get(7).and_then(|mask| u32::from_str_radix(mask, 16).ok());
        words.first() == Some(&interface)
            && mask.is_some_and(|mask| mask.count_ones() <= 1)
            && is_in_use(words.get(3))
    });
    let six = read("ipv6_route");
    let six = six.lines().any(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        // destination prefix source prefix gateway metric refcount use flags interface
        let prefix = words.get(1).and_then(|prefix| u8::from_str_radix(prefix, 16).ok());
        words.get(9) == Some(&interface)
            && prefix.is_some_and(|prefix| prefix <= 1)
            && is_in_use(words.get(8))
    });
    four || six
}

/// Up, and not one that rejects.
fn is_in_use(flags: Option<&&str>) -> bool {
    const RTF_UP: u32 = 1;
    const RTF_REJECT: u32 = 0x200;
    let flags = flags.and_then(|flags| u32::from_str_radix(flags, 16).ok()).unwrap_or_default();
    flags & RTF_UP != 0 && flags & RTF_REJECT == 0
}

/// Where the operator who types this comes from (sshd(8)).
pub(crate) fn operators_address() -> Option<IpAddr> {
    std::env::var("SSH_CONNECTION").ok()?.split_whitespace().next()?.parse().ok()
}

/// Whether the path is one that an interface can have: no options, no other folders.
pub(crate) fn is_interface_name(name: &str) -> bool {
    let fits =
        (1..=15).contains(&name.len()) && !name.starts_with('-') && Path::new(name).file_name().is_some();
    fits && !name.contains(|c: char| c == '/' || c.is_whitespace() || c.is_control())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn servers_are_found_in_sources() {
        for (source, server) in [
            ("nas:/export/a", Some("nas")),
            ("//nas.example/share/x", Some("nas.example")),
            ("ann@nas:backup", Some("nas")),
            ("[fd00::1]:/a", Some("fd00::1")),
            ("https://nas.example:8443/dav", Some("nas.example")),
            ("10.0.0.1,10.0.0.2:/", Some("10.0.0.1")),
            ("ceph-mon:6789:/", Some("ceph-mon")),
            ("ann@10.0.0.7:/home:x", Some("10.0.0.7")),
            ("nas", None),
            (":/x", None),
        ] {
            assert_eq!(server_of(source).as_deref(), server, "{source}");
        }
    }

    #[test]
    fn default_routes_are_seen_in_both_tables() {
        let proc = tempfile::tempdir().unwrap();
        let net = proc.path().join("self/net");
        std::fs::create_dir_all(&net).unwrap();
        let four = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\n\
                    eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
                    eth1\t0000090A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n\
                    tun0\t00000080\t010200C0\t0003\t0\t0\t0\t00000080\t0\t0\t0\n";
        let zero = "0".repeat(32);
        let six = format!(
            "{zero} 00 {zero} 00 {zero} ffffffff 00000001 00000000 00200200       lo\n\
             {zero} 00 {zero} 00 {zero} 00000400 00000001 00000000 00000003     eth2\n\
             {zero} 40 {zero} 00 {zero} 00000400 00000001 00000000 00000001     eth1\n"
        );
        std::fs::write(net.join("route"), four).unwrap();
        std::fs::write(net.join("ipv6_route"), six).unwrap();
        let host = Host { proc: proc.path().into(), ..Host::system() };
        for (name, has) in [("eth0", true), ("eth1", false), ("tun0", true), ("eth2", true), ("lo", false)] {
            assert_eq!(has_default_route(&host, name), has, "{name}");
        }
    }

    #[test]
    fn names_that_are_options_or_paths_are_none() {
        assert!(is_interface_name("eth1") && is_interface_name("br-0a1b.12@x"));
        for name in ["", "-f", "a/b", "a b", "..", "sixteencharacter", "a\n"] {
            assert!(!is_interface_name(name), "{name:?}");
        }
    }
}
