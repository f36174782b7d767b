//! Replay of the journal (JBD2), as the kernel does it at mount: scan, collect revokes, write.
//!
//! Everything is checked before the first block is written: a journal that cannot be replayed as a whole leaves the
//! volume as it was.

mod layout;
mod parse;
mod replay;
mod scan;

pub(crate) use replay::Journal;
