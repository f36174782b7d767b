//! How a target and the guest's own rules name network adapters.

use crate::config_file::{exists, list, read_small};
use crate::nic_names::is_wired;
use crate::nic_plan::Nic;
use driver_core::{Context, Draft};
use format_core::Result;

/// How the target names its adapters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Naming {
    /// By the kernel's count: this, and a number.
    Counted(&'static str),
    /// The first one is known only.
    First(&'static str),
    /// From slots that are not known here.
    Unknown,
}

impl Naming {
    pub(crate) fn of(nics: &[Nic], context: &Context<'_>, draft: &Draft<'_>) -> Result<Self> {
        match context.target.first_nic {
            Some("eth0") => return Ok(Self::Counted("eth")),
            Some("enX0") if !uses_kernel_names(nics, draft)? => return Ok(Self::Counted("enX")),
            _ => {}
        }
        if uses_kernel_names(nics, draft)? {
            return Ok(Self::Counted("eth"));
        }
        Ok(context.target.first_nic.map_or(Self::Unknown, Self::First))
    }

    /// The name of the adapter at `place`.
    pub(crate) fn name(&self, place: usize) -> Option<String> {
        match self {
            Self::Counted(prefix) => Some(format!("{prefix}{place}")),
            Self::First(name) => (place == 0).then(|| (*name).to_owned()),
            Self::Unknown => None,
        }
    }
}

/// The guest's kernel names its adapters, and nothing renames them.
fn uses_kernel_names(nics: &[Nic], draft: &Draft<'_>) -> Result<bool> {
    for path in [
        "/etc/udev/rules.d/80-net-setup-link.rules",
        "/etc/udev/rules.d/80-net-name-slot.rules",
        "/etc/systemd/network/99-default.link",
    ] {
        if is_off(draft, path)? {
            return Ok(true);
        }
    }
    let mut files = vec!["/etc/default/grub".to_owned(), "/etc/kernel/cmdline".to_owned()];
    for (folder, suffix) in [
        ("/etc/default/grub.d", ".cfg"),
        ("/boot/loader/entries", ".conf"),
        ("/boot/grub", "grub.cfg"),
        ("/boot/grub2", "grub.cfg"),
        ("/boot/grub2", "grubenv"),
        ("/boot", "extlinux.conf"),
        ("/boot/extlinux", "extlinux.conf"),
    ] {
        files.extend(list(draft, folder, suffix)?.into_iter().take(64));
    }
    for path in files {
        let text = read_small(draft, &path)?;
        if text.lines().any(|line| !line.trim_start().starts_with('#') && line.contains("net.ifnames=0")) {
            return Ok(true);
        }
    }
    for folder in ["/usr/lib/udev/rules.d", "/lib/udev/rules.d"] {
        for rule in ["80-net-setup-link.rules", "80-net-name-slot.rules"] {
            if exists(draft, &format!("{folder}/{rule}"))? {
                return Ok(false);
            }
        }
    }
    Ok(nics
        .iter()
        .all(|nic| nic.name.as_deref().is_none_or(|name| name.starts_with("eth") || !is_wired(name))))
}

/// A link to /dev/null, or an empty file, switches a rule off (udev(7)).
fn is_off(draft: &Draft<'_>, path: &str) -> Result<bool> {
    if draft.read_link(path)?.as_deref() == Some("/dev/null") {
        return Ok(true);
    }
    Ok(draft.metadata(path).is_ok_and(|meta| meta.is_some_and(|meta| meta.size == 0)))
}
