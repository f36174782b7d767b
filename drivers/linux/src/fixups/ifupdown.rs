//! ifupdown: the one configured interface becomes the target's first one.
//!
//! Facts: interfaces(5): stanzas name interfaces (`auto`, `allow-hotplug`, `iface`), options and scripts in them may
//! repeat the name; /etc/network/interfaces.d is read by a `source` line that Debian installs.

use crate::config_file::{Line, edit_lines, exists, list, read, read_lossy};
use crate::nic_names::{Mapping, is_wired, jumbo_remark, map_to_first, replace_word};
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
        "/etc/network/interfaces configures the target's network interface"
    }

    fn applies(&self, context: &Context<'_>, draft: &Draft<'_>) -> Result<Applies> {
        if context.target.first_nic.is_none() {
            return Ok(Applies::no(format!("{} does not rename interfaces", context.target.name)));
        }
        let found = exists(draft, MAIN)?;
        Ok(if found { Applies::Yes } else { Applies::no(format!("there is no {MAIN}")) })
    }

    fn plan(&self, context: &Context<'_>, draft: &mut Draft<'_>) -> Result<()> {
        let first = context.target.first_nic.unwrap_or_default();
        let mut files = vec![MAIN.to_owned()];
        files.extend(list(draft, MORE, "")?);
        let mut names = Vec::new();
        for path in &files {
            let text = read_lossy(draft, path)?.unwrap_or_default();
            names.extend(text.lines().filter_map(configured));
            jumbo_remark(path, &text).into_iter().for_each(|remark| draft.note(remark));
        }
        let Mapping::Rename(old) = map_to_first(MAIN, &names, first)? else { return Ok(()) };
        let reason = format!("the first network interface is {first}");
        for path in files {
            let Some(content) = read(draft, &path)? else { continue };
            let new = edit_lines(&content, |line| match line.trim_start().starts_with('#') {
                true => Line::Keep,
                false => Line::Replace(replace_word(line, &old, first)),
            });
            draft.write(&path, new, &reason)?;
        }
        Ok(())
    }
}

/// The wired interface that an `iface` line configures; `ens5:1` and `ens5.10` stand on `ens5`.
fn configured(line: &str) -> Option<String> {
    let mut words = line.split_whitespace();
    let name = words.next().filter(|word| *word == "iface").and_then(|_| words.next())?;
    let name = name.split([':', '.']).next()?;
    is_wired(name).then(|| name.to_owned())
}
