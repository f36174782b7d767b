//! Reads the cpio archives inside one segment, entry by entry, in constant memory.

use std::cell::Cell;
use std::io::{BufRead, ErrorKind, Read};
use std::rc::Rc;

use crate::cpio::{self, HEADER_SIZE, Header, HeaderFault};
use crate::error::{Error, Result, hex};
use crate::segment::{Compression, Entry, Limits};

/// What all segments of an image share: the totals that [`Limits`] bound.
pub(crate) struct Totals {
    pub(crate) unpacked: u64,
    pub(crate) entries: u64,
    pub(crate) name_bytes: u64,
}

/// The unpacked bytes of one segment.
pub(crate) struct Unpacked<'a> {
    pub(crate) source: Box<dyn BufRead + 'a>,
    /// Offset of the segment in the image.
    pub(crate) segment: u64,
    pub(crate) compression: Compression,
    /// Offset of the next unpacked byte, from the start of the segment.
    pub(crate) at: u64,
    /// Bytes of the image that were consumed so far.
    pub(crate) consumed: Rc<Cell<u64>>,
    pub(crate) limits: &'a Limits,
    pub(crate) totals: &'a mut Totals,
}

/// Unpacked bytes that any image may have, whatever its size: small archives of zeros are legitimate.
const RATIO_FREE: u64 = 64 * 1024 * 1024;

impl Unpacked<'_> {
    /// Reads up to `buf.len()` bytes; 0 at the end.
    fn read_some(&mut self, buf: &mut [u8]) -> Result<usize> {
        let n = loop {
            match self.source.read(buf) {
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(self.fault(e)),
                Ok(n) => break n,
            }
        };
        self.at += n as u64;
        self.totals.unpacked += n as u64;
        let Limits { unpacked, ratio, .. } = *self.limits;
        if self.totals.unpacked > unpacked {
            return Err(self.limit("unpacked bytes", unpacked));
        }
        let packed = self.consumed.get();
        if self.totals.unpacked > RATIO_FREE && self.totals.unpacked / ratio.max(1) > packed {
            return Err(self.limit("unpacked bytes per packed byte", ratio));
        }
        Ok(n)
    }

    fn read_exact(&mut self, mut buf: &mut [u8]) -> Result<()> {
        while !buf.is_empty() {
            let n = self.read_some(buf)?;
            if n == 0 {
                return Err(Error::Truncated { segment: self.segment, at: self.at });
            }
            buf = buf.get_mut(n..).unwrap_or_default();
        }
        Ok(())
    }

    fn skip(&mut self, mut bytes: u64) -> Result<()> {
        let mut buf = [0; 16 * 1024];
        while bytes > 0 {
            let n = bytes.min(buf.len() as u64) as usize;
            self.read_exact(buf.get_mut(..n).unwrap_or_default())?;
            bytes -= n as u64;
        }
        Ok(())
    }

    fn fault(&self, e: std::io::Error) -> Error {
        let (segment, at) = (self.segment, self.at);
        if e.kind() == ErrorKind::UnexpectedEof {
            return Error::Truncated { segment, at };
        }
        if self.compression == Compression::None || e.raw_os_error().is_some() {
            return Error::Io { offset: self.consumed.get(), source: e };
        }
        Error::Decode { segment, compression: self.compression, at, reason: e.to_string() }
    }

    fn limit(&self, what: &'static str, limit: u64) -> Error {
        Error::Limit { segment: self.segment, what, limit }
    }

    /// Reads one archive up to and including its trailer. Gives the offset of the trailer.
    ///
    /// `lead` holds bytes of the first header that the caller read already.
    pub(crate) fn read_archive(
        &mut self,
        lead: &[u8],
        archive: u32,
        visit: &mut dyn FnMut(&Entry, &mut Content<'_, '_>) -> Result<()>,
    ) -> Result<u64> {
        let mut lead = lead;
        loop {
            let start = self.at - lead.len() as u64;
            let mut raw = [0; HEADER_SIZE];
            let (known, rest) = raw.split_at_mut(lead.len().min(HEADER_SIZE));
            known.copy_from_slice(lead);
            self.read_exact(rest)?;
            lead = &[];
            let header = Header::from_bytes(&raw).map_err(|fault| self.header_error(fault, start, &raw))?;
            let name = self.read_name(&header, start)?;
            if name == cpio::TRAILER.as_bytes() {
                self.skip(u64::from(header.filesize))?;
                self.skip_padding()?;
                return Ok(start);
            }
            self.count(name.len() as u64)?;
            let entry = self.entry(header, &name, archive, start)?;
            let mut content = Content { left: u64::from(header.filesize), unpacked: self };
            if entry.target.is_some() {
                content.left = 0;
            }
            visit(&entry, &mut content)?;
            let left = content.left;
            self.skip(left)?;
            self.skip_padding()?;
        }
    }

    fn count(&mut self, name: u64) -> Result<()> {
        self.totals.entries += 1;
        self.totals.name_bytes += name;
        if self.totals.entries > self.limits.entries {
            return Err(self.limit("entries", self.limits.entries));
        }
        if self.totals.name_bytes > self.limits.name_bytes {
            return Err(self.limit("bytes of names", self.limits.name_bytes));
        }
        Ok(())
    }

    fn skip_padding(&mut self) -> Result<()> {
        self.skip(cpio::padding(self.at))
    }

    fn read_name(&mut self, header: &Header, start: u64) -> Result<Vec<u8>> {
        let mut name = vec![0; header.namesize as usize];
        self.read_exact(&mut name)?;
        if name.pop() != Some(0) || name.contains(&0) {
            return Err(Error::NameTerminator { segment: self.segment, at: start });
        }
        self.skip_padding()?;
        Ok(name)
    }

    fn entry(&mut self, header: Header, name: &[u8], archive: u32, start: u64) -> Result<Entry> {
        let mut target = None;
        if header.mode & cpio::S_IFMT == cpio::S_IFLNK {
            let size = header.filesize;
            if size > cpio::NAME_MAX {
                return Err(Error::LinkSize { segment: self.segment, at: start, size });
            }
            let mut bytes = vec![0; size as usize];
            self.read_exact(&mut bytes)?;
            self.count(u64::from(size))?;
            target = Some(String::from_utf8_lossy(&bytes).into_owned());
        }
        Ok(Entry { name: String::from_utf8_lossy(name).into_owned(), header, target, archive })
    }

    fn header_error(&self, fault: HeaderFault, at: u64, raw: &[u8]) -> Error {
        let segment = self.segment;
        match fault {
            HeaderFault::Magic => Error::BadMagic { segment, at, found: hex(raw) },
            HeaderFault::Field(field) => Error::BadField { segment, at, field },
            HeaderFault::NameSize(size) => Error::NameSize { segment, at, size },
        }
    }

    /// Skips zeros up to the next archive of a compressed segment. `false` at the end of the segment.
    pub(crate) fn next_archive(&mut self) -> Result<bool> {
        let mut byte = [0];
        while self.read_some(&mut byte)? == 1 {
            match byte {
                [0] => {}
                [b'0'] if (self.at - 1).is_multiple_of(4) => return Ok(true),
                [byte] => return Err(Error::Junk { segment: self.segment, at: self.at - 1, byte }),
            }
        }
        Ok(false)
    }
}

/// The content of the entry that is being visited. What is not read is skipped.
pub struct Content<'u, 'a> {
    left: u64,
    unpacked: &'u mut Unpacked<'a>,
}

impl Content<'_, '_> {
    /// Bytes not read yet.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.left
    }

    /// Reads up to `buf.len()` bytes; 0 at the end of the content.
    ///
    /// # Errors
    /// Damaged or truncated data, or a limit.
    pub fn read(&mut self, buf: &mut [u8]) -> Result<usize> {
        let n = self.left.min(buf.len() as u64) as usize;
        let part = buf.get_mut(..n).unwrap_or_default();
        self.unpacked.read_exact(part)?;
        self.left -= n as u64;
        Ok(n)
    }

    /// Reads the whole content.
    ///
    /// # Errors
    /// [`Error::Limit`] when it has more than `at_most` bytes; damaged or truncated data.
    pub fn read_all(&mut self, at_most: u64) -> Result<Vec<u8>> {
        if self.left > at_most {
            return Err(self.unpacked.limit("bytes in a file that is kept", at_most));
        }
        let mut all = Vec::new();
        let mut buf = [0; 16 * 1024];
        loop {
            let n = self.read(&mut buf)?;
            if n == 0 {
                return Ok(all);
            }
            all.extend_from_slice(buf.get(..n).unwrap_or_default());
        }
    }
}
