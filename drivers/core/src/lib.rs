//! Guest facts, edits and fixups: the vocabulary of the driver stage.
//!
//! ```text
//!  Volume ─▶ GuestFs ─┐
//!  Volume ─▶ GuestFs ─┴▶ GuestTree ─inspect─▶ Guest (facts)
//!                            │                   │
//!                            ▼                   ▼
//!                          Draft ◀──plan── Fixup × Target ─▶ Plan (edits as data) ─▶ apply + undo copies
//! ```

mod guest_fs;
mod volume;

pub use guest_fs::{DirEntry, FileKind, FileMeta, GuestFs, Ownership};
pub use volume::Volume;
