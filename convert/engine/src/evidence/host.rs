//! Where and by whom a run was made, and by which program.

use format_core::{Error, Result};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Who works where with what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Host {
    /// The machine's name.
    pub host: String,
    /// The kernel's name and version.
    pub kernel: String,
    /// The user's name, where the machine knows one.
    pub user: Option<String>,
    /// The user's number.
    pub uid: u32,
    /// The program's name and version.
    pub program: String,
    /// BLAKE3 of the program's file: the same for the same build, and for no other.
    pub build: String,
}

impl Host {
    /// What this machine and process say; `program` is the name and version of the program.
    ///
    /// # Errors
    /// `Io` when the program's own file cannot be read.
    pub fn here(program: &str) -> Result<Self> {
        let line = |path: &str| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        let uid = rustix::process::getuid().as_raw();
        let mut hasher = blake3::Hasher::new();
        let failed = |e| Error::io("cannot read the program's own file", e);
        let own = std::fs::File::open("/proc/self/exe").map_err(failed)?;
        hasher.update_reader(own).map_err(failed)?;
        Ok(Self {
            host: line("/proc/sys/kernel/hostname"),
            kernel: format!("{} {}", line("/proc/sys/kernel/ostype"), line("/proc/sys/kernel/osrelease")),
            user: user_name(Path::new("/etc/passwd"), uid),
            uid,
            program: program.to_owned(),
            build: hasher.finalize().to_hex().to_string(),
        })
    }
}

fn user_name(list: &Path, uid: u32) -> Option<String> {
    let list = std::fs::read_to_string(list).ok()?;
    list.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by a panic")]
mod tests {
    use super::*;

    #[test]
    fn users_have_the_name_of_the_list() {
        let list = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(list.path(), "root:x:0:0:r:/:/sh\nbroken\njane:x:1000:1000::/:/sh\n").unwrap();
        assert_eq!(user_name(list.path(), 1000).as_deref(), Some("jane"));
        assert_eq!(user_name(list.path(), 7), None);
        let host = Host::here("rehome 1").unwrap();
        assert_eq!((host.build.len(), host.kernel.starts_with("Linux ")), (64, true));
    }
}
