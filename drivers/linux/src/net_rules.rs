//! udev's rules that name network interfaces: the guest's own, and ours.
//!
//! Facts: 70-persistent-net.rules is what udev's generator wrote until 2013 (RHEL 6, SLES 11, Debian 7, Ubuntu 14.04): lines with
//! `ATTR{address}` (`ATTRS` and `SYSFS` in older ones) and `NAME`. `NAME=` of a rule goes before .link files
//! (80-net-setup-link.rules names only what has no name yet), works in every version of udev, and renames also what the
//! initramfs has renamed before. `DRIVERS=="?*"` keeps VLANs and bridges out, which share the address; on VMBus only
//! `hv_netvsc` is meant, because the virtual function of accelerated networking has the same address.

use crate::config_file::read_small;
use crate::nic_plan::{Change, Held};
use driver_core::{Context, Draft, Mac, Platform};
use format_core::Result;
use std::collections::BTreeMap;

pub(crate) const PERSISTENT: &str = "/etc/udev/rules.d/70-persistent-net.rules";
const OURS: &str = "/etc/udev/rules.d/70-rehome-net.rules";
const HEADER: &str = "# The network configuration of this machine uses these names.";

/// Name and hardware address in a line of such a file, `None` for other lines.
pub(crate) fn named(line: &str) -> Option<(&str, Option<Mac>)> {
    let line = line.trim();
    if line.starts_with('#') {
        return None;
    }
    let mut name = None;
    let mut address = None;
    for part in line.split(',').map(str::trim) {
        if let Some(value) = part.strip_prefix("NAME=").or_else(|| part.strip_prefix("NAME:=")) {
            name = Some(value.trim_matches('"'));
        } else if ["ATTR{address}==", "ATTRS{address}==", "SYSFS{address}=="]
            .iter()
            .any(|key| part.starts_with(key))
        {
            address = part.split_once("==").map(|(_, value)| value.trim_matches('"'));
        }
    }
    let address = address?;
    Some((name?, address.parse().ok()))
}

/// Plans a rule for each name that is held by one.
pub(crate) fn hold<'a>(
    draft: &mut Draft<'_>,
    context: &Context<'_>,
    changes: impl IntoIterator<Item = &'a Change>,
) -> Result<()> {
    let old = read_small(draft, OURS)?;
    let mut lines: BTreeMap<String, String> =
        old.lines().filter_map(|line| Some((name_of(line)?.to_owned(), line.to_owned()))).collect();
    let before = lines.clone();
    for change in changes {
        let Some(name) = change.name.as_deref().filter(|name| is_plain(name)) else { continue };
        let selects = match change.held {
            Held::Target => continue,
            Held::Address(mac) => format!("ATTR{{address}}==\"{mac}\""),
            Held::Alone => "KERNEL==\"e*\"".to_owned(),
        };
        let vmbus = matches!(context.target.platform, Platform::HyperV | Platform::Azure);
        let driver = if vmbus { "hv_netvsc" } else { "?*" };
        let rule = format!(
            "SUBSYSTEM==\"net\", ACTION==\"add\", DRIVERS==\"{driver}\", ATTR{{type}}==\"1\", {selects}, NAME=\"{name}\""
        );
        lines.insert(name.to_owned(), rule);
    }
    if lines == before {
        return Ok(());
    }
    let text: String = lines.values().map(|line| format!("{line}\n")).collect();
    draft.write(OURS, format!("{HEADER}\n{text}"), "keeps the name that the network configuration uses")
}

/// A name that cannot end the quotes of a rule: guests are input from strangers.
fn is_plain(name: &str) -> bool {
    (1..=15).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

fn name_of(line: &str) -> Option<&str> {
    let (_, name) = line.split_once("NAME=\"").filter(|_| !line.trim_start().starts_with('#'))?;
    name.strip_suffix('"').filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_of_rules_are_read() {
        let line = "SUBSYSTEM==\"net\", ACTION==\"add\", DRIVERS==\"?*\", ATTR{address}==\"06:3f:9a:52:c4:1d\", KERNEL==\"eth*\", NAME=\"eth1\"";
        assert_eq!(named(line), Some(("eth1", "06:3f:9a:52:c4:1d".parse().ok())));
        assert_eq!(named("ATTR{address}==\"a\", NAME=\"eth0\""), Some(("eth0", None)));
        assert_eq!(named("# ATTR{address}==\"a\", NAME=\"eth0\""), None);
        assert_eq!(named("NAME=\"eth0\""), None);
        assert_eq!(name_of("a, NAME=\"ens5\""), Some("ens5"));
        assert_eq!(name_of(HEADER), None);
        assert!(is_plain("ens5.10") && !is_plain("a\", RUN+=\"x") && !is_plain("") && !is_plain("a b"));
    }
}
