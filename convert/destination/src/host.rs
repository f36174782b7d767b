//! The places of the host that are asked and written: the kernel's file systems, the table of mounts, the programs.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Where the host's facts are found. [`Host::system`] is this machine; other roots are for tests of hardware that is not there.
#[derive(Clone, Debug)]
pub struct Host {
    /// The mount of procfs.
    pub proc: PathBuf,
    /// The mount of sysfs.
    pub sys: PathBuf,
    /// The folder of device nodes.
    pub dev: PathBuf,
    /// The table of file systems, fstab(5).
    pub fstab: PathBuf,
    /// The folders that are searched for programs, as in `PATH`; only absolute ones count.
    pub path: OsString,
}

/// Where the programs of an administrator are, which `PATH` of a user often lacks.
const ALWAYS: &str = "/usr/sbin:/sbin:/usr/bin:/bin";

impl Host {
    /// This machine.
    #[must_use]
    pub fn system() -> Self {
        let mut path = std::env::var_os("PATH").unwrap_or_default();
        if !path.is_empty() {
            path.push(":");
        }
        path.push(ALWAYS);
        Self {
            proc: "/proc".into(),
            sys: "/sys".into(),
            dev: "/dev".into(),
            fstab: "/etc/fstab".into(),
            path,
        }
    }

    /// The program that `PATH` names so.
    pub(crate) fn program(&self, name: &str) -> Option<PathBuf> {
        std::env::split_paths(&self.path)
            .filter(|folder| folder.is_absolute())
            .map(|folder| folder.join(name))
            .find(|path| is_program(path))
    }
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|facts| facts.is_file() && facts.permissions().mode() & 0o111 != 0)
}
