//! GRUB's device.map: lines with the source's disks go.
//!
//! Facts: the file says which disk GRUB's tools call `hd0`; nothing reads it at boot. Without it, or without a line for a disk,
//! the tools find out by themselves (GRUB manual, "Device map"); with a line for a disk that is not there, grub-mkconfig stops
//! with "cannot find a GRUB drive". A whole disk has no UUID that could stand there instead.

use crate::config_file::{Line, edit_lines, exists, read};
use crate::stable_name::depends_on_hardware;
use driver_core::{Applies, Context, Draft, Fixup};
use format_core::Result;

const PATHS: [&str; 2] = ["/boot/grub/device.map", "/boot/grub2/device.map"];

pub(super) struct DeviceMap;

impl Fixup for DeviceMap {
    fn id(&self) -> &'static str {
        "linux-device-map"
    }

    fn title(&self) -> &'static str {
        "GRUB's device.map does not name the source's disks"
    }

    fn applies(&self, _: &Context<'_>, draft: &Draft<'_>) -> Result<Applies> {
        for path in PATHS {
            if exists(draft, path)? {
                return Ok(Applies::Yes);
            }
        }
        Ok(Applies::no("there is no device.map"))
    }

    fn plan(&self, _: &Context<'_>, draft: &mut Draft<'_>) -> Result<()> {
        for path in PATHS {
            let Some(content) = read(draft, path)? else { continue };
            let edited = edit_lines(&content, edit);
            draft.write(path, edited, "GRUB's tools find the target's disks by themselves")?;
        }
        Ok(())
    }
}

/// A line is `(hd0) /dev/sda`; floppies have no disk's name.
fn edit(line: &str) -> Line {
    let mut words = line.split_ascii_whitespace();
    let is_disk = words.next().is_some_and(|drive| drive.starts_with("(hd"));
    if is_disk && words.next().is_some_and(depends_on_hardware) { Line::Drop } else { Line::Keep }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_sources_disks_go() {
        let map = b"# map\n(fd0)\t/dev/fd0\n(hd0)\t/dev/xvda\n(hd1) /dev/disk/by-id/nvme-x\n(hd2) /dev/md0\n(hd3)\n";
        assert_eq!(edit_lines(map, edit), b"# map\n(fd0)\t/dev/fd0\n(hd2) /dev/md0\n(hd3)\n");
    }
}
