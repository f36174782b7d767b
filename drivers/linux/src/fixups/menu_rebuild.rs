//! grub.cfg: on request the guest's own grub-mkconfig writes it, over the disks as the guest will have them.
//!
//! Facts: grub-mkconfig(8) writes the file that `-o` names, from /etc/default/grub; Fedora, RHEL and SUSE call it grub2-mkconfig. On
//! Fedora 34, RHEL 9 and newer the file on the EFI system partition is a stub, which must stay: it is the one below /boot that is written.

use crate::config_file::exists;
use driver_core::{Applies, Context, Draft, Fixup, GuestCommand};
use format_core::Result;
use std::time::Duration;

/// Under emulation it takes tens of seconds.
const LIMIT: Duration = Duration::from_secs(600);
const PAIRS: [(&str, &str); 4] = [
    ("/usr/sbin/grub-mkconfig", "/boot/grub/grub.cfg"),
    ("/usr/bin/grub-mkconfig", "/boot/grub/grub.cfg"),
    ("/usr/sbin/grub2-mkconfig", "/boot/grub2/grub.cfg"),
    ("/usr/bin/grub2-mkconfig", "/boot/grub2/grub.cfg"),
];

pub(super) struct MenuRebuild;

impl Fixup for MenuRebuild {
    fn id(&self) -> &'static str {
        "linux-menu-rebuild"
    }

    fn title(&self) -> &'static str {
        "the guest's own grub-mkconfig writes the boot menu anew"
    }

    fn applies(&self, context: &Context<'_>, draft: &Draft<'_>) -> Result<Applies> {
        if !context.wishes.rebuild_menu {
            return Ok(Applies::no("it was not asked for"));
        }
        if find(draft)?.is_none() {
            return Ok(Applies::cannot(
                "the guest has no grub-mkconfig with a menu below /boot",
                "migrate without --rebuild-menu: the menu that is there is edited",
            ));
        }
        Ok(match draft.can_run() {
            true => Applies::Yes,
            false => Applies::cannot(
                "programs of the guest are run by the micro-VM only",
                "use --editor auto or microvm, or migrate without --rebuild-menu: the menu that is there is edited",
            ),
        })
    }

    fn plan(&self, _: &Context<'_>, draft: &mut Draft<'_>) -> Result<()> {
        let Some((program, menu)) = find(draft)? else { return Ok(()) };
        let arguments = vec!["-o".to_owned(), menu.to_owned()];
        let command = GuestCommand { program: program.to_owned(), arguments, limit: LIMIT };
        draft.run(menu, command, "asked for")
    }
}

fn find(draft: &Draft<'_>) -> Result<Option<(&'static str, &'static str)>> {
    for (program, menu) in PAIRS {
        if exists(draft, program)? && exists(draft, menu)? {
            return Ok(Some((program, menu)));
        }
    }
    Ok(None)
}
