//! The contract of the format traits, as checks that every format runs.
//!
//! The ten lines are in the documentation of [`format_core`]; each check names the line that was broken.
//!
//! | line | check | what it watches |
//! |---|---|---|
//! | 1 | [`check_layer`], [`check_lookups`] | extents start where asked, have a length, end inside, cost one look-up |
//! | 2 | [`check_layer`], [`check_over_parent`] | Data gives bytes, Zero hides the parent, Unallocated shows it |
//! | 3 | [`check_layer`] | reads of any place and length, from many threads, are never short |
//! | 4 | [`check_over_parent`] | a shorter parent ends in zeros |
//! | 5 | [`check_flat`], [`check_refused`] | a disk is flat; a lying layer is an error, not a loop |
//! | 6 | [`Recorder`], [`check_sink`] | chunks never overlap; what is never mentioned is zero |
//! | 7 | [`check_sink`] | what was zeroed reads as zeros |
//! | 8 | [`check_abandoned`] | a dropped or failed sink leaves nothing |
//! | 9 | [`check_hostile`], [`check_layer`] | no panic, no hang for any argument and any file |
//! | 10 | [`check_digests`] | same content, same digest |
//!
//! `tests/formats.rs` runs them for every entry of `FORMATS`; `tests/fakes.rs` runs them on implementations that
//! break one line each and expects the check to name that line.

mod abandoned;
mod content;
mod digest;
mod disk;
mod hostile;
mod layer;
mod lookups;
mod options;
mod recorder;
mod sink;

pub use abandoned::check_abandoned;
pub use content::{Content, Noise, all_contents};
pub use digest::check_digests;
pub use disk::{Flatten, check_flat, check_over_parent, check_refused, flatten};
pub use hostile::{TIME_LIMIT, check_hostile};
pub use layer::check_layer;
pub use lookups::check_lookups;
pub use options::{Options, qemu_name, several_files_options, writer_options};
pub use recorder::Recorder;
pub use sink::{Delivery, check_files, check_sink, grown, open_bytes, write_image};

use std::fmt;

/// A line of the contract that was broken, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The line's number.
    pub line: u8,
    /// What happened.
    pub what: String,
}

/// What a check finds.
pub type Outcome<T = ()> = Result<T, Violation>;

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {} of the contract: {}", self.line, self.what)
    }
}

impl std::error::Error for Violation {}

/// The violation of `line` that `what` describes.
pub(crate) fn broken(line: u8, what: impl Into<String>) -> Violation {
    Violation { line, what: what.into() }
}

/// `Ok` when `holds`, else the violation of `line`.
pub(crate) fn require(line: u8, holds: bool, what: impl FnOnce() -> String) -> Outcome {
    if holds { Ok(()) } else { Err(broken(line, what())) }
}

/// The first place where two runs of bytes differ, for messages.
pub(crate) fn first_difference(a: &[u8], b: &[u8]) -> Option<usize> {
    if a == b {
        return None;
    }
    Some(a.iter().zip(b).position(|(a, b)| a != b).unwrap_or(a.len().min(b.len())))
}
