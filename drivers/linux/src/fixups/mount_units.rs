//! Mount units: `What=` with the source's device names.
//!
//! Facts: systemd.mount(5): `What=` in `[Mount]` is an absolute path where it is a device, so a UUID is written as udev's link. A unit
//! that local-fs.target requires stops the boot in an emergency shell when its device does not come. A swap unit's file
//! name is its device's path (systemd.swap(5), systemd-escape(1)): it is renamed with the links to it; without its device the boot
//! waits 90 s and goes on, so one that cannot be renamed is a remark.

use crate::config_file::{Line, edit_lines, exists, list, read};
use crate::fixups::kdump::as_path;
use crate::ini::{Item, item, pairs};
use crate::stable_name::{Name, stable_name};
use driver_core::{Applies, Context, Draft, Fixup, Guest};
use format_core::{Error, Result};

pub(super) const FOLDER: &str = "/etc/systemd/system";

pub(super) struct MountUnits;

impl Fixup for MountUnits {
    fn id(&self) -> &'static str {
        "linux-mount-units"
    }

    fn title(&self) -> &'static str {
        "device names in mount units become UUIDs"
    }

    fn applies(&self, _: &Context<'_>, draft: &Draft<'_>) -> Result<Applies> {
        let found = !list(draft, FOLDER, ".mount")?.is_empty() || !list(draft, FOLDER, ".swap")?.is_empty();
        Ok(if found { Applies::Yes } else { Applies::no(format!("there are no mount units in {FOLDER}")) })
    }

    fn plan(&self, context: &Context<'_>, draft: &mut Draft<'_>) -> Result<()> {
        let reason = format!("{} does not have the source's device names", context.target.name);
        for path in list(draft, FOLDER, ".swap")? {
            super::swap_units::plan(context, draft, &path, &reason)?;
        }
        let mut edited = Vec::new();
        for path in list(draft, FOLDER, ".mount")? {
            let Some(content) = read(draft, &path)? else { continue };
            let mut lost = None;
            let text = String::from_utf8_lossy(&content).into_owned();
            let kind = pairs(&text).find(|(_, key, _)| *key == "Type").map(|(.., value)| value);
            let new = edit_lines(&content, |line| edit(context.guest, line, kind, &mut lost));
            if let Some(why) = lost {
                let name = path.rsplit('/').next().unwrap_or_default();
                if exists(draft, &format!("{FOLDER}/local-fs.target.requires/{name}"))? {
                    return Err(Error::needs_person(format!("{path}: the boot would stop: {why}")).hint(
                        "add the disk that holds it to the migration, or disable the unit before exporting",
                    ));
                }
                draft.note(format!("{path}: {why}"));
            }
            edited.push((path, new));
        }
        edited.into_iter().try_for_each(|(path, new)| draft.write(&path, new, &reason))
    }
}

/// The device of a `What=` line.
pub(super) fn device_of(line: &str) -> Option<&str> {
    match item(line) {
        Item::Pair("What", value) => Some(value),
        _ => None,
    }
}

fn edit(guest: &Guest, line: &str, kind: Option<&str>, lost: &mut Option<String>) -> Line {
    let Some(device) = device_of(line) else { return Line::Keep };
    match stable_name(guest, device, kind) {
        Name::New(name) => match (line.split_once('='), as_path(&name)) {
            (Some((key, _)), Some(path)) => Line::Replace(format!("{key}={path}")),
            _ => Line::Keep,
        },
        Name::Lost(why) => {
            lost.get_or_insert(why);
            Line::Keep
        }
        Name::Stable => Line::Keep,
    }
}
