//! A disk of another machine: its bytes by NBD, and its side.

use crate::far_side::{FarSide, Side};
use crate::program::FarProgram;
use convert_nbd::{ClientLimits, CommandConnector, NbdDisk};
use format_core::{HashLevel, RangeSet, Remote, Result};
use std::ops::Range;
use std::sync::Arc;

/// The side of a disk over SSH. It keeps the program there for as long as it lives.
#[derive(Debug)]
pub struct SshSide {
    side: FarSide,
    _program: Arc<FarProgram>,
}

/// Opens the disk that is called `disk` there; with `skip_free`, its side says what its file systems do not use ([`Side::free`]).
///
/// # Errors
/// What the other side says; as the connections.
pub fn open_ssh_disk(
    program: &Arc<FarProgram>,
    disk: &str,
    skip_free: bool,
    limits: &ClientLimits,
) -> Result<(NbdDisk, Arc<SshSide>)> {
    let words = |what: &'static str| program.words(&["agent", what, "--", disk]);
    // Its first line says whether the disk can be opened there; NBD would only break.
    let side = FarSide::start(&words("session"), skip_free)?;
    let bytes = NbdDisk::over(Arc::new(CommandConnector::new(words("serve"))), "", limits)?;
    Ok((bytes, Arc::new(SshSide { side, _program: Arc::clone(program) })))
}

impl SshSide {
    /// What it said of the disk.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.side.hello().notes
    }
}

impl Remote for SshSide {
    fn identity(&self) -> Option<String> {
        self.side.identity()
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
        self.side.hashes(level, pieces, each)
    }
}

impl Side for SshSide {
    fn freeze(&self, places: &[String], seconds: u64) -> Result<()> {
        self.side.freeze(places, seconds)
    }

    fn thaw(&self) -> Result<()> {
        self.side.thaw()
    }

    fn free(&self) -> Result<RangeSet> {
        self.side.free()
    }
}
