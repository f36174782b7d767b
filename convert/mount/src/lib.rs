//! Disks, their volumes and the guest's files as a read-only file system of the host (FUSE).
//!
//! ```text
//!  kernel ──▶ Front (fuser's threads) ──Job──▶ Server (the caller's thread) ──▶ GuestTree
//!               │                                 │
//!               └──▶ Volume: disk.raw, …          └──▶ Shelf: the folders of the mount itself · Inodes: the guest's
//! ```
//!
//! Bytes of disks and volumes are read by fuser's threads, side by side. What a guest's file systems answer is asked for on
//! one thread, the caller's, because they are no more than one thread may use; a request travels there with its reply.
//!
//! The protocol is that of the kernel's `fuse.h`; fuser speaks it and mounts without libfuse: by mount(2) as root, by
//! `fusermount3` for everybody else.
//!
//! Nothing can be written, set-uid bits have no effect and no device can be opened (`ro`, `nosuid`, `nodev`). Names and paths come from
//! a stranger: a name that is none on this host is shown so that it cannot be one, and leads nowhere. The kernel asks for one name at a
//! time and resolves links itself, so no path of the guest leaves its tree here; where a link points, seen from the host, is the reader's
//! business, as with any mounted disk.

mod attributes;
mod front;
mod inodes;
mod names;
mod server;
mod session;
mod shelf;

pub use names::is_name;
pub use session::{Options, mount};
pub use shelf::{Contents, Tree};
