//! UEFI for QEMU, as distributions install it. The BIOS is part of QEMU.

use format_core::{Error, Result, codes};
use std::path::{Path, PathBuf};

/// Code without Secure Boot, and the store of variables that goes with it. Debian and Ubuntu, Fedora and RHEL, Arch, SUSE, Alpine,
/// QEMU's own.
const FILES: [(&str, &str); 10] = [
    ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
    ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
    ("/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"),
    ("/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"),
    ("/usr/share/edk2-ovmf/x64/OVMF_CODE.fd", "/usr/share/edk2-ovmf/x64/OVMF_VARS.fd"),
    ("/usr/share/qemu/ovmf-x86_64-4m-code.bin", "/usr/share/qemu/ovmf-x86_64-4m-vars.bin"),
    ("/usr/share/qemu/ovmf-x86_64-code.bin", "/usr/share/qemu/ovmf-x86_64-vars.bin"),
    ("/usr/share/ovmf/x64/OVMF_CODE.fd", "/usr/share/ovmf/x64/OVMF_VARS.fd"),
    ("/usr/share/qemu/edk2-x86_64-code.fd", "/usr/share/qemu/edk2-i386-vars.fd"),
    ("/usr/local/share/qemu/edk2-x86_64-code.fd", "/usr/local/share/qemu/edk2-i386-vars.fd"),
];

/// The firmware of a machine that starts by UEFI.
pub(crate) struct Uefi {
    pub(crate) code: PathBuf,
    /// A copy that the guest may change.
    pub(crate) variables: PathBuf,
}

impl Uefi {
    /// Whether the firmware is there.
    ///
    /// # Errors
    /// `NeedsPerson` when it is not installed.
    pub(crate) fn is_installed() -> Result<()> {
        Self::files().map(|_| ())
    }

    fn files() -> Result<&'static (&'static str, &'static str)> {
        let is_there =
            |(code, store): &&(&str, &str)| Path::new(code).is_file() && Path::new(store).is_file();
        FILES.iter().find(is_there).ok_or_else(|| {
            Error::needs_person("no UEFI firmware for QEMU was found on this host").with_code(&codes::HOST_FIRMWARE).hint(
                "install it: the package is called ovmf (Debian, Ubuntu), edk2-ovmf (Fedora, RHEL, Arch), \
                 qemu-ovmf-x86_64 (SUSE)",
            )
        })
    }

    /// Finds the firmware, and copies its variables into `folder`.
    ///
    /// # Errors
    /// `NeedsPerson` when it is not installed; what copying reports.
    pub(crate) fn find(folder: &Path) -> Result<Self> {
        let (code, store) = Self::files()?;
        let variables = folder.join("variables");
        // Not std::fs::copy: that copies the mode, and the original may be read-only.
        let content = std::fs::read(store).map_err(|e| Error::io(format!("cannot read {store}"), e))?;
        std::fs::write(&variables, content)
            .map_err(|e| Error::io(format!("cannot write {}", variables.display()), e))?;
        Ok(Self { code: code.into(), variables })
    }
}
