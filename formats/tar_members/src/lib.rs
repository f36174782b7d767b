//! The members of a tar archive: where each begins, what it is called, where its holes are.
//!
//! ```text
//!  ┌───────────────────────┬────────┬─────┬──────┬─────────┬───┬───────────────┐
//!  │ long name, pax records│ header │ map │ data │ padding │ … │ 2 zero blocks │   all in blocks of 512 bytes
//!  └───────────────────────┴────────┴─────┴──────┴─────────┴───┴───────────────┘
//! ```
//!
//! Not a room: it knows no disks. `formats/tar` and `formats/ova` are built on it. Read are v7, ustar, GNU and pax headers with
//! long names, sizes in octal, base 256 and pax records, and the four ways in which GNU tar keeps sparse files (old GNU, pax
//! 0.0, 0.1 and 1.0). Every header's checksum is compared; the data of a member have none.
//!
//! One [`Walker`] serves files and pipes: it only ever goes forward.

mod error;
mod header;
mod input;
mod map;
mod pax;
mod walk;
mod write;

pub use input::{Input, ReadInput, StorageInput};
pub use map::{Segment, SparseStorage};
pub use walk::{End, Kind, Member, Walker};
pub use write::{Dialect, NewMember, SPARSE_IN_BLOCK, SPARSE_IN_HEADER, end_len, padding};

/// Everything in an archive begins at a multiple of this many bytes.
pub const BLOCK: u64 = 512;

/// Whether these bytes begin with a header whose magic and checksum are right.
#[must_use]
pub fn is_tar(head: &[u8]) -> bool {
    let Some(block) = head.first_chunk::<512>() else { return false };
    header::has_magic(block) && header::Header::parse(block, 0).is_ok_and(|header| header.is_some())
}

/// The members that can be told from the beginning of an archive, without their maps.
#[must_use]
pub fn members_in(head: &[u8]) -> Vec<Member> {
    let mut walker = Walker::glance(head);
    std::iter::from_fn(|| walker.next_member().ok().flatten()).collect()
}
