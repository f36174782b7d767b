//! systemd-networkd: files that match the source's interfaces match the target's.
//!
//! Facts: `[Match]` of systemd.network(5) and systemd.link(5) selects by MAC address, name, path or driver; drop-ins in
//! NAME.network.d add to the lists of the main file. Amazon Linux 2023 configures whatever has the driver `ena`,
//! `ixgbevf` or `vif` (amazon-ec2-net-utils, 80-ec2.network), with jumbo frames that only EC2's network carries: a
//! drop-in adds the target's driver and the usual MTU. A .link file that names by MAC address holds the name while the
//! address is known; where it is not, it would take the new name away again if the address was kept after all, so its
//! `Name=` is commented out. (The file stays: some file systems are edited in place only.)

use crate::config_file::{Line, edit_lines, folders, list, read, read_small};
use crate::ini::{Item, item, pairs};
use crate::net_rules::hold;
use crate::nic_names::{driver_names, fits_pattern, is_wired, plain_mtu, replace_words, usual_mtu};
use crate::nic_plan::{Change, Nic, Pin, assign};
use crate::set_address::SetAddresses;
use driver_core::{Applies, Context, Draft, Fixup};
use format_core::Result;

pub(super) const OWN: &str = "/etc/systemd/network";
const VENDOR: &str = "/usr/lib/systemd/network";
/// Drivers of network adapters that hypervisors make.
const VIRTUAL_DRIVERS: [&str; 12] = [
    "ena",
    "ixgbevf",
    "vif",
    "xen-netfront",
    "xen_netfront",
    "efa",
    "virtio_net",
    "hv_netvsc",
    "vmxnet3",
    "gve",
    "gvnic",
    "e1000",
];
/// Keys of `[Match]` that name a piece of hardware.
const HARDWARE: [&str; 4] = ["MACAddress", "PermanentMACAddress", "Path", "Driver"];

pub(super) struct Networkd;

impl Fixup for Networkd {
    fn id(&self) -> &'static str {
        "linux-networkd"
    }

    fn title(&self) -> &'static str {
        "systemd-networkd configures the target's network interfaces"
    }

    fn applies(&self, context: &Context<'_>, draft: &Draft<'_>) -> Result<Applies> {
        let own = !list(draft, OWN, ".network")?.is_empty() || !list(draft, OWN, ".link")?.is_empty();
        let found = own || !driver_files(context, draft)?.is_empty();
        Ok(if found {
            Applies::Yes
        } else {
            Applies::no("no file of systemd-networkd names the source's interfaces")
        })
    }

    fn plan(&self, context: &Context<'_>, draft: &mut Draft<'_>) -> Result<()> {
        let networks = bound(draft, ".network", |path, text| network_nic(path, text, context))?;
        let links = bound(draft, ".link", |_, text| link_nic(text))?;
        let nics = |files: &[(String, Nic)]| files.iter().map(|(_, nic)| nic.clone()).collect::<Vec<_>>();
        // A name that a .link file gives by its address is the name that a .network file uses.
        let mut named = nics(&networks);
        for nic in &mut named {
            let link = links.iter().find(|(_, link)| link.name.is_some() && link.name == nic.name);
            nic.mac = nic.mac.or_else(|| link.and_then(|(_, link)| link.mac));
        }
        let changes = assign(OWN, named, context, draft)?;
        let link_changes = assign(OWN, nics(&links), context, draft)?;
        let reason = format!("the network interfaces of {}", context.target.name);
        let renames: Vec<(String, String)> =
            changes.iter().filter_map(Change::rename).map(|(old, new)| (old.into(), new.into())).collect();
        for path in list(draft, OWN, ".network")? {
            let Some(content) = read(draft, &path)? else { continue };
            let key = networks.iter().find(|(other, _)| *other == path).map(|(_, nic)| &nic.key);
            let new = match changes.iter().find(|change| Some(&change.nic.key) == key) {
                Some(change) if change.pin == Pin::Drop => select(&content, change),
                Some(change) if change.is_none() => any_driver(&content, context),
                Some(change) => any_driver(&select(&content, change), context),
                None => content,
            };
            let new = edit_lines(&new, |line| other_interface(line, &renames, context));
            draft.write(&path, new, &reason)?;
        }
        for (path, nic) in &links {
            let Some(change) = link_changes.iter().find(|change| change.nic.key == nic.key) else { continue };
            let content = read(draft, path)?.unwrap_or_default();
            let new = match holds(change) {
                // Every key of [Match] must fit (systemd.link(5)): the address is the one that goes on to.
                true => without_path(&any_driver(&readdress(&content, change), context)),
                false => nameless(&content),
            };
            draft.write(path, new, &reason)?;
        }
        for (path, jumbo) in driver_files(context, draft)? {
            let name = path.rsplit('/').next().unwrap_or_default();
            let mtu = match jumbo && !context.wishes.network.keep_mtu {
                true => format!("\n[Link]\nMTUBytes={}\n", usual_mtu(context.target.platform)),
                false => String::new(),
            };
            let driver = driver_names(context.target.network_module).join(" ");
            let content = format!("[Match]\nDriver={driver}\n{mtu}");
            let reason = "the configuration for the source's drivers serves the target's too";
            draft.write(&format!("{OWN}/{name}.d/90-rehome.conf"), content, reason)?;
        }
        set_addresses(context, draft, &changes, &reason)?;
        let is_held =
            |change: &Change| link_changes.iter().any(|link| holds(link) && link.name == change.name);
        hold(draft, context, changes.iter().chain(&link_changes).filter(|change| !is_held(change)))
    }
}

/// Plans what becomes of the addresses that files and their drop-ins set.
fn set_addresses(
    context: &Context<'_>,
    draft: &mut Draft<'_>,
    changes: &[Change],
    reason: &str,
) -> Result<()> {
    let mut files = Vec::new();
    for kind in [".network", ".link", ".netdev"] {
        files.extend(list(draft, OWN, kind)?);
        for folder in folders(draft, OWN)?.iter().filter(|folder| folder.ends_with(&format!("{kind}.d"))) {
            files.extend(list(draft, folder, ".conf")?);
        }
    }
    for path in files {
        // What is too large to be configuration is passed over.
        if !read_small(draft, &path)?.contains("MACAddress") {
            continue;
        }
        let Some(content) = read(draft, &path)? else { continue };
        let mut set = SetAddresses::new(&context.wishes.network.adapters, changes);
        let mut section = String::new();
        let new = edit_lines(&content, |line| match item(line) {
            Item::Section(name) => {
                section = name.to_owned();
                Line::Keep
            }
            Item::Pair("MACAddress", value) if matches!(section.as_str(), "Link" | "NetDev") => {
                set.line(line, value).unwrap_or(Line::Keep)
            }
            _ => Line::Keep,
        });
        set.note(&path, draft);
        draft.write(&path, new, &set.reason(reason))?;
    }
    Ok(())
}

/// What names interfaces besides `[Match]` (systemd.network(5)).
fn other_interface(line: &str, renames: &[(String, String)], context: &Context<'_>) -> Line {
    match item(line) {
        Item::Pair("BindCarrier" | "IncomingInterface" | "OutgoingInterface", _) => {
            Line::Replace(replace_words(line, renames))
        }
        _ => plain_mtu(line, context).map_or(Line::Keep, Line::Replace),
    }
}

/// The .link file goes on to give its name.
fn holds(link: &Change) -> bool {
    link.pin != Pin::Drop && link.rename().is_none()
}

/// The files that are bound to one interface.
fn bound(
    draft: &Draft<'_>,
    suffix: &str,
    nic: impl Fn(&str, &str) -> Option<Nic>,
) -> Result<Vec<(String, Nic)>> {
    let mut found = Vec::new();
    for path in list(draft, OWN, suffix)? {
        let text = read_small(draft, &path)?;
        found.extend(nic(&path, &text).map(|nic| (path, nic)));
    }
    Ok(found)
}

/// The interface that a .network file selects; `None` for bridges, patterns for others and what fits the target already.
fn network_nic(path: &str, text: &str, context: &Context<'_>) -> Option<Nic> {
    let matches =
        || pairs(text).filter(|(section, ..)| *section == "Match").map(|(_, key, value)| (key, value));
    let names: Vec<&str> =
        matches().filter(|(key, _)| *key == "Name").flat_map(|(_, value)| value.split_whitespace()).collect();
    let address = matches().find(|(key, value)| key.ends_with("MACAddress") && !value.is_empty());
    let by_path = matches().any(|(key, value)| key == "Path" && !value.is_empty());
    let drivers: Vec<&str> = matches()
        .filter(|(key, _)| *key == "Driver")
        .flat_map(|(_, value)| value.split_whitespace())
        .collect();
    let name = match names.as_slice() {
        [one] if is_wired(one) => Some((*one).to_owned()),
        _ => None,
    };
    if address.is_some() || by_path {
        let mac = address.and_then(|(_, value)| value.trim().parse().ok());
        let key = name.clone().unwrap_or_else(|| path.to_owned());
        return Some(Nic { key, name, mac, pinned: true });
    }
    // Drivers alone are served by a drop-in.
    if names.is_empty() {
        return None;
    }
    let wanted = driver_names(context.target.network_module);
    if !drivers.is_empty() && !drivers.iter().any(|driver| wanted.contains(driver)) {
        let key = name.clone().unwrap_or_else(|| path.to_owned());
        return Some(Nic { key, name, mac: None, pinned: true });
    }
    let first = context.target.first_nic;
    let fits = |pattern: &&str| match first {
        Some(first) => fits_pattern(pattern, first),
        None => pattern.contains('*'),
    };
    // `en*` is the source's interface just as `ens5` is.
    let wired = |name: &&str| is_wired(name) || matches!(*name, "en*" | "ens*" | "enX*" | "enp*");
    match name {
        Some(name) => Some(Nic::named(&name)),
        None if names.iter().any(fits) || !names.iter().any(wired) => None,
        // Several names or a pattern, of which none is the target's.
        None => Some(Nic { key: path.to_owned(), pinned: true, ..Nic::default() }),
    }
}

/// The interface that a .link file names by its hardware.
fn link_nic(text: &str) -> Option<Nic> {
    let hardware = |(section, key, _): (&str, &str, &str)| section == "Match" && HARDWARE.contains(&key);
    let name = pairs(text)
        .find(|(section, key, _)| *section == "Link" && *key == "Name")
        .map(|(.., value)| value.trim())?;
    let mut keys = pairs(text).filter(|pair| hardware(*pair)).peekable();
    keys.peek()?;
    let mac = keys
        .find(|(_, key, _)| key.ends_with("MACAddress"))
        .and_then(|(.., value)| value.trim().parse().ok());
    Some(Nic { mac, pinned: true, ..Nic::named(name) })
}

/// The content with `[Match]` changed as decided.
fn select(content: &[u8], change: &Change) -> Vec<u8> {
    if let Pin::Replace(_) = change.pin {
        return readdress(content, change);
    }
    match &change.name {
        Some(name) => select_by_name(content, name),
        None => content.to_vec(),
    }
}

/// The content with another address in `[Match]`.
fn readdress(content: &[u8], change: &Change) -> Vec<u8> {
    let Pin::Replace(mac) = change.pin else { return content.to_vec() };
    let mut section = String::new();
    edit_lines(content, |line| match item(line) {
        Item::Section(name) => {
            section = name.to_owned();
            Line::Keep
        }
        Item::Pair("Path", _) if section == "Match" => Line::Replace(format!("MACAddress={mac}")),
        Item::Pair(key, _) if section == "Match" && key.ends_with("MACAddress") => {
            Line::Replace(format!("{key}={mac}"))
        }
        _ => Line::Keep,
    })
}

/// The content without the place of the adapter in `[Match]`.
fn without_path(content: &[u8]) -> Vec<u8> {
    let mut section = String::new();
    edit_lines(content, |line| match item(line) {
        Item::Section(name) => {
            section = name.to_owned();
            Line::Keep
        }
        Item::Pair("Path", _) if section == "Match" => Line::Drop,
        _ => Line::Keep,
    })
}

/// The content of a .link file that names nothing any more.
fn nameless(content: &[u8]) -> Vec<u8> {
    let mut section = String::new();
    edit_lines(content, |line| match item(line) {
        Item::Section(name) => {
            section = name.to_owned();
            Line::Keep
        }
        Item::Pair("Name", _) if section == "Link" => Line::Replace(format!("#{line}")),
        _ => Line::Keep,
    })
}

/// The content with one `Name=` as the only key of `[Match]` that selects hardware.
fn select_by_name(content: &[u8], name: &str) -> Vec<u8> {
    let mut section = String::new();
    let mut written = false;
    edit_lines(content, |line| match item(line) {
        Item::Section(name) => {
            section = name.to_owned();
            Line::Keep
        }
        Item::Pair(key, _) if section == "Match" && (key == "Name" || HARDWARE.contains(&key)) => {
            if written {
                return Line::Drop;
            }
            written = true;
            Line::Replace(format!("Name={name}"))
        }
        _ => Line::Keep,
    })
}

/// The content without a driver in `[Match]` that is not the target's: the address selects the adapter.
fn any_driver(content: &[u8], context: &Context<'_>) -> Vec<u8> {
    let wanted = driver_names(context.target.network_module);
    let mut section = String::new();
    edit_lines(content, |line| match item(line) {
        Item::Section(name) => {
            section = name.to_owned();
            Line::Keep
        }
        Item::Pair("Driver", value) if section == "Match" => {
            match value.split_whitespace().any(|driver| wanted.contains(&driver)) {
                true => Line::Keep,
                false => Line::Drop,
            }
        }
        _ => Line::Keep,
    })
}

/// Files for virtual drivers of which none is the target's, and whether they set an MTU.
fn driver_files(context: &Context<'_>, draft: &Draft<'_>) -> Result<Vec<(String, bool)>> {
    let wanted = driver_names(context.target.network_module);
    let mut files = list(draft, VENDOR, ".network")?;
    files.extend(list(draft, OWN, ".network")?);
    let mut found = Vec::new();
    for path in files {
        let text = read_small(draft, &path)?;
        let drivers: Vec<&str> = pairs(&text)
            .filter(|(section, key, _)| *section == "Match" && *key == "Driver")
            .flat_map(|(.., value)| value.split_whitespace())
            .collect();
        let more = pairs(&text).any(|(section, key, _)| {
            section == "Match" && (key.ends_with("MACAddress") || matches!(key, "Name" | "Path"))
        });
        let foreign =
            drivers.iter().all(|driver| VIRTUAL_DRIVERS.contains(driver) && !wanted.contains(driver));
        if !more && !drivers.is_empty() && foreign {
            let mtu = pairs(&text).any(|(section, key, _)| section == "Link" && key == "MTUBytes");
            found.push((path, mtu));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use driver_core::Guest;

    #[test]
    fn match_sections_are_rewritten() {
        let text = b"[Match]\r\nMACAddress=06:3f\r\nName=ens5\r\n\r\n[Network]\r\nDHCP=yes\r\nName=x\r\n";
        let expected = b"[Match]\r\nName=eth0\r\n\r\n[Network]\r\nDHCP=yes\r\nName=x\r\n";
        assert_eq!(select_by_name(text, "eth0"), expected);
        assert_eq!(select_by_name(expected, "eth0"), expected);
    }

    #[test]
    fn files_are_told_apart() {
        let (guest, target) = (Guest::default(), driver_targets::GENERATION_1);
        let context = Context::new(&guest, &target);
        for (text, expected) in [
            ("[Match]\nName=ens5\n", Some((Some("ens5"), false))),
            ("[Match]\nName=en*\n", Some((None, true))),
            ("[Match]\nMACAddress=x\nName=eth0\n", Some((Some("eth0"), true))),
            ("[Match]\nPath=pci-*\n", Some((None, true))),
            ("[Match]\nName=eth0\n", Some((Some("eth0"), false))),
            ("[Match]\nName=e*\n", None),
            ("[Match]\nName=eth0 ens5\n", None),
            ("[Match]\nName=br0\n", None),
            ("[Match]\nDriver=ena\n", None),
            ("[Match]\nName=ens5\nDriver=ena\n", Some((Some("ens5"), true))),
            ("[Match]\nName=eth0\nDriver=hv_netvsc\n", Some((Some("eth0"), false))),
            ("[Network]\nName=ens5\n", None),
            ("", None),
        ] {
            let nic = network_nic("x", text, &context);
            assert_eq!(nic.as_ref().map(|nic| (nic.name.as_deref(), nic.pinned)), expected, "{text}");
        }
        let text =
            b"[Match]\nMACAddress=06:3f:9a:52:c4:1d\nDriver=ena\nPath=pci-0000:00:05.0\n[Link]\nName=lan0\n";
        let expected = b"[Match]\nMACAddress=06:3f:9a:52:c4:1d\n[Link]\nName=lan0\n";
        assert_eq!(without_path(&any_driver(text, &context)), expected);
        let link = link_nic("[Match]\nMACAddress=06:3f:9a:52:c4:1d\n[Link]\nName=ens5\n").unwrap();
        assert_eq!((link.name.as_deref(), link.mac.is_some()), (Some("ens5"), true));
        assert!(link_nic("[Match]\nOriginalName=*\n[Link]\nNamePolicy=keep\n").is_none());
    }
}
