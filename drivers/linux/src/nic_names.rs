//! Names of network interfaces in configuration text.
//!
//! Predictable names come from the firmware's or the bus's numbering (systemd.net-naming-scheme(7)): `ens5` is EC2's,
//! `enX0` Xen's. Devices on Hyper-V's VMBus have neither, so they keep the kernel's `eth0`.

use format_core::{Error, Result};

/// Whether it is the name of a wired interface, as opposed to a bridge, a tunnel, a container's end.
pub(crate) fn is_wired(name: &str) -> bool {
    let numbered = |prefix: &str| {
        name.strip_prefix(prefix).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    let predictable = ["ens", "eno", "enp", "enP", "enX", "enx", "env"];
    name.len() <= 15
        && name.bytes().all(|b| b.is_ascii_alphanumeric())
        && (predictable.iter().any(|prefix| name.starts_with(prefix) && name.len() > prefix.len())
            || numbered("eth")
            || numbered("em"))
}

/// What to do about the interfaces that a configuration names.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Mapping {
    /// Nothing: no interface is named, or the target's is.
    Fits,
    /// This one becomes the target's first interface.
    Rename(String),
}

/// Decides which configured interface becomes `first`. `names` may repeat.
///
/// # Errors
/// `NeedsPerson` when several interfaces are configured, and none is called `first`.
pub(crate) fn map_to_first(what: &str, names: &[String], first: &str) -> Result<Mapping> {
    let mut distinct: Vec<&String> = names.iter().collect();
    distinct.sort();
    distinct.dedup();
    match distinct.as_slice() {
        [] => Ok(Mapping::Fits),
        names if names.iter().any(|name| *name == first) => Ok(Mapping::Fits),
        [one] => Ok(Mapping::Rename((*one).clone())),
        several => {
            let list = several.iter().take(8).map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
            Err(Error::needs_person(format!(
                "{what} configures several interfaces ({list}): which becomes {first} is not known"
            ))
            .hint("write the names eth0, eth1, … in the order of the machine's network adapters"))
        }
    }
}

/// `line` with each whole word `old` replaced. `ens5.10` and `ens5:1` contain the word `ens5`, `ens55` does not.
pub(crate) fn replace_word(line: &str, old: &str, new: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut copied = 0;
    for (at, _) in line.match_indices(old) {
        let edge = |c: Option<char>| c.is_none_or(|c| !c.is_ascii_alphanumeric() && c != '_' && c != '-');
        let before = line.get(..at).unwrap_or_default();
        let after = line.get(at + old.len()..).unwrap_or_default();
        if edge(before.chars().next_back()) && edge(after.chars().next()) {
            out += line.get(copied..at).unwrap_or_default();
            out += new;
            copied = at + old.len();
        }
    }
    out + line.get(copied..).unwrap_or_default()
}

/// A remark for a file that asks for the jumbo frames of EC2's network: where the new one carries 1500 bytes, large packets
/// vanish.
pub(crate) fn jumbo_remark(path: &str, text: &str) -> Option<String> {
    let jumbo = |line: &str| line.to_ascii_lowercase().contains("mtu") && line.contains("9001");
    let found = text.lines().any(|line| !line.trim_start().starts_with('#') && jumbo(line));
    found.then(|| format!("{path} sets an MTU of 9001: lower it unless the new network carries that"))
}

/// A shell pattern with `*` only, as netplan and systemd use them for names; other patterns fit nothing.
pub(crate) fn fits_pattern(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, "")) => name.starts_with(start),
        Some(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wired_names_are_told_from_others() {
        for name in ["eth0", "ens5", "enX0", "enp0s5", "eno1", "em1"] {
            assert!(is_wired(name), "{name}");
        }
        for name in
            ["lo", "br0", "bond0", "docker0", "eth", "ens", "ens5.10", "ethernets", "wg0", "", "enough-"]
        {
            assert!(!is_wired(name), "{name}");
        }
    }

    #[test]
    fn jumbo_frames_are_remarked() {
        for text in ["\tmtu 9001\n", "MTU=9001", "a\n      mtu: 9001 # x"] {
            assert!(jumbo_remark("/x", text).is_some(), "{text}");
        }
        for text in ["# mtu 9001", "mtu 1500", "port 9001", ""] {
            assert_eq!(jumbo_remark("/x", text), None, "{text}");
        }
    }

    #[test]
    fn words_are_replaced_whole() {
        assert_eq!(replace_word("iface ens5 inet", "ens5", "eth0"), "iface eth0 inet");
        assert_eq!(
            replace_word("ens5 ens55 xens5 ens5.10 ens5:1 [ens5]", "ens5", "eth0"),
            "eth0 ens55 xens5 eth0.10 eth0:1 [eth0]"
        );
        assert_eq!(replace_word("", "ens5", "eth0"), "");
    }

    #[test]
    fn one_interface_is_mapped_several_are_not() {
        let names = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        assert_eq!(
            map_to_first("x", &names(&["ens5", "ens5"]), "eth0").unwrap(),
            Mapping::Rename("ens5".into())
        );
        assert_eq!(map_to_first("x", &names(&["ens5", "eth0"]), "eth0").unwrap(), Mapping::Fits);
        assert_eq!(map_to_first("x", &[], "eth0").unwrap(), Mapping::Fits);
        assert!(map_to_first("x", &names(&["ens5", "ens6"]), "eth0").is_err());
        assert!(fits_pattern("e*", "eth0") && fits_pattern("eth0", "eth0") && !fits_pattern("en*", "eth0"));
    }
}
