//! Frames: a length, what kind of frame it is, and so many bytes.

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::io::{self, Read, Write};

/// The most bytes behind the header of a frame.
pub const MAX_FRAME: usize = 1 << 20;
/// The header: the length as 4 bytes, little-endian, and the kind.
const HEADER: usize = 5;
const MESSAGE: u8 = 1;
const DATA: u8 = 2;

/// A frame that was read.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame {
    /// A message, to be decoded by [`Frame::message`].
    Message(Vec<u8>),
    /// A piece of content.
    Data(Vec<u8>),
}

/// Why a frame could not be read or written.
#[derive(Debug)]
pub enum WireError {
    /// The channel failed or ended.
    Io(io::Error),
    /// What came is no frame of this protocol.
    Broken(&'static str),
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Broken(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for WireError {}

impl From<io::Error> for WireError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Frame {
    /// Decodes a message.
    ///
    /// # Errors
    /// `Broken` when it is content, no message of this kind, or has bytes behind it.
    pub fn message<T: DeserializeOwned>(&self) -> Result<T, WireError> {
        let Self::Message(bytes) = self else {
            return Err(WireError::Broken("content where a message must be"));
        };
        match postcard::take_from_bytes(bytes) {
            Ok((message, [])) => Ok(message),
            Ok(_) => Err(WireError::Broken("a message with bytes behind it")),
            Err(_) => Err(WireError::Broken("a message that cannot be decoded")),
        }
    }
}

/// Reads one frame.
///
/// # Errors
/// `Io` when the channel fails or ends, `Broken` for a length or kind that cannot be.
pub fn read_frame(from: &mut impl Read) -> Result<Frame, WireError> {
    let mut header = [0; HEADER];
    from.read_exact(&mut header)?;
    let [a, b, c, d, kind] = header;
    let length = u32::from_le_bytes([a, b, c, d]) as usize;
    if length > MAX_FRAME {
        return Err(WireError::Broken("a frame that is too long"));
    }
    if !matches!(kind, MESSAGE | DATA) {
        return Err(WireError::Broken("a frame of an unknown kind"));
    }
    let mut bytes = vec![0; length];
    from.read_exact(&mut bytes)?;
    Ok(if kind == DATA { Frame::Data(bytes) } else { Frame::Message(bytes) })
}

/// Writes a message as one frame.
///
/// # Errors
/// `Broken` when it is longer than a frame, `Io` when the channel fails.
pub fn write_message<T: Serialize>(to: &mut impl Write, message: &T) -> Result<(), WireError> {
    let bytes =
        postcard::to_stdvec(message).map_err(|_| WireError::Broken("a message that cannot be encoded"))?;
    write_frame(to, MESSAGE, &bytes)
}

/// Writes a piece of content as one frame.
///
/// # Errors
/// As [`write_message`].
pub fn write_data(to: &mut impl Write, bytes: &[u8]) -> Result<(), WireError> {
    write_frame(to, DATA, bytes)
}

fn write_frame(to: &mut impl Write, kind: u8, bytes: &[u8]) -> Result<(), WireError> {
    let length = u32::try_from(bytes.len()).ok().filter(|length| *length as usize <= MAX_FRAME);
    let [a, b, c, d] = length.ok_or(WireError::Broken("a message that is too long"))?.to_le_bytes();
    let header = [a, b, c, d, kind];
    // A frame is mostly one write: each costs the VM an exit.
    if bytes.len() <= 4096 {
        let mut whole = Vec::with_capacity(HEADER + bytes.len());
        whole.extend_from_slice(&header);
        whole.extend_from_slice(bytes);
        to.write_all(&whole)?;
    } else {
        to.write_all(&header)?;
        to.write_all(bytes)?;
    }
    Ok(())
}

/// The content that follows a request: `left` bytes in frames.
pub struct Content<'a, R> {
    from: &'a mut R,
    left: u64,
}

impl<'a, R: Read> Content<'a, R> {
    /// `size` bytes of content are next in `from`.
    pub fn new(from: &'a mut R, size: u64) -> Self {
        Self { from, left: size }
    }

    /// The next bytes, at most a frame; empty at the end.
    ///
    /// # Errors
    /// As [`read_frame`], and `Broken` when more comes than was said.
    pub fn next_piece(&mut self) -> Result<Vec<u8>, WireError> {
        if self.left == 0 {
            return Ok(Vec::new());
        }
        let Frame::Data(bytes) = read_frame(self.from)? else {
            return Err(WireError::Broken("a message where content must be"));
        };
        match self.left.checked_sub(bytes.len() as u64) {
            _ if bytes.is_empty() => Err(WireError::Broken("an empty piece")),
            None => Err(WireError::Broken("more content than was said")),
            Some(left) => {
                self.left = left;
                Ok(bytes)
            }
        }
    }

    /// Reads what is left and forgets it: whoever does not want the content must not take it for the next request.
    ///
    /// # Errors
    /// As [`Content::next_piece`].
    pub fn drain(&mut self) -> Result<(), WireError> {
        while self.left > 0 {
            self.next_piece()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Answer, Reply, Request};
    use proptest::prelude::*;

    #[test]
    fn a_frame_comes_back() {
        let mut bytes = Vec::new();
        write_message(&mut bytes, &Request::Hello).unwrap();
        write_data(&mut bytes, &vec![7; 5000]).unwrap();
        let mut from = bytes.as_slice();
        assert!(matches!(read_frame(&mut from).unwrap().message(), Ok(Request::Hello)));
        assert_eq!(read_frame(&mut from).unwrap(), Frame::Data(vec![7; 5000]));
        assert!(matches!(read_frame(&mut from), Err(WireError::Io(_))));
    }

    #[test]
    fn a_length_is_refused_before_it_is_allocated() {
        for length in [MAX_FRAME as u32 + 1, u32::MAX] {
            let mut bytes = length.to_le_bytes().to_vec();
            bytes.push(DATA);
            assert!(matches!(read_frame(&mut bytes.as_slice()), Err(WireError::Broken(_))));
        }
        assert!(write_data(&mut Vec::new(), &vec![0; MAX_FRAME + 1]).is_err());
    }

    #[test]
    fn content_ends_where_it_was_said_to_end() {
        let mut bytes = Vec::new();
        write_data(&mut bytes, b"abc").unwrap();
        write_data(&mut bytes, b"de").unwrap();
        let mut from = bytes.as_slice();
        let mut content = Content::new(&mut from, 5);
        assert_eq!(content.next_piece().unwrap(), b"abc");
        assert_eq!(content.next_piece().unwrap(), b"de");
        assert_eq!(content.next_piece().unwrap(), b"");
        assert!(from.is_empty());
        let mut from = bytes.as_slice();
        assert!(Content::new(&mut from, 2).drain().is_err(), "more than was said");
    }

    proptest! {
        #[test]
        fn any_bytes_end_in_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let frame = Frame::Message(bytes.clone());
            let _ = frame.message::<Request>();
            let _ = frame.message::<Answer>();
            let _ = frame.message::<Reply>();
            let _ = read_frame(&mut bytes.as_slice());
        }
    }
}
