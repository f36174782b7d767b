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

/// Plans that LVM looks at every disk although the list stays.
fn ignore_devices_file(draft: &mut Draft<'_>) -> Result<()> {
    let content = read(draft, LVM_CONF)?.unwrap_or_default();
    let mut found = false;
    let new = edit_lines(&content, |line| match is_setting(line) && !found {
        true => {
            found = true;
            Line::Replace("\tuse_devicesfile = 0".into())
        }
        false => Line::Keep,
    });
    if !found {
        return Err(Error::needs_person(format!("{LVM_DEVICES} hides the disks of the target from LVM"))
            .hint(format!("remove {LVM_DEVICES} in the guest before exporting")));
    }
    draft.write(LVM_CONF, new, "LVM looks at every disk, not only at those of the source")
}

/// The line for the setting, in use or as the comment that lvm.conf has for each default.
fn is_setting(line: &str) -> bool {
    let bare = line.trim_start().trim_start_matches('#').trim_start();
    bare.strip_prefix("use_devicesfile").is_some_and(|rest| rest.trim_start().starts_with('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_setting_is_told_from_what_is_written_about_it() {
        for line in ["\tuse_devicesfile = 1", "\t# use_devicesfile = 1", "use_devicesfile=0"] {
            assert!(is_setting(line), "{line}");
        }
        for line in ["\t# Configuration option devices/use_devicesfile.", "use_devicesfiles = 1", ""] {
            assert!(!is_setting(line), "{line}");
        }
    }
}
