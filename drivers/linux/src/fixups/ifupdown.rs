//! ifupdown (Debian, Alpine): configured interfaces are the target's.
//!
//! Facts: interfaces(5): stanzas name interfaces (`auto`, `allow-hotplug`, `iface`), options and scripts in them may
//! repeat the name; /etc/network/interfaces.d is read by a `source` line that Debian installs. `hwaddress` gives the
//! adapter an address and binds nothing.

use crate::config_file::{Line, edit_lines, exists, list, read, read_lossy};
use crate::net_rules::hold;
use crate::nic_names::{is_wired, plain_mtu, replace_words};
use crate::nic_plan::{Change, Nic, assign};
use driver_core::{Applies, Context, Draft, Fixup};
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
            let new = edit_lines(&content, |line| match line.trim_start().starts_with('#') {
                true => Line::Keep,
                false => {
                    let line = replace_words(line, &renames);
                    Line::Replace(plain_mtu(&line, context).unwrap_or(line))
                }
            });
            draft.write(&path, new, &reason)?;
        }
        hold(draft, context, &changes)
    }
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
