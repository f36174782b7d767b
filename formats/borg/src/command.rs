//! The `borg` command: started so that it asks nothing and changes nothing.

use crate::error::BorgError;
use format_core::{Error, ErrorKind, Key, Result, SourceFolder};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use tempfile::TempDir;

/// What is kept of what borg says when it fails: the end tells why.
const MAX_SAID: usize = 4 << 10;
/// What a pipe takes at once, at least, whether borg reads it or not.
const MAX_PASSPHRASE: usize = 32 << 10;

/// How lines begin that belong to questions which the environment answers.
const ANSWERED: [&str; 3] = [
    "Warning: The repository at location",
    "Warning: Attempting to access a previously unknown",
    "Do you want to continue?",
];

/// Starts `borg` on one repository.
pub(crate) struct Borg {
    repository: PathBuf,
    passphrase: Option<Key>,
    /// What borg writes about repositories that it met, and its caches, go here and not into the operator's home.
    home: TempDir,
}

impl Borg {
    /// For the repository in `folder`.
    pub(crate) fn new(folder: &SourceFolder, passphrase: Option<Key>) -> Result<Self> {
        let len = passphrase.as_ref().map_or(0, |key| key.bytes().len());
        if len > MAX_PASSPHRASE {
            return Err(Error::usage(format!(
                "a passphrase of {len} bytes, {MAX_PASSPHRASE} at most are given to borg"
            )));
        }
        let found = folder.path().canonicalize();
        let repository =
            found.map_err(|e| Error::io(format!("cannot find {}", folder.path().display()), e))?;
        let home =
            tempfile::tempdir().map_err(|e| Error::io("cannot make a temporary folder for borg", e))?;
        Ok(Self { repository, passphrase, home })
    }

    /// Starts a command of borg's; `what` is for messages.
    pub(crate) fn start(&self, what: &str, args: &[&str]) -> Result<Running> {
        let mut command = Command::new("borg");
        // The repository is the current folder, because borg replaces what stands in braces in its name.
        command.current_dir(&self.repository).env("BORG_REPO", ".");
        command.arg("--bypass-lock").args(args);
        self.settle(&mut command);
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(|e| match e.kind() {
                std::io::ErrorKind::NotFound => BorgError::NoCommand.into(),
                _ => Error::io("cannot start borg", e),
            })?;
        // A passphrase in arguments or environment could be seen by others.
        if let (Some(key), Some(mut stdin)) = (&self.passphrase, child.stdin.take()) {
            // One that ends before it reads says why.
            let _ = stdin.write_all(key.bytes());
        }
        let stdout = child.stdout.take();
        let said = child.stderr.take().map(|stderr| std::thread::spawn(move || end_of(stderr)));
        Ok(Running { what: what.to_owned(), child, stdout, said, ended: false })
    }

    fn settle(&self, command: &mut Command) {
        command.env("BORG_BASE_DIR", self.home.path());
        for (name, inside) in
            [("BORG_CACHE_DIR", "cache"), ("BORG_SECURITY_DIR", "security"), ("BORG_CONFIG_DIR", "config")]
        {
            command.env(name, self.home.path().join(inside));
        }
        if let Some(keys) = keys_folder() {
            command.env("BORG_KEYS_DIR", keys);
        }
        // Reading cannot be used to make an operator believe in a repository of another.
        command.env("BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK", "yes");
        command.env("BORG_RELOCATED_REPO_ACCESS_IS_OK", "yes");
        command.env("BORG_CHECK_I_KNOW_WHAT_I_AM_DOING", "no").env("BORG_DISPLAY_PASSPHRASE", "no");
        command.env("TZ", "UTC").env("LC_ALL", "C.UTF-8").env("PYTHONUTF8", "1");
        for name in ["BORG_LOGGING_CONF", "BORG_PASSPHRASE_FD", "BORG_NEW_PASSPHRASE", "PYTHONSTARTUP"] {
            command.env_remove(name);
        }
        if self.passphrase.is_some() {
            command.env_remove("BORG_PASSPHRASE").env_remove("BORG_PASSCOMMAND");
            command.env("BORG_PASSPHRASE_FD", "0").stdin(Stdio::piped());
            return;
        }
        command.stdin(Stdio::null());
        // Without any, borg would ask at the terminal.
        if std::env::var_os("BORG_PASSPHRASE").is_none() && std::env::var_os("BORG_PASSCOMMAND").is_none() {
            command.env("BORG_PASSPHRASE", "");
        }
    }
}

/// Where the operator's keys lie that are not in their repositories, if there are any: borg would make the folder.
fn keys_folder() -> Option<PathBuf> {
    let from = |name: &str, below: &str| Some(Path::new(&std::env::var_os(name)?).join(below));
    let keys = from("BORG_KEYS_DIR", "")
        .or_else(|| from("BORG_CONFIG_DIR", "keys"))
        .or_else(|| from("BORG_BASE_DIR", ".config/borg/keys"))
        .or_else(|| from("XDG_CONFIG_HOME", "borg/keys"))
        .or_else(|| from("HOME", ".config/borg/keys"))?;
    keys.is_dir().then_some(keys)
}

/// The last bytes of what comes.
fn end_of(mut from: impl Read) -> Vec<u8> {
    let (mut kept, mut part) = (Vec::new(), [0; 1024]);
    while let Ok(len @ 1..) = from.read(&mut part) {
        kept.extend_from_slice(&part[..len]);
        if kept.len() > 2 * MAX_SAID {
            kept.drain(..kept.len() - MAX_SAID);
        }
    }
    kept
}

/// A borg at work. Its output ends with an error when it failed; it is ended when this is dropped before.
pub(crate) struct Running {
    what: String,
    child: Child,
    stdout: Option<ChildStdout>,
    said: Option<JoinHandle<Vec<u8>>>,
    ended: bool,
}

impl Running {
    /// Waits for its end and judges that. A warning of borg's means that something is not as it was, so it is an error, too.
    fn end(&mut self) -> Result<()> {
        if self.ended {
            return Ok(());
        }
        self.ended = true;
        self.stdout = None;
        let status = self.child.wait().map_err(|e| Error::io("cannot wait for borg", e))?;
        let said = self.said.take().and_then(|said| said.join().ok()).unwrap_or_default();
        judge(&self.what, status, &said)
    }
}

fn judge(what: &str, status: ExitStatus, said: &[u8]) -> Result<()> {
    if status.success() {
        return Ok(());
    }
    if status.code().is_none() {
        return Err(BorgError::Killed { what: what.to_owned() }.into());
    }
    let text = String::from_utf8_lossy(said);
    // Questions that were answered above are no reason.
    let is_reason = |line: &&str| !line.is_empty() && !ANSWERED.iter().any(|begin| line.starts_with(begin));
    let lines: Vec<_> = text.lines().map(str::trim).filter(is_reason).collect();
    // Of a traceback the last line tells the error; before it stands where in borg.
    let last = lines.iter().rev().find(|line| line.contains("rror")).or(lines.last()).copied();
    let said = match (lines.as_slice(), last) {
        ([first, _, _, _, ..], Some(last)) if first != &last => format!("{first}; {last}"),
        ([_, _, _, _, ..], Some(last)) => last.to_owned(),
        ([], _) => "it said nothing".to_owned(),
        (few, _) => few.join("; "),
    };
    Err(BorgError::failed(what, &said).into())
}

impl Read for Running {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        let len = match &mut self.stdout {
            Some(stdout) => stdout.read(buf)?,
            None => 0,
        };
        if len == 0 {
            self.end().map_err(std::io::Error::other)?;
        }
        Ok(len)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.ended {
            // It may have ended by itself.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// The error inside of a read error, or one about reading from borg.
pub(crate) fn own_error(error: std::io::Error) -> Error {
    match error.downcast::<Error>() {
        Ok(own) => own,
        Err(error) => Error::io("cannot read from borg", error).with_kind(ErrorKind::Io),
    }
}
