//! netplan: the configured interfaces become the target's.
//!
//! Facts: cloud-init pins an interface to its MAC address and name (`match: macaddress`, `set-name`); where both are gone on
//! the new machine, netplan configures nothing. A definition without `match` applies to the interface of that
//! name (netplan documentation, "YAML configuration"). Addresses, routes and all else stay.

use crate::config_file::{list, read};
use crate::net_rules::hold;
use crate::netplan_address;
use crate::netplan_text::{Ethernet, ethernets};
use crate::nic_names::{driver_names, fits_pattern, is_wired, plain_mtu, replace_words};
use crate::nic_plan::{Change, Held, Nic, Pin, assign};
use crate::set_address::SetAddresses;
use driver_core::{Applies, Context, Draft, Fixup};
use format_core::{Error, Result};

const FOLDER: &str = "/etc/netplan";

pub(super) struct Netplan;

impl Fixup for Netplan {
    fn id(&self) -> &'static str {
        "linux-netplan"
    }

    fn title(&self) -> &'static str {
        "netplan configures the target's network interfaces"
    }

    fn applies(&self, _: &Context<'_>, draft: &Draft<'_>) -> Result<Applies> {
        let found = !list(draft, FOLDER, ".yaml")?.is_empty();
        Ok(if found { Applies::Yes } else { Applies::no("there is no file in /etc/netplan") })
    }

    fn plan(&self, context: &Context<'_>, draft: &mut Draft<'_>) -> Result<()> {
        let files = files(draft)?;
        let nics =
            files.iter().flat_map(|file| &file.ethernets).filter_map(|one| nic_of(one, context)).collect();
        let changes = assign("netplan", nics, context, draft)?;
        let renames = renames(&files, &changes)?;
        let reason = format!("the network interfaces of {}", context.target.name);
        let mut edited = Vec::new();
        for file in &files {
            let mut set = SetAddresses::new(&context.wishes.network.adapters, &changes);
            let new = rewrite(file, &files, &changes, &renames, &mut set, context)
                .map_err(|why| unclear(&file.path, &why))?;
            set.note(&file.path, draft);
            edited.push((file.path.clone(), new, set.reason(&reason)));
        }
        edited.into_iter().try_for_each(|(path, new, reason)| draft.write(&path, new, &reason))?;
        // netplan itself gives the name of set-name to what `match` finds.
        let own = |change: &&Change| {
            !(change.pin != Pin::Drop && change.nic.pinned && matches!(change.held, Held::Address(_)))
        };
        hold(draft, context, changes.iter().filter(own))
    }
}

/// A file with the definitions in it.
pub(super) struct File {
    pub(super) path: String,
    pub(super) text: String,
    pub(super) ethernets: Vec<Ethernet>,
}

/// The files that define interfaces, in netplan's order.
///
/// # Errors
/// `NeedsPerson` for text that is not understood.
pub(super) fn files(draft: &Draft<'_>) -> Result<Vec<File>> {
    let mut files = Vec::new();
    for path in list(draft, FOLDER, ".yaml")? {
        // netplan refuses what is no UTF-8 itself.
        let Some(text) = read(draft, &path)?.and_then(|bytes| String::from_utf8(bytes).ok()) else {
            continue;
        };
        // Bridges and bonds may have a file of their own.
        let ethernets = match text.contains("ethernets") {
            true => ethernets(&text.split('\n').collect::<Vec<_>>()).map_err(|why| unclear(&path, &why))?,
            false => Vec::new(),
        };
        files.push(File { path, text, ethernets });
    }
    Ok(files)
}

fn unclear(path: &str, why: &str) -> Error {
    Error::needs_person(format!("{path}: {why}"))
        .hint("write one plain definition in block style for each interface there")
}

/// The interface of a definition; `None` for patterns that fit the target's too.
fn nic_of(ethernet: &Ethernet, context: &Context<'_>) -> Option<Nic> {
    if ethernet.matches.is_none() {
        return Some(Nic::named(&ethernet.id));
    }
    if let Some(pattern) = ethernet.name_pattern.as_deref().filter(|_| ethernet.set_name.is_none()) {
        let fits = match context.target.first_nic {
            Some(first) => fits_pattern(pattern, first),
            None => pattern.contains('*'),
        };
        if fits {
            return None;
        }
    }
    let mac = ethernet.mac.as_deref().and_then(|mac| mac.parse().ok());
    let name = ethernet.new_name.clone().or_else(|| is_wired(&ethernet.id).then(|| ethernet.id.clone()));
    Some(Nic { key: ethernet.id.clone(), name, mac, pinned: true })
}

/// Whether the definition goes on to be found by what its `match` says: then its id is no interface's name.
fn is_matched(change: &Change, files: &[File]) -> bool {
    let own = |one: &Ethernet| one.id == change.nic.key && one.matches.is_some();
    change.pin != Pin::Drop && files.iter().flat_map(|file| &file.ethernets).any(own)
}

/// The ids that get other names. netplan merges its files: others may refer to a definition.
fn renames(files: &[File], changes: &[Change]) -> Result<Vec<(String, String)>> {
    let mut renames = Vec::new();
    for change in changes {
        let old = &change.nic.key;
        let Some(new) = change.name.as_ref().filter(|new| *new != old && !is_matched(change, files)) else {
            continue;
        };
        let is_word = old.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
        let defines = |file: &&File| file.ethernets.iter().any(|ethernet| ethernet.id == *old);
        if let Some(file) = files.iter().find(defines).filter(|_| !is_word) {
            let line =
                file.ethernets.iter().find(|ethernet| ethernet.id == *old).map_or(0, |one| one.line + 1);
            return Err(unclear(
                &file.path,
                &format!("line {line}: the name of the definition is no plain word"),
            ));
        }
        renames.push((old.clone(), new.clone()));
    }
    Ok(renames)
}

/// The text with the definitions changed as decided.
fn rewrite(
    file: &File,
    files: &[File],
    changes: &[Change],
    renames: &[(String, String)],
    set: &mut SetAddresses<'_>,
    context: &Context<'_>,
) -> Result<String, String> {
    let mut lines: Vec<Option<String>> = file.text.split('\n').map(|line| Some(line.to_owned())).collect();
    for ethernet in &file.ethernets {
        let Some(change) = changes.iter().find(|change| change.nic.key == ethernet.id) else { continue };
        match change.pin {
            Pin::Keep if ethernet.matches.is_some() => {
                any_driver(ethernet, context, &mut lines)?;
                continue;
            }
            Pin::Replace(mac) => {
                readdress(ethernet, &mac.to_string(), &mut lines);
                any_driver(ethernet, context, &mut lines)?;
                continue;
            }
            Pin::Keep | Pin::Drop => {}
        }
        if change.name.is_some() && !is_matched(change, files) {
            free(ethernet, &mut lines);
        }
    }
    netplan_address::edit(&mut lines, set);
    // Bridges, bonds and VLANs refer to a definition by its id.
    for (number, line) in lines.iter_mut().enumerate() {
        let Some(text) = line.as_mut().filter(|text| !text.trim_start().starts_with('#')) else { continue };
        let is_id = file.ethernets.iter().any(|ethernet| ethernet.line == number);
        for rename in renames.iter().filter(|(old, _)| !is_id && !is_wired(old)) {
            if replace_words(text, std::slice::from_ref(rename)) != *text {
                return Err(format!(
                    "line {}: {} may be the interface or something else",
                    number + 1,
                    rename.0
                ));
            }
        }
        let (indent, rest) = text.split_at(text.len() - text.trim_start().len());
        // On its own line the id is a key; what follows it may be `{dhcp4: true}`.
        let new = match rest.split_once(':').filter(|_| is_id) {
            Some((id, value)) => format!("{indent}{}:{value}", replace_words(id, renames)),
            None => format!("{indent}{}", replace_words(rest, renames)),
        };
        *text = plain_mtu(&new, context).unwrap_or(new);
    }
    Ok(lines.into_iter().flatten().collect::<Vec<_>>().join("\n"))
}

/// Takes `match` and `set-name` away.
fn free(ethernet: &Ethernet, lines: &mut [Option<String>]) {
    let pinned = ethernet.matches.is_some() || ethernet.set_name.is_some();
    // netplan refuses all of its files when a definition is empty.
    if let Some(Some(line)) = lines.get_mut(ethernet.line).filter(|_| pinned && !ethernet.more) {
        *line = line.replacen(':', ": {}", 1);
    }
    for number in ethernet.matches.clone().into_iter().flatten().chain(ethernet.set_name) {
        if let Some(line) = lines.get_mut(number) {
            *line = None;
        }
    }
}

/// Puts another hardware address into `match`.
fn readdress(ethernet: &Ethernet, mac: &str, lines: &mut [Option<String>]) {
    let Some(old) = ethernet.mac.as_deref().filter(|old| !old.is_empty()) else { return };
    for number in ethernet.matches.clone().into_iter().flatten() {
        if let Some(Some(line)) = lines.get_mut(number) {
            *line = line.replace(old, mac);
        }
    }
}

/// Takes the driver out of `match` where the target's is another: the address selects the adapter.
fn any_driver(
    ethernet: &Ethernet,
    context: &Context<'_>,
    lines: &mut [Option<String>],
) -> Result<(), String> {
    let wanted = driver_names(context.target.network_module);
    let mut in_list = false;
    for number in ethernet.matches.clone().into_iter().flatten() {
        let Some(slot) = lines.get_mut(number) else { continue };
        let text = slot.as_deref().unwrap_or_default().trim();
        let value = text.strip_prefix("driver:").map(|value| value.trim().trim_matches(['"', '\'']));
        let foreign = value.is_some_and(|value| !wanted.contains(&value));
        if number == ethernet.matches.as_ref().map_or(0, |matches| matches.start) && text.contains("driver:")
        {
            return Err(format!("line {}: a match by driver in braces", number + 1));
        }
        in_list = (in_list && text.starts_with('-')) || (foreign && value == Some(""));
        if foreign || in_list {
            *slot = None;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use driver_core::{Adapter, Guest, GuestTree, Mac, MemFs, Wishes};

    fn edited(text: &str) -> Result<String> {
        Ok(both_edited(text, "", Vec::new())?.0)
    }

    fn both_edited(text: &str, other: &str, adapters: Vec<Adapter>) -> Result<(String, String)> {
        let mut tree = GuestTree::new();
        let files =
            MemFs::new().with_file("/etc/netplan/a.yaml", text).with_file("/etc/netplan/b.yaml", other);
        tree.mount("/", Box::new(files));
        let (guest, target) = (Guest::default(), driver_targets::GENERATION_1);
        let mut wishes = Wishes::NONE;
        wishes.network.adapters = adapters;
        let mut draft = Draft::new(&tree);
        Netplan.plan(&Context { wishes: &wishes, ..Context::new(&guest, &target) }, &mut draft)?;
        let read = |path| draft.read_text(path).map(Option::unwrap);
        Ok((read("/etc/netplan/a.yaml")?, read("/etc/netplan/b.yaml")?))
    }

    #[test]
    fn files_refer_to_each_other() {
        let (a, b) = (
            "network:\n  ethernets:\n    ens5:\n      dhcp4: no\n",
            "network:\n  bridges:\n    br0:\n      interfaces: [ens5]\n",
        );
        let (new_a, new_b) = both_edited(a, b, Vec::new()).unwrap();
        assert_eq!((new_a, new_b), (a.replace("ens5", "eth0"), b.replace("ens5", "eth0")));
        // Found by its address, the definition keeps its id in every file.
        let mac: Mac = "06:3f:9a:52:c4:1d".parse().unwrap();
        let pinned = format!("network:\n  ethernets:\n    ens5:\n      match:\n        macaddress: {mac}\n");
        let more = "network:\n  ethernets:\n    ens5:\n      set-name: lan0\n";
        let kept = vec![Adapter { source: Some(mac), target: Some(mac) }];
        assert_eq!(both_edited(&pinned, more, kept).unwrap(), (pinned, more.into()));
    }

    #[test]
    fn an_address_that_is_set_follows_the_adapter() {
        let old: Mac = "06:3f:9a:52:c4:1d".parse().unwrap();
        let text = format!(
            "network:\n  ethernets:\n    eth0:\n      macaddress: {old}\n  bonds:\n    bond0:\n      macaddress: {old}\n      interfaces: [eth0]\n"
        );
        let with = |target| both_edited(&text, "", vec![Adapter { source: Some(old), target }]).unwrap().0;
        assert_eq!(
            with("52:54:00:aa:bb:cc".parse().ok()),
            text.replace("06:3f:9a:52:c4:1d", "52:54:00:aa:bb:cc")
        );
        assert_eq!(
            with(None),
            "network:\n  ethernets:\n    eth0: {}\n  bonds:\n    bond0:\n      interfaces: [eth0]\n"
        );
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
