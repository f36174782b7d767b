//! A disk of a machine on which our program does not run: its bytes by `dd`, without holes, hashes and what else needs a program there.

use crate::patient::Patient;
use crate::ssh::Ssh;
use format_core::{Error, ErrorKind, Result, Storage};
use std::collections::BTreeMap;
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What is read at a time. All but the last piece of a disk are as long.
const PIECE: u64 = 4 << 20;
/// How many pieces are kept: workers ask for neighbours, and not always in order.
const KEPT: usize = 16;
/// How long `dd` may say nothing.
const SILENCE: Duration = Duration::from_secs(120);

/// A disk that `dd` reads at another machine. One `dd` runs as long as pieces are asked for about in order.
#[derive(Debug)]
pub struct DdDisk {
    ssh: Ssh,
    disk: String,
    size: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    running: Option<Running>,
    kept: BTreeMap<u64, Arc<Vec<u8>>>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("kept", &self.kept.keys()).finish_non_exhaustive()
    }
}

struct Running {
    child: Child,
    output: Patient,
    /// The piece that comes next.
    next: u64,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl DdDisk {
    /// Asks for the size of the disk.
    ///
    /// # Errors
    /// `SourceMissing` for what is no disk there; as [`Ssh::run`].
    pub fn open(ssh: &Ssh, disk: &str) -> Result<Self> {
        let said = ssh.run(&["blockdev", "--getsize64", disk])?;
        let size = String::from_utf8_lossy(&said).trim().parse::<u64>().ok().filter(|size| *size > 0);
        let size = size.ok_or_else(|| {
            let host = &ssh.place().host;
            Error::new(ErrorKind::SourceMissing, format!("{disk} has no size that {host} tells"))
        })?;
        Ok(Self { ssh: ssh.clone(), disk: disk.to_owned(), size, state: Mutex::default() })
    }

    fn piece(&self, number: u64) -> Result<Arc<Vec<u8>>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(piece) = state.kept.get(&number) {
            return Ok(Arc::clone(piece));
        }
        let is_near = |running: &Running| (running.next..running.next + KEPT as u64).contains(&number);
        let mut running = match state.running.take().filter(is_near) {
            Some(running) => running,
            None => self.start(number)?,
        };
        loop {
            let own = running.next;
            let len = (self.size - own * PIECE).min(PIECE);
            let mut bytes = vec![0; len as usize];
            running.output.read_exact(&mut bytes).map_err(|e| self.broken(e, own))?;
            running.next += 1;
            let bytes = Arc::new(bytes);
            while state.kept.len() >= KEPT {
                state.kept.pop_first();
            }
            state.kept.insert(own, Arc::clone(&bytes));
            if own == number {
                state.running = Some(running).filter(|running| running.next * PIECE < self.size);
                return Ok(bytes);
            }
        }
    }

    fn start(&self, number: u64) -> Result<Running> {
        let (from, skip) = (format!("if={}", self.disk), format!("skip={number}"));
        // A signal to the terminal is ours to answer.
        let words = self.ssh.words(&["dd", &from, "bs=4194304", &skip]);
        let Some((program, arguments)) = words.split_first() else {
            return Err(Error::contract("a command without words"));
        };
        let started = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mut child = started.map_err(|e| Error::io("cannot start ssh", e))?;
        let output = child.stdout.take().ok_or_else(|| Error::contract("a program without an output"))?;
        Ok(Running { child, output: Patient::new(output, SILENCE), next: number })
    }

    fn broken(&self, error: std::io::Error, piece: u64) -> Error {
        let host = &self.ssh.place().host;
        let text = format!("dd at {host} ended, or said nothing, at {:#x} of {}", piece * PIECE, self.disk);
        Error::new(ErrorKind::Temporary, text)
            .with_source(error)
            .hint("look whether the disk can be read there; with rehome at the other end, bad sectors can be passed over")
    }
}

impl Storage for DdDisk {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        if offset.checked_add(buf.len() as u64).is_none_or(|end| end > self.size) {
            let (len, size) = (buf.len(), self.size);
            return Err(
                Error::corrupt(format!("{len:#x} bytes wanted at {offset:#x} of {size:#x}")).at(offset)
            );
        }
        let (mut at, mut left) = (offset, buf);
        while !left.is_empty() {
            let piece = self.piece(at / PIECE)?;
            let from = (at % PIECE) as usize;
            let len = left.len().min(piece.len().saturating_sub(from));
            let (now, rest) = left.split_at_mut(len);
            now.copy_from_slice(piece.get(from..from + len).unwrap_or_default());
            if len == 0 {
                return Err(Error::contract("a piece of a disk that is shorter than it should be"));
            }
            (at, left) = (at + len as u64, rest);
        }
        Ok(())
    }
}
