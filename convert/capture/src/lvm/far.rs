//! Snapshots at another machine: taken there by a process that removes them when nobody is heard of any more.
//!
//! It says one line of JSON, [`Greeting`]. Then it reads words, a line each: `alive` needs no answer, `check` and `end` are answered by a line,
//! [`Answer`]. The end of its input, or two minutes of silence, are an `end` without an answer.

use super::{LvmSnapshots, Snapshot, Snapshots};
use crate::patient::Patient;
use crate::program::FarProgram;
use crate::session::Failure;
use format_core::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The version of what is spoken here.
const VERSION: u32 = 1;
/// The longest line, in bytes.
const MOST_LINE: u64 = 64 << 10;
/// How often the other side hears that somebody is there.
const HEARTBEAT: Duration = Duration::from_secs(20);
/// After so much silence nobody is.
const SILENCE: Duration = Duration::from_secs(120);
/// How long an answer may take: commands of LVM wait for each other.
const PATIENCE: Duration = Duration::from_secs(300);
/// How long the other side has to remove its snapshots when it was not asked to tell.
const FAREWELL: Duration = Duration::from_secs(30);

#[derive(Serialize, Deserialize)]
struct Greeting {
    rehome_snapshots: u32,
    #[serde(default)]
    taken: Vec<Snapshot>,
    #[serde(default)]
    notes: Vec<String>,
    #[serde(default)]
    failure: Option<Failure>,
}

#[derive(Serialize, Deserialize)]
struct Answer {
    #[serde(default)]
    failure: Option<Failure>,
}

/// Takes snapshots of `volumes`, and keeps them for as long as the other end of `input` is heard of.
///
/// # Errors
/// `Io` when the connection breaks. That LVM refuses is told to the other side.
pub fn serve_snapshots(
    volumes: &[PathBuf],
    size: Option<u64>,
    input: impl Read + Send + 'static,
    mut output: impl Write,
) -> Result<()> {
    let taken = LvmSnapshots::take(volumes, size);
    let greeting = match &taken {
        Ok(set) => Greeting {
            rehome_snapshots: VERSION,
            taken: set.all().to_vec(),
            notes: set.notes().to_vec(),
            failure: None,
        },
        Err(error) => Greeting {
            rehome_snapshots: VERSION,
            taken: Vec::new(),
            notes: Vec::new(),
            failure: Some(Failure::of(error)),
        },
    };
    say(&mut output, &greeting)?;
    let Ok(set) = taken else { return Ok(()) };
    let (words, heard) = channel();
    std::thread::spawn(move || {
        let mut input = BufReader::new(input);
        let mut line = Vec::new();
        while matches!(input.by_ref().take(MOST_LINE).read_until(b'\n', &mut line), Ok(1..)) {
            if words.send(std::mem::take(&mut line)).is_err() {
                return;
            }
        }
    });
    loop {
        let done = match heard.recv_timeout(SILENCE).as_deref() {
            Ok(b"alive\n") => continue,
            Ok(b"check\n") => (set.check(), false),
            Ok(b"end\n") => (set.end(), true),
            // Nobody is there, or nobody who can be understood; dropping them removes them.
            Ok(_) | Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return set.end(),
        };
        say(&mut output, &Answer { failure: done.0.err().map(|error| Failure::of(&error)) })?;
        if done.1 {
            return Ok(());
        }
    }
}

fn say(output: &mut impl Write, what: &impl Serialize) -> Result<()> {
    let mut line = serde_json::to_vec(what).map_err(|e| Error::contract("no JSON").with_source(e))?;
    line.push(b'\n');
    output.write_all(&line).and_then(|()| output.flush()).map_err(|e| Error::io("the connection broke", e))
}

/// Snapshots that another machine keeps for as long as this is there.
#[derive(Debug)]
pub struct FarSnapshots {
    taken: Vec<Snapshot>,
    notes: Vec<String>,
    line: Arc<Mutex<Line>>,
    /// Dropping it ends the heartbeat.
    beating: Option<(Sender<()>, JoinHandle<()>)>,
    /// What runs there may have been copied there.
    program: Option<Arc<FarProgram>>,
}

struct Line {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<Patient>,
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Line").field("child", &self.child).finish_non_exhaustive()
    }
}

impl FarSnapshots {
    /// Takes snapshots of `volumes` where the program is.
    ///
    /// # Errors
    /// As [`LvmSnapshots::take`]; `Temporary` when the connection fails.
    pub fn take(program: &Arc<FarProgram>, volumes: &[PathBuf], size: Option<u64>) -> Result<Self> {
        let bytes = size.map(|size| size.to_string());
        let names: Vec<_> = volumes.iter().map(|volume| volume.to_string_lossy()).collect();
        let mut words = vec!["agent", "snapshot"];
        if let Some(bytes) = &bytes {
            words.extend(["--size", bytes]);
        }
        words.push("--");
        words.extend(names.iter().map(|name| &**name));
        let mut found = Self::start(&program.words(&words), volumes)?;
        found.program = Some(Arc::clone(program));
        Ok(found)
    }

    fn start(words: &[OsString], volumes: &[PathBuf]) -> Result<Self> {
        let Some((program, arguments)) = words.split_first() else {
            return Err(Error::usage("there is no program to start"));
        };
        let started = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| Error::io(format!("cannot start {}", program.display()), e))?;
        let mut child = started;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let output = output.ok_or_else(|| Error::contract("a program was started without pipes"))?;
        let mut line = Line { child, input, output: BufReader::new(Patient::new(output, PATIENCE)) };
        let greeting: Greeting = line.hear()?;
        if let Some(failure) = greeting.failure {
            return Err(failure.into_error());
        }
        checked(&greeting, volumes)?;
        let line = Arc::new(Mutex::new(line));
        let beating = Some(beat(Arc::clone(&line)));
        Ok(Self { taken: greeting.taken, notes: greeting.notes, line, beating, program: None })
    }

    fn ask(&self, word: &str) -> Result<()> {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        line.say(word)?;
        let answer: Answer = line.hear()?;
        answer.failure.map_or(Ok(()), |failure| Err(failure.into_error()))
    }
}

/// Anybody can send a greeting: it has to be about what was asked for, and devices are paths of devices.
fn checked(greeting: &Greeting, volumes: &[PathBuf]) -> Result<()> {
    if greeting.rehome_snapshots != VERSION {
        let text =
            format!("the source's side speaks version {}, known is {VERSION}", greeting.rehome_snapshots);
        return Err(Error::unsupported(text));
    }
    let asked = volumes.iter().map(|volume| volume.to_string_lossy().into_owned());
    let is_device = |path: &str| {
        path.starts_with("/dev/")
            && !path.chars().any(char::is_control)
            && !path.split('/').any(|part| part == "..")
    };
    let is_right = greeting.taken.iter().map(|one| one.origin.clone()).eq(asked)
        && greeting.taken.iter().all(|one| is_device(&one.path));
    if is_right {
        Ok(())
    } else {
        Err(Error::corrupt("the source's side took snapshots that nobody asked for"))
    }
}

/// Says regularly that somebody is there.
fn beat(line: Arc<Mutex<Line>>) -> (Sender<()>, JoinHandle<()>) {
    let (stop, stopped) = channel();
    let thread = std::thread::spawn(move || {
        while stopped.recv_timeout(HEARTBEAT) == Err(RecvTimeoutError::Timeout) {
            let said = line.lock().unwrap_or_else(PoisonError::into_inner).say("alive");
            if said.is_err() {
                // Whoever asks next hears of it.
                return;
            }
        }
    });
    (stop, thread)
}

fn broken(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Temporary, "the connection to the source's side broke, where the snapshots are")
        .with_source(error)
        .hint(
            "they are removed there; look whether the machine can be reached, and run the same command again",
        )
}

impl Line {
    fn say(&mut self, word: &str) -> Result<()> {
        let Some(input) = &mut self.input else {
            return Err(broken(std::io::ErrorKind::BrokenPipe.into()));
        };
        writeln!(input, "{word}").and_then(|()| input.flush()).map_err(broken)
    }

    fn hear<T: for<'a> Deserialize<'a>>(&mut self) -> Result<T> {
        let mut line = Vec::new();
        self.output.by_ref().take(MOST_LINE).read_until(b'\n', &mut line).map_err(broken)?;
        serde_json::from_slice(&line).map_err(|e| broken(std::io::Error::other(e)))
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        // The end of its input is how it learns that nobody is there any more.
        self.input = None;
        let until = Instant::now() + FAREWELL;
        while Instant::now() < until {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for FarSnapshots {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.beating.take() {
            drop(stop);
            let _ = thread.join();
        }
    }
}

impl Snapshots for FarSnapshots {
    fn all(&self) -> &[Snapshot] {
        &self.taken
    }

    fn notes(&self) -> &[String] {
        &self.notes
    }

    fn check(&self) -> Result<()> {
        self.ask("check")
    }

    fn end(&self) -> Result<()> {
        self.ask("end")
    }
}
