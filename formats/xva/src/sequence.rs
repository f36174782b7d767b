//! Where each block belongs, and whether all are there.
//!
//! Blocks are numbered by disk; a number that is left out is a block of zeros as long as the first. A block of no bytes is
//! written to keep a connection alive: it takes a number and no room. So a place is the sum of what came before.

use crate::error::XvaError;
use crate::ova::Ova;

/// The longest block that is read; exports have blocks of 1 MiB.
const MAX_BLOCK: u64 = 1 << 30;

/// What has come so far.
pub(crate) struct Sequence {
    disks: Vec<Progress>,
    /// The block whose checksum has to come next.
    open: Option<(usize, u64)>,
    has_inline_sums: bool,
}

#[derive(Clone, Default)]
struct Progress {
    last: Option<u64>,
    first_len: u64,
    end: u64,
}

impl Sequence {
    pub(crate) fn new(ova: &Ova) -> Self {
        let disks = vec![Progress::default(); ova.disks.len()];
        Self { disks, open: None, has_inline_sums: ova.has_inline_sums }
    }

    /// Whether a block of the disk came.
    pub(crate) fn has(&self, disk: usize) -> bool {
        self.disks.get(disk).is_some_and(|progress| progress.last.is_some())
    }

    /// Takes a block of `len` bytes: its place on the disk.
    pub(crate) fn block(&mut self, ova: &Ova, disk: usize, number: u64, len: u64) -> Result<u64, XvaError> {
        self.closed(ova)?;
        let (name, size) = (|| name_of(ova, disk), ova.disks.get(disk).map_or(0, |vdi| vdi.size));
        if len > MAX_BLOCK {
            return Err(XvaError::TooLong { what: "a block", len, most: MAX_BLOCK });
        }
        let Some(progress) = self.disks.get_mut(disk) else {
            return Err(XvaError::UnknownDisk { name: name() });
        };
        let skipped = match progress.last {
            None if number != 0 => return Err(XvaError::FirstBlock { disk: name(), number }),
            None => {
                progress.first_len = len;
                0
            }
            Some(last) if number <= last => return Err(XvaError::Order { disk: name(), number, last }),
            Some(last) => number - last - 1,
        };
        let offset = skipped.saturating_mul(progress.first_len).saturating_add(progress.end);
        let end = offset.saturating_add(len);
        if end > size {
            return Err(XvaError::BeyondEnd { disk: name(), number, offset, len, size });
        }
        (progress.last, progress.end) = (Some(number), end);
        self.open = Some((disk, number));
        Ok(offset)
    }

    /// Takes the checksum of a block.
    pub(crate) fn sum(&mut self, ova: &Ova, disk: usize, number: u64) -> Result<(), XvaError> {
        if self.open.take() != Some((disk, number)) {
            return Err(XvaError::StraySum { disk: name_of(ova, disk), number });
        }
        Ok(())
    }

    fn closed(&mut self, ova: &Ova) -> Result<(), XvaError> {
        match self.open.take().filter(|_| self.has_inline_sums) {
            Some((disk, number)) => Err(XvaError::NoSum { disk: name_of(ova, disk), number }),
            None => Ok(()),
        }
    }

    /// All disks have to be whole when the file ends at `at`.
    pub(crate) fn finish(&mut self, ova: &Ova, at: u64) -> Result<(), XvaError> {
        if self.disks.iter().all(|progress| progress.last.is_none())
            && ova.disks.iter().any(|disk| disk.size > 0)
        {
            return Err(XvaError::OnlyMetadata);
        }
        for (progress, vdi) in self.disks.iter().zip(&ova.disks) {
            let is_wanted = progress.last.is_some() || vdi.is_expected;
            if progress.end < vdi.size && is_wanted {
                let (disk, size) = (vdi.reference.clone(), vdi.size);
                return Err(XvaError::Missing { disk, end: progress.end, size, at });
            }
        }
        self.closed(ova)
    }
}

fn name_of(ova: &Ova, disk: usize) -> String {
    ova.disks.get(disk).map(|vdi| vdi.reference.clone()).unwrap_or_default()
}
