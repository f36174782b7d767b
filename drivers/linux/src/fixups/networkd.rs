//! systemd-networkd: files that match EC2's interface match the target's.
//!
//! Facts: `[Match]` of systemd.network(5) and systemd.link(5) selects by MAC address, name, path or driver; drop-ins in
//! NAME.network.d add to the lists of the main file. Amazon Linux 2023 configures whatever has the driver `ena`,
//! `ixgbevf` or `vif` (amazon-ec2-net-utils, 80-ec2.network), with jumbo frames that only EC2's network carries: a
//! drop-in adds the target's driver and the usual MTU. A .link file that renames by MAC address would take the new
//! name away again if the address was kept.

use crate::config_file::{Line, edit_lines, list, read, read_small};
use crate::ini::{Item, item, pairs};
use crate::nic_names::{Mapping, fits_pattern, is_wired, map_to_first};
use driver_core::{Applies, Context, Draft, Fixup};
use format_core::Result;

const OWN: &str = "/etc/systemd/network";
const VENDOR: &str = "/usr/lib/systemd/network";
const EC2_DRIVERS: [&str; 6] = ["ena", "ixgbevf", "vif", "xen-netfront", "xen_netfront", "efa"];
/// Keys of `[Match]` that name a piece of hardware.
const HARDWARE: [&str; 4] = ["MACAddress", "PermanentMACAddress", "Path", "Driver"];

pub(super) struct Networkd;

impl Fixup for Networkd {
    fn id(&self) -> &'static str {
        "linux-networkd"
    }

    fn title(&self) -> &'static str {
        "systemd-networkd configures the target's network interface"
    }

    fn applies(&self, context: &Context<'_>, draft: &Draft<'_>) -> Result<Applies> {
        if context.target.first_nic.is_none() {
            return Ok(Applies::no(format!("{} does not rename interfaces", context.target.name)));
        }
        let own = !list(draft, OWN, ".network")?.is_empty() || !list(draft, OWN, ".link")?.is_empty();
        let found = own || !amazon_files(draft)?.is_empty();
        Ok(if found {
            Applies::Yes
        } else {
            Applies::no("no file of systemd-networkd names EC2's interfaces")
        })
    }

    fn plan(&self, context: &Context<'_>, draft: &mut Draft<'_>) -> Result<()> {
        let first = context.target.first_nic.unwrap_or_default();
        let mut pinned = Vec::new();
        let mut names = Vec::new();
        for path in list(draft, OWN, ".network")? {
            let text = read_small(draft, &path)?;
            match selects(&text, first) {
                Selects::Target => names.push(first.to_owned()),
                Selects::Source => {
                    names.push(path.clone());
                    pinned.push(path);
                }
                Selects::Other => {}
            }
        }
        let mut links = Vec::new();
        for path in list(draft, OWN, ".link")? {
            if renames_by_hardware(&read_small(draft, &path)?) {
                links.push(path);
            }
        }
        map_to_first(OWN, &links, first)?;
        if let Mapping::Rename(path) = map_to_first(OWN, &names, first)? {
            let content = read(draft, &path)?.unwrap_or_default();
            let reason = format!("the first network interface is {first}, with another MAC address");
            draft.write(&path, select_by_name(&content, first), &reason)?;
        }
        for path in links {
            draft.remove(&path, "names an interface by the hardware of the source")?;
        }
        for (path, jumbo) in amazon_files(draft)? {
            let name = path.rsplit('/').next().unwrap_or_default();
            let mtu = if jumbo { "\n[Link]\nMTUBytes=1500\n" } else { "" };
            let content = format!("[Match]\nDriver={}\n{mtu}", context.target.network_module);
            let reason = "the configuration for EC2's drivers serves the target's too";
            draft.write(&format!("{OWN}/{name}.d/90-rehome.conf"), content, reason)?;
        }
        Ok(())
    }
}

/// What a .network file selects.
enum Selects {
    /// The target's first interface, by its name.
    Target,
    /// One interface of the source.
    Source,
    /// Bridges, tunnels, patterns for others.
    Other,
}

fn selects(text: &str, first: &str) -> Selects {
    let matches =
        || pairs(text).filter(|(section, ..)| *section == "Match").map(|(_, key, value)| (key, value));
    let names: Vec<&str> =
        matches().filter(|(key, _)| *key == "Name").flat_map(|(_, value)| value.split_whitespace()).collect();
    let driver = matches().any(|(key, value)| key == "Driver" && !value.is_empty());
    let by_address =
        matches().any(|(key, value)| key != "Driver" && HARDWARE.contains(&key) && !value.is_empty());
    if by_address {
        return Selects::Source;
    }
    if driver {
        return Selects::Other;
    }
    if names.iter().any(|pattern| fits_pattern(pattern, first)) {
        return Selects::Target;
    }
    // `en*` is EC2's interface just as `ens5` is.
    let wired = |name: &&str| is_wired(name) || matches!(*name, "en*" | "ens*" | "enX*" | "enp*");
    if names.iter().any(wired) { Selects::Source } else { Selects::Other }
}

/// The content with one `Name=` as the only key of `[Match]` that selects hardware.
fn select_by_name(content: &[u8], first: &str) -> Vec<u8> {
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
            Line::Replace(format!("Name={first}"))
        }
        _ => Line::Keep,
    })
}

fn renames_by_hardware(text: &str) -> bool {
    let hardware = |(section, key, _): (&str, &str, &str)| section == "Match" && HARDWARE.contains(&key);
    pairs(text).any(hardware) && pairs(text).any(|(section, key, _)| section == "Link" && key == "Name")
}

/// Files for EC2's drivers, and whether they ask for jumbo frames.
fn amazon_files(draft: &Draft<'_>) -> Result<Vec<(String, bool)>> {
    let mut files = list(draft, VENDOR, ".network")?;
    files.extend(list(draft, OWN, ".network")?);
    let mut found = Vec::new();
    for path in files {
        let text = read_small(draft, &path)?;
        let drivers: Vec<&str> = pairs(&text)
            .filter(|(section, key, _)| *section == "Match" && *key == "Driver")
            .flat_map(|(.., value)| value.split_whitespace())
            .collect();
        let address = pairs(&text).any(|(section, key, _)| section == "Match" && key.ends_with("MACAddress"));
        if !address && !drivers.is_empty() && drivers.iter().all(|driver| EC2_DRIVERS.contains(driver)) {
            let jumbo = pairs(&text).any(|(section, key, _)| section == "Link" && key == "MTUBytes");
            found.push((path, jumbo));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn match_sections_are_rewritten() {
        let text = b"[Match]\r\nMACAddress=06:3f\r\nName=ens5\r\n\r\n[Network]\r\nDHCP=yes\r\nName=x\r\n";
        let expected = b"[Match]\r\nName=eth0\r\n\r\n[Network]\r\nDHCP=yes\r\nName=x\r\n";
        assert_eq!(select_by_name(text, "eth0"), expected);
        assert_eq!(select_by_name(expected, "eth0"), expected);
    }

    #[test]
    fn files_are_told_apart() {
        let kind = |text: &str| match selects(text, "eth0") {
            Selects::Target => "target",
            Selects::Source => "source",
            Selects::Other => "other",
        };
        for (text, expected) in [
            ("[Match]\nName=ens5\n", "source"),
            ("[Match]\nName=en*\n", "source"),
            ("[Match]\nMACAddress=x\nName=eth0\n", "source"),
            ("[Match]\nName=e*\n", "target"),
            ("[Match]\nName=eth0 ens5\n", "target"),
            ("[Match]\nName=br0\n", "other"),
            ("[Match]\nDriver=ena\n", "other"),
            ("[Network]\nName=ens5\n", "other"),
            ("", "other"),
        ] {
            assert_eq!(kind(text), expected, "{text}");
        }
        assert!(renames_by_hardware("[Match]\nMACAddress=x\n[Link]\nName=ens5\n"));
        assert!(!renames_by_hardware("[Match]\nOriginalName=*\n[Link]\nNamePolicy=keep\n"));
    }
}
