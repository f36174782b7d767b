//! A disk that is put together from the contents of its partitions and from bytes that are made.

use format_core::{Details, Disk, Error, Extent, ExtentKind, HostRange, Layer, Result, check_guest_range};

/// A disk: what is nowhere placed is zeros.
pub(crate) struct Assembled {
    size: u64,
    /// Ascending, without overlaps.
    pieces: Vec<Piece>,
    details: Details,
}

/// A range of the disk and where its bytes are.
#[derive(Clone)]
struct Piece {
    start: u64,
    end: u64,
    from: Source,
}

/// Where bytes come from.
#[derive(Clone)]
pub(crate) enum Source {
    /// From these bytes.
    Bytes(std::sync::Arc<[u8]>, u64),
    /// From this place of a content.
    Content(Disk, u64),
    /// Every so many bytes from a stripe of a content.
    Stripe(Disk, Stripe),
}

/// One of several columns that a logical volume is spread over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stripe {
    /// Where in the volume the first stripe begins.
    pub(crate) base: u64,
    /// Bytes of a stripe.
    pub(crate) size: u64,
    /// How many columns there are, and which is this.
    pub(crate) columns: u64,
    pub(crate) column: u64,
    /// How far in the column the piece begins.
    pub(crate) inside: u64,
}

impl Stripe {
    /// The place in the volume of the byte `at` of the piece, and how many follow it.
    fn place(&self, at: u64) -> (u64, u64) {
        let at = self.inside.saturating_add(at);
        let row = (at / self.size).saturating_mul(self.columns).saturating_add(self.column);
        let place = self.base.saturating_add(row.saturating_mul(self.size)).saturating_add(at % self.size);
        (place, self.size - at % self.size)
    }
}

impl Source {
    /// The same, `by` bytes further on.
    fn skip(&self, by: u64) -> Self {
        match self {
            Self::Bytes(bytes, at) => Self::Bytes(bytes.clone(), at + by),
            Self::Content(disk, at) => Self::Content(disk.clone(), at + by),
            Self::Stripe(disk, stripe) => {
                Self::Stripe(disk.clone(), Stripe { inside: stripe.inside + by, ..*stripe })
            }
        }
    }
}

impl Assembled {
    pub(crate) fn new(size: u64, details: Details) -> Self {
        Self { size, pieces: Vec::new(), details }
    }

    /// Puts bytes at `start`, over what is there; what lies beyond the disk is left out.
    pub(crate) fn put(&mut self, start: u64, len: u64, from: Source) {
        let end = start.saturating_add(len).min(self.size);
        if start >= end {
            return;
        }
        let mut pieces = Vec::with_capacity(self.pieces.len() + 2);
        for piece in self.pieces.drain(..) {
            if piece.start < start {
                pieces.push(Piece { end: piece.end.min(start), ..piece.clone() });
            }
            if piece.end > end {
                let first = piece.start.max(end);
                let from = piece.from.skip(first - piece.start);
                pieces.push(Piece { start: first, end: piece.end, from });
            }
        }
        let at = pieces.partition_point(|piece| piece.start < start);
        pieces.insert(at, Piece { start, end, from });
        self.pieces = pieces;
    }

    pub(crate) fn put_bytes(&mut self, start: u64, bytes: &[u8]) {
        self.put(start, bytes.len() as u64, Source::Bytes(bytes.into(), 0));
    }

    /// The piece that has `offset`, or how many bytes there are before the next.
    fn find(&self, offset: u64) -> Result<&Piece, u64> {
        let number = self.pieces.partition_point(|piece| piece.end <= offset);
        match self.pieces.get(number) {
            Some(piece) if piece.start <= offset => Ok(piece),
            Some(piece) => Err(piece.start - offset),
            None => Err(self.size - offset),
        }
    }

    fn check_range(&self, offset: u64, len: u64) -> Result<()> {
        check_guest_range(self.size, offset, len).map_err(|e| e.in_format(crate::FORMAT.name))
    }
}

impl Layer for Assembled {
    fn format(&self) -> &'static str {
        crate::FORMAT.name
    }

    fn virtual_size(&self) -> u64 {
        self.size
    }

    fn chunk_size(&self) -> u64 {
        512
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        self.check_range(offset, 1)?;
        let piece = match self.find(offset) {
            Err(len) => return Ok(Extent { offset, len, kind: ExtentKind::Zero }),
            Ok(piece) => piece,
        };
        let (inside, left) = (offset - piece.start, piece.end - offset);
        let inner = |disk: &Disk, at: u64, len: u64| {
            let found = disk.extent_at(at)?;
            Ok(Extent { offset, len: found.len.min(len), kind: found.kind })
        };
        match &piece.from {
            Source::Bytes(..) => Ok(Extent { offset, len: left, kind: ExtentKind::Data }),
            Source::Content(disk, at) => inner(disk, at + inside, left),
            Source::Stripe(disk, stripe) => {
                let (at, len) = stripe.place(inside);
                if at >= disk.virtual_size() {
                    return Ok(Extent { offset, len: len.min(left), kind: ExtentKind::Zero });
                }
                inner(disk, at, len.min(left))
            }
        }
    }

    fn read_exact_at(&self, offset: u64, mut buf: &mut [u8]) -> Result<()> {
        self.check_range(offset, buf.len() as u64)?;
        let mut at = offset;
        while !buf.is_empty() {
            let found = self.find(at);
            let mut len = found.as_ref().map_or_else(|len| *len, |piece| piece.end - at);
            if let Ok(Piece { start, from: Source::Stripe(_, stripe), .. }) = &found {
                len = len.min(stripe.place(at - start).1);
            }
            let len = usize::try_from(len).unwrap_or(usize::MAX).min(buf.len());
            if len == 0 {
                return Err(
                    Error::contract(format!("an empty piece at {at:#x}")).in_format(crate::FORMAT.name)
                );
            }
            let (now, rest) = buf.split_at_mut(len);
            match found {
                Err(_) => now.fill(0),
                Ok(piece) => piece.read(at - piece.start, now)?,
            }
            (at, buf) = (at + len as u64, rest);
        }
        Ok(())
    }

    fn host_range(&self, offset: u64) -> Option<HostRange> {
        if offset >= self.size {
            return None;
        }
        let piece = self.find(offset).ok()?;
        let Source::Content(disk, at) = &piece.from else { return None };
        let range = disk.host_range(at + (offset - piece.start)).ok().flatten()?;
        Some(HostRange { len: range.len.min(piece.end - offset), ..range })
    }

    fn details(&self) -> Details {
        self.details.clone()
    }
}

impl Piece {
    fn read(&self, inside: u64, buf: &mut [u8]) -> Result<()> {
        match &self.from {
            Source::Bytes(bytes, at) => {
                let from = (at + inside) as usize;
                buf.copy_from_slice(&bytes[from..from + buf.len()]);
                Ok(())
            }
            Source::Content(disk, at) => disk.read_exact_at(at + inside, buf),
            Source::Stripe(disk, stripe) => {
                let (at, _) = stripe.place(inside);
                // The content may be smaller than its volume.
                let there = disk.virtual_size().saturating_sub(at).min(buf.len() as u64) as usize;
                let (now, rest) = buf.split_at_mut(there);
                rest.fill(0);
                if now.is_empty() { Ok(()) } else { disk.read_exact_at(at, now) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn bytes(text: &str) -> Source {
        Source::Bytes(text.as_bytes().into(), 0)
    }

    fn read(disk: Assembled) -> String {
        let disk = Disk::new(vec![Arc::new(disk)]).unwrap();
        let mut all = vec![b'?'; disk.virtual_size() as usize];
        disk.read_exact_at(0, &mut all).unwrap();
        let mut pieces = vec![b'?'; all.len()];
        for (at, byte) in pieces.chunks_mut(1).enumerate() {
            disk.read_exact_at(at as u64, byte).unwrap();
        }
        assert_eq!(all, pieces);
        assert_eq!(disk.extents(0, u64::MAX).map(|e| e.unwrap().len).sum::<u64>(), all.len() as u64);
        String::from_utf8(all).unwrap().replace('\0', ".")
    }

    #[test]
    fn what_comes_later_lies_over_what_was_there() {
        let mut disk = Assembled::new(12, Details::new());
        disk.put(1, 8, bytes("abcdefgh"));
        disk.put(3, 2, bytes("XY"));
        disk.put(0, 2, bytes("12"));
        disk.put(10, 5, bytes("vwxyz"));
        assert_eq!(read(disk), "12bXYefgh.vw");
    }

    #[test]
    fn stripes_take_their_column() {
        let mut inner = Assembled::new(11, Details::new());
        inner.put(0, 11, bytes("aabbccddeef"));
        let inner = Disk::new(vec![Arc::new(inner)]).unwrap();
        let mut disk = Assembled::new(7, Details::new());
        let stripe = Stripe { base: 0, size: 2, columns: 2, column: 1, inside: 0 };
        disk.put(0, 7, Source::Stripe(inner.clone(), stripe));
        disk.put(2, 1, bytes("!"));
        assert_eq!(read(disk), "bb!df..", "the content ends within its last stripe");
        let mut disk = Assembled::new(6, Details::new());
        disk.put(0, 6, Source::Stripe(inner, Stripe { column: 0, ..stripe }));
        assert_eq!(read(disk), "aaccee");
    }
}
