//! A reader that is read by a thread of its own, so that unpacking goes on while others copy and hash.

use crate::ErrorKind;
use std::io::{Cursor, Error, Read, Result};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// How much is read at once.
const PART: usize = 1 << 20;
/// How many parts may wait.
const WAITING: usize = 4;

/// What another reader gives, some parts ahead.
pub(crate) struct ReadAhead {
    parts: Receiver<Result<Vec<u8>>>,
    part: Cursor<Vec<u8>>,
    /// An error is one on each later read, too: several threads may ask.
    failed: Option<(ErrorKind, String)>,
}

impl ReadAhead {
    pub(crate) fn new(from: Box<dyn Read + Send>) -> Self {
        let (sender, parts) = sync_channel(WAITING);
        // It ends with its reader, or when nobody takes its parts any more.
        std::thread::spawn(move || pump(from, &sender));
        Self { parts, part: Cursor::default(), failed: None }
    }
}

fn pump(mut from: Box<dyn Read + Send>, sender: &SyncSender<Result<Vec<u8>>>) {
    loop {
        let mut bytes = vec![0; PART];
        let mut done = 0;
        let ended = loop {
            match bytes.get_mut(done..).map_or(Ok(0), |rest| from.read(rest)) {
                Ok(0) => break Ok(done < PART),
                Ok(len) => done += len,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => break Err(e),
            }
        };
        bytes.truncate(done);
        // What came before an error is good.
        if done > 0 && sender.send(Ok(bytes)).is_err() {
            return;
        }
        match ended {
            Ok(false) => {}
            Ok(true) => return,
            Err(e) => {
                let _ = sender.send(Err(e));
                return;
            }
        }
    }
}

impl Read for ReadAhead {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        if let Some((kind, text)) = &self.failed {
            return Err(Error::other(crate::Error::new(*kind, text.clone())));
        }
        loop {
            let len = self.part.read(buf)?;
            if len > 0 {
                return Ok(len);
            }
            match self.parts.recv() {
                Ok(Ok(part)) => self.part = Cursor::new(part),
                Ok(Err(error)) => {
                    let error = crate::stream_error(error);
                    self.failed = Some((error.kind(), error.to_string()));
                    return Err(Error::other(error));
                }
                Err(_) => return Ok(0),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Pieces(Vec<Result<Vec<u8>>>);

    impl Read for Pieces {
        fn read(&mut self, buf: &mut [u8]) -> Result<usize> {
            match self.0.pop() {
                None => Ok(0),
                Some(Err(e)) => Err(e),
                Some(Ok(bytes)) => {
                    buf[..bytes.len()].copy_from_slice(&bytes);
                    Ok(bytes.len())
                }
            }
        }
    }

    #[test]
    fn all_bytes_come_in_order_and_errors_behind_them() {
        let bytes: Vec<u8> = (0..5 * PART + 77).map(|at| (at % 251) as u8).collect();
        let mut read = Vec::new();
        ReadAhead::new(Box::new(Cursor::new(bytes.clone()))).read_to_end(&mut read).unwrap();
        assert!(read == bytes);
        let pieces = Pieces(vec![Err(Error::other("broken")), Ok(vec![2; 10]), Ok(vec![1; 3])]);
        let mut reader = ReadAhead::new(Box::new(pieces));
        let mut first = [0; 13];
        reader.read_exact(&mut first).unwrap();
        assert_eq!((first[2], first[3]), (1, 2));
        assert!(reader.read(&mut first).is_err() && reader.read(&mut first).is_err());
        // One that nobody reads to its end does not hold anything.
        drop(ReadAhead::new(Box::new(std::io::repeat(1))));
    }
}
