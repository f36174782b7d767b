//! crypttab: device names become the UUID of the LUKS container.
//!
//! Facts: crypttab(5), second field is the device, the fourth the options; dracut takes only stable names of crypttab
//! into its image, and Debian's hook follows the UUID of the root's container by itself, so no `initramfs` option is added.

use crate::config_file::{Line, edit_lines, exists, read};
use crate::fstab::{fields, with_field};
use crate::stable_name::{Name, depends_on_hardware, stable_name};
use driver_core::{Applies, Context, Draft, Fixup, Guest};
use format_core::{Error, Result};

const PATH: &str = "/etc/crypttab";

pub(super) struct Crypttab;

impl Fixup for Crypttab {
    fn id(&self) -> &'static str {
        "linux-crypttab"
    }

    fn title(&self) -> &'static str {
        "device names in /etc/crypttab become UUIDs"
    }

    fn applies(&self, _: &Context<'_>, draft: &Draft<'_>) -> Result<Applies> {
        Ok(if exists(draft, PATH)? { Applies::Yes } else { Applies::no("there is no /etc/crypttab") })
    }

    fn plan(&self, context: &Context<'_>, draft: &mut Draft<'_>) -> Result<()> {
        let Some(content) = read(draft, PATH)? else { return Ok(()) };
        let mut erased = None;
        let edited = edit_lines(&content, |line| {
            erased = erased.take().or_else(|| would_erase(context.guest, line));
            edit(context.guest, line).map_or(Line::Keep, Line::Replace)
        });
        if let Some(what) = erased {
            return Err(Error::needs_person(format!("{PATH}: {what}")).hint(
                "remove the line from /etc/crypttab before exporting, or name its partition by PARTUUID",
            ));
        }
        let reason = format!("{} does not have the source's device names", context.target.name);
        draft.write(PATH, edited, &reason)
    }
}

/// Options that give the device a new random content at every start.
const ERASING: [&str; 3] = ["swap", "tmp", "plain"];

/// Why the line would destroy data: a device that is made anew at each start, whose name now means something that holds
/// data. EC2's instance store has such lines, and its name goes to the next disk.
fn would_erase(guest: &Guest, line: &str) -> Option<String> {
    let device = line.get(fields(line).nth(1)?)?;
    let options = line.get(fields(line).nth(3)?)?;
    let erasing = options.split(',').any(|o| ERASING.contains(&o.split('=').next().unwrap_or(o)));
    let id = Some(device).filter(|device| erasing && depends_on_hardware(device))?;
    let kind = &guest.file_system(guest.resolve_device(id)?)?.kind;
    (kind != "swap").then(|| format!("{device} is made anew at every start, and that disk holds {kind} now"))
}

fn edit(guest: &Guest, line: &str) -> Option<String> {
    let device = line.get(fields(line).nth(1)?)?;
    match stable_name(guest, device, None) {
        Name::Stable => None,
        Name::New(name) => with_field(line, 1, &name),
        Name::Lost(_) => with_nofail(line),
    }
}

/// crypttab(5): `nofail` keeps the boot from waiting for a container that is not there.
fn with_nofail(line: &str) -> Option<String> {
    let field = |index| fields(line).nth(index);
    if let Some(options) = field(3) {
        let options = line.get(options)?;
        let set = |option| options.split(',').any(|o| o == option);
        return (!set("nofail") && !set("noauto"))
            .then(|| with_field(line, 3, &format!("{options},nofail")))?;
    }
    let (end, more) = match field(2) {
        Some(key) => (key.end, " nofail"),
        None => (field(1)?.end, " none nofail"),
    };
    Some(format!("{}{more}{}", line.get(..end)?, line.get(end..)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use driver_core::{DiskFacts, FsFacts, PartitionFacts};

    #[test]
    fn containers_are_named_by_uuid() {
        let luks = FsFacts { kind: "crypto_LUKS".into(), uuid: Some("l".into()), ..FsFacts::default() };
        let partition = PartitionFacts { number: 2, file_system: Some(luks), ..PartitionFacts::default() };
        let disk = DiskFacts { partitions: vec![partition], ..DiskFacts::default() };
        let guest = Guest { disks: vec![disk], ..Guest::default() };
        for (line, erased) in [
            ("swap /dev/xvda2 /dev/urandom swap,cipher=aes", true),
            ("tmp /dev/sda2 /dev/urandom tmp=ext4", true),
            ("data /dev/xvda2 none luks", false),
            ("swap /dev/xvdb /dev/urandom swap", false),
            ("swap UUID=l /dev/urandom swap", false),
        ] {
            assert_eq!(would_erase(&guest, line).is_some(), erased, "{line}");
        }
        for (line, expected) in [
            ("data /dev/xvda2 none luks", Some("data UUID=l none luks")),
            ("data UUID=l none luks", None),
            ("data /dev/xvdf /root/key luks,discard", Some("data /dev/xvdf /root/key luks,discard,nofail")),
            ("data /dev/xvdf /root/key", Some("data /dev/xvdf /root/key nofail")),
            ("data /dev/xvdf", Some("data /dev/xvdf none nofail")),
            ("data /dev/xvdf none luks,nofail", None),
            ("# data /dev/xvda2", None),
            ("data", None),
        ] {
            assert_eq!(edit(&guest, line).as_deref(), expected, "{line}");
        }
    }
}
