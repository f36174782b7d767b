//! The way of a disk's bytes from its side to here, compressed: what `agent serve --compress` writes around NBD.
//!
//! Requests are short and go as they are. What comes back is cut into frames, each of which stands alone:
//!
//! | bytes | what |
//! |---|---|
//! | 4 | length of the content, 1 to 256 KiB, little-endian |
//! | 4 | length of what follows, at most as long; as long: it is the content itself |
//! | … | the content, or a zstd frame of it (RFC 8878) |
//!
//! OpenSSH compresses with zlib, one core for all of a connection and less than a line of 1 Gbit/s; this is several times as fast.

use convert_nbd::{Connector, Transport};
use format_core::Result;
use std::io::{self, ErrorKind, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The longest content of a frame, in bytes. It bounds the memory of both ends, and one frame is unpacked while the next is on its way.
const MOST: usize = 256 << 10;
/// Shorter content is heads of replies, which are worth nobody's time.
const LEAST: usize = 512;
/// Level 1 is as fast as disks of today; higher ones save little of a disk and are slower than the line.
const LEVEL: i32 = 1;
const HEAD: usize = 8;

/// Cuts what is written into frames. Each call of `write` ends with its bytes on their way.
pub struct CompressingWriter<W> {
    writer: W,
    packer: zstd::bulk::Compressor<'static>,
    frame: Vec<u8>,
}

impl<W: Write> CompressingWriter<W> {
    /// Writes frames to `writer`.
    ///
    /// # Errors
    /// A lack of memory.
    pub fn new(writer: W) -> io::Result<Self> {
        Ok(Self { writer, packer: zstd::bulk::Compressor::new(LEVEL)?, frame: vec![0; HEAD + MOST] })
    }
}

impl<W: Write> Write for CompressingWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let content = bytes.get(..MOST).unwrap_or(bytes);
        if content.is_empty() {
            return Ok(0);
        }
        let (head, room) = self.frame.split_at_mut(HEAD);
        // Room for less than the content: what does not become shorter fails, and is sent as it is.
        let room = room.get_mut(..content.len() - 1).unwrap_or_default();
        let packed =
            if content.len() < LEAST { None } else { self.packer.compress_to_buffer(content, room).ok() };
        let len = packed.unwrap_or(content.len());
        for (place, len) in head.chunks_mut(HEAD / 2).zip([content.len(), len]) {
            place.copy_from_slice(&(len as u32).to_le_bytes());
        }
        if packed.is_none()
            && let Some(room) = self.frame.get_mut(HEAD..HEAD + len)
        {
            room.copy_from_slice(content);
        }
        self.writer.write_all(self.frame.get(..HEAD + len).unwrap_or_default())?;
        Ok(content.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

/// Connections to a server whose replies come in frames.
pub struct CompressedConnector(Arc<dyn Connector>);

impl CompressedConnector {
    /// The server that `connector` reaches.
    #[must_use]
    pub fn new(connector: Arc<dyn Connector>) -> Self {
        Self(connector)
    }
}

impl Connector for CompressedConnector {
    fn connect(&self, limit: Duration) -> Result<Box<dyn Transport>> {
        let failed = |e| format_core::Error::io("cannot make room for unpacking", e);
        let unpacker = zstd::bulk::Decompressor::new().map_err(failed)?;
        let line = self.0.connect(limit)?;
        Ok(Box::new(Unpacked { line, unpacker, packed: Vec::new(), content: Vec::new(), taken: 0 }))
    }

    fn name(&self) -> String {
        self.0.name()
    }
}

/// Takes frames apart. The other side is a stranger: no length of it is believed before it was compared with what a frame can have.
struct Unpacked {
    line: Box<dyn Transport>,
    unpacker: zstd::bulk::Decompressor<'static>,
    packed: Vec<u8>,
    content: Vec<u8>,
    /// Bytes of the content that were read.
    taken: usize,
}

impl Unpacked {
    /// Fills `buf`, or tells that the line ended before its first byte.
    fn fill(line: &mut dyn Transport, buf: &mut [u8], end: Option<Instant>) -> io::Result<bool> {
        let mut done = 0;
        while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let left = end.map_or(Duration::MAX, |end| end.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return Err(ErrorKind::TimedOut.into());
            }
            match line.read_within(rest, left)? {
                0 if done == 0 => return Ok(false),
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                len => done += len,
            }
        }
        Ok(true)
    }

    /// The next frame, into `buf` where there is room for all of it, else into the content. The number of bytes in `buf`.
    fn next(&mut self, buf: &mut [u8], end: Option<Instant>) -> io::Result<usize> {
        let mut head = [0; HEAD];
        self.content.clear();
        self.taken = 0;
        if !Self::fill(self.line.as_mut(), &mut head, end)? {
            return Ok(0);
        }
        let [a, b, c, d, e, f, g, h] = head;
        let (len, packed) =
            (u32::from_le_bytes([a, b, c, d]) as usize, u32::from_le_bytes([e, f, g, h]) as usize);
        if len == 0 || len > MOST || packed == 0 || packed > len {
            return Err(broken(&format!("{packed} bytes stand for {len} of them")));
        }
        let room = match buf.get_mut(..len) {
            Some(room) => room,
            None => {
                self.content.resize(len, 0);
                &mut self.content
            }
        };
        if packed == len {
            if !Self::fill(self.line.as_mut(), room, end)? {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        } else {
            self.packed.resize(packed, 0);
            if !Self::fill(self.line.as_mut(), &mut self.packed, end)? {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            match self.unpacker.decompress_to_buffer(&self.packed, room) {
                Ok(found) if found == len => {}
                Ok(found) => {
                    return Err(broken(&format!("{found} bytes were unpacked, announced were {len}")));
                }
                Err(error) => return Err(broken(&error.to_string())),
            }
        }
        Ok(if self.content.is_empty() { len } else { 0 })
    }
}

fn broken(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("the compressed stream is damaged: {what}"))
}

impl Transport for Unpacked {
    fn read_within(&mut self, buf: &mut [u8], limit: Duration) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        if self.taken == self.content.len() {
            let len = self.next(buf, Instant::now().checked_add(limit))?;
            if len > 0 || self.content.is_empty() {
                return Ok(len);
            }
        }
        let mut rest = self.content.get(self.taken..).unwrap_or_default();
        let len = io::Read::read(&mut rest, buf)?;
        self.taken += len;
        Ok(len)
    }

    fn write_within(&mut self, buf: &[u8], limit: Duration) -> io::Result<usize> {
        self.line.write_within(buf, limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    /// What was sent, read in pieces of at most so many bytes.
    struct Sent(VecDeque<u8>, usize);

    impl Transport for Sent {
        fn read_within(&mut self, buf: &mut [u8], _: Duration) -> io::Result<usize> {
            let most = buf.len().min(self.1);
            io::Read::read(&mut self.0, &mut buf[..most])
        }
        fn write_within(&mut self, _: &[u8], _: Duration) -> io::Result<usize> {
            panic!("nothing is written")
        }
    }

    fn unpacked(sent: Vec<u8>, most: usize) -> Unpacked {
        let unpacker = zstd::bulk::Decompressor::new().unwrap();
        let line = Box::new(Sent(sent.into(), most));
        Unpacked { line, unpacker, packed: Vec::new(), content: Vec::new(), taken: 0 }
    }

    fn packed(content: &[u8]) -> Vec<u8> {
        let mut writer = CompressingWriter::new(Vec::new()).unwrap();
        writer.write_all(content).unwrap();
        writer.writer
    }

    /// Reads to the end with a buffer of so many bytes.
    fn read(sent: Vec<u8>, most: usize, buffer: usize) -> io::Result<Vec<u8>> {
        let (mut line, mut all, mut buf) = (unpacked(sent, most), Vec::new(), vec![0; buffer]);
        loop {
            match line.read_within(&mut buf, Duration::from_secs(9))? {
                0 => return Ok(all),
                len => all.extend_from_slice(&buf[..len]),
            }
        }
    }

    fn noise(len: usize) -> Vec<u8> {
        let mut state = 1u64;
        let next = |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        };
        (0..len).map(next).collect()
    }

    #[test]
    fn what_comes_out_is_what_went_in_and_text_is_shorter_on_its_way() {
        let text: Vec<u8> = (0..3 * MOST + 7).map(|at| (at / 100) as u8).collect();
        let sent = packed(&text);
        assert!(sent.len() < text.len() / 10, "{}", sent.len());
        let loud = noise(MOST + LEAST);
        let sent_loud = packed(&loud);
        assert_eq!(sent_loud.len(), loud.len() + 2 * HEAD, "what does not shrink goes as it is");
        for (content, sent) in
            [(text, sent), (loud, sent_loud), (vec![5; 28], packed(&[5; 28])), (vec![], vec![])]
        {
            for (most, buffer) in [(usize::MAX, 2 * MOST), (1000, 4096), (usize::MAX, MOST), (4097, MOST - 1)]
            {
                assert!(
                    read(sent.clone(), most, buffer).unwrap() == content,
                    "{most} {buffer} {}",
                    content.len()
                );
            }
        }
    }

    #[test]
    fn frames_that_cannot_be_are_refused_before_there_is_room_for_them() {
        let frame =
            |len: u32, packed: u32, rest: &[u8]| [&len.to_le_bytes(), &packed.to_le_bytes(), rest].concat();
        let zeros = zstd::bulk::compress(&[0; 1 << 20], 1).unwrap();
        let said = zeros.len() as u32;
        let text = zstd::bulk::compress(&[7; 5000], 1).unwrap();
        for (wrong, sent) in [
            ("no content", frame(0, 0, &[])),
            ("too long", frame(MOST as u32 + 1, 5, &[1; 5])),
            ("the longest", frame(u32::MAX, u32::MAX, &[1; 5])),
            ("longer than its content", frame(5, 6, &[1; 6])),
            ("no bytes", frame(600, 0, &[])),
            ("no zstd", frame(600, 5, &[1; 5])),
            ("a bomb", frame(MOST as u32, said, &zeros)),
            ("less than announced", frame(5001, text.len() as u32, &text)),
            ("more than announced", frame(4999, text.len() as u32, &text)),
        ] {
            let error = read(sent, usize::MAX, MOST).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidData, "{wrong}: {error}");
        }
        let whole = packed(&noise(5000));
        for cut in [1, HEAD, HEAD + 1, whole.len() - 1] {
            let error = read(whole[..cut].to_vec(), usize::MAX, MOST).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "{cut}");
        }
    }
}
