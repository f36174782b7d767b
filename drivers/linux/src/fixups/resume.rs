//! initramfs-tools: the device to resume from, for images that are built later.
//!
//! Facts: `RESUME=` in /etc/initramfs-tools/conf.d/* or initramfs.conf names the swap area whose content the early boot looks at
//! (initramfs-tools(7), "resume"; update-initramfs warns of one that is not there); `none` is no resuming. An image made with a
//! name that is gone waits half a minute for it, once for each start, until it is made anew.

use crate::config_file::{Line, edit_lines, list, read};
use crate::stable_name::{Name, stable_name};
use driver_core::{Applies, Context, Draft, Fixup, Guest};
use format_core::Result;

const MAIN: &str = "/etc/initramfs-tools/initramfs.conf";
const MORE: &str = "/etc/initramfs-tools/conf.d";

pub(super) struct Resume;

impl Fixup for Resume {
    fn id(&self) -> &'static str {
        "linux-resume"
    }

    fn title(&self) -> &'static str {
        "the device to resume from is named by UUID"
    }

    fn by_hand(&self) -> Option<&'static str> {
        Some("write RESUME=none, or the UUID of the swap area, into /etc/initramfs-tools/conf.d/resume")
    }

    fn applies(&self, _: &Context<'_>, draft: &Draft<'_>) -> Result<Applies> {
        for path in files(draft)? {
            let content = read(draft, &path)?.unwrap_or_default();
            if String::from_utf8_lossy(&content).lines().any(|line| device(line).is_some()) {
                return Ok(Applies::Yes);
            }
        }
        Ok(Applies::no("initramfs-tools is told no device to resume from"))
    }

    fn plan(&self, context: &Context<'_>, draft: &mut Draft<'_>) -> Result<()> {
        let reason = format!("{} does not have the source's device names", context.target.name);
        for path in files(draft)? {
            let Some(content) = read(draft, &path)? else { continue };
            let new =
                edit_lines(&content, |line| edit(context.guest, line).map_or(Line::Keep, Line::Replace));
            draft.write(&path, new, &reason)?;
        }
        Ok(())
    }
}

fn files(draft: &Draft<'_>) -> Result<Vec<String>> {
    let mut files = list(draft, MORE, "")?;
    files.push(MAIN.to_owned());
    Ok(files)
}

/// The device that a line names.
fn device(line: &str) -> Option<&str> {
    let value = line.trim_start().strip_prefix("RESUME=")?;
    let value = value.split_whitespace().next().unwrap_or_default().trim_matches(['"', '\'']);
    (!matches!(value, "" | "none" | "auto")).then_some(value)
}

fn edit(guest: &Guest, line: &str) -> Option<String> {
    let device = device(line)?;
    match stable_name(guest, device, Some("swap")) {
        Name::Stable => None,
        Name::New(name) => Some(line.replacen(device, &name, 1)),
        Name::Lost(_) => Some(line.replacen(device, "none", 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use driver_core::{DiskFacts, FsFacts, PartitionFacts};

    #[test]
    fn a_swap_area_is_named_by_uuid_and_a_lost_one_is_none() {
        let fs = FsFacts { kind: "swap".into(), uuid: Some("s".into()), ..FsFacts::default() };
        let partition = PartitionFacts { number: 2, file_system: Some(fs), ..PartitionFacts::default() };
        let disk = DiskFacts { partitions: vec![partition], ..DiskFacts::default() };
        let guest = Guest { disks: vec![disk], ..Guest::default() };
        for (line, expected) in [
            ("RESUME=/dev/sda2", Some("RESUME=UUID=s")),
            ("RESUME=\"/dev/xvda2\"", Some("RESUME=\"UUID=s\"")),
            ("  RESUME=/dev/sdb1 # the old disk", Some("  RESUME=none # the old disk")),
            ("RESUME=UUID=s", None),
            ("RESUME=none", None),
            ("RESUME=", None),
            ("#RESUME=/dev/sda2", None),
            ("", None),
        ] {
            assert_eq!(edit(&guest, line).as_deref(), expected, "{line}");
        }
    }
}
