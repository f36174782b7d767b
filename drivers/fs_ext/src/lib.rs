//! ext2, ext3 and ext4 in process: journal replay, orphans, and editing through libext2fs over an overlay.
//!
//! ```text
//!  open ─▶ superblock ─▶ obstacles? ─▶ journal replay ─▶ orphans ─▶ ExtFs (GuestFs)
//!             │ checks       │            (own, JBD2)     (own)       │
//!             ▼              ▼                 │             │        ▼
//!          an error     read-only with         └──── Volume (overlay) ◀── libext2fs
//!                       the reason kept
//! ```
//!
//! libext2fs knows nothing of replay and orphans: it opens a file system with a dirty journal without a word, and
//! the kernel's replay at the next mount would then overwrite what was edited. So both happen here first, as the
//! kernel does them. What cannot be replayed or edited safely can still be read; each edit then returns the reason.
//!
//! Supported and unsupported features, and the sources of all facts: `SPEC.md` of this folder.

mod checksum;
mod edit;
mod error;
mod file;
mod free;
mod fs;
mod journal;
mod layout;
mod names;
mod orphan;
mod owners;
mod probe;
mod superblock;

pub use fs::{ExtFs, Opening, open};
pub use owners::{Owned, Owner, Owners, owners};
pub use probe::{ExtFacts, probe};
