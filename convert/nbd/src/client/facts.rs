//! What a server says of an export, checked.

use super::fault::Fault;
use crate::wire::{ALLOCATION, Fields, able};
use format_core::{Error, printable};
use std::time::Duration;

/// The largest request, in bytes of data. Of a block several are under way, so that the server reads one while another is on the line,
/// and each is worked on while it is in a processor's cache; shorter ones were measured to cost more in wake-ups than they gain.
pub(crate) const PIECE: u64 = 512 << 10;
/// A server that answers within this is as good as on this machine.
const NEAR: Duration = Duration::from_micros(500);
/// Bytes of one connection that are on their way to a server: near ones were measured to be a third faster with few, which are still in a
/// processor's cache when they are written; to others they have to fill the line.
const UNDER_WAY: (u64, u64) = (512 << 10, 4 << 20);
/// No minimum block size is larger ("Block size constraints").
const MAX_MINIMUM: u32 = 64 << 10;

/// An export.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    /// In bytes, a multiple of `min_block`.
    pub(crate) size: u64,
    /// Transmission flags.
    pub(crate) flags: u16,
    /// Offsets and lengths are multiples of this, a power of two.
    pub(crate) min_block: u64,
    /// Requests with data have at most this many bytes, a multiple of `min_block` and at most [`PIECE`].
    pub(crate) piece: u64,
    /// Replies are structured.
    pub(crate) is_structured: bool,
    /// Metadata contexts that were chosen, with the numbers that stand for them.
    pub(crate) contexts: Vec<(String, u32)>,
    /// The quickest answer while this was agreed on.
    pub(crate) round_trip: Duration,
}

impl Facts {
    pub(crate) fn can(&self, flag: u16) -> bool {
        self.flags & able::HAS_FLAGS != 0 && self.flags & flag != 0
    }

    /// How long a request that brings data is at most, and how many are on their way at a time.
    pub(crate) fn writing(&self) -> (u64, usize) {
        let under_way = if self.round_trip <= NEAR { UNDER_WAY.0 } else { UNDER_WAY.1 };
        let piece = self.piece.min(UNDER_WAY.0 / 2);
        (piece, usize::try_from(under_way / piece.max(1)).unwrap_or(usize::MAX))
    }

    /// Whether blocks of the server begin at `place`.
    pub(crate) fn is_aligned(&self, place: u64) -> bool {
        place.is_multiple_of(self.min_block)
    }

    pub(crate) fn context(&self, name: &str) -> Option<u32> {
        self.contexts.iter().find(|(known, _)| known == name).map(|(_, id)| *id)
    }

    pub(crate) fn has_allocation(&self) -> bool {
        self.context(ALLOCATION).is_some()
    }

    /// Whether it is the same export, as far as can be told.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let named = |facts: &Self| facts.contexts.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        (self.size, self.flags) == (other.size, other.flags)
            && (self.min_block, self.piece) == (other.min_block, other.piece)
            && named(self) == named(other)
    }
}

/// Puts the facts together as they come in.
#[derive(Default)]
pub(crate) struct Gathered {
    pub(crate) export: Option<(u64, u16)>,
    pub(crate) blocks: Option<(u32, u32)>,
}

impl Gathered {
    /// An `NBD_INFO_EXPORT` or the answer to `NBD_OPT_EXPORT_NAME`.
    pub(crate) fn export(&mut self, mut fields: Fields<'_>) -> Result<(), Fault> {
        let (Some(size), Some(flags)) = (fields.u64(), fields.u16()) else {
            return Err(Fault::violation("the facts of the export are cut off"));
        };
        if i64::try_from(size).is_err() {
            return Err(Fault::violation(format!("the export has {size:#x} bytes, more than 63 bits")));
        }
        if self.export.replace((size, flags)).is_some() {
            return Err(Fault::violation("the server says the export's size twice"));
        }
        Ok(())
    }

    /// An `NBD_INFO_BLOCK_SIZE`.
    pub(crate) fn blocks(&mut self, mut fields: Fields<'_>) -> Result<(), Fault> {
        let (Some(min), Some(_preferred), Some(max)) = (fields.u32(), fields.u32(), fields.u32()) else {
            return Err(Fault::violation("the block sizes are cut off"));
        };
        let is_sane = min.is_power_of_two()
            && min <= MAX_MINIMUM
            && max >= min
            && (max == u32::MAX || max.is_multiple_of(min));
        if !is_sane {
            return Err(Fault::violation(format!("blocks of {min:#x} to {max:#x} bytes")));
        }
        self.blocks = Some((min, max));
        Ok(())
    }

    pub(crate) fn facts(self, is_structured: bool, contexts: Vec<(String, u32)>) -> Result<Facts, Fault> {
        let Some((size, flags)) = self.export else {
            return Err(Fault::violation("the server does not say the export's size"));
        };
        let (min, max) = self.blocks.unwrap_or((1, u32::MAX));
        let min_block = u64::from(min);
        if !size.is_multiple_of(min_block) {
            let text =
                format!("the export has {size:#x} bytes, and its end cannot be read in blocks of {min:#x}");
            return Err(Fault::Final(Error::unsupported(text).in_format("nbd")));
        }
        let piece = format_core::units::align_down(PIECE.min(max.into()), min_block);
        let round_trip = Duration::MAX;
        Ok(Facts { size, flags, min_block, piece, is_structured, contexts, round_trip })
    }
}

/// Names of a server as a line for people, cut where it gets long.
pub(crate) fn listed(names: &[String]) -> String {
    const SHOWN: usize = 20;
    let mut text = names.iter().take(SHOWN).map(|name| format!("{:?}", printable(name))).collect::<Vec<_>>();
    if names.len() > SHOWN {
        text.push(format!("and {} more", names.len() - SHOWN));
    }
    if text.is_empty() { "none".into() } else { text.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::{Facts, NEAR};
    use std::time::Duration;

    #[test]
    fn less_is_on_its_way_to_a_near_server() {
        let far = NEAR + Duration::from_micros(1);
        let writing = |piece, round_trip| Facts { piece, round_trip, ..Facts::default() }.writing();
        assert_eq!((writing(512 << 10, NEAR), writing(512 << 10, far)), ((256 << 10, 2), (256 << 10, 16)));
        assert_eq!(
            (writing(64 << 10, NEAR), writing(64 << 10, Duration::MAX)),
            ((64 << 10, 8), (64 << 10, 64))
        );
    }
}
