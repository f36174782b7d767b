//! wicked and SUSE's ifup: files are named by the interface.
//!
//! Facts: /etc/sysconfig/network/ifcfg-NAME configures the interface NAME, ifroute-NAME has its routes (ifcfg(5), ifcfg-routes(5) of
//! SLES), and `routes` those of all, with the interface in the fourth column; `ETHERDEVICE=` names the interface below a VLAN, `BRIDGE_PORTS` and `BONDING_SLAVE_…` those of bridges and bonds. ifcfg-lo and
//! ifcfg.template configure nothing that moves.

use crate::config_file::{Line, edit_lines, list, read};
use crate::ini::{Item, item};
use crate::moved_files::{self, Move};
use crate::net_rules::hold;
use crate::nic_names::{is_wired, plain_mtu, replace_words};
use crate::nic_plan::{Change, Nic, assign};
use crate::set_address::SetAddresses;
use driver_core::{Applies, Context, Draft, Fixup};
use format_core::Result;

pub(super) const FOLDER: &str = "/etc/sysconfig/network";

pub(super) struct Wicked;

impl Fixup for Wicked {
    fn id(&self) -> &'static str {
        "linux-wicked"
    }

    fn title(&self) -> &'static str {
        "SUSE's ifcfg files configure the target's network interfaces"
    }

    fn applies(&self, _: &Context<'_>, draft: &Draft<'_>) -> Result<Applies> {
        let found = !list(draft, FOLDER, "")?.iter().all(|path| interface_of(path).is_none());
        Ok(if found { Applies::Yes } else { Applies::no(format!("there is no ifcfg file in {FOLDER}")) })
    }

    fn plan(&self, context: &Context<'_>, draft: &mut Draft<'_>) -> Result<()> {
        let mut files = list(draft, FOLDER, "")?;
        files.retain(|path| interface_of(path).is_some());
        let nics = files.iter().filter(|path| path.contains("/ifcfg-")).filter_map(|path| interface_of(path));
        let nics = nics.filter(|name| is_wired(name)).map(Nic::named).collect();
        let changes = assign(FOLDER, nics, context, draft)?;
        let renames: Vec<(String, String)> =
            changes.iter().filter_map(Change::rename).map(|(old, new)| (old.into(), new.into())).collect();
        let reason = format!("the network interfaces of {}", context.target.name);
        let mut moves = Vec::new();
        files.push(format!("{FOLDER}/routes"));
        for from in files {
            let Some(content) = read(draft, &from)? else { continue };
            let mut set = SetAddresses::new(&context.wishes.network.adapters, &changes);
            let content = edit_lines(&content, |line| edit(line, &renames, &mut set, context));
            set.note(&from, draft);
            let name = interface_of(&from).unwrap_or_default();
            let to = format!("{}{}", from.strip_suffix(name).unwrap_or(&from), replace_words(name, &renames));
            moves.push(Move { from, to, content, reason: set.reason(&reason) });
        }
        moved_files::check(draft, &moves)?;
        moved_files::plan(draft, moves)?;
        hold(draft, context, &changes)
    }
}

fn edit(line: &str, renames: &[(String, String)], set: &mut SetAddresses<'_>, context: &Context<'_>) -> Line {
    match item(line) {
        _ if line.trim_start().starts_with('#') => Line::Keep,
        Item::Pair("LLADDR", value) => set.line(line, value).unwrap_or(Line::Keep),
        _ => {
            let line = replace_words(line, renames);
            Line::Replace(plain_mtu(&line, context).unwrap_or(line))
        }
    }
}

/// The interface of `ifcfg-NAME`, `ifroute-NAME` and their like.
pub(super) fn interface_of(path: &str) -> Option<&str> {
    let name = path.rsplit('/').next()?;
    let interface =
        ["ifcfg-", "ifroute-", "ifrule-", "ifsysctl-"].iter().find_map(|start| name.strip_prefix(start))?;
    let backup = ["~", ".bak", ".orig", ".rpmnew", ".rpmsave"].iter().any(|end| interface.ends_with(end));
    (!interface.is_empty() && interface != "lo" && !backup).then_some(interface)
}
