//! Who owns a lease, and whether that process is known to be gone.

use format_core::{Error, Result};
use serde::{Deserialize, Serialize};
use std::io::Read;

/// A process, told apart from all others that ever were.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Owner {
    /// The host's name, for people.
    pub host: String,
    /// The kernel's id of this boot.
    pub boot: String,
    /// The namespace that the number of the process is of: containers of one host share the boot.
    pub pid_namespace: String,
    /// The number of the process.
    pub pid: u32,
    /// When it was started, in the kernel's ticks since the boot: numbers come again.
    pub pid_started: u64,
}

impl Owner {
    /// This process.
    ///
    /// # Errors
    /// `Io` without /proc.
    pub fn this() -> Result<Self> {
        let failed = |what: &str, e| Error::io(format!("cannot read {what}"), e);
        let text = |path: &str| std::fs::read_to_string(path).map_err(|e| failed(path, e));
        let namespace =
            std::fs::read_link("/proc/self/ns/pid").map_err(|e| failed("/proc/self/ns/pid", e))?;
        let pid = std::process::id();
        let started = started(pid).ok_or_else(|| Error::unsupported("/proc does not show this process"))?;
        Ok(Self {
            host: text("/proc/sys/kernel/hostname")?.trim().to_owned(),
            boot: text("/proc/sys/kernel/random/boot_id")?.trim().to_owned(),
            pid_namespace: namespace.to_string_lossy().into_owned(),
            pid,
            pid_started: started,
        })
    }

    /// Whether `self` is known to have ended, as the process `here` sees it: it ran on this boot of this host, in this
    /// namespace, and is not there any more. A process that is only stopped is there.
    #[must_use]
    pub fn is_gone(&self, here: &Self) -> bool {
        let is_visible = self.boot == here.boot && self.pid_namespace == here.pid_namespace;
        is_visible && started(self.pid) != Some(self.pid_started)
    }

    /// As `host, process 12`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}, process {}", self.host, self.pid)
    }
}

/// When a process was started; `None` when there is none, or only what is left of one that ended.
fn started(pid: u32) -> Option<u64> {
    let mut stat = Vec::new();
    std::fs::File::open(format!("/proc/{pid}/stat")).ok()?.take(4096).read_to_end(&mut stat).ok()?;
    // The program's name is in parentheses, and may have any bytes.
    let end = stat.iter().rposition(|&byte| byte == b')')?;
    let text = std::str::from_utf8(stat.get(end + 1..)?).ok()?;
    let mut fields = text.split_ascii_whitespace();
    if matches!(fields.next()?, "Z" | "X" | "x") {
        return None;
    }
    // The state is field 3, the start field 22.
    fields.nth(18)?.parse().ok()
}

/// Something that no other process makes: 128 random bits as hex.
pub(crate) fn random_token() -> Result<String> {
    let mut bytes = [0; 16];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bytes))
        .map_err(|e| Error::io("cannot read /dev/urandom", e))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_process_is_gone_when_it_ended_or_its_number_came_again() {
        let here = Owner::this().unwrap();
        assert!(!here.is_gone(&here));
        let mut child = Command::new("sleep").arg("60").stdin(Stdio::null()).spawn().unwrap();
        let pid = child.id();
        let owner = Owner { pid, pid_started: started(pid).unwrap(), ..here.clone() };
        let stop = |name: &str| Command::new("kill").args([name, &pid.to_string()]).status().unwrap();
        assert!(stop("-STOP").success() && !owner.is_gone(&here), "stopped is not gone");
        let again = Owner { pid_started: owner.pid_started + 1, ..owner.clone() };
        assert!(again.is_gone(&here));
        for elsewhere in [
            Owner { boot: "another".into(), ..again.clone() },
            Owner { pid_namespace: "pid:[1]".into(), ..again.clone() },
        ] {
            assert!(!elsewhere.is_gone(&here), "nobody can see that from here");
        }
        child.kill().unwrap();
        // What is left of it has not been waited for.
        while started(pid).is_some() {
            std::thread::yield_now();
        }
        assert!(owner.is_gone(&here));
        child.wait().unwrap();
        assert!(owner.is_gone(&here));
    }
}
