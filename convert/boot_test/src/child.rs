//! The process of QEMU. It ends with the value that stands for it.

use format_core::{Error, ErrorKind, Result};
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How much of QEMU's own messages is kept, in bytes.
const MESSAGES: usize = 16 << 10;

/// A program that runs, its stdout, and what it says on stderr.
pub(crate) struct Running {
    child: Child,
    serial: Receiver<Vec<u8>>,
    messages: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Running {
    /// Starts `program`. Where util-linux can arrange it, the program dies with this thread, however that ends.
    ///
    /// # Errors
    /// What the system reports.
    pub(crate) fn start(program: &Path, arguments: &[String], folder: &Path) -> Result<Self> {
        let mut command = if dies_with_parent() {
            let mut command = Command::new("setpriv");
            command.args(["--pdeathsig", "KILL"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        command.args(arguments).current_dir(folder);
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child =
            command.spawn().map_err(|e| Error::io(format!("cannot start {}", program.display()), e))?;
        let (sender, serial) = sync_channel(16);
        let messages = Arc::new(Mutex::new(Vec::new()));
        if let Some(stdout) = child.stdout.take() {
            std::thread::spawn(move || pass_on(stdout, &sender));
        }
        let reader = child.stderr.take().map(|stderr| {
            let messages = Arc::clone(&messages);
            std::thread::spawn(move || keep(stderr, &messages))
        });
        Ok(Self { child, serial, messages, reader })
    }

    /// What the guest wrote on its serial console, if it does within `limit`.
    pub(crate) fn serial(&mut self, limit: Duration) -> Option<Vec<u8>> {
        match self.serial.recv_timeout(limit) {
            Ok(data) => Some(data),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => {
                std::thread::sleep(limit);
                None
            }
        }
    }

    /// How it ended, once it did.
    ///
    /// # Errors
    /// What the system reports.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().map_err(|e| Error::io("cannot ask for QEMU's state", e))
    }

    /// The same, waiting until `limit` has passed.
    ///
    /// # Errors
    /// What the system reports.
    pub(crate) fn ends_within(&mut self, limit: Duration) -> Result<Option<ExitStatus>> {
        let end = Instant::now() + limit;
        loop {
            match self.ended()? {
                None if Instant::now() < end => std::thread::sleep(Duration::from_millis(5)),
                ended => return Ok(ended),
            }
        }
    }

    /// What a program that ended before its time said.
    pub(crate) fn failure(&mut self, status: ExitStatus) -> Error {
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        let messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        let said = String::from_utf8_lossy(&messages);
        let said = said.trim().lines().next_back().unwrap_or("it said nothing");
        Error::new(ErrorKind::Io, format!("QEMU ended before its time ({status}): {said}"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads until the end; waits when nobody takes what was read, and ends when nobody ever will.
fn pass_on(mut from: impl Read, to: &SyncSender<Vec<u8>>) {
    let mut piece = [0; 4096];
    while let Ok(len) = from.read(&mut piece) {
        if len == 0 || to.send(piece.iter().take(len).copied().collect()).is_err() {
            break;
        }
    }
}

fn keep(mut from: impl Read, to: &Mutex<Vec<u8>>) {
    let mut piece = [0; 1024];
    while let Ok(len) = from.read(&mut piece) {
        if len == 0 {
            break;
        }
        let mut kept = to.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend(piece.iter().take(len));
        // The last words tell why it ended.
        let excess = kept.len().saturating_sub(MESSAGES);
        kept.drain(..excess);
    }
}

/// Whether util-linux's setpriv is there and can.
fn dies_with_parent() -> bool {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "true"]);
    let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_read_ends_with_its_value_and_its_last_words_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let run =
            |line: &str| Running::start(Path::new("sh"), &["-c".into(), line.into()], folder.path()).unwrap();
        let mut running = run("echo hello; echo one >&2; echo last words >&2; exit 3");
        assert_eq!(running.serial(Duration::from_secs(10)).unwrap(), b"hello\n");
        let status = running.ends_within(Duration::from_secs(10)).unwrap().unwrap();
        let error = running.failure(status);
        assert!(error.to_string().contains("exit status: 3): last words"), "{error}");

        let running = run("echo $$; exec sleep 100");
        let mut running = running;
        let pid = String::from_utf8(running.serial(Duration::from_secs(10)).unwrap()).unwrap();
        assert!(running.ends_within(Duration::from_millis(20)).unwrap().is_none());
        let process = Path::new("/proc").join(pid.trim());
        assert!(process.exists());
        drop(running);
        assert!(!process.exists());
    }

    #[test]
    fn nobody_has_to_take_what_a_program_writes() {
        let folder = tempfile::tempdir().unwrap();
        let running = Running::start(Path::new("yes"), &[], folder.path()).unwrap();
        std::thread::sleep(Duration::from_millis(50));
        drop(running);
    }
}
