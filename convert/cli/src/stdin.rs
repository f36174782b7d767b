//! stdin that a signal can end: a plain read waits for bytes that may never come.

use std::io::{Cursor, Error, Read, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

/// How much a read asks for.
const PART: usize = 1 << 20;
/// How long an operator waits for the answer to a signal.
const LOOK: Duration = Duration::from_millis(100);

/// What comes through the pipe, read by a thread of its own.
pub(crate) struct Stdin {
    parts: Receiver<Result<Vec<u8>>>,
    part: Cursor<Vec<u8>>,
    interrupted: Arc<AtomicBool>,
}

impl Stdin {
    pub(crate) fn new(interrupted: Arc<AtomicBool>) -> Self {
        let (sender, parts) = sync_channel(2);
        // It is not joined: one that waits for bytes ends with the process.
        std::thread::spawn(move || pump(&sender));
        Self { parts, part: Cursor::default(), interrupted }
    }
}

fn pump(sender: &SyncSender<Result<Vec<u8>>>) {
    let mut stdin = std::io::stdin().lock();
    loop {
        let mut bytes = vec![0; PART];
        let part = match stdin.read(&mut bytes) {
            Ok(0) => return,
            Ok(len) => {
                bytes.truncate(len);
                Ok(bytes)
            }
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(e) => Err(e),
        };
        let failed = part.is_err();
        if sender.send(part).is_err() || failed {
            return;
        }
    }
}

impl Read for Stdin {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        loop {
            let len = self.part.read(buf)?;
            if len > 0 {
                return Ok(len);
            }
            if self.interrupted.load(Ordering::Relaxed) {
                // Not the kind `Interrupted`: readers take that for an order to try again.
                return Err(Error::other("interrupted"));
            }
            match self.parts.recv_timeout(LOOK) {
                Ok(part) => self.part = Cursor::new(part?),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(0),
            }
        }
    }
}
