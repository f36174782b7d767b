//! ifcfg files of RHEL, CentOS and Amazon Linux 2, and NetworkManager's keyfiles: no MAC address, the target's name.
//!
//! Facts: `HWADDR=` binds an ifcfg file to one card, `DEVICE=` names the interface (RHEL networking guide, "Interface
//! configuration files"; nm-settings-ifcfg-rh(5)); in keyfiles these are `mac-address` and `interface-name`
//! (nm-settings-keyfile(5)). NetworkManager takes both kinds by content, not by file name.

use crate::config_file::{Line, edit_lines, exists, list, read, read_lossy};
use crate::ini::{Item, item, pairs};
use crate::nic_names::{Mapping, is_wired, jumbo_remark, map_to_first, replace_word};
use driver_core::{Applies, Context, Draft, Fixup};
use format_core::{Error, Result};

const IFCFG: &str = "/etc/sysconfig/network-scripts";
const KEYFILES: &str = "/etc/NetworkManager/system-connections";

pub(super) struct Ifcfg;

impl Fixup for Ifcfg {
    fn id(&self) -> &'static str {
        "linux-ifcfg"
    }

    fn title(&self) -> &'static str {
        "NetworkManager and ifcfg files configure the target's network interface"
    }

    fn applies(&self, context: &Context<'_>, draft: &Draft<'_>) -> Result<Applies> {
        if context.target.first_nic.is_none() {
            return Ok(Applies::no(format!("{} does not rename interfaces", context.target.name)));
        }
        let found = !files(draft)?.is_empty();
        Ok(if found { Applies::Yes } else { Applies::no("there are neither ifcfg files nor connections") })
    }

    fn plan(&self, context: &Context<'_>, draft: &mut Draft<'_>) -> Result<()> {
        let first = context.target.first_nic.unwrap_or_default();
        let mut pinned = Vec::new();
        let mut names = Vec::new();
        for path in files(draft)? {
            let text = read_lossy(draft, &path)?.unwrap_or_default();
            let Some(nic) = Nic::of(&text) else { continue };
            jumbo_remark(&path, &text).into_iter().for_each(|remark| draft.note(remark));
            let fits = nic.name.is_none_or(|name| name == first) && !nic.by_address;
            names.push(if fits { first.to_owned() } else { path.clone() });
            pinned.extend((!fits).then_some(path));
        }
        let Mapping::Rename(path) = map_to_first("the guest", &names, first)? else { return Ok(()) };
        let content = read(draft, &path)?.unwrap_or_default();
        let reason = format!("the first network interface is {first}, with another MAC address");
        let new = edit_lines(&content, |line| edit(line, first));
        match path.strip_prefix(IFCFG).filter(|name| *name != format!("/ifcfg-{first}")) {
            // The scripts of initscripts find the file by the interface's name.
            Some(_) => {
                let renamed = format!("{IFCFG}/ifcfg-{first}");
                if exists(draft, &renamed)? {
                    return Err(Error::needs_person(format!(
                        "{renamed} exists and configures something else"
                    ))
                    .hint(format!("give {path} the name of the interface {first} before exporting")));
                }
                draft.remove(&path, &reason)?;
                draft.write(&renamed, new, &reason)?;
                rename_routes(draft, &path, first, &reason)
            }
            None => draft.write(&path, new, &reason),
        }
    }
}

/// Static routes and rules are found by the name of the ifcfg file too.
fn rename_routes(draft: &mut Draft<'_>, path: &str, first: &str, reason: &str) -> Result<()> {
    let Some((_, old)) = path.rsplit_once("/ifcfg-") else { return Ok(()) };
    for kind in ["route", "route6", "rule", "rule6"] {
        let (from, to) = (format!("{IFCFG}/{kind}-{old}"), format!("{IFCFG}/{kind}-{first}"));
        let Some(content) = read(draft, &from)?.filter(|_| old != first) else { continue };
        draft.remove(&from, reason)?;
        draft.write(
            &to,
            edit_lines(&content, |line| Line::Replace(replace_word(line, old, first))),
            reason,
        )?;
    }
    Ok(())
}

fn files(draft: &Draft<'_>) -> Result<Vec<String>> {
    let mut files = list(draft, IFCFG, "")?;
    files.retain(|path| {
        let name = path.rsplit('/').next().unwrap_or_default();
        name.starts_with("ifcfg-") && name != "ifcfg-lo" && !name.ends_with('~') && !name.ends_with(".bak")
    });
    files.extend(list(draft, KEYFILES, ".nmconnection")?);
    Ok(files)
}

/// The wired interface that a file configures.
struct Nic<'a> {
    name: Option<&'a str>,
    by_address: bool,
}

impl<'a> Nic<'a> {
    /// `None` for bridges, VPNs and files that configure nothing.
    fn of(text: &'a str) -> Option<Self> {
        let value = |keys: [&str; 2]| {
            let found = pairs(text).find(|(_, key, _)| keys.contains(key));
            found.map(|(.., value)| value.trim_matches(['"', '\''])).filter(|value| !value.is_empty())
        };
        let wired = match value(["TYPE", "type"]) {
            Some(kind) => matches!(kind, "Ethernet" | "ethernet" | "802-3-ethernet"),
            None => value(["DEVICE", "HWADDR"]).is_some(),
        };
        let name = value(["DEVICE", "interface-name"]);
        let by_address = value(["HWADDR", "mac-address"]).is_some();
        (wired && name.is_none_or(is_wired)).then_some(Self { name, by_address })
    }
}

fn edit(line: &str, first: &str) -> Line {
    match item(line) {
        Item::Pair("HWADDR" | "mac-address", _) => Line::Drop,
        Item::Pair(key @ ("DEVICE" | "interface-name"), value)
            if value.trim_matches(['"', '\'']) != first =>
        {
            Line::Replace(format!("{key}={first}"))
        }
        _ => Line::Keep,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_lose_the_card_and_keep_the_rest() {
        let text = b"DEVICE=\"ens5\"\nBOOTPROTO=dhcp\nHWADDR=06:3f\nONBOOT=yes\n";
        let edited = edit_lines(text, |line| edit(line, "eth0"));
        assert_eq!(edited, b"DEVICE=eth0\nBOOTPROTO=dhcp\nONBOOT=yes\n");
        assert_eq!(edit_lines(&edited, |line| edit(line, "eth0")), edited);
    }

    #[test]
    fn only_wired_interfaces_count() {
        assert!(Nic::of("DEVICE=br0\nTYPE=Bridge\n").is_none());
        assert!(Nic::of("[connection]\ntype=wireguard\ninterface-name=wg0\n").is_none());
        assert!(Nic::of("").is_none());
        let nic = Nic::of("[connection]\ntype=ethernet\n[ethernet]\nmac-address=06:3f\n").unwrap();
        assert!(nic.by_address && nic.name.is_none());
    }
}
