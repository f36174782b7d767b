//! The guest's own tool that makes its initramfs images.
//!
//! Facts: update-initramfs(8) takes `-u -k VERSION` and knows the image's path; dracut(8) takes `--force IMAGE VERSION`; mkinitcpio(8)
//! `-k VERSION -g IMAGE`. initramfs-tools of Debian 13 brings a program of dracut's, but not its modules.

use crate::config_file::exists;
use driver_core::{Context, Draft, GuestCommand};
use format_core::Result;
use std::time::Duration;

/// Under emulation an image takes minutes.
const LIMIT: Duration = Duration::from_secs(1200);

/// A tool that is in the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RebuildTool {
    /// What its images are known by.
    kind: &'static str,
    program: &'static str,
    /// What makes the images of all kernels, as it is typed.
    pub(crate) all: &'static str,
}

const KNOWN: [RebuildTool; 4] = [
    RebuildTool {
        kind: "initramfs-tools",
        program: "/usr/sbin/update-initramfs",
        all: "update-initramfs -u -k all",
    },
    RebuildTool { kind: "dracut", program: "/usr/bin/dracut", all: "dracut --force --regenerate-all" },
    RebuildTool { kind: "dracut", program: "/usr/sbin/dracut", all: "dracut --force --regenerate-all" },
    RebuildTool { kind: "mkinitcpio", program: "/usr/bin/mkinitcpio", all: "mkinitcpio -P" },
];

impl RebuildTool {
    /// The tool that made the images which are there, or else the first that is installed.
    pub(crate) fn find(context: &Context<'_>, draft: &Draft<'_>) -> Result<Option<Self>> {
        let maker = context.guest.kernels.first().and_then(|kernel| kernel.initramfs_kind.as_deref());
        let mut present = Vec::new();
        for tool in KNOWN {
            if exists(draft, tool.program)? {
                present.push(tool);
            }
        }
        let own = present.iter().find(|tool| Some(tool.kind) == maker);
        Ok(own.or(present.first()).copied())
    }

    /// What makes the image of one kernel anew.
    pub(crate) fn command(self, image: &str, version: &str) -> GuestCommand {
        let arguments: Vec<&str> = match self.kind {
            "initramfs-tools" => vec!["-u", "-k", version],
            "dracut" => vec!["--force", image, version],
            _ => vec!["-k", version, "-g", image],
        };
        let arguments = arguments.into_iter().map(str::to_owned).collect();
        GuestCommand { program: self.program.into(), arguments, limit: LIMIT }
    }
}
