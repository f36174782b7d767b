//! The program at the other machine: one that is installed there, or a copy of this one that is removed again.

use crate::ssh::Ssh;
use format_core::{Error, ErrorKind, Result};
use std::path::Path;

/// A program that answers at the other machine; dropping it removes what was copied.
#[derive(Debug)]
pub struct FarProgram {
    ssh: Ssh,
    path: String,
    /// The folder that was made for it.
    folder: Option<String>,
}

/// The version that both ends must have.
const VERSION: &str = env!("CARGO_PKG_VERSION");

impl FarProgram {
    /// Finds the same version in the path of the other machine, else copies the program at `own` there.
    ///
    /// # Errors
    /// `Unsupported` when it cannot run there; as [`Ssh::run`].
    pub fn find(ssh: &Ssh, own: &Path) -> Result<Self> {
        let found = ssh.script("uname -sm; command -v rehome && rehome --version || true", &[])?;
        let found = String::from_utf8_lossy(&found);
        let mut lines = found.lines();
        let system = lines.next().unwrap_or_default();
        let host = &ssh.place().host;
        if !system.starts_with("Linux ") {
            return Err(Error::unsupported(format!(
                "{host} runs {system:?}: only Linux machines are captured over SSH"
            ))
            .hint("start a Linux live system there, and capture that"));
        }
        if let (Some(path), Some(version)) = (lines.next(), lines.next())
            && version.trim() == format!("rehome {VERSION}")
        {
            return Ok(Self { ssh: ssh.clone(), path: path.to_owned(), folder: None });
        }
        let own_system = format!("Linux {}", std::env::consts::ARCH);
        if system != own_system {
            let text = format!("{host} is {system}, this program is for {own_system}");
            return Err(Error::unsupported(text).hint("install rehome there"));
        }
        Self::copy(ssh, own)
    }

    fn copy(ssh: &Ssh, own: &Path) -> Result<Self> {
        let bytes = std::fs::read(own).map_err(|e| Error::io(format!("cannot read {}", own.display()), e))?;
        // Each command is a login of its own: the copy is tried with the one that makes it.
        let script = "set -eu; umask 077; folder=$(mktemp -d); cat >\"$folder/rehome\"; chmod 700 \"$folder/rehome\"; echo \"$folder\"; \"$folder/rehome\" --version || true";
        let said = ssh.script(script, &bytes)?;
        let said = String::from_utf8_lossy(&said);
        let mut lines = said.lines();
        let folder = lines.next().unwrap_or_default().to_owned();
        if !folder.starts_with('/') || folder.chars().any(char::is_control) {
            return Err(Error::corrupt(format!("a temporary folder was made at {folder:?}")));
        }
        let program = Self { ssh: ssh.clone(), path: format!("{folder}/rehome"), folder: Some(folder) };
        let version = match lines.next() {
            Some(version) => version.to_owned(),
            None => program.version()?,
        };
        if version.trim() != format!("rehome {VERSION}") {
            return Err(Error::corrupt("the copied program answers with another version"));
        }
        Ok(program)
    }

    /// What it says of itself, or why it does not start.
    fn version(&self) -> Result<String> {
        let version = self.ssh.run(&[&self.path, "--version"]).map_err(|e| match e.kind() {
            ErrorKind::Unsupported => e
                .context("start the copied program")
                .hint("install rehome there, use a static build of it, or mount its /tmp without noexec"),
            _ => e,
        })?;
        Ok(String::from_utf8_lossy(&version).into_owned())
    }

    /// The command that runs it there with these arguments.
    #[must_use]
    pub fn words(&self, arguments: &[&str]) -> Vec<std::ffi::OsString> {
        let words: Vec<&str> = std::iter::once(self.path.as_str()).chain(arguments.iter().copied()).collect();
        self.ssh.words(&words)
    }

    /// Runs it there with these arguments and gives what it wrote.
    ///
    /// # Errors
    /// As [`Ssh::run`].
    pub fn run(&self, arguments: &[&str]) -> Result<Vec<u8>> {
        let words: Vec<&str> = std::iter::once(self.path.as_str()).chain(arguments.iter().copied()).collect();
        self.ssh.run(&words)
    }

    /// Whether a disk's bytes are to be compressed there.
    #[must_use]
    pub fn compresses(&self) -> bool {
        self.ssh.compresses()
    }

    /// Its name there.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Whether it was copied there.
    #[must_use]
    pub fn is_copy(&self) -> bool {
        self.folder.is_some()
    }
}

impl Drop for FarProgram {
    fn drop(&mut self) {
        if let Some(folder) = &self.folder {
            // Where that fails, the machine's own cleaning of /tmp is left.
            let script = format!("rm -f -- {0}/rehome; rmdir -- {0}", crate::place::quoted(folder));
            let _ = self.ssh.script(&script, &[]);
        }
    }
}
