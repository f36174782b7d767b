//! New host keys of sshd, when the operator asks for them: for a copy that runs beside its original.
//!
//! Facts: RHEL and its kin make missing keys before sshd starts (`sshd-keygen@.service`, `sshd-keygen.service`, the init script of
//! RHEL 6), Arch has `sshdgenkeys.service`, SUSE `sshd-gen-keys-start`, Alpine's and Gentoo's init script calls `ssh-keygen -A`.
//! Debian and Ubuntu make them only when the package is configured, so that sshd would not start: there the unit of
//! first_boot.rs makes them.

use super::first_boot::can_run;
use crate::config_file::{exists, list, read_small};
use driver_core::{Applies, Context, Draft, Fixup};
use format_core::Result;

const FOLDER: &str = "/etc/ssh";
/// What makes missing keys before sshd starts.
const MAKERS: [&str; 9] = [
    "/usr/lib/systemd/system/sshd-keygen@.service",
    "/lib/systemd/system/sshd-keygen@.service",
    "/usr/lib/systemd/system/sshd-keygen.service",
    "/lib/systemd/system/sshd-keygen.service",
    "/usr/lib/systemd/system/sshdgenkeys.service",
    "/usr/sbin/sshd-gen-keys-start",
    "/usr/lib/ssh/sshd-gen-keys-start",
    "/usr/libexec/openssh/sshd-keygen",
    "/usr/sbin/sshd-keygen",
];

pub(super) struct HostKeys;

impl Fixup for HostKeys {
    fn id(&self) -> &'static str {
        "linux-ssh-host-keys"
    }

    fn title(&self) -> &'static str {
        "sshd gets new host keys when the machine starts"
    }

    fn applies(&self, context: &Context<'_>, draft: &Draft<'_>) -> Result<Applies> {
        if !context.wishes.identity.ssh_host_keys {
            return Ok(Applies::no("sshd keeps its host keys"));
        }
        if keys(draft)?.is_empty() {
            return Ok(Applies::no(format!("there is no host key in {FOLDER}")));
        }
        if !makes_keys(draft)? && !can_run(draft)? {
            return Ok(Applies::cannot(
                "nothing in the guest makes missing host keys, and it has no systemd to do it once",
                "migrate with the keys, and run ssh-keygen -A in the guest after removing them",
            ));
        }
        Ok(Applies::Yes)
    }

    fn plan(&self, _: &Context<'_>, draft: &mut Draft<'_>) -> Result<()> {
        for path in keys(draft)? {
            draft.remove(&path, "new host keys are made at the next start")?;
        }
        Ok(())
    }
}

fn keys(draft: &Draft<'_>) -> Result<Vec<String>> {
    let mut keys = list(draft, FOLDER, "")?;
    keys.retain(|path| {
        let name = path.rsplit('/').next().unwrap_or_default();
        let name = name.strip_suffix(".pub").unwrap_or(name);
        name.starts_with("ssh_host_") && name.ends_with("_key")
    });
    Ok(keys)
}

/// Whether the distribution makes missing keys by itself.
pub(super) fn makes_keys(draft: &Draft<'_>) -> Result<bool> {
    for path in MAKERS {
        if exists(draft, path)? {
            return Ok(true);
        }
    }
    // Debian's script of that place only starts sshd.
    Ok(read_small(draft, "/etc/init.d/sshd")?.contains("ssh-keygen"))
}
