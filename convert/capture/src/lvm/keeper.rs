//! A process that removes snapshots when the one that took them ended without doing it.

use format_core::{Error, Result};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};

/// Waits until its input ends, which is when nobody holds the other end any more, and removes what is there. A creation that was under way
/// may come a little later, and a device may be open for a little longer: it looks at least five times, for five minutes at most.
const SCRIPT: &str = r#"
trap '' HUP INT TERM
PATH="$PATH:/usr/sbin:/sbin"
cat >/dev/null
round=0
while [ "$round" -lt 150 ]; do
    left=
    for volume; do
        if lvs "$volume" >/dev/null 2>&1; then
            lvremove --force --yes "$volume" >/dev/null 2>&1 || left=yes
        fi
    done
    [ -z "$left" ] && [ "$round" -ge 5 ] && exit
    round=$((round + 1))
    sleep 2
done
"#;

/// The process; dropping this sets it to work.
#[derive(Debug)]
pub(super) struct Keeper {
    child: Child,
    /// Held open for as long as there is nothing for it to do.
    _input: Option<ChildStdin>,
}

impl Keeper {
    /// Starts it for snapshots of these names, `VG/NAME`, which need not be there yet.
    pub(super) fn start<'a>(names: impl Iterator<Item = &'a str>) -> Result<Self> {
        let mut child = Command::new("sh")
            .args(["-c", SCRIPT, "sh"])
            .args(names)
            .env("LVM_SUPPRESS_FD_WARNINGS", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // What ends this process and its group is not meant for it.
            .process_group(0)
            .spawn()
            .map_err(|e| Error::io("cannot start what removes snapshots when nothing else does", e))?;
        let input = child.stdin.take();
        Ok(Self { child, _input: input })
    }

    /// There is nothing left to do for it.
    pub(super) fn dismiss(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
