//! Programs of the system that sign and verify, run with a limit on their time.

use format_core::{Error, ErrorKind, Result};
use std::io::{Read, Seek, SeekFrom, Write};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// A key in hardware waits for a touch, and a person for a passphrase to come to mind.
pub(super) const PATIENCE: Duration = Duration::from_secs(180);
const STEP: Duration = Duration::from_millis(10);
/// What these programs print is a few lines.
const MOST_OUTPUT: u64 = 1 << 20;

/// What a program said.
pub(super) struct Said {
    pub(super) status: ExitStatus,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: String,
}

impl Said {
    /// Its last line about what went wrong, for an error of ours.
    pub(super) fn complaint(&self) -> String {
        let line = self.stderr.lines().rev().find(|line| !line.trim().is_empty());
        driver_core::printable(line.unwrap_or("it does not say why").trim())
    }
}

/// A file without a name that holds `bytes`, to be read from its start.
pub(super) fn unnamed(bytes: &[u8]) -> Result<std::fs::File> {
    let failed = |e| Error::io("cannot write a temporary file", e);
    let mut file = tempfile::tempfile().map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.seek(SeekFrom::Start(0))).map_err(failed)?;
    Ok(file)
}

/// Runs `command` with `stdin`; `package` is what Debian calls the one that has it.
///
/// # Errors
/// `Unsupported` when it is not installed, `Temporary` when it does not come to an end.
pub(super) fn run(command: &mut Command, stdin: Stdio, package: &str) -> Result<Said> {
    let name = command.get_program().to_string_lossy().into_owned();
    let (out, err) = (unnamed(&[])?, unnamed(&[])?);
    let same = |file: &std::fs::File| file.try_clone().map_err(|e| Error::io("cannot share a file", e));
    // Its messages are read, so they have to be in English.
    command.env("LC_ALL", "C").stdin(stdin).stdout(same(&out)?).stderr(same(&err)?);
    let mut child = command.spawn().map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => Error::unsupported(format!("{name} is not installed")).hint(format!(
            "install the package {package} of Debian, or that of your system which has {name}"
        )),
        _ => Error::io(format!("cannot start {name}"), e).with_kind(ErrorKind::Io),
    })?;
    let end = Instant::now() + PATIENCE;
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if Instant::now() < end => std::thread::sleep(STEP),
            state => {
                // It may have ended by now, and nobody waits for it any more.
                let _ = child.kill();
                let _ = child.wait();
                return Err(match state {
                    Err(e) => Error::io(format!("cannot wait for {name}"), e),
                    Ok(_) => {
                        let text = format!("{name} did not come to an end in {} s", PATIENCE.as_secs());
                        Error::new(ErrorKind::Temporary, text)
                    }
                });
            }
        }
    };
    let stderr = String::from_utf8_lossy(&content(err)?).into_owned();
    Ok(Said { status, stdout: content(out)?, stderr })
}

fn content(mut file: std::fs::File) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = file.seek(SeekFrom::Start(0)).and_then(|_| file.take(MOST_OUTPUT).read_to_end(&mut bytes));
    read.map_err(|e| Error::io("cannot read a temporary file", e))?;
    Ok(bytes)
}
