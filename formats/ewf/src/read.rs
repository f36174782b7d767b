//! An image as a layer.

use crate::image::Image;
use crate::layout::MAX_CHUNK;
use crate::table::Form;
use format_core::{Details, Error, Extent, ExtentKind, Layer, Result, Warning, check_guest_range};
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes of chunks that are kept for small reads.
const KEPT: u64 = 8 << 20;
/// Larger chunks are unpacked one at a time, so that many threads do not need the memory of each.
const LARGE: u64 = 1 << 20;

pub(crate) struct EwfLayer {
    pub(crate) image: Arc<Image>,
    /// Chunks of which only a part was wanted, the one used last at the end.
    recent: Mutex<Vec<(u64, Arc<[u8]>)>>,
}

impl EwfLayer {
    pub(crate) fn new(image: Arc<Image>) -> Self {
        Self { image, recent: Mutex::default() }
    }

    fn part(&self, chunk: u64, inside: usize, out: &mut [u8]) -> Result<()> {
        let size = self.image.volume.chunk_size();
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = recent.iter().position(|(kept, _)| *kept == chunk) {
            recent[found..].rotate_left(1);
        } else {
            let read = || -> Result<Arc<[u8]>> {
                let mut bytes = vec![0; self.image.chunk_len(chunk).min(MAX_CHUNK) as usize];
                self.image.read_chunk(chunk, &mut bytes)?;
                Ok(bytes.into())
            };
            let bytes = if size > LARGE {
                recent.clear();
                read()?
            } else {
                drop(recent);
                let bytes = read()?;
                recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
                bytes
            };
            while !recent.is_empty() && (recent.len() as u64 + 1).saturating_mul(size) > KEPT {
                recent.remove(0);
            }
            recent.push((chunk, bytes));
        }
        let bytes = recent.last().and_then(|(_, bytes)| bytes.get(inside..)?.get(..out.len()));
        out.copy_from_slice(bytes.ok_or_else(|| Error::contract("a chunk that is shorter than the disk"))?);
        Ok(())
    }
}

impl Layer for EwfLayer {
    fn format(&self) -> &'static str {
        crate::FORMAT.name
    }

    fn virtual_size(&self) -> u64 {
        self.image.volume.virtual_size()
    }

    fn chunk_size(&self) -> u64 {
        self.image.volume.chunk_size()
    }

    /// Every chunk is stored, zeros too.
    fn extent_at(&self, offset: u64) -> Result<Extent> {
        let size = self.virtual_size();
        if offset >= size {
            return Err(Error::usage(format!(
                "extent asked for at {offset:#x} of a disk of {size:#x} bytes"
            )));
        }
        Ok(Extent { offset, len: size - offset, kind: ExtentKind::Data })
    }

    fn read_exact_at(&self, offset: u64, mut buf: &mut [u8]) -> Result<()> {
        check_guest_range(self.virtual_size(), offset, buf.len() as u64)?;
        let size = self.chunk_size();
        let mut at = offset;
        while !buf.is_empty() {
            let (chunk, inside) = (at / size, at % size);
            let whole = self.image.chunk_len(chunk);
            let len = whole.saturating_sub(inside).min(buf.len() as u64);
            if len == 0 {
                return Err(Error::contract(format!("an empty chunk at {at:#x}")));
            }
            let (now, rest) = buf.split_at_mut(len as usize);
            if len == whole {
                self.image.read_chunk(chunk, now)?;
            } else {
                self.part(chunk, inside as usize, now)?;
            }
            buf = rest;
            at += len;
        }
        Ok(())
    }

    fn is_compressed_at(&self, offset: u64) -> bool {
        let place = self.image.tables.place(&self.image.segments, offset / self.chunk_size());
        place.is_ok_and(|place| place.is_some_and(|place| place.form == Form::Zlib))
    }

    fn details(&self) -> Details {
        self.image.details()
    }

    fn warnings(&self) -> &[Warning] {
        &self.image.warnings
    }
}
