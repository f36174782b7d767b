//! ifupdown (Debian, Alpine): configured interfaces are the target's.
//!
//! Facts: interfaces(5): stanzas name interfaces (`auto`, `allow-hotplug`, `iface`), options and scripts in them may
//! repeat the name; /etc/network/interfaces.d is read by a `source` line that Debian installs. `hwaddress` and
//! `bridge_hw` set an address and bind nothing; so do commands of ip(8) and ifconfig(8) behind `up`.

use crate::config_file::{Line, edit_lines, exists, list, read, read_lossy};
use crate::net_rules::hold;
use crate::nic_names::{is_wired, plain_mtu, replace_words};
use crate::nic_plan::{Change, Nic, assign};
use crate::set_address::SetAddresses;
use driver_core::{Applies, Context, Draft, Fixup, Mac};
use format_core::Result;

const MAIN: &str = "/etc/network/interfaces";
const MORE: &str = "/etc/network/interfaces.d";

pub(super) struct Ifupdown;

impl Fixup for Ifupdown {
    fn id(&self) -> &'static str {
        "linux-ifupdown"
    }

    fn title(&self) -> &'static str {
        "/etc/network/interfaces configures the target's network interfaces"
    }

    fn applies(&self, _: &Context<'_>, draft: &Draft<'_>) -> Result<Applies> {
        let found = exists(draft, MAIN)?;
        Ok(if found { Applies::Yes } else { Applies::no(format!("there is no {MAIN}")) })
    }

    fn plan(&self, context: &Context<'_>, draft: &mut Draft<'_>) -> Result<()> {
        let files = files(draft)?;
        let mut nics = Vec::new();
        for path in &files {
            let text = read_lossy(draft, path)?.unwrap_or_default();
            nics.extend(text.lines().filter_map(configured).map(|name| Nic::named(&name)));
        }
        let changes = assign(MAIN, nics, context, draft)?;
        let renames: Vec<(String, String)> =
            changes.iter().filter_map(Change::rename).map(|(old, new)| (old.into(), new.into())).collect();
        let reason = format!("the network interfaces of {}", context.target.name);
        for path in files {
            let Some(content) = read(draft, &path)? else { continue };
            let mut set = SetAddresses::new(&context.wishes.network.adapters, &changes);
            let new = edit_lines(&content, |line| edit(line, &renames, &mut set, context));
            set.note(&path, draft);
            draft.write(&path, new, &set.reason(&reason))?;
        }
        hold(draft, context, &changes)
    }
}

fn edit(line: &str, renames: &[(String, String)], set: &mut SetAddresses<'_>, context: &Context<'_>) -> Line {
    if line.trim_start().starts_with('#') {
        return Line::Keep;
    }
    let renamed = replace_words(line, renames);
    let renamed = plain_mtu(&renamed, context).unwrap_or(renamed);
    let several = renamed.contains(['&', ';', '|']);
    let changed = set_address(&renamed).and_then(|value| match several {
        true => set.command(&renamed, value),
        false => set.line(&renamed, value),
    });
    changed.unwrap_or(Line::Replace(renamed))
}

/// The address that a line sets.
fn set_address(line: &str) -> Option<&str> {
    let mut words = line.split_whitespace();
    let sets = match words.next()? {
        "hwaddress" | "bridge_hw" => true,
        "up" | "pre-up" | "post-up" => {
            line.contains(" hw ether ") || line.contains(" link set ") && line.contains(" address ")
        }
        _ => false,
    };
    words.map(|word| word.trim_end_matches(';')).find(|word| sets && word.parse::<Mac>().is_ok())
}

/// The files that ifup reads.
pub(super) fn files(draft: &Draft<'_>) -> Result<Vec<String>> {
    let mut files = vec![MAIN.to_owned()];
    files.extend(list(draft, MORE, "")?);
    Ok(files)
}

/// The wired interface that an `iface` line configures; `ens5:1` and `ens5.10` stand on `ens5`.
fn configured(line: &str) -> Option<String> {
    let mut words = line.split_whitespace();
    let name = words.next().filter(|word| *word == "iface").and_then(|_| words.next())?;
    let name = name.split([':', '.']).next()?;
    is_wired(name).then(|| name.to_owned())
}
