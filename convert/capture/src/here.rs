//! A disk of this machine as a [`Side`].

use crate::far_side::Side;
use crate::freeze::Frozen;
use crate::hashing::hash_pieces;
use format_core::{Disk, HashLevel, RangeSet, Remote, Result, masked};
use std::fmt;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

/// A disk that is here.
pub struct HereSide {
    disk: Disk,
    look: Option<fn(&Disk) -> Result<RangeSet>>,
    /// The disk without what is free.
    seen: Mutex<Disk>,
    identity: String,
    frozen: Mutex<Option<Frozen>>,
}

impl HereSide {
    /// This disk; `look` tells what its file systems do not use, where that shall be left out.
    #[must_use]
    pub fn new(disk: Disk, identity: String, look: Option<fn(&Disk) -> Result<RangeSet>>) -> Self {
        Self { seen: Mutex::new(disk.clone()), disk, look, identity, frozen: Mutex::default() }
    }
}

impl fmt::Debug for HereSide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HereSide").field("identity", &self.identity).finish_non_exhaustive()
    }
}

impl Remote for HereSide {
    fn identity(&self) -> Option<String> {
        Some(self.identity.clone())
    }

    fn can_hash(&self) -> bool {
        true
    }

    fn hashes(
        &self,
        level: HashLevel,
        pieces: &[Range<u64>],
        each: &mut dyn FnMut(u64, [u8; 32]) -> Result<()>,
    ) -> Result<()> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        hash_pieces(&seen, level, pieces, each)
    }
}

impl Side for HereSide {
    fn freeze(&self, places: &[String], seconds: u64) -> Result<()> {
        let mut frozen = self.frozen.lock().unwrap_or_else(PoisonError::into_inner);
        *frozen = None;
        *frozen = Some(Frozen::new(places, seconds)?);
        Ok(())
    }

    fn thaw(&self) -> Result<()> {
        let frozen = self.frozen.lock().unwrap_or_else(PoisonError::into_inner).take();
        frozen.map_or(Ok(()), Frozen::thaw)
    }

    fn free(&self) -> Result<RangeSet> {
        let Some(look) = self.look else { return Ok(RangeSet::default()) };
        let free = look(&self.disk)?;
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = masked(&self.disk, &free);
        Ok(free)
    }
}
