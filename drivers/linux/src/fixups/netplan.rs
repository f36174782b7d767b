//! netplan: the one configured interface becomes the target's first one.
//!
//! Facts: cloud-init pins an interface to EC2's MAC address and name (`match: macaddress`, `set-name`); both are gone on
//! the new machine, and netplan then configures nothing. A definition without `match` applies to the interface of that
//! name (netplan documentation, "YAML configuration"). Addresses, routes and all else stay.

use crate::config_file::{list, read};
use crate::netplan_text::{Ethernet, ethernets};
use crate::nic_names::{Mapping, fits_pattern, is_wired, jumbo_remark, map_to_first, replace_word};
use driver_core::{Applies, Context, Draft, Fixup};
use format_core::{Error, Result};

pub(super) struct Netplan;

impl Fixup for Netplan {
    fn id(&self) -> &'static str {
        "linux-netplan"
    }

    fn title(&self) -> &'static str {
        "netplan configures the target's network interface"
    }

    fn applies(&self, context: &Context<'_>, draft: &Draft<'_>) -> Result<Applies> {
        if context.target.first_nic.is_none() {
            return Ok(Applies::no(format!("{} does not rename interfaces", context.target.name)));
        }
        let found = !list(draft, "/etc/netplan", ".yaml")?.is_empty();
        Ok(if found { Applies::Yes } else { Applies::no("there is no file in /etc/netplan") })
    }

    fn plan(&self, context: &Context<'_>, draft: &mut Draft<'_>) -> Result<()> {
        let first = context.target.first_nic.unwrap_or_default();
        let mut files = Vec::new();
        let mut names = Vec::new();
        for path in list(draft, "/etc/netplan", ".yaml")? {
            // netplan refuses what is no UTF-8 itself.
            let Some(text) = read(draft, &path)?.and_then(|bytes| String::from_utf8(bytes).ok()) else {
                continue;
            };
            if !text.contains("ethernets") {
                continue;
            }
            let found = ethernets(&text.split('\n').collect::<Vec<_>>())
                .map_err(|why| unclear(&path, &why, first))?;
            names.extend(found.iter().map(|ethernet| configured_name(ethernet, first)));
            jumbo_remark(&path, &text).into_iter().for_each(|remark| draft.note(remark));
            files.push((path, text, found));
        }
        let Mapping::Rename(old) = map_to_first("netplan", &names, first)? else { return Ok(()) };
        let reason = format!("the first network interface is {first}, with another MAC address");
        for (path, text, found) in files {
            let new = rewrite(&text, &found, &old, first).map_err(|why| unclear(&path, &why, first))?;
            draft.write(&path, new, &reason)?;
        }
        Ok(())
    }
}

fn unclear(path: &str, why: &str, first: &str) -> Error {
    Error::needs_person(format!("{path}: {why}")).hint(format!("write a plain definition for {first} there"))
}

/// The target's name when the definition fits it already, else the definition's id.
fn configured_name(ethernet: &Ethernet, first: &str) -> String {
    let fits = match (&ethernet.matches, &ethernet.name_pattern) {
        (None, _) => ethernet.id == first,
        (Some(_), Some(pattern)) => fits_pattern(pattern, first) && ethernet.set_name.is_none(),
        (Some(_), None) => false,
    };
    if fits {
        first.to_owned()
    } else if ethernet.id == first {
        // Pinned by MAC address under the right name: still has to be edited, so it must not count as fitting.
        format!("{first} ")
    } else {
        ethernet.id.clone()
    }
}

/// The text with the definitions of `old` renamed and freed from `match` and `set-name`.
fn rewrite(text: &str, found: &[Ethernet], old: &str, first: &str) -> Result<String, String> {
    let old = old.trim_end();
    let mut lines: Vec<Option<String>> = text.split('\n').map(|line| Some(line.to_owned())).collect();
    let mut gone: Vec<usize> = Vec::new();
    for ethernet in found {
        gone.extend(ethernet.matches.clone().into_iter().flatten());
        gone.extend(ethernet.set_name);
        if let Some(Some(line)) = lines.get_mut(ethernet.line) {
            *line = line.replacen(old, first, 1);
            // netplan refuses all of its files when a definition is empty.
            if !ethernet.more && (ethernet.matches.is_some() || ethernet.set_name.is_some()) {
                *line = line.replacen(':', ": {}", 1);
            }
        }
    }
    for number in gone {
        if let Some(line) = lines.get_mut(number) {
            *line = None;
        }
    }
    // Bridges, bonds and VLANs refer to the definition by its id.
    for (number, line) in lines.iter_mut().enumerate() {
        let Some(text) = line.as_mut().filter(|text| !text.trim_start().starts_with('#')) else { continue };
        let new = replace_word(text, old, first);
        if new != *text && !is_wired(old) {
            return Err(format!("line {}: {old} may be the interface or something else", number + 1));
        }
        *text = new;
    }
    Ok(lines.into_iter().flatten().collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edited(text: &str) -> Result<String, String> {
        let found = ethernets(&text.split('\n').collect::<Vec<_>>()).unwrap();
        let names: Vec<_> = found.iter().map(|e| configured_name(e, "eth0")).collect();
        match map_to_first("netplan", &names, "eth0").map_err(|e| e.to_string())? {
            Mapping::Fits => Ok(text.to_owned()),
            Mapping::Rename(old) => rewrite(text, &found, &old, "eth0"),
        }
    }

    #[test]
    fn the_pinned_interface_is_freed_and_renamed() {
        let pinned = "network:\n    version: 2\n    ethernets:\n        ens5:\n            dhcp4: true # keep\n            match:\n                macaddress: 06:3f\n            set-name: ens5\n";
        let free =
            "network:\n    version: 2\n    ethernets:\n        eth0:\n            dhcp4: true # keep\n";
        assert_eq!(edited(pinned).unwrap(), free);
        assert_eq!(edited(free).unwrap(), free);
        assert_eq!(edited(&pinned.replace("ens5", "eth0")).unwrap(), free);
        assert_eq!(edited(&pinned.replace('\n', "\r\n")).unwrap(), free.replace('\n', "\r\n"));
    }

    #[test]
    fn wildcards_are_left_or_replaced() {
        let all = |pattern| {
            format!(
                "network:\n  ethernets:\n    all:\n      match:\n        name: \"{pattern}\"\n      dhcp4: true\n"
            )
        };
        assert_eq!(edited(&all("e*")).unwrap(), all("e*"));
        assert_eq!(edited(&all("en*")).unwrap(), "network:\n  ethernets:\n    eth0:\n      dhcp4: true\n");
    }

    #[test]
    fn references_follow_and_several_interfaces_are_refused() {
        let bridge = "network:\n  ethernets:\n    ens5:\n      dhcp4: no\n  bridges:\n    br0:\n      interfaces: [ens5]\n";
        assert_eq!(edited(bridge).unwrap(), bridge.replace("ens5", "eth0"));
        let pinned = bridge.replace("dhcp4: no", "match:\n        macaddress: x\n      set-name: ens5");
        let free = "network:\n  ethernets:\n    eth0: {}\n  bridges:\n    br0:\n      interfaces: [eth0]\n";
        assert_eq!(edited(&pinned).unwrap(), free);
        assert_eq!(edited(free).unwrap(), free);
        let several = "network:\n  ethernets:\n    ens5:\n      dhcp4: true\n    ens6:\n      dhcp4: true\n";
        assert!(edited(several).is_err());
        let word = "network:\n  ethernets:\n    default:\n      match: {macaddress: x}\n      routes:\n      - to: default\n";
        assert!(edited(word).is_err());
    }
}
