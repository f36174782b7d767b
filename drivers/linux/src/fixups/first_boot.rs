//! What only the running guest can do: a unit that does it once, removes itself, and keeps its log.
//!
//! Facts: the unit runs before sshd where it makes host keys, so it has no default dependencies (systemd.unit(5): they would order it
//! behind ssh.socket). `ssh-keygen -A` makes the keys that are missing (ssh-keygen(1)). The initramfs is rebuilt by the guest's own
//! tool: update-initramfs(8), dracut(8), mkinitcpio(8). What fails leaves the unit in place, to be tried at the next start.

use super::host_keys::makes_keys;
use crate::config_file::exists;
use crate::rebuild_tool::RebuildTool;
use driver_core::{Applies, Context, Draft, Fixup, Ownership};
use format_core::Result;

const UNIT: &str = "/etc/systemd/system/rehome-firstboot.service";
const WANTS: &str = "/etc/systemd/system/multi-user.target.wants/rehome-firstboot.service";
const SCRIPT: &str = "/usr/local/sbin/rehome-firstboot";
const PROGRAM: Ownership = Ownership { mode: 0o755, uid: 0, gid: 0 };

pub(super) struct FirstBoot;

impl Fixup for FirstBoot {
    fn id(&self) -> &'static str {
        "linux-firstboot"
    }

    fn title(&self) -> &'static str {
        "what only the running guest can do is done once when it starts"
    }

    fn applies(&self, context: &Context<'_>, draft: &Draft<'_>) -> Result<Applies> {
        let keys = needs_keys(context, draft)?;
        if !keys && !rebuilds_later(context, draft) {
            return Ok(Applies::no("nothing is left to the running guest"));
        }
        if !can_run(draft)? {
            return Ok(match keys {
                true => Applies::no("the guest has no systemd"),
                false => Applies::cannot(
                    "the guest has no systemd to rebuild the initramfs once",
                    "migrate without the rebuild: the drivers are in the image already",
                ),
            });
        }
        if rebuilds_later(context, draft) && RebuildTool::find(context, draft)?.is_none() {
            return Ok(Applies::cannot(
                "neither update-initramfs nor dracut nor mkinitcpio is in the guest",
                "migrate without the rebuild: the drivers are in the image already",
            ));
        }
        Ok(Applies::Yes)
    }

    fn plan(&self, context: &Context<'_>, draft: &mut Draft<'_>) -> Result<()> {
        let keys = needs_keys(context, draft)?;
        let rebuild = match rebuilds_later(context, draft) {
            true => RebuildTool::find(context, draft)?.map(|tool| tool.all),
            false => None,
        };
        let reason = "done once by the running guest, then removed";
        put(draft, SCRIPT, script(keys, rebuild), PROGRAM, reason)?;
        put(draft, UNIT, unit(keys), Ownership::ROOT_FILE, reason)?;
        if draft.read_link(WANTS)?.is_none() && !exists(draft, WANTS)? {
            draft.link(WANTS, UNIT, reason)?;
        }
        Ok(())
    }
}

fn put(draft: &mut Draft<'_>, path: &str, content: String, ownership: Ownership, reason: &str) -> Result<()> {
    match exists(draft, path)? {
        true => draft.write(path, content, reason),
        false => draft.create(path, content, ownership, reason),
    }
}

/// Whether the initramfs shall be rebuilt, and cannot be before the guest starts (`initramfs_rebuild`).
fn rebuilds_later(context: &Context<'_>, draft: &Draft<'_>) -> bool {
    context.wishes.rebuild_initramfs && !draft.tree().can_run()
}

/// Whether the guest is started by systemd.
pub(super) fn can_run(draft: &Draft<'_>) -> Result<bool> {
    Ok(exists(draft, "/usr/lib/systemd/systemd")? || exists(draft, "/lib/systemd/systemd")?)
}

/// The keys are gone, or will be, and nobody else makes new ones.
fn needs_keys(context: &Context<'_>, draft: &Draft<'_>) -> Result<bool> {
    let sshd = exists(draft, "/etc/ssh/sshd_config")? || exists(draft, "/usr/sbin/sshd")?;
    Ok(context.wishes.identity.ssh_host_keys && sshd && !makes_keys(draft)?)
}

fn unit(keys: bool) -> String {
    let before = if keys { " ssh.service sshd.service ssh.socket sshd.socket" } else { "" };
    format!(
        "[Unit]\n\
         Description=Finishes the move of this machine once\n\
         DefaultDependencies=no\n\
         After=local-fs.target\n\
         Before=shutdown.target{before}\n\
         Conflicts=shutdown.target\n\
         RequiresMountsFor=/boot /etc /usr/local /var/log /var/tmp\n\
         \n\
         [Service]\n\
         Type=oneshot\n\
         ExecStart={SCRIPT}\n\
         TimeoutStartSec=30min\n\
         \n\
         [Install]\n\
         WantedBy=multi-user.target\n"
    )
}

fn script(keys: bool, rebuild: Option<&str>) -> String {
    let mut text = String::from(
        "#!/bin/sh\n\
         # Runs once after this machine was moved, and removes itself. Its log stays.\n\
         PATH=/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin\n\
         export PATH\n\
         exec >>/var/log/rehome-firstboot.log 2>&1\n\
         echo \"started: $(date)\"\n\
         failed=0\n",
    );
    for command in keys.then_some("ssh-keygen -A").into_iter().chain(rebuild) {
        text += &format!("echo 'runs: {command}'\n{command} || failed=1\n");
    }
    text += &format!(
        "if [ \"$failed\" = 0 ]; then\n\
         \x20   rm -f {WANTS} \\\n        {UNIT} \\\n        {SCRIPT}\n\
         fi\n\
         sync\n\
         echo \"ended, failed=$failed: $(date)\"\n\
         exit \"$failed\"\n"
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_does_what_is_asked_and_removes_itself_only_then() {
        let text = script(true, Some("update-initramfs -u -k all"));
        let keys = text.find("ssh-keygen -A ||").unwrap();
        let rebuild = text.find("update-initramfs -u -k all ||").unwrap();
        let removal = text.find("rm -f").unwrap();
        assert!(keys < rebuild && rebuild < removal, "sshd waits for the keys, not for the image");
        assert!(!script(false, None).contains("ssh-keygen"));
        assert!(unit(true).contains("ssh.socket") && !unit(false).contains("ssh.socket"));
    }
}
