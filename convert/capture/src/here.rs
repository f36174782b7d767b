//! A disk of this machine as a [`Side`].

use crate::far_side::Side;
use crate::freeze::Frozen;
use crate::hashing::hash_pieces;
use format_core::{Disk, HashLevel, Remote, Result};
use std::fmt;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

/// A disk that is here.
pub struct HereSide {
    disk: Disk,
    identity: String,
    frozen: Mutex<Option<Frozen>>,
}

impl HereSide {
    /// This disk.
    #[must_use]
    pub fn new(disk: Disk, identity: String) -> Self {
        Self { disk, identity, frozen: Mutex::default() }
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
        hash_pieces(&self.disk, level, pieces, each)
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
}
