//! Another machine by the system's own `ssh`, with its configuration, keys, agents and jump hosts.

use crate::place::{SshPlace, quoted};
use format_core::{Error, ErrorKind, Result};
use std::ffi::OsString;
use std::io::Write;
use std::process::{Command, Output, Stdio};

/// What the operator says about connections.
#[derive(Clone, Debug, Default)]
pub struct SshOptions {
    /// The program in the place of `ssh`.
    pub program: Option<OsString>,
    /// A configuration file in the place of the user's.
    pub config: Option<OsString>,
    /// Options as `ssh -o` takes them.
    pub options: Vec<String>,
    /// Become root there by `sudo -n`.
    pub sudo: bool,
    /// Let our program there compress a disk's bytes.
    pub compress: bool,
}

/// A machine and how it is reached.
#[derive(Clone, Debug)]
pub struct Ssh {
    place: SshPlace,
    options: SshOptions,
}

/// Nobody is asked for a passphrase in the middle of a copy, and a peer that is gone is noticed within a minute.
const USUAL: [&str; 6] = [
    "BatchMode=yes",
    "ConnectTimeout=15",
    "ServerAliveInterval=15",
    "ServerAliveCountMax=4",
    "ClearAllForwardings=yes",
    "EscapeChar=none",
];

/// What `ssh` exits with when it failed itself (ssh(1), "EXIT STATUS").
const SSH_FAILED: i32 = 255;

/// What the exit code of our own program there means; other programs' codes mean nothing.
fn kind_of(code: i32) -> ErrorKind {
    match code {
        65 => ErrorKind::Corrupt,
        66 => ErrorKind::SourceMissing,
        74 => ErrorKind::Io,
        75 => ErrorKind::Temporary,
        77 => ErrorKind::Denied,
        78 => ErrorKind::NeedsPerson,
        _ => ErrorKind::Unsupported,
    }
}

impl Ssh {
    /// The machine at `place`.
    #[must_use]
    pub fn new(place: SshPlace, options: SshOptions) -> Self {
        Self { place, options }
    }

    /// Where it is.
    #[must_use]
    pub fn place(&self) -> &SshPlace {
        &self.place
    }

    /// Whether a disk's bytes are to be compressed there.
    #[must_use]
    pub fn compresses(&self) -> bool {
        self.options.compress
    }

    /// The command that runs these words there, as root where that was asked for.
    #[must_use]
    pub fn words(&self, remote: &[&str]) -> Vec<OsString> {
        let sudo = if self.options.sudo { "sudo -n " } else { "" };
        let remote = remote.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ");
        self.shell(&format!("exec {sudo}{remote}"))
    }

    /// The command that gives `script` to the shell there.
    fn shell(&self, script: &str) -> Vec<OsString> {
        let mut words: Vec<OsString> =
            vec![self.options.program.clone().unwrap_or_else(|| "ssh".into()), "-T".into()];
        if let Some(config) = &self.options.config {
            words.extend(["-F".into(), config.clone()]);
        }
        // The first value of an option counts: the operator's go before ours.
        for option in self.options.options.iter().map(String::as_str).chain(USUAL) {
            words.extend(["-o".into(), option.into()]);
        }
        if let Some(port) = self.place.port {
            words.extend(["-p".into(), port.to_string().into()]);
        }
        words.extend(["--".into(), self.place.host.clone().into()]);
        // The login shell there may be any; what is meant is one of POSIX.
        words.push(format!("exec /bin/sh -c {}", quoted(script)).into());
        words
    }

    /// Runs these words there and gives what they wrote.
    ///
    /// # Errors
    /// `Temporary` or `Denied` when the connection fails; `Unsupported` with what was said when they fail.
    pub fn run(&self, remote: &[&str]) -> Result<Vec<u8>> {
        self.checked(&self.words(remote), &[])
    }

    /// Runs a script there, not as root, and gives what it wrote.
    ///
    /// # Errors
    /// As [`Ssh::run`].
    pub(crate) fn script(&self, script: &str, input: &[u8]) -> Result<Vec<u8>> {
        self.checked(&self.shell(script), input)
    }

    fn checked(&self, words: &[OsString], input: &[u8]) -> Result<Vec<u8>> {
        let done = self.start(words, input)?;
        if done.status.success() {
            return Ok(done.stdout);
        }
        let said = String::from_utf8_lossy(&done.stderr);
        let said = format_core::printable(said.trim());
        let host = &self.place.host;
        if done.status.code() == Some(SSH_FAILED) {
            let denied = ["Permission denied", "Host key verification failed", "authentication failures"];
            let kind = if denied.iter().any(|text| said.contains(text)) {
                ErrorKind::Denied
            } else {
                ErrorKind::Temporary
            };
            return Err(Error::new(kind, format!("ssh cannot reach {host}: {said}"))
                .hint(format!("try 'ssh {host} true' first: it must work without a question")));
        }
        let kind = done.status.code().map_or(ErrorKind::Unsupported, kind_of);
        Err(Error::new(kind, format!("a command failed at {host}: {said}")))
    }

    fn start(&self, words: &[OsString], input: &[u8]) -> Result<Output> {
        let Some((program, arguments)) = words.split_first() else {
            return Err(Error::contract("a command without words"));
        };
        let failed = |e| Error::io(format!("cannot run {}", program.display()), e);
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        if let Some(mut pipe) = child.stdin.take() {
            // One that ended early says why itself.
            let _ = pipe.write_all(input);
        }
        child.wait_with_output().map_err(failed)
    }
}
