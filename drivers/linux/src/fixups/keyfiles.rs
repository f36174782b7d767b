//! NetworkManager's keyfiles: the target's addresses and names.
//!
//! Facts: `mac-address` binds a connection to one card, `interface-name` to a name (nm-settings-keyfile(5)); NetworkManager
//! takes files by content, not by file name, and only those that nobody but root can read. `parent` of a VLAN names the
//! interface below it.

use crate::config_file::{Line, edit_lines, list, read, read_lossy};
use crate::ini::{Item, item, pairs};
use crate::net_rules::hold;
use crate::nic_names::{is_wired, plain_mtu, replace_words};
use crate::nic_plan::{Change, Nic, Pin, assign};
use crate::set_address::SetAddresses;
use driver_core::{Applies, Context, Draft, Fixup};
use format_core::Result;

const KEYFILES: &str = "/etc/NetworkManager/system-connections";

pub(super) struct Keyfiles;

impl Fixup for Keyfiles {
    fn id(&self) -> &'static str {
        "linux-networkmanager"
    }

    fn title(&self) -> &'static str {
        "NetworkManager's connections configure the target's network interfaces"
    }

    fn applies(&self, _: &Context<'_>, draft: &Draft<'_>) -> Result<Applies> {
        let found = !files(draft)?.is_empty();
        Ok(if found { Applies::Yes } else { Applies::no(format!("there is no connection in {KEYFILES}")) })
    }

    fn plan(&self, context: &Context<'_>, draft: &mut Draft<'_>) -> Result<()> {
        let files = files(draft)?;
        let mut nics = Vec::new();
        for path in &files {
            let text = read_lossy(draft, path)?.unwrap_or_default();
            nics.extend(nic_of(path, &text));
        }
        let changes = assign(KEYFILES, nics, context, draft)?;
        let renames: Vec<(String, String)> =
            changes.iter().filter_map(Change::rename).map(|(old, new)| (old.into(), new.into())).collect();
        let reason = format!("the network interfaces of {}", context.target.name);
        for path in &files {
            let Some(content) = read(draft, path)? else { continue };
            let key = nic_of(path, &String::from_utf8_lossy(&content)).map(|nic| nic.key);
            let change = changes.iter().find(|change| Some(&change.nic.key) == key.as_ref());
            let mut set = SetAddresses::new(&context.wishes.network.adapters, &changes);
            let mut section = String::new();
            let new = edit_lines(&content, |line| {
                if let Item::Section(name) = item(line) {
                    section = name.to_owned();
                }
                match set_address(line, &section) {
                    Some(value) => set.line(line, value).unwrap_or(Line::Keep),
                    None => edit(line, change, &renames, context),
                }
            });
            set.note(path, draft);
            draft.write(path, new, &set.reason(&reason))?;
        }
        hold(draft, context, &changes)
    }
}

/// Older versions did not give files a suffix.
pub(super) fn files(draft: &Draft<'_>) -> Result<Vec<String>> {
    let mut files = list(draft, KEYFILES, "")?;
    files.retain(|path| !path.ends_with('~') && !path.ends_with(".bak"));
    Ok(files)
}

/// The wired interface that a connection is bound to; `None` for other kinds and connections for any.
pub(super) fn nic_of(path: &str, text: &str) -> Option<Nic> {
    let value = |wanted: &str| {
        let found = pairs(text).find(|(_, key, _)| *key == wanted);
        found.map(|(.., value)| value.trim()).filter(|value| !value.is_empty())
    };
    if !matches!(value("type")?, "ethernet" | "802-3-ethernet") {
        return None;
    }
    let (name, hardware) = (value("interface-name"), value("mac-address"));
    if !name.is_none_or(is_wired) || name.is_none() && hardware.is_none() {
        return None;
    }
    let key = name.unwrap_or(path).to_owned();
    let mac = hardware.and_then(|address| address.parse().ok());
    Some(Nic { key, name: name.map(str::to_owned), mac, pinned: hardware.is_some() })
}

/// The address that a line sets; that of a bridge has the name that elsewhere binds.
fn set_address<'a>(line: &'a str, section: &str) -> Option<&'a str> {
    match item(line) {
        Item::Pair("cloned-mac-address", value) => Some(value),
        Item::Pair("mac-address", value) if section == "bridge" => Some(value),
        _ => None,
    }
}

fn edit(line: &str, change: Option<&Change>, renames: &[(String, String)], context: &Context<'_>) -> Line {
    let kept = || plain_mtu(line, context).map_or(Line::Keep, Line::Replace);
    let Item::Pair(key, value) = item(line) else { return Line::Keep };
    match (key, change) {
        ("mac-address", Some(change)) => match change.pin {
            Pin::Keep => Line::Keep,
            Pin::Replace(mac) => {
                Line::Replace(format!("mac-address={}", mac.to_string().to_ascii_uppercase()))
            }
            Pin::Drop => Line::Drop,
        },
        // What was bound to a card only is bound to a name.
        ("type", Some(Change { nic: Nic { name: None, .. }, name: Some(name), .. })) => {
            Line::Replace(format!("{line}\ninterface-name={name}"))
        }
        ("interface-name", Some(change)) => match change.rename() {
            Some((_, new)) => Line::Replace(format!("interface-name={new}")),
            None => kept(),
        },
        // `primary` and `active_slave` of a bond, `config` of a team.
        ("interface-name" | "parent" | "primary" | "active_slave" | "config", None)
            if !renames.is_empty() =>
        {
            let new = replace_words(value, renames);
            if new == value { kept() } else { Line::Replace(format!("{key}={new}")) }
        }
        _ => kept(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_wired_connections_that_are_bound_count() {
        for text in [
            "",
            "[connection]\ntype=wireguard\ninterface-name=wg0\n",
            "[connection]\ntype=ethernet\n",
            "[connection]\ntype=vlan\ninterface-name=ens5.10\n",
        ] {
            assert_eq!(nic_of("x", text), None, "{text}");
        }
        let nic = nic_of("x", "[connection]\ntype=ethernet\n[ethernet]\nmac-address=06:3f\n").unwrap();
        assert!(nic.pinned && nic.name.is_none());
    }
}
