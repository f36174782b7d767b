//! What the machine has that a VM needs: qemu, a kernel, and its modules.

use crate::modules::Modules;
use crate::start::Files;
use format_core::{Error, Result, codes};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How the VM's processor is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Acceleration {
    /// KVM where it works, else emulation. Whether it works is tried once in a process.
    #[default]
    Auto,
    /// KVM or nothing.
    Kvm,
    /// Emulation.
    Emulation,
}

/// What the operator chose; nothing of it is needed.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// The kernel's file (`vmlinuz`).
    pub kernel: Option<PathBuf>,
    /// The folder of its modules (`/lib/modules/VERSION`).
    pub modules: Option<PathBuf>,
    /// How its processor is made.
    pub acceleration: Acceleration,
}

/// What VMs are started from.
#[derive(Clone)]
pub struct Host {
    pub(crate) qemu: PathBuf,
    pub(crate) kernel: PathBuf,
    pub(crate) modules: Arc<Modules>,
    pub(crate) acceleration: Acceleration,
    pub(crate) patience: Duration,
    files: Arc<Mutex<Option<Arc<Files>>>>,
}

/// How long the VM may take over one thing that reads and writes a lot: to mount, to write out.
const PATIENCE: Duration = Duration::from_secs(600);

const QEMU_HINT: &str =
    "install the package qemu-system-x86 (Debian, Ubuntu), or qemu-kvm (RHEL and its kin)";
const KERNEL_HINT: &str = "install a kernel with its modules (linux-image-amd64 on Debian, linux-image-generic on Ubuntu, kernel-core \
                           and kernel-modules on RHEL and its kin), or name one with --kernel";

impl Host {
    /// Looks for what is needed; starts nothing.
    ///
    /// # Errors
    /// `NeedsPerson` with the packages to install when something is missing; `Unsupported` on a machine that is no `x86_64`.
    pub fn find(wanted: &Wanted) -> Result<Self> {
        if !cfg!(target_arch = "x86_64") {
            return Err(Error::unsupported("the micro-VM is not supported on this kind of processor"));
        }
        let qemu = find_qemu().ok_or_else(|| {
            Error::needs_person("there is no qemu-system-x86_64 for the micro-VM")
                .with_code(&codes::HOST_QEMU)
                .hint(QEMU_HINT)
        })?;
        let kernel = find_kernel(wanted)?;
        let modules = match &wanted.modules {
            Some(folder) => folder.clone(),
            None => modules_of(&kernel).ok_or_else(|| {
                Error::needs_person(format!("there are no modules for the kernel {}", kernel.display()))
                    .hint("install them, or name their folder with --kernel-modules")
            })?,
        };
        let modules = Arc::new(Modules::open(&modules)?);
        let acceleration = wanted.acceleration;
        Ok(Self { qemu, kernel, modules, acceleration, patience: PATIENCE, files: Arc::default() })
    }

    /// The same with another limit for what the VM may take over one thing: to mount a file system and replay its log, to write it out.
    /// Ten minutes without this.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// What VMs start from, made for the first one.
    pub(crate) fn files(&self) -> Result<Arc<Files>> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(files) = &*files {
            return Ok(Arc::clone(files));
        }
        let made = Arc::new(Files::make(self)?);
        *files = Some(Arc::clone(&made));
        Ok(made)
    }
}

/// The name of Debian and upstream, in the search path; RHEL has it where no shell looks.
fn find_qemu() -> Option<PathBuf> {
    program("qemu-system-x86_64")
        .or_else(|| Some(PathBuf::from("/usr/libexec/qemu-kvm")).filter(|path| path.is_file()))
}

/// A program of the search path.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|path| path.is_file())
}

fn find_kernel(wanted: &Wanted) -> Result<PathBuf> {
    if let Some(kernel) = &wanted.kernel {
        if !kernel.is_file() {
            let text = format!("there is no kernel {}", kernel.display());
            return Err(Error::needs_person(text).with_code(&codes::HOST_KERNEL).hint(KERNEL_HINT));
        }
        return Ok(kernel.clone());
    }
    let mut kernels: Vec<PathBuf> = std::fs::read_dir("/boot")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| version_of(path).is_some_and(|version| !version.contains("rescue")))
        .filter(|path| modules_of(path).is_some())
        .collect();
    kernels.sort_by_key(|path| version_of(path).map(version_key));
    kernels.pop().ok_or_else(|| {
        Error::needs_person("there is no kernel with modules in /boot for the micro-VM")
            .with_code(&codes::HOST_KERNEL)
            .hint(KERNEL_HINT)
    })
}

fn version_of(kernel: &Path) -> Option<&str> {
    kernel.file_name()?.to_str()?.strip_prefix("vmlinuz-")
}

fn modules_of(kernel: &Path) -> Option<PathBuf> {
    let version = version_of(kernel)?;
    ["/lib/modules", "/usr/lib/modules"]
        .iter()
        .map(|folder| Path::new(folder).join(version))
        .find(|folder| folder.join("modules.dep").is_file())
}

/// Sorts as people count: runs of digits are numbers.
fn version_key(version: &str) -> Vec<(u64, String)> {
    let mut key = Vec::new();
    let mut rest = version;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, after) = rest.split_at(digits);
        let letters = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (text, after) = after.split_at(letters);
        key.push((number.parse().unwrap_or(u64::MAX), text.to_owned()));
        rest = after;
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_kernel_is_the_one_with_the_largest_numbers() {
        let mut versions = ["6.1.0-9-amd64", "5.14.0-570.el9", "6.1.0-57-amd64", "6.12.1"];
        versions.sort_by_key(|version| version_key(version));
        assert_eq!(versions, ["5.14.0-570.el9", "6.1.0-9-amd64", "6.1.0-57-amd64", "6.12.1"]);
    }

    #[test]
    fn a_kernel_that_is_not_there_is_said_with_what_to_do() {
        let wanted = Wanted { kernel: Some("/nowhere/vmlinuz-1".into()), ..Wanted::default() };
        let error = find_kernel(&wanted).unwrap_err();
        assert_eq!(error.kind(), format_core::ErrorKind::NeedsPerson);
        assert!(error.hint_text().unwrap().contains("linux-image-amd64"));
    }
}
