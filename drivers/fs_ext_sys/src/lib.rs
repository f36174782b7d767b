//! The few calls of libext2fs that rehome needs, over an io_manager of its own.
//!
//! ```text
//!  driver-fs-ext ──▶ Filesystem (safe) ──▶ raw (extern "C") ──▶ shim.c ──▶ libext2fs.a
//!       ▲                                                         │ io_manager
//!       └───────────── BlockIo::read_at / write_at ◀── trampolines┘
//! ```
//!
//! The shim is compiled against the installed headers, so no layout of the library is written down by hand. The
//! library knows nothing of journals to replay or of orphans: the caller deals with both before it edits.
//!
//! The one crate of the workspace where `unsafe` is allowed.

mod callbacks;
mod damage;
mod error;
mod filesystem;
mod owners;
mod raw;

pub use callbacks::{BlockIo, IoFailed};
pub use damage::Damage;
pub use error::{Error, Result};
pub use filesystem::{Entry, Filesystem, Inode, Space};
pub use owners::{Group, Run, RunKind};
