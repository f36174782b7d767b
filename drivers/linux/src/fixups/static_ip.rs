//! A fixed address that the operator gives takes the place of what the guest has for an interface.
//!
//! Facts: each system keeps addresses in its own form: netplan ("YAML configuration"), interfaces(5), `IPADDR0`/`PREFIX0`/`GATEWAY` of
//! ifcfg files, `address1` of keyfiles (nm-settings-keyfile(5)), `[Network]` of systemd.network(5), `IPADDR` with ifroute of
//! SUSE's ifcfg(5). The interface has the name that it has in the guest before the move: this runs first, and the fixups for
//! names take what it wrote along.

use super::{ifcfg, ifupdown, keyfiles, netplan, networkd, wicked};
use crate::config_file::{list, read, read_small};
use crate::ini::pairs;
use crate::nic_plan::Nic;
use crate::static_text;
use driver_core::{Applies, Context, Draft, Fixup, StaticAddress};
use format_core::{Error, Result};

pub(super) struct StaticIp;

impl Fixup for StaticIp {
    fn id(&self) -> &'static str {
        "linux-static-ip"
    }

    fn title(&self) -> &'static str {
        "interfaces have the fixed addresses that were given"
    }

    fn applies(&self, context: &Context<'_>, _: &Draft<'_>) -> Result<Applies> {
        Ok(match context.wishes.network.static_addresses.is_empty() {
            true => Applies::no("no fixed address was given"),
            false => Applies::Yes,
        })
    }

    fn plan(&self, context: &Context<'_>, draft: &mut Draft<'_>) -> Result<()> {
        let wished = &context.wishes.network.static_addresses;
        for fixed in wished {
            if !is_interface(&fixed.interface) {
                let text = format!("{:?} is no name of an interface in Linux", fixed.interface);
                return Err(
                    Error::needs_person(text).hint("name it as ip link does in the running guest: eth0")
                );
            }
            if wished.iter().filter(|other| other.interface == fixed.interface).count() > 1 {
                return Err(Error::needs_person(format!("{} is given two addresses", fixed.interface))
                    .hint("give one address for each interface"));
            }
        }
        // All are found before the first is planned; then one after the other, because they may share a file.
        for fixed in wished {
            places(fixed, draft)?;
        }
        for fixed in wished {
            for (path, content) in places(fixed, draft)?.into_iter().flatten() {
                draft.write(&path, content, "the fixed address that was given")?;
            }
        }
        Ok(())
    }
}

/// What the kernel takes for a name, and every configuration file can hold.
fn is_interface(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    !name.is_empty() && name.len() <= 15 && name.bytes().all(plain)
}

/// A file's path and its new content.
type NewFile = (String, Vec<u8>);

/// The files that give `fixed`, with their new contents; `None` when the guest has that address already.
///
/// # Errors
/// `NeedsPerson` when nothing configures the interface.
fn places(fixed: &StaticAddress, draft: &Draft<'_>) -> Result<Option<Vec<NewFile>>> {
    let name = fixed.interface.as_str();
    // Which system is in use does not show in its files: every one that configures the interface gets the address.
    let mut found: Vec<NewFile> = Vec::new();
    for file in netplan::files(draft)? {
        let is_it =
            |one: &&crate::netplan_text::Ethernet| one.id == name || one.new_name.as_deref() == Some(name);
        if let Some(ethernet) = file.ethernets.iter().find(is_it) {
            let new = static_text::netplan(&file.text, ethernet, fixed);
            found.push((file.path, new.into_bytes()));
            break;
        }
    }
    let named = |nic: Option<Nic>| nic.is_some_and(|nic| nic.name.as_deref() == Some(name));
    let stanza = |_: &str, text: &str| static_text::has_stanza(text, name);
    let ifcfg_is = |path: &str, text: &str| named(ifcfg::nic_of(path, text));
    let keyfile_is = |path: &str, text: &str| named(keyfiles::nic_of(path, text));
    let network_is = |_: &str, text: &str| {
        pairs(text).any(|(section, key, value)| section == "Match" && key == "Name" && value.trim() == name)
    };
    let networks = list(draft, networkd::OWN, ".network")?;
    found.extend(first(draft, ifupdown::files(draft)?, stanza, |old| static_text::ifupdown(old, fixed))?);
    found.extend(first(draft, ifcfg::files(draft)?, ifcfg_is, |old| static_text::ifcfg(old, fixed))?);
    found.extend(first(draft, keyfiles::files(draft)?, keyfile_is, |old| static_text::keyfile(old, fixed))?);
    found.extend(first(draft, networks, network_is, |old| static_text::networkd(old, fixed))?);
    found.extend(wicked_places(fixed, draft)?);
    if !found.is_empty() {
        return Ok(Some(found));
    }
    if is_given(fixed, draft)? {
        return Ok(None);
    }
    Err(Error::needs_person(format!(
        "no file in the guest configures {name}, which is given {}",
        fixed.address
    ))
    .hint("use the name that the guest's configuration has for the interface before the move"))
}

/// The first file that `is_it` recognises, edited.
fn first(
    draft: &Draft<'_>,
    files: Vec<String>,
    is_it: impl Fn(&str, &str) -> bool,
    edit: impl Fn(&[u8]) -> Vec<u8>,
) -> Result<Option<NewFile>> {
    for path in files {
        let Some(content) = read(draft, &path)? else { continue };
        if is_it(&path, &String::from_utf8_lossy(&content)) {
            return Ok(Some((path, edit(&content))));
        }
    }
    Ok(None)
}

/// SUSE's files: address, routes and name servers lie apart.
fn wicked_places(fixed: &StaticAddress, draft: &Draft<'_>) -> Result<Vec<NewFile>> {
    let path = format!("{}/ifcfg-{}", wicked::FOLDER, fixed.interface);
    let Some(content) = read(draft, &path)? else { return Ok(Vec::new()) };
    let mut places = vec![(path, static_text::wicked(&content, fixed))];
    if fixed.gateway.is_some() {
        let routes = format!("{}/ifroute-{}", wicked::FOLDER, fixed.interface);
        let old = read(draft, &routes)?.unwrap_or_default();
        places.push((routes, static_text::wicked_routes(&old, fixed)));
    }
    let config = format!("{}/config", wicked::FOLDER);
    if let Some(content) = read(draft, &config)?.filter(|_| !fixed.dns.is_empty()) {
        places.push((config, static_text::wicked_dns(&content, fixed)));
    }
    Ok(places)
}

/// The address stands in some configuration already, under the interface's new name.
fn is_given(fixed: &StaticAddress, draft: &Draft<'_>) -> Result<bool> {
    let mut files = ifupdown::files(draft)?;
    files.extend(list(draft, "/etc/netplan", ".yaml")?);
    files.extend(ifcfg::files(draft)?);
    files.extend(keyfiles::files(draft)?);
    files.extend(list(draft, networkd::OWN, ".network")?);
    files.extend(list(draft, wicked::FOLDER, "")?);
    let address = fixed.address.to_string();
    for path in files {
        let text = read_small(draft, &path)?;
        let word = |c: char| !(c.is_ascii_hexdigit() || matches!(c, '.' | ':'));
        if text.split(word).any(|part| part == address) {
            return Ok(true);
        }
    }
    Ok(false)
}
