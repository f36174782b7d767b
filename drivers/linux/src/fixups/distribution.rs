//! Which distribution it is: one that is not known gets the same fixups, and a warning.
//!
//! Facts: os-release(5) says `ID`, and in `ID_LIKE` what the distribution is derived from. Every fixup looks for the files that it edits,
//! not for a name, so that an unknown distribution is treated as what its files are.

use driver_core::{Applies, Context, Draft, Fixup};
use format_core::Result;

/// Those whose files were looked at when the fixups were written.
const KNOWN: [&str; 22] = [
    "debian",
    "ubuntu",
    "linuxmint",
    "kali",
    "raspbian",
    "rhel",
    "centos",
    "almalinux",
    "rocky",
    "ol",
    "fedora",
    "amzn",
    "sles",
    "sles_sap",
    "sled",
    "opensuse",
    "opensuse-leap",
    "opensuse-tumbleweed",
    "suse",
    "arch",
    "alpine",
    "scientific",
];

pub(super) struct Distribution;

impl Fixup for Distribution {
    fn id(&self) -> &'static str {
        "linux-distribution"
    }

    fn title(&self) -> &'static str {
        "the distribution is one whose files are known"
    }

    fn applies(&self, context: &Context<'_>, _: &Draft<'_>) -> Result<Applies> {
        Ok(match &context.guest.os {
            Some(os) if KNOWN.contains(&os.id.as_str()) => Applies::no(format!("{} is known", os.id)),
            None => Applies::no("no system was found"),
            Some(_) => Applies::Yes,
        })
    }

    fn plan(&self, context: &Context<'_>, draft: &mut Draft<'_>) -> Result<()> {
        let Some(os) = &context.guest.os else { return Ok(()) };
        draft.note(format!(
            "{} is not one of the distributions that this was tried with: it is treated by the files that it has; look at the plan",
            if os.name.is_empty() { &os.id } else { &os.name }
        ));
        Ok(())
    }
}
