//! Caches of device names go: what they say is no longer true.
//!
//! Facts: /etc/blkid.tab, /etc/blkid/blkid.tab and /etc/lvm/cache/.cache are rebuilt when they are absent (blkid(8),
//! lvm.conf(5)). /etc/lvm/devices/system.devices lists physical volumes by the serial number of the old disk; with the
//! file present LVM ignores every other disk (lvmdevices(8)), unless `use_devicesfile = 0` in lvm.conf says otherwise (lvm.conf(5)): the
//! way for a file system that removes no names. An empty cache is none.

use crate::config_file::{Line, edit_lines, exists, read};
use driver_core::{Applies, Change, Context, Draft, Fixup};
use format_core::{Error, ErrorKind, Result};

const LVM_DEVICES: &str = "/etc/lvm/devices/system.devices";
const LVM_CONF: &str = "/etc/lvm/lvm.conf";
const LVM_CONFS: [&str; 2] = [LVM_CONF, "/etc/lvm/lvmlocal.conf"];
const CACHES: [&str; 4] = ["/etc/blkid.tab", "/etc/blkid/blkid.tab", "/etc/lvm/cache/.cache", LVM_DEVICES];

pub(super) struct DeviceCaches;

impl Fixup for DeviceCaches {
    fn id(&self) -> &'static str {
        "linux-device-caches"
    }

    fn title(&self) -> &'static str {
        "caches of device names are gone"
    }

    fn applies(&self, _: &Context<'_>, draft: &Draft<'_>) -> Result<Applies> {
        for path in CACHES {
            if exists(draft, path)? {
                return Ok(Applies::Yes);
            }
        }
        Ok(Applies::no("there is no cache of device names"))
    }

    fn plan(&self, _: &Context<'_>, draft: &mut Draft<'_>) -> Result<()> {
        for path in CACHES {
            if read(draft, path)?.is_none() {
                continue;
            }
            let reason = "speaks of the disks of the source";
            match draft.allows(path, Change::Remove) {
                Err(e) if e.kind() == ErrorKind::NeedsPerson => match path == LVM_DEVICES {
                    true => ignore_devices_file(draft)?,
                    false => draft.write(path, "", reason)?,
                },
                _ => draft.remove(path, reason)?,
            }
        }
        Ok(())
    }
}

/// Plans that LVM looks at every disk although the list stays. lvmlocal.conf goes before lvm.conf, and of two lines in one
/// file the last counts (lvm.conf(5), lvmconfig(8)): every one that is in use says 0 afterwards.
fn ignore_devices_file(draft: &mut Draft<'_>) -> Result<()> {
    let reason = "LVM looks at every disk, not only at those of the source";
    let mut is_said = false;
    for path in LVM_CONFS {
        let content = read(draft, path)?.unwrap_or_default();
        let text = String::from_utf8_lossy(&content);
        if text.lines().any(is_active) {
            is_said = true;
            let new = edit_lines(&content, |line| match is_active(line) {
                true => Line::Replace(format!("\t{} = 0", key(line))),
                false => Line::Keep,
            });
            draft.write(path, new, reason)?;
        }
    }
    if is_said {
        return Ok(());
    }
    let content = read(draft, LVM_CONF)?.unwrap_or_default();
    match in_place_of_comment(&content) {
        Some(new) => draft.write(LVM_CONF, new, reason),
        None => Err(Error::needs_person(format!("{LVM_DEVICES} hides the disks of the target from LVM"))
            .hint(format!("remove {LVM_DEVICES} in the guest before exporting"))),
    }
}

/// The content with the comment for the default, inside of the section `devices`, put into use.
fn in_place_of_comment(content: &[u8]) -> Option<Vec<u8>> {
    let (mut depth, mut in_devices, mut found) = (0_i64, false, false);
    let new = edit_lines(content, |line| {
        let code = line.split('#').next().unwrap_or_default().trim();
        if depth == 0 && code.starts_with("devices") && code.ends_with('{') {
            in_devices = true;
        }
        let signs = |sign: char| code.matches(sign).count() as i64;
        depth += signs('{') - signs('}');
        in_devices &= depth > 0;
        if in_devices && depth == 1 && !found && is_comment(line) {
            found = true;
            return Line::Replace("\tuse_devicesfile = 0".into());
        }
        Line::Keep
    });
    found.then_some(new)
}

/// The setting, in use.
fn is_active(line: &str) -> bool {
    line.contains('=') && matches!(key(line), "use_devicesfile" | "devices/use_devicesfile")
}

fn key(line: &str) -> &str {
    line.split(['=', '#']).next().unwrap_or_default().trim()
}

/// The comment that lvm.conf has for the setting's default.
fn is_comment(line: &str) -> bool {
    line.trim_start().strip_prefix('#').is_some_and(is_active)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_setting_is_told_from_what_is_written_about_it() {
        for (line, active, comment) in [
            ("\tuse_devicesfile = 1", true, false),
            ("use_devicesfile=0 # x", true, false),
            ("devices/use_devicesfile = 1", true, false),
            ("\t# use_devicesfile = 1", false, true),
            ("\t# Configuration option devices/use_devicesfile.", false, false),
            ("use_devicesfiles = 1", false, false),
            ("", false, false),
        ] {
            assert_eq!((is_active(line), is_comment(line)), (active, comment), "{line}");
        }
    }

    #[test]
    fn a_comment_counts_inside_of_its_section_only() {
        let text = b"# use_devicesfile = 1\ndevices {\n\t# use_devicesfile = 1\n}\n";
        let expected = b"# use_devicesfile = 1\ndevices {\n\tuse_devicesfile = 0\n}\n";
        assert_eq!(in_place_of_comment(text).unwrap(), expected);
        assert_eq!(in_place_of_comment(b"# use_devicesfile = 1\ndevices {\n}\n"), None);
        assert_eq!(in_place_of_comment(b"global {\n# use_devicesfile = 1\n}\n"), None);
    }
}
