//! The legacy LZ4 frame: the only LZ4 container the kernel reads.
//!
//! Source: lz4 project, `doc/lz4_Frame_format.md`, section "Legacy frame": magic 0x184C2102, then blocks of a 4-byte
//! little-endian compressed size and the data; each block holds 8 MiB unpacked, but for the last. There is no end mark
//! and no checksum.

use std::io::{self, BufRead, Read, Write};

/// First four bytes of a frame.
pub(crate) const MAGIC: [u8; 4] = 0x184C_2102_u32.to_le_bytes();
/// Unpacked bytes per block.
const BLOCK: usize = 8 * 1024 * 1024;
/// Largest packed size of a block (`LZ4_compressBound`).
const BOUND: usize = BLOCK + BLOCK / 255 + 16;

/// Reads a legacy frame, and further ones directly behind it.
///
/// The frame ends where the data end, or where a number stands that is no possible block size (zero, or beyond the
/// worst case of 8 MiB): those four bytes are left unread.
pub(crate) struct Reader<R> {
    inner: R,
    /// 8 MiB once the first block was read; cleared once only, for a frame may have many small blocks.
    block: Vec<u8>,
    filled: usize,
    packed: Vec<u8>,
    position: usize,
    state: State,
    peek: fn(&mut R) -> io::Result<Option<[u8; 4]>>,
}

#[derive(PartialEq)]
enum State {
    Blocks,
    Done,
}

impl<R: BufRead> Reader<R> {
    /// `peek` gives the next four bytes without consuming them, `None` when fewer are left.
    pub(crate) fn new(inner: R, peek: fn(&mut R) -> io::Result<Option<[u8; 4]>>) -> Self {
        Reader {
            inner,
            block: Vec::new(),
            filled: 0,
            packed: Vec::new(),
            position: 0,
            state: State::Blocks,
            peek,
        }
    }

    fn next_block(&mut self) -> io::Result<()> {
        self.filled = 0;
        self.position = 0;
        while self.state == State::Blocks {
            let Some(word) = (self.peek)(&mut self.inner)? else {
                self.state = State::Done;
                break;
            };
            if word == MAGIC {
                self.inner.consume(4);
                continue;
            }
            let size = u32::from_le_bytes(word) as usize;
            if size == 0 || size > BOUND {
                self.state = State::Done;
                break;
            }
            self.inner.consume(4);
            return self.unpack(size);
        }
        Ok(())
    }

    fn unpack(&mut self, size: usize) -> io::Result<()> {
        self.packed.clear();
        let got = Read::take(&mut self.inner, size as u64).read_to_end(&mut self.packed)?;
        if got < size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.block.resize(BLOCK, 0);
        self.filled = lz4_flex::block::decompress_into(&self.packed, &mut self.block)
            .map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e.to_string()))?;
        if self.filled == 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "empty block"));
        }
        Ok(())
    }
}

impl<R: BufRead> Read for Reader<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        if self.position >= self.filled {
            self.next_block()?;
        }
        let rest = self.block.get(self.position..self.filled).unwrap_or_default();
        let n = rest.len().min(buf.len());
        if let (Some(to), Some(from)) = (buf.get_mut(..n), rest.get(..n)) {
            to.copy_from_slice(from);
        }
        self.position += n;
        Ok(n)
    }
}

/// Writes a legacy frame; call [`Writer::finish`] at the end.
pub(crate) struct Writer<W> {
    inner: W,
    block: Vec<u8>,
}

impl<W: Write> Writer<W> {
    /// Starts a frame.
    ///
    /// # Errors
    /// When writing the magic fails.
    pub(crate) fn new(mut inner: W) -> io::Result<Self> {
        inner.write_all(&MAGIC)?;
        Ok(Writer { inner, block: Vec::with_capacity(BLOCK) })
    }

    fn flush_block(&mut self) -> io::Result<()> {
        if self.block.is_empty() {
            return Ok(());
        }
        let packed = lz4_flex::block::compress(&self.block);
        self.block.clear();
        let size = u32::try_from(packed.len()).map_err(io::Error::other)?;
        self.inner.write_all(&size.to_le_bytes())?;
        self.inner.write_all(&packed)
    }

    /// Writes the last block and gives the inner writer back.
    ///
    /// # Errors
    /// When writing fails.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.flush_block()?;
        Ok(self.inner)
    }
}

impl<W: Write> Write for Writer<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let n = buf.len().min(BLOCK - self.block.len());
        self.block.extend_from_slice(buf.get(..n).unwrap_or_default());
        if self.block.len() == BLOCK {
            self.flush_block()?;
        }
        Ok(n)
    }

    /// A short block would end the frame early for the kernel, so only whole blocks are written before the end.
    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
