//! A logical volume as a volume: segments, each in equal stripes.
//!
//! Within a striped segment, chunk `c` of `stripe_size` bytes is chunk `c / n` of stripe `c % n` (kernel documentation,
//! device-mapper "dm-stripe").

use driver_core::Volume;
use format_core::{Error, Result};
use std::sync::Arc;

/// A segment with places in bytes.
pub(crate) struct Segment {
    /// First byte in the logical volume.
    pub(crate) start: u64,
    pub(crate) len: u64,
    /// Equal to `len` with one stripe.
    pub(crate) stripe_size: u64,
    pub(crate) stripes: Vec<Stripe>,
}

/// One stripe: a run on a physical volume.
pub(crate) struct Stripe {
    pub(crate) volume: Arc<dyn Volume>,
    pub(crate) start: u64,
}

/// A mapped logical volume. Segments are contiguous from 0 and lie on their volumes: assembling checked that.
pub(crate) struct Mapped {
    pub(crate) segments: Vec<Segment>,
    pub(crate) size: u64,
    /// Why it must not be written.
    pub(crate) read_only: Option<String>,
}

impl Mapped {
    /// The volume and place of the byte at `offset`, and how many bytes go on there.
    fn place(&self, offset: u64) -> Result<(&dyn Volume, u64, u64)> {
        let index = self.segments.partition_point(|segment| segment.start + segment.len <= offset);
        let found = self.segments.get(index).and_then(|segment| {
            let inside = offset.checked_sub(segment.start)?;
            let (chunk, rest) = (inside / segment.stripe_size, inside % segment.stripe_size);
            let count = segment.stripes.len() as u64;
            let stripe = segment.stripes.get((chunk % count) as usize)?;
            let at = stripe.start + chunk / count * segment.stripe_size + rest;
            Some((stripe.volume.as_ref(), at, (segment.stripe_size - rest).min(segment.len - inside)))
        });
        found.ok_or_else(|| Error::contract(format!("no segment holds {offset:#x} of {:#x}", self.size)))
    }

    fn check(&self, offset: u64, len: usize) -> Result<()> {
        match offset.checked_add(len as u64) {
            Some(end) if end <= self.size => Ok(()),
            _ => Err(Error::usage(format!(
                "{len:#x} bytes at {offset:#x} leave the logical volume of {:#x} bytes",
                self.size
            ))),
        }
    }
}

impl Volume for Mapped {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.check(offset, buf.len())?;
        let (mut at, mut rest) = (offset, buf);
        while !rest.is_empty() {
            let (volume, place, len) = self.place(at)?;
            let (piece, more) = rest.split_at_mut(rest.len().min(usize::try_from(len).unwrap_or(usize::MAX)));
            volume.read_exact_at(place, piece)?;
            at += piece.len() as u64;
            rest = more;
        }
        Ok(())
    }

    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.check(offset, bytes.len())?;
        if let Some(reason) = &self.read_only {
            return Err(Error::needs_person(reason.clone()));
        }
        let (mut at, mut rest) = (offset, bytes);
        while !rest.is_empty() {
            let (volume, place, len) = self.place(at)?;
            let (piece, more) = rest.split_at(rest.len().min(usize::try_from(len).unwrap_or(usize::MAX)));
            volume.write_all_at(place, piece)?;
            at += piece.len() as u64;
            rest = more;
        }
        Ok(())
    }
}
