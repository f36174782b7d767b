//! Caches of device names go: what they say is no longer true.
//!
//! Facts: /etc/blkid.tab, /etc/blkid/blkid.tab and /etc/lvm/cache/.cache are rebuilt when they are absent (blkid(8),
//! lvm.conf(5)). /etc/lvm/devices/system.devices lists physical volumes by the serial number of the old disk; with the
//! file present LVM ignores every other disk (lvmdevices(8)).

use crate::config_file::{exists, read};
use driver_core::{Applies, Context, Draft, Fixup};
use format_core::Result;

const CACHES: [&str; 4] =
    ["/etc/blkid.tab", "/etc/blkid/blkid.tab", "/etc/lvm/cache/.cache", "/etc/lvm/devices/system.devices"];

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
            if read(draft, path)?.is_some() {
                draft.remove(path, "speaks of the disks of the source")?;
            }
        }
        Ok(())
    }
}
