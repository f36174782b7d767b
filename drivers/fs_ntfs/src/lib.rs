//! NTFS in process: an own reader, and editing through libntfs-3g over an overlay.
//!
//! ```text
//!  open ─▶ boot sector ─▶ $MFT ─▶ left in order? ─▶ own files sound? ─▶ trial file ─▶ NtfsFs (GuestFs)
//!             │ checks                 │ no                │ no           │ held back,       │
//!             ▼                        ▼                   ▼              ▼ taken back       ├─ read: own reader
//!          an error              read-only, with the reason and the remedy kept              └─ edit: checks ─▶ libntfs-3g
//! ```
//!
//! Everything is read by safe code. The library gets to see a volume only for edits, and then only after the volume's own
//! files and whatever lies on the path of the edit were parsed and found whole: it trusts run lists, indexes and sizes.
//!
//! Supported and unsupported features, and the sources of all facts: `SPEC.md` of this folder.

mod boot;
mod bytes;
mod descriptor;
mod edit;
mod error;
mod file;
mod folder;
mod free;
mod fs;
mod hibernation;
mod index;
mod indexes;
mod inode;
mod layout;
mod library;
mod lznt1;
mod mft;
mod name;
mod own;
mod probe;
mod record;
mod reparse;
mod runs;
mod state;
mod stream;
mod upcase;
mod wof;

pub use fs::{NtfsFs, open, open_with};
pub use hibernation::{Discarded, Opening, Options};
pub use probe::{NtfsFacts, bitlocker, probe};
