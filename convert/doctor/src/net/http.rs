//! As much of HTTP as shows that somebody speaks it: a request, and the head of the answer.

use std::io::{self, Read, Write};

/// Bytes of an answer's head that are read at most.
const HEAD: usize = 64 << 10;
/// Header lines at most.
const LINES: usize = 200;

/// The head of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) reason: String,
}

/// Sends `request`, a whole head, and reads the head of the answer; what follows stays unread.
pub(crate) fn ask(stream: &mut (impl Read + Write), request: &str) -> io::Result<Answer> {
    stream.write_all(request.as_bytes())?;
    stream.flush()?;
    let wrong = |text: String| io::Error::new(io::ErrorKind::InvalidData, text);
    let mut head = Vec::new();
    let mut piece = [0; 2048];
    loop {
        let len = match stream.read(&mut piece) {
            Ok(len) => len,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        if len == 0 {
            let text = if head.is_empty() {
                "the other side closed the connection without a word"
            } else {
                "the answer ends in its head"
            };
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
        }
        head.extend_from_slice(piece.get(..len).unwrap_or_default());
        // One byte at a time must not cost a look at all of it each time.
        if head.len() > 64
            && head.len() <= HEAD
            && !head.ends_with(b"\n")
            && !piece.get(..len).is_some_and(|new| new.contains(&b'\n'))
        {
            continue;
        }
        let mut lines = [httparse::EMPTY_HEADER; LINES];
        let mut answer = httparse::Response::new(&mut lines);
        let parsed = httparse::ParserConfig::default().parse_response(&mut answer, &head);
        match (parsed, answer.code) {
            (Ok(httparse::Status::Complete(_)), Some(status)) => {
                return Ok(Answer { status, reason: crate::text::line(answer.reason.unwrap_or_default()) });
            }
            (Err(error), _) => {
                let begin =
                    String::from_utf8_lossy(head.get(..head.len().min(40)).unwrap_or_default()).into_owned();
                return Err(wrong(format!(
                    "this is not HTTP ({error}): it begins with {:?}",
                    crate::text::line(&begin)
                )));
            }
            _ if head.len() > HEAD => {
                return Err(wrong(format!("the head of the answer has more than {HEAD} bytes")));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What it gives to read, a few bytes at a time.
    struct Script(Vec<u8>, usize);

    impl Read for Script {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            let rest = self.0.get(self.1..).unwrap_or_default();
            let len = rest.len().min(7).min(buf.len());
            buf[..len].copy_from_slice(&rest[..len]);
            self.1 += len;
            Ok(len)
        }
    }

    impl Write for Script {
        fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
            Ok(buf.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn said(text: &[u8]) -> io::Result<Answer> {
        ask(&mut Script(text.to_vec(), 0), "HEAD / HTTP/1.1\r\n\r\n")
    }

    #[test]
    fn a_head_is_read_and_what_is_none_is_refused() {
        assert_eq!(
            said(b"HTTP/1.1 403 Go\x20away\r\nA: b\r\n\r\nbody").unwrap(),
            Answer { status: 403, reason: "Go away".into() }
        );
        assert_eq!(said(b"HTTP/1.0 200\r\n\r\n").unwrap().status, 200);
        for text in [
            &b""[..],
            b"HTTP/1.1 200 OK\r\nA: b",
            b"SSH-2.0-x\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00",
            b"HTTP/9.9 200 OK\r\n\r\n",
        ] {
            assert!(said(text).is_err(), "{text:?}");
        }
        let endless = [b"HTTP/1.1 200 OK\r\nA: ".to_vec(), vec![b'x'; 2 * HEAD]].concat();
        assert!(said(&endless).unwrap_err().to_string().contains("more than"));
        let many = [b"HTTP/1.1 200 OK\r\n".to_vec(), b"A: b\r\n".repeat(LINES + 1)].concat();
        assert!(said(&many).is_err());
    }
}
