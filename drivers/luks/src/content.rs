//! The content of a LUKS volume as a volume.

use crate::cipher::{SECTOR, SectorCipher};
use crate::header::Segment;
use driver_core::Volume;
use format_core::{Error, Result};
use std::sync::{Arc, PoisonError, RwLock};
use zeroize::Zeroizing;

/// Bytes that are encrypted and written at once; a multiple of every sector size.
const PIECE: usize = 256 << 10;

/// Decrypts what is read and encrypts what is written. Sectors of the encryption are read and written whole.
pub(crate) struct Content {
    below: Arc<dyn Volume>,
    cipher: SectorCipher,
    /// First byte on the volume below.
    start: u64,
    size: u64,
    first_number: u64,
    /// Held by writers alone: between a reader's or a writer's half sector and its other half nothing may change.
    lock: RwLock<()>,
}

impl Content {
    /// `segment` lies on `below`, which was checked.
    pub(crate) fn new(below: Arc<dyn Volume>, segment: &Segment, cipher: SectorCipher) -> Self {
        let (start, size, first_number) = (segment.offset, segment.size, segment.first_number);
        Self { below, cipher, start, size, first_number, lock: RwLock::default() }
    }

    fn check(&self, offset: u64, len: usize) -> Result<()> {
        match offset.checked_add(len as u64) {
            Some(end) if end <= self.size => Ok(()),
            _ => Err(Error::usage(format!(
                "{len:#x} bytes at {offset:#x} leave the encrypted volume of {:#x} bytes",
                self.size
            ))),
        }
    }

    fn number(&self, offset: u64) -> u64 {
        self.first_number.wrapping_add(offset / SECTOR)
    }

    /// Whole sectors from `offset`, where one begins.
    fn read_sectors(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.below.read_exact_at(self.start + offset, buf)?;
        self.cipher.decrypt(self.number(offset), buf);
        Ok(())
    }

    /// The sector that holds `offset`: where it begins, where `offset` is in it, and how much of `len` it has.
    fn part(&self, offset: u64, len: usize) -> (u64, usize, usize) {
        let size = self.cipher.sector_size();
        let inside = (offset % size as u64) as usize;
        (offset - inside as u64, inside, len.min(size - inside))
    }

    /// Changes part of a sector; the caller holds the lock.
    fn write_part(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let (at, inside, len) = self.part(offset, bytes.len());
        let mut sector = Zeroizing::new(vec![0; self.cipher.sector_size()]);
        self.read_sectors(at, &mut sector)?;
        if let (Some(target), Some(new)) = (sector.get_mut(inside..inside + len), bytes.get(..len)) {
            target.copy_from_slice(new);
        }
        self.cipher.encrypt(self.number(at), &mut sector);
        self.below.write_all_at(self.start + at, &sector)
    }
}

impl Volume for Content {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.check(offset, buf.len())?;
        let _held = self.lock.read().unwrap_or_else(PoisonError::into_inner);
        let size = self.cipher.sector_size();
        let (mut at, mut rest) = (offset, buf);
        while !rest.is_empty() {
            let (sector_at, inside, len) = self.part(at, rest.len());
            // Whole sectors are decrypted where they are wanted.
            let taken = if inside == 0 && rest.len() >= size { rest.len() - rest.len() % size } else { len };
            let (piece, more) = rest.split_at_mut(taken);
            if piece.len() >= size {
                self.read_sectors(at, piece)?;
            } else {
                let mut sector = Zeroizing::new(vec![0; size]);
                self.read_sectors(sector_at, &mut sector)?;
                piece.copy_from_slice(sector.get(inside..inside + taken).unwrap_or_default());
            }
            at += taken as u64;
            rest = more;
        }
        Ok(())
    }

    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.check(offset, bytes.len())?;
        let _held = self.lock.write().unwrap_or_else(PoisonError::into_inner);
        let size = self.cipher.sector_size();
        let mut buffer = Vec::new();
        let (mut at, mut rest) = (offset, bytes);
        while !rest.is_empty() {
            let (_, inside, len) = self.part(at, rest.len());
            let whole = inside == 0 && rest.len() >= size;
            let taken = if whole { (rest.len() - rest.len() % size).min(PIECE) } else { len };
            let (piece, more) = rest.split_at(taken);
            if whole {
                buffer.clear();
                buffer.extend_from_slice(piece);
                self.cipher.encrypt(self.number(at), &mut buffer);
                self.below.write_all_at(self.start + at, &buffer)?;
            } else {
                self.write_part(at, piece)?;
            }
            at += taken as u64;
            rest = more;
        }
        Ok(())
    }
}
