//! The process of qemu.

use format_core::{Error, ErrorKind, Result};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// How much of what qemu says is kept.
const MAX_SAID: u64 = 16 << 10;

/// A started qemu. It is killed when this is dropped.
pub(crate) struct Process {
    pub(crate) pid: u32,
    handle: OwnedFd,
    ended: Arc<Ended>,
}

#[derive(Default)]
struct Ended {
    state: Mutex<Option<End>>,
    changed: Condvar,
}

/// How qemu ended.
#[derive(Clone, Debug)]
pub(crate) struct End {
    /// Its exit status in words.
    pub(crate) status: String,
    /// What it wrote on standard error.
    pub(crate) said: String,
}

impl Process {
    /// Starts `command`. The thread that does so waits for the end: qemu dies with it, and that is with this process.
    pub(crate) fn start(mut command: Command) -> Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let (tell, told) = mpsc::channel();
        let ended = Arc::new(Ended::default());
        let own = Arc::clone(&ended);
        let thread = thread::Builder::new().name("microvm".into()).spawn(move || {
            let started = command.spawn();
            drop(command);
            let mut child = match started {
                Ok(child) => child,
                Err(error) => return drop(tell.send(Err(error))),
            };
            let pid = child.id();
            let handle = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(rustix::io::Errno::SRCH);
            let handle = handle.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()));
            if handle.is_err() {
                let _ = child.kill();
            }
            let _ = tell.send(handle.map(|handle| (pid, handle)).map_err(Into::into));
            let mut said = Vec::new();
            if let Some(mut stderr) = child.stderr.take() {
                let _ = (&mut stderr).take(MAX_SAID).read_to_end(&mut said);
                let _ = std::io::copy(&mut stderr, &mut std::io::sink());
            }
            let status = child.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
            own.set(End { status, said: String::from_utf8_lossy(&said).trim().to_owned() });
        });
        thread.map_err(|error| Error::io("start a thread for the micro-VM", error))?;
        match told.recv() {
            Ok(Ok((pid, handle))) => Ok(Self { pid, handle, ended }),
            Ok(Err(error)) => Err(Error::io("start qemu", error).with_kind(ErrorKind::Io)),
            Err(_) => Err(Error::new(ErrorKind::Io, "qemu could not be started")),
        }
    }

    /// How it ended, if it has.
    pub(crate) fn end(&self) -> Option<End> {
        self.ended.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for the end, no longer than `limit`.
    pub(crate) fn wait(&self, limit: Duration) -> Option<End> {
        let state = self.ended.state.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.ended.changed.wait_timeout_while(state, limit, |end| end.is_none());
        waited.unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    pub(crate) fn kill(&self) {
        let _ = pidfd_send_signal(&self.handle, Signal::KILL);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Ended {
    fn set(&self, end: End) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = Some(end);
        self.changed.notify_all();
    }
}
