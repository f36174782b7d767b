//! ifcfg files of RHEL, CentOS and Amazon Linux 2: the target's addresses and names.
//!
//! Facts: `HWADDR=` binds an ifcfg file to one card, `DEVICE=` names the interface, `PHYSDEV=` the one below a VLAN (RHEL
//! networking guide, "Interface configuration files"; nm-settings-ifcfg-rh(5)). The scripts of initscripts find the file, and
//! static routes and rules, by the interface's name.

use crate::config_file::{Line, edit_lines, list, read, read_lossy};
use crate::ini::{Item, item, pairs};
use crate::moved_files::{self, Move};
use crate::net_rules::hold;
use crate::nic_names::{is_wired, plain_mtu, replace_words};
use crate::nic_plan::{Change, Nic, Pin, assign};
use crate::set_address::SetAddresses;
use driver_core::{Applies, Context, Draft, Fixup};
use format_core::Result;

pub(super) const IFCFG: &str = "/etc/sysconfig/network-scripts";

pub(super) struct Ifcfg;

impl Fixup for Ifcfg {
    fn id(&self) -> &'static str {
        "linux-ifcfg"
    }

    fn title(&self) -> &'static str {
        "ifcfg files configure the target's network interfaces"
    }

    fn applies(&self, _: &Context<'_>, draft: &Draft<'_>) -> Result<Applies> {
        let found = !files(draft)?.is_empty();
        Ok(if found { Applies::Yes } else { Applies::no("there are no ifcfg files") })
    }

    fn plan(&self, context: &Context<'_>, draft: &mut Draft<'_>) -> Result<()> {
        let files = files(draft)?;
        let mut nics = Vec::new();
        for path in &files {
            let text = read_lossy(draft, path)?.unwrap_or_default();
            nics.extend(nic_of(path, &text));
        }
        let changes = assign("the guest", nics, context, draft)?;
        let renames: Vec<(String, String)> =
            changes.iter().filter_map(Change::rename).map(|(old, new)| (old.into(), new.into())).collect();
        let reason = format!("the network interfaces of {}", context.target.name);
        let mut moves = Vec::new();
        for path in &files {
            let Some(content) = read(draft, path)? else { continue };
            let text = String::from_utf8_lossy(&content);
            let key = nic_of(path, &text).map(|nic| nic.key);
            let change = changes.iter().find(|change| Some(&change.nic.key) == key.as_ref());
            let mut set = SetAddresses::new(&context.wishes.network.adapters, &changes);
            let new = edit_lines(&content, |line| match item(line) {
                Item::Pair("MACADDR", value) => set.line(line, value).unwrap_or(Line::Keep),
                _ => edit(line, change, &renames, context),
            });
            set.note(path, draft);
            let to = new_path(path, value(&text, "DEVICE"), change, &renames);
            moves.push(Move { from: path.clone(), to, content: new, reason: set.reason(&reason) });
        }
        moves.extend(routes(draft, &renames, &reason)?);
        moved_files::check(draft, &moves)?;
        moved_files::plan(draft, moves)?;
        hold(draft, context, &changes)
    }
}

/// Static routes and rules of the renamed interfaces, and the files that name them besides.
fn routes(draft: &Draft<'_>, renames: &[(String, String)], reason: &str) -> Result<Vec<Move>> {
    let mut moves = Vec::new();
    if renames.is_empty() {
        return Ok(moves);
    }
    // Also those of a VLAN on a renamed interface: `route-eth1.10`.
    for from in list(draft, IFCFG, "")? {
        let name = from.strip_prefix(IFCFG).unwrap_or_default();
        let kinds = ["/route-", "/route6-", "/rule-", "/rule6-"];
        let Some(kind) = kinds.into_iter().find(|kind| name.starts_with(kind)) else { continue };
        let Some(content) = read(draft, &from)?.filter(|_| !is_backup(name)) else { continue };
        let content = edit_lines(&content, |line| Line::Replace(replace_words(line, renames)));
        let name = replace_words(name.strip_prefix(kind).unwrap_or_default(), renames);
        moves.push(Move { from, to: format!("{IFCFG}{kind}{name}"), content, reason: reason.into() });
    }
    for (path, edit) in
        [("/etc/sysconfig/network", in_network as InFile), ("/etc/sysconfig/static-routes", in_static_routes)]
    {
        let Some(content) = read(draft, path)? else { continue };
        let content = edit_lines(&content, |line| edit(line, renames));
        moves.push(Move { from: path.into(), to: path.into(), content, reason: reason.into() });
    }
    Ok(moves)
}

type InFile = fn(&str, &[(String, String)]) -> Line;

/// `GATEWAYDEV=eth1`; every other setting of that file speaks of other things.
fn in_network(line: &str, renames: &[(String, String)]) -> Line {
    match item(line) {
        Item::Pair("GATEWAYDEV" | "IPV6_DEFAULTDEV" | "IPV6_AUTOTUNNEL_DEV", _) => {
            Line::Replace(replace_words(line, renames))
        }
        Item::Pair("IPV6_DEFAULTGW", value) => in_scope(line, value, renames),
        _ => Line::Keep,
    }
}

/// `fe80::1%eth1`: behind `%` stands the interface.
fn in_scope(line: &str, value: &str, renames: &[(String, String)]) -> Line {
    let gateway = value.split_whitespace().next().unwrap_or_default();
    match gateway.split_once('%') {
        Some((address, scope)) => {
            Line::Replace(line.replacen(gateway, &format!("{address}%{}", replace_words(scope, renames)), 1))
        }
        None => Line::Keep,
    }
}

/// `eth1 net 10.0.0.0 netmask 255.0.0.0 gw 10.1.1.1`: the first word is the interface, and what follows `dev`.
fn in_static_routes(line: &str, renames: &[(String, String)]) -> Line {
    if line.trim_start().starts_with('#') {
        return Line::Keep;
    }
    let mut new = String::with_capacity(line.len() + 8);
    let mut before = None;
    for part in line.split_inclusive(char::is_whitespace) {
        let word = part.trim();
        if before.is_none() && !word.is_empty() || before == Some("dev") {
            new += &replace_words(part, renames);
        } else {
            new += part;
        }
        before = if word.is_empty() { before } else { Some(word) };
    }
    Line::Replace(new)
}

pub(super) fn files(draft: &Draft<'_>) -> Result<Vec<String>> {
    let mut files = list(draft, IFCFG, "")?;
    files.retain(|path| {
        let name = path.rsplit('/').next().unwrap_or_default();
        name.starts_with("ifcfg-") && name != "ifcfg-lo" && !is_backup(name)
    });
    Ok(files)
}

/// What the scripts pass over (`__sed_discard_ignored_files` of initscripts).
fn is_backup(name: &str) -> bool {
    [".bak", ".orig", ".old", ".rpmnew", ".rpmorig", ".rpmsave", "~"].iter().any(|end| name.ends_with(end))
}

fn value<'a>(text: &'a str, wanted: &str) -> Option<&'a str> {
    let found = pairs(text).find(|(_, key, _)| *key == wanted);
    found.map(|(.., value)| value.trim().trim_matches(['"', '\''])).filter(|value| !value.is_empty())
}

/// The wired interface that a file configures; `None` for bridges, VLANs and files that configure nothing.
pub(super) fn nic_of(path: &str, text: &str) -> Option<Nic> {
    let hardware = value(text, "HWADDR");
    let name = value(text, "DEVICE");
    let wired = match value(text, "TYPE") {
        Some(kind) => kind.eq_ignore_ascii_case("ethernet"),
        None => name.is_some() || hardware.is_some(),
    };
    if !wired || !name.is_none_or(is_wired) || name.is_none() && hardware.is_none() {
        return None;
    }
    let key = name.unwrap_or(path).to_owned();
    let mac = hardware.and_then(|address| address.parse().ok());
    Some(Nic { key, name: name.map(str::to_owned), mac, pinned: hardware.is_some() })
}

fn edit(line: &str, change: Option<&Change>, renames: &[(String, String)], context: &Context<'_>) -> Line {
    let kept = || plain_mtu(line, context).map_or(Line::Keep, Line::Replace);
    let Item::Pair(key, value) = item(line) else { return Line::Keep };
    match (key, change) {
        ("HWADDR", Some(change)) => match change.pin {
            Pin::Keep => Line::Keep,
            Pin::Replace(mac) => Line::Replace(format!("HWADDR={mac}")),
            // A file without a name becomes one with it.
            Pin::Drop if change.nic.name.is_none() => {
                change.name.as_ref().map_or(Line::Drop, |name| Line::Replace(format!("DEVICE={name}")))
            }
            Pin::Drop => Line::Drop,
        },
        ("DEVICE", Some(change)) => match change.rename() {
            Some((_, new)) => Line::Replace(format!("DEVICE={new}")),
            None => kept(),
        },
        ("DEVICE" | "PHYSDEV", None) if !renames.is_empty() => {
            let new = replace_words(value, renames);
            if new == value { kept() } else { Line::Replace(format!("{key}={new}")) }
        }
        ("IPV6_DEFAULTGW", _) if !renames.is_empty() => in_scope(line, value, renames),
        // `primary=eth1`, and the ports of a team.
        ("BONDING_OPTS" | "TEAM_CONFIG", _) => Line::Replace(replace_words(line, renames)),
        _ => kept(),
    }
}

/// Where the file goes: `ifcfg-NAME`, and `ifcfg-NAME.10` of a VLAN on it.
fn new_path(
    path: &str,
    device: Option<&str>,
    change: Option<&Change>,
    renames: &[(String, String)],
) -> String {
    let renamed = change.is_some_and(|change| change.name != change.nic.name);
    let name = match (change.and_then(|change| change.name.as_deref()), device) {
        (Some(name), _) if renamed => name.to_owned(),
        (None, Some(device)) => {
            let new = replace_words(device, renames);
            if new == device || new.contains('/') {
                return path.to_owned();
            }
            new
        }
        _ => return path.to_owned(),
    };
    format!("{IFCFG}/ifcfg-{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_words_that_are_interfaces_are_renamed() {
        let renames = [("eth1".to_owned(), "ens5".to_owned())];
        for (line, expected) in [
            ("GATEWAYDEV=eth1", Some("GATEWAYDEV=ens5")),
            ("IPV6_DEFAULTDEV=\"eth1\"", Some("IPV6_DEFAULTDEV=\"ens5\"")),
            ("IPV6_DEFAULTGW=fe80::1%eth1", Some("IPV6_DEFAULTGW=fe80::1%ens5")),
            ("IPV6_DEFAULTGW=\"fe80::1%eth1\" # eth1", Some("IPV6_DEFAULTGW=\"fe80::1%ens5\" # eth1")),
            ("IPV6_DEFAULTGW=2001:db8::1", None),
            ("NISDOMAIN=eth1", None),
            ("HOSTNAME=eth1.example", None),
            ("#GATEWAYDEV=eth1", None),
        ] {
            assert_eq!(in_network(line, &renames), expected.map_or(Line::Keep, |l| Line::Replace(l.into())));
        }
        for (line, expected) in [
            ("eth1 host 1.2.3.4 gw eth1.example", Some("ens5 host 1.2.3.4 gw eth1.example")),
            ("any net 10.0.0.0", Some("any net 10.0.0.0")),
            (" any net 10.0.0.0 gw 10.1.1.1  dev  eth1", Some(" any net 10.0.0.0 gw 10.1.1.1  dev  ens5")),
            ("any host eth1 dev eth1 metric 1", Some("any host eth1 dev ens5 metric 1")),
            ("# eth1 net", None),
            ("eth1", Some("ens5")),
            ("", Some("")),
        ] {
            let expected = expected.map_or(Line::Keep, |l| Line::Replace(l.into()));
            assert_eq!(in_static_routes(line, &renames), expected, "{line}");
        }
    }

    #[test]
    fn what_names_a_renamed_interface_follows() {
        let files = [
            ("ifcfg-ens5", "DEVICE=ens5\nIPV6_DEFAULTGW=fe80::1%ens5\n", "ifcfg-eth0"),
            ("ifcfg-ens5.10", "DEVICE=ens5.10\nVLAN=yes\n", "ifcfg-eth0.10"),
            ("route-ens5.10", "10.0.0.0/8 via 10.1.1.1 dev ens5.10\n", "route-eth0.10"),
            ("rule6-ens5", "from all iif ens5 table 5\n", "rule6-eth0"),
            ("ifcfg-bond0", "DEVICE=bond0\nBONDING_OPTS=\"mode=1 primary=ens5\"\n", "ifcfg-bond0"),
            ("route-bond0", "10.0.0.0/8 dev ens5\n", "route-bond0"),
        ];
        let mut fs =
            driver_core::MemFs::new().with_file(&format!("{IFCFG}/ifcfg-ens6.rpmsave"), "DEVICE=ens6\n");
        for (name, text, _) in files {
            fs = fs.with_file(&format!("{IFCFG}/{name}"), text);
        }
        let mut tree = driver_core::GuestTree::new();
        tree.mount("/", Box::new(fs));
        let guest = driver_core::Guest::default();
        let mut draft = Draft::new(&tree);
        Ifcfg.plan(&Context::new(&guest, &driver_targets::GENERATION_1), &mut draft).unwrap();
        for (name, text, new) in files {
            let found = draft.read_text(&format!("{IFCFG}/{new}")).unwrap();
            assert_eq!(found, Some(text.replace("ens5", "eth0")), "{name}");
        }
    }

    #[test]
    fn only_wired_interfaces_count() {
        assert!(nic_of("x", "DEVICE=br0\nTYPE=Bridge\n").is_none());
        assert!(nic_of("x", "DEVICE=ens5.10\nVLAN=yes\n").is_none());
        assert!(nic_of("x", "").is_none());
        let nic = nic_of("x", "HWADDR=06:3f\n").unwrap();
        assert!(nic.pinned && nic.name.is_none() && nic.mac.is_none());
        let nic = nic_of("x", "DEVICE=\"ens5\"\nHWADDR=06:3F:9A:52:C4:1D\n").unwrap();
        assert_eq!((nic.key.as_str(), nic.mac), ("ens5", "06:3f:9a:52:c4:1d".parse().ok()));
    }
}
