//! XFS in process: reading, and overwriting files within the blocks they have.
//!
//! ```text
//!  open ─▶ superblock ─▶ log: clean? ─▶ XfsFs (GuestFs)
//!             │ checks       │ no            │ path ─▶ folder ─▶ inode ─▶ extents ─▶ bytes
//!             ▼              ▼               │
//!          an error    neither read       edit: every block is written, unshared, and not free,
//!                      nor edited               an inode chunk, an AG header or the log ─▶ overwrite
//! ```
//!
//! The log is never replayed: a file system whose log does not end in an unmount record is for the guest's own kernel
//! to mount first. Nothing is allocated and no name changes, so no B+tree is ever written: an edit is the file's own blocks
//! and its inode.
//!
//! Supported and unsupported features, and the sources of all facts: `SPEC.md` of this folder.

mod ag;
mod btree;
mod checksum;
mod dir;
mod edit;
mod error;
mod extents;
mod free;
mod fs;
mod inode;
mod layout;
mod log;
mod probe;
mod superblock;
mod symlink;
mod volume;

pub use fs::{Opening, XfsFs, open};
pub use probe::{XfsFacts, probe};
