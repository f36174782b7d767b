//! udev: rules that name interfaces by the source's MAC addresses, and EC2's own rules, go or follow.
//!
//! Facts: 70-persistent-net.rules gives names by MAC address (udev(7)): with the address kept it goes on to give the names that the
//! configuration uses; with another one it gets that; without one it would only be in the way. Rules of ec2-utils and ec2-net-utils (`51-ec2-hvm-devices`,
//! `53-ec2-network-interfaces`, …) give EC2's names to disks, and ask the metadata service for each new interface. A rule that a package brings
//! in /usr/lib is overruled by a link to /dev/null of the same name in /etc (udev(7)).

use crate::config_file::{Line, edit_lines, exists, list, read, read_lossy};
use crate::net_rules::{PERSISTENT, hold, named};
use crate::nic_plan::{Change, Nic, Pin, assign};
use driver_core::{Applies, Context, Draft, Fixup, Platform};
use format_core::Result;

const OWN: &str = "/etc/udev/rules.d";
/// The second is a link to the first, except on old systems.
const VENDOR: [&str; 2] = ["/usr/lib/udev/rules.d", "/lib/udev/rules.d"];

pub(super) struct UdevNet;

impl Fixup for UdevNet {
    fn id(&self) -> &'static str {
        "linux-udev-net"
    }

    fn title(&self) -> &'static str {
        "udev rules for the source's interfaces and disks are gone"
    }

    fn applies(&self, context: &Context<'_>, draft: &Draft<'_>) -> Result<Applies> {
        let found = exists(draft, PERSISTENT)?
            || !ec2_rules(context, draft, &[OWN])?.is_empty()
            || !ec2_rules(context, draft, &VENDOR)?.is_empty();
        Ok(if found { Applies::Yes } else { Applies::no("no udev rule names the source's hardware") })
    }

    fn plan(&self, context: &Context<'_>, draft: &mut Draft<'_>) -> Result<()> {
        let changes = persistent_names(context, draft)?;
        follow(&changes, draft)?;
        for path in ec2_rules(context, draft, &[OWN])? {
            // A link to /dev/null is a rule that somebody switched off.
            if draft.read_link(&path)?.is_none() {
                draft.remove(&path, "serves EC2's devices only")?;
            }
        }
        for path in ec2_rules(context, draft, &VENDOR)? {
            let mask = format!("{OWN}/{}", path.rsplit('/').next().unwrap_or_default());
            if draft.read_link(&mask)?.is_none() && !exists(draft, &mask)? {
                draft.link(&mask, "/dev/null", "serves EC2's devices only")?;
            }
        }
        // What is named here only may be configured by hand or by other tools.
        hold(draft, context, changes.iter().filter(|change| change.pin == Pin::Drop))
    }
}

fn persistent_names(context: &Context<'_>, draft: &Draft<'_>) -> Result<Vec<Change>> {
    let text = read_lossy(draft, PERSISTENT)?.unwrap_or_default();
    let nic = |(name, mac): (&str, _)| Nic { mac, pinned: true, ..Nic::named(name) };
    assign(PERSISTENT, text.lines().filter_map(named).map(nic).collect(), context, draft)
}

/// Plans the persistent rules as decided; the file goes when it names nothing any more.
fn follow(changes: &[Change], draft: &mut Draft<'_>) -> Result<()> {
    if changes.iter().all(|change| change.pin == Pin::Keep) {
        return Ok(());
    }
    let Some(content) = read(draft, PERSISTENT)? else { return Ok(()) };
    let mut left = 0;
    let new = edit_lines(&content, |line| {
        let Some((name, old)) = named(line) else { return Line::Keep };
        match changes.iter().find(|change| change.nic.key == name).map(|change| change.pin) {
            Some(Pin::Drop) => return Line::Drop,
            Some(Pin::Replace(mac)) => {
                left += 1;
                let old = old.map(|old| old.to_string()).unwrap_or_default();
                return replace_address(line, &old, &mac.to_string()).map_or(Line::Drop, Line::Replace);
            }
            Some(Pin::Keep) | None => left += 1,
        }
        Line::Keep
    });
    match left {
        0 => draft.remove(PERSISTENT, "names interfaces by the MAC addresses of the source"),
        _ => draft.write(PERSISTENT, new, "the interfaces have other MAC addresses"),
    }
}

/// `None` when the line does not have the address in a form that can be replaced.
fn replace_address(line: &str, old: &str, new: &str) -> Option<String> {
    let at = line.to_ascii_lowercase().find(old).filter(|_| !old.is_empty())?;
    Some(format!("{}{new}{}", line.get(..at)?, line.get(at + old.len()..)?))
}

/// `51-ec2-hvm-devices.rules` and its like.
fn ec2_rules(context: &Context<'_>, draft: &Draft<'_>, folders: &[&str]) -> Result<Vec<String>> {
    if context.target.platform == Platform::Aws {
        return Ok(Vec::new());
    }
    let mut rules = Vec::new();
    for folder in folders {
        rules.extend(list(draft, folder, ".rules")?);
    }
    rules.retain(|path| {
        let name = path.rsplit('/').next().unwrap_or_default();
        name.trim_start_matches(|c: char| c.is_ascii_digit()).starts_with("-ec2-")
    });
    Ok(rules)
}
