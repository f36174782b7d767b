//! What addresses stand for.

use crate::args::SshArgs;
use convert_capture::{FarProgram, Side, Ssh, SshOptions, SshPlace, open_ssh_disk};
use convert_nbd::{ClientLimits, NbdAddress, NbdDisk, NbdTarget};
use format_core::{
    DiskStorage, Error, ErrorKind, PlainRemote, RangeSet, RemoteSource, Remotes, Result, Storage,
    TargetStorage, masked,
};
use std::path::Path;
use std::sync::Arc;

/// Opens the addresses of this program with what the operator says about connections.
#[derive(Clone, Debug, Default)]
pub(crate) struct Addresses {
    ssh: SshOptions,
    skip_free: bool,
}

impl Addresses {
    pub(crate) fn new(ssh: &SshArgs) -> Self {
        Self { ssh: ssh.options(), skip_free: ssh.skip_free }
    }
}

impl SshArgs {
    pub(crate) fn options(&self) -> SshOptions {
        SshOptions {
            program: None,
            config: self.ssh_config.as_ref().map(|path| path.as_os_str().to_owned()),
            options: self.ssh_option.clone(),
            sudo: self.sudo,
        }
    }
}

/// Whether it is an address and no path.
pub(crate) fn is_address(path: &Path) -> bool {
    path.to_str().is_some_and(|text| NbdAddress::is_one(text) || SshPlace::is_one(text))
}

/// Whether it is reached by a program of the system that has keys of its own.
pub(crate) fn needs_ssh(path: &Path) -> bool {
    path.to_str().is_some_and(SshPlace::is_one)
}

impl Remotes for Addresses {
    fn knows(&self, address: &str) -> bool {
        is_address(Path::new(address))
    }

    fn open(&self, address: &str) -> Result<RemoteSource> {
        if SshPlace::is_one(address) {
            return self.open_ssh(address);
        }
        let disk = NbdDisk::connect(&NbdAddress::parse(address)?, &ClientLimits::default())?;
        let remote = Arc::new(PlainRemote::default());
        Ok(RemoteSource { storage: Arc::new(disk), name: None, remote, warnings: Vec::new() })
    }
}

impl Addresses {
    /// What a disk of `size` bytes is written to at `address`.
    ///
    /// # Errors
    /// As [`Remotes::open`]; `Unsupported` for addresses that are only read.
    pub(crate) fn create(&self, address: &str, size: u64) -> Result<Box<dyn TargetStorage>> {
        if SshPlace::is_one(address) {
            return Err(Error::unsupported("disks of other machines are only read").hint(
                "serve the disk there with 'nbdkit' or 'qemu-nbd', and write to nbd+unix: through 'ssh -L'",
            ));
        }
        let target = NbdTarget::connect(&NbdAddress::parse(address)?, &ClientLimits::default())?;
        if target.size() < size {
            let (found, text) = (target.size(), format!("the disk has {size} bytes"));
            return Err(Error::new(ErrorKind::Destination, format!("{text}, the export only {found}"))
                .hint("make the export larger"));
        }
        Ok(Box::new(target))
    }

    fn open_ssh(&self, address: &str) -> Result<RemoteSource> {
        let (place, disk) = SshPlace::parse(address)?;
        let Some(disk) = disk else {
            return Err(Error::usage(format!("{address} names a machine and no disk")).hint(
                "add the disk, as in ssh://HOST/dev/sda, or use 'rehome capture' for all of its disks",
            ));
        };
        let program = Arc::new(FarProgram::find(&Ssh::new(place, self.ssh.clone()), &own_program()?)?);
        let (bytes, side) = open_ssh_disk(&program, &disk, self.skip_free, &ClientLimits::default())?;
        let storage = without(bytes, &side.free()?)?;
        let warnings =
            side.notes().iter().map(|note| format_core::Warning::new("source-note", note)).collect();
        Ok(RemoteSource { storage, name: None, remote: side, warnings })
    }
}

/// The bytes with zeros where nothing is.
fn without(bytes: NbdDisk, free: &RangeSet) -> Result<Arc<dyn Storage>> {
    if free.iter().next().is_none() {
        return Ok(Arc::new(bytes));
    }
    let disk = crate::commands::agent::whole(Arc::new(bytes))?;
    Ok(Arc::new(DiskStorage(masked(&disk, free))))
}

/// This program's own file, for a machine that has none.
pub(crate) fn own_program() -> Result<std::path::PathBuf> {
    std::env::current_exe().map_err(|e| Error::io("cannot find this program's own file", e))
}
