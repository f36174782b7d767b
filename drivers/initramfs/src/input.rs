//! A buffered reader that can look ahead and knows how many bytes were consumed.
//!
//! Decompressors consume exactly what belongs to them from a [`BufRead`], so the offset after one of them is the end of
//! its segment.

use std::cell::Cell;
use std::io::{self, BufRead, Read};
use std::rc::Rc;

const BUFFER: usize = 64 * 1024;

pub(crate) struct Input<R> {
    inner: R,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    consumed: Rc<Cell<u64>>,
}

impl<R: Read> Input<R> {
    pub(crate) fn new(inner: R) -> Self {
        Input { inner, buffer: vec![0; BUFFER], start: 0, end: 0, consumed: Rc::new(Cell::new(0)) }
    }

    /// Offset of the next byte in the image.
    pub(crate) fn offset(&self) -> u64 {
        self.consumed.get()
    }

    /// The same number, readable while a decompressor holds the input.
    pub(crate) fn counter(&self) -> Rc<Cell<u64>> {
        Rc::clone(&self.consumed)
    }

    /// The next `wanted` bytes (at most 4096), fewer only at the end of the image.
    pub(crate) fn peek(&mut self, wanted: usize) -> io::Result<&[u8]> {
        let wanted = wanted.min(4096);
        if self.end - self.start < wanted {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
            while self.end < wanted {
                let got = retry(|| self.inner.read(self.buffer.get_mut(self.end..).unwrap_or_default()))?;
                if got == 0 {
                    break;
                }
                self.end += got;
            }
        }
        let stop = self.end.min(self.start + wanted);
        Ok(self.buffer.get(self.start..stop).unwrap_or_default())
    }
}

fn retry(mut read: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match read() {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

impl<R: Read> Read for Input<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let n = available.len().min(buf.len());
        if let (Some(to), Some(from)) = (buf.get_mut(..n), available.get(..n)) {
            to.copy_from_slice(from);
        }
        self.consume(n);
        Ok(n)
    }
}

impl<R: Read> BufRead for Input<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
            self.end = retry(|| self.inner.read(&mut self.buffer))?;
        }
        Ok(self.buffer.get(self.start..self.end).unwrap_or_default())
    }

    fn consume(&mut self, amount: usize) {
        let amount = amount.min(self.end - self.start);
        self.start += amount;
        self.consumed.set(self.consumed.get() + amount as u64);
    }
}
