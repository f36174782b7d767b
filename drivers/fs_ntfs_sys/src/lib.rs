//! The few calls of libntfs-3g that rehome needs, over device operations of its own.
//!
//! ```text
//!  driver-fs-ntfs ──▶ Filesystem (safe) ──▶ raw (extern "C") ──▶ shim ──▶ libntfs-3g.a
//!       ▲                                                          │ ntfs_device_operations
//!       └───────────── BlockIo::read_at / write_at ◀── trampolines ┘
//! ```
//!
//! The shim is compiled against the installed headers, so no layout of the library is written down by hand. The library
//! sees the caller's bytes and nothing of this machine: no file, no device, no terminal.
//!
//! Only edits go through here; the caller reads NTFS by itself, and looks at everything that an edit touches before the
//! library does.

mod callbacks;
mod error;
mod filesystem;
mod raw;

pub use callbacks::{BlockIo, IoFailed};
pub use error::{Error, Result};
pub use filesystem::{Filesystem, State};
