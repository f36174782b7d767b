//! Programs of the host: fixed arguments, no shell, a limit on their time and on what they may say.

use crate::host::Host;
use format_core::{Error, ErrorKind, Result};
use std::ffi::OsStr;
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What is kept of what a program says, in bytes.
const SAID: u64 = 4 << 20;

/// How a program ended.
pub(crate) struct Ended {
    pub(crate) succeeded: bool,
    pub(crate) stdout: Vec<u8>,
    stderr: Vec<u8>,
    /// `ip link set dev eth9 down`
    what: String,
}

impl Ended {
    /// An error where it did not succeed.
    pub(crate) fn or_error(self) -> Result<Vec<u8>> {
        if self.succeeded {
            return Ok(self.stdout);
        }
        let said = String::from_utf8_lossy(&self.stderr);
        let line = said.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("it said nothing");
        let denied = ["not permitted", "ermission denied", "must be superuser", "only root"];
        let kind =
            if denied.iter().any(|sign| line.contains(sign)) { ErrorKind::Denied } else { ErrorKind::Io };
        Err(Error::new(kind, format!("'{}' failed: {line}", self.what)))
    }
}

/// Runs `name` and waits at most `limit` for its end.
pub(crate) fn run(host: &Host, name: &str, args: &[&OsStr], limit: Duration) -> Result<Ended> {
    let program = host.program(name).ok_or_else(|| {
        Error::unsupported(format!("the program {name} is missing on this host")).hint(format!(
            "install the package that has {name}, for example: apt-get install {}",
            package(name)
        ))
    })?;
    let mut command = Command::new(&program);
    command.args(args).env_clear().env("LC_ALL", "C").env("PATH", &host.path).current_dir("/");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let what = args.iter().fold(name.to_owned(), |what, arg| what + " " + &arg.to_string_lossy());
    let mut child =
        command.spawn().map_err(|e| Error::io(format!("cannot start {}", program.display()), e))?;
    let stdout = reader(child.stdout.take());
    let stderr = reader(child.stderr.take());
    let Some(succeeded) = wait(&mut child, limit)? else {
        // Its readers may go on where it left children with the pipes: they are not waited for.
        let _ = child.kill();
        let _ = child.wait();
        let seconds = limit.as_secs();
        return Err(Error::new(ErrorKind::Temporary, format!("'{what}' did not end within {seconds} s")));
    };
    let said = |reader: Option<JoinHandle<Vec<u8>>>| reader.and_then(|r| r.join().ok()).unwrap_or_default();
    Ok(Ended { succeeded, stdout: said(stdout), stderr: said(stderr), what })
}

fn wait(child: &mut Child, limit: Duration) -> Result<Option<bool>> {
    let end = Instant::now() + limit;
    loop {
        match child.try_wait().map_err(|e| Error::io("cannot wait for a program", e))? {
            Some(status) => return Ok(Some(status.success())),
            None if Instant::now() >= end => return Ok(None),
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

fn reader(from: Option<impl Read + Send + 'static>) -> Option<JoinHandle<Vec<u8>>> {
    let mut from = from?;
    Some(std::thread::spawn(move || {
        let mut said = Vec::new();
        // What is beyond the limit is read and dropped, so that the program does not wait for us.
        if from.by_ref().take(SAID).read_to_end(&mut said).is_ok() {
            let _ = std::io::copy(&mut from, &mut std::io::sink());
        }
        said
    }))
}

/// Debian's name of what has it.
fn package(program: &str) -> &str {
    match program {
        "ip" => "iproute2",
        "nmcli" => "network-manager",
        "blkid" => "util-linux",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn sh(script: &str, limit: u64) -> Result<Ended> {
        let args = [OsStr::new("-c"), OsStr::new(script)];
        run(&Host::system(), "sh", &args, Duration::from_millis(limit))
    }

    #[test]
    fn a_program_that_hangs_is_ended_and_a_noisy_one_is_read_to_its_end() {
        let begun = Instant::now();
        let error = sh("sleep 60", 50).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Temporary, "{error}");
        assert!(begun.elapsed() < Duration::from_secs(20));
        let noisy = sh("head -c 9000000 /dev/zero", 60_000).unwrap();
        assert!(noisy.succeeded);
        assert_eq!(noisy.stdout.len() as u64, SAID);
    }

    #[test]
    fn failures_say_what_the_program_said() {
        let error = sh("echo; echo 'no such thing' >&2; exit 3", 60_000).unwrap().or_error().err().unwrap();
        assert!(error.to_string().ends_with("failed: no such thing"), "{error}");
        let error =
            sh("echo 'Operation not permitted' >&2; exit 1", 60_000).unwrap().or_error().err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Denied);
    }

    #[test]
    fn only_absolute_folders_are_searched() {
        let host = Host { path: "usr/bin:.:".into(), ..Host::system() };
        assert!(host.program("sh").is_none());
        let error = run(&host, "sh", &[], Duration::from_secs(1)).err().unwrap();
        assert_eq!(error.kind().exit_code(), 69);
    }
}
