//! QEMU's control socket (QEMU Machine Protocol, docs/interop/qmp-spec): commands and events, one JSON object a line.

use format_core::{Error, ErrorKind, Result};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// The longest line that is taken, in bytes.
const LONGEST: usize = 1 << 20;
/// How long QEMU may take for a command.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long one wait for bytes lasts.
const TICK: Duration = Duration::from_millis(20);

/// A connection to a running QEMU.
pub(crate) struct Qmp {
    stream: UnixStream,
    buffer: Vec<u8>,
    events: Vec<Value>,
}

impl Qmp {
    /// Connects to the socket at `path`; `None` as long as nobody listens there.
    ///
    /// # Errors
    /// `Io` when QEMU does not speak the protocol.
    pub(crate) fn connect(path: &Path) -> Result<Option<Self>> {
        let Ok(stream) = UnixStream::connect(path) else { return Ok(None) };
        let ready =
            stream.set_read_timeout(Some(TICK)).and_then(|()| stream.set_write_timeout(Some(PATIENCE)));
        ready.map_err(|e| Error::io("cannot use QEMU's control socket", e))?;
        let mut qmp = Self { stream, buffer: Vec::new(), events: Vec::new() };
        let end = Instant::now() + PATIENCE;
        while qmp.message()?.is_none_or(|greeting| greeting.get("QMP").is_none()) {
            if Instant::now() > end {
                return Err(silent("the greeting"));
            }
        }
        qmp.run("qmp_capabilities", &json!({}))?;
        Ok(Some(qmp))
    }

    /// Runs a command and gives what it returns.
    ///
    /// # Errors
    /// `Io` when it fails, or when QEMU does not answer any more.
    pub(crate) fn run(&mut self, command: &str, arguments: &Value) -> Result<Value> {
        let mut line = json!({ "execute": command, "arguments": arguments }).to_string().into_bytes();
        line.push(b'\n');
        self.stream.write_all(&line).map_err(|e| lost(command, e))?;
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            let Some(mut message) = self.message()? else { continue };
            if let Some(error) = message.get("error") {
                let said = error.get("desc").and_then(Value::as_str).unwrap_or("no reason").to_owned();
                return Err(Error::new(ErrorKind::Io, format!("QEMU refuses {command}: {said}")));
            }
            if let Some(answer) = message.get_mut("return") {
                return Ok(answer.take());
            }
            if message.get("event").is_some() {
                self.keep(message);
            }
        }
        Err(silent(command))
    }

    /// The events since the last call.
    ///
    /// # Errors
    /// `Io` when the connection broke.
    pub(crate) fn events(&mut self) -> Result<Vec<Value>> {
        while let Some(message) = self.message()? {
            if message.get("event").is_some() {
                self.keep(message);
            }
        }
        Ok(std::mem::take(&mut self.events))
    }

    /// A guest can cause some kinds of events as often as it likes.
    fn keep(&mut self, event: Value) {
        if self.events.len() < 1000 {
            self.events.push(event);
        }
    }

    /// The next message, if one comes soon.
    fn message(&mut self) -> Result<Option<Value>> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                let message = serde_json::from_slice(&line);
                return message.map(Some).map_err(|e| {
                    Error::new(ErrorKind::Io, "QEMU's control socket says no JSON").with_source(e)
                });
            }
            let mut piece = [0; 4096];
            match self.stream.read(&mut piece) {
                Ok(0) => return Err(lost("an event", std::io::ErrorKind::UnexpectedEof.into())),
                Ok(len) => self.buffer.extend(piece.iter().take(len)),
                Err(e)
                    if matches!(e.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) =>
                {
                    return Ok(None);
                }
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(lost("an event", e)),
            }
            if self.buffer.len() > LONGEST {
                return Err(Error::new(
                    ErrorKind::Limit,
                    "QEMU's control socket says a line of more than 1 MiB",
                ));
            }
        }
    }
}

fn silent(what: &str) -> Error {
    Error::new(ErrorKind::Io, format!("QEMU does not answer any more ({what})"))
}

fn lost(what: &str, error: std::io::Error) -> Error {
    Error::io(format!("the connection to QEMU broke ({what})"), error).with_kind(ErrorKind::Io)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::BufRead;
    use std::os::unix::net::UnixListener;

    /// A QEMU that answers each command with the next of these lines.
    fn with_answers<T>(answers: &'static [&'static str], test: impl FnOnce(&mut Qmp) -> T) -> T {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("qmp");
        assert!(Qmp::connect(&path).unwrap().is_none());
        let listener = UnixListener::bind(&path).unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(b"{\"QMP\": {\"version\": {}, \"capabilities\": []}}\n").unwrap();
            let mut lines = std::io::BufReader::new(stream.try_clone().unwrap()).lines();
            for answer in std::iter::once(&"{\"return\": {}}\n").chain(answers) {
                lines.next();
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        test(&mut Qmp::connect(&path).unwrap().unwrap())
    }

    #[test]
    fn answers_and_events_are_told_apart() {
        const ANSWERS: &[&str] = &[
            "{\"event\": \"RESET\", \"data\": {\"guest\": true}}\n{\"return\": 7}\n",
            "{\"error\": {\"desc\": \"no\"}}\n",
        ];
        with_answers(ANSWERS, |qmp| {
            assert_eq!(qmp.run("one", &json!({})).unwrap(), 7);
            assert!(qmp.run("two", &json!({})).unwrap_err().to_string().contains("refuses two: no"));
            // The connection is closed by now.
            assert_eq!(qmp.events().unwrap_err().kind(), ErrorKind::Io);
            assert_eq!(qmp.events.len(), 1);
        });
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        for answer in [&["]\n"][..], &[""][..]] {
            assert_eq!(
                with_answers(answer, |qmp| qmp.run("x", &json!({}))).unwrap_err().kind(),
                ErrorKind::Io
            );
        }
    }
}
