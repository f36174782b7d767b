//! An NBD server: disks as block devices for other programs.
//!
//! ```text
//!  Listener ──accept──▶ a thread for each connection: handshake ──▶ Session ──▶ transmission
//!                                                        │                          │
//!                                                     Exports ── name ──▶ Export ◀──┘  read · write · zero · extents
//! ```
//!
//! The protocol is described in `doc/proto.md` of the NetworkBlockDevice project; comments name its sections. That text calls
//! some of what is here an extension (`WRITE_ZEROES`, `INFO`, `FAST_ZERO`, `CACHE`); later versions and qemu, nbdkit and libnbd have them
//! as they are here.
//!
//! What is spoken: fixed newstyle negotiation, simple and structured replies, `base:allocation`. What is not: TLS (a listener is a
//! unix socket that only its owner can open, or a loopback address), extended headers, oldstyle negotiation.
//!
//! A peer is a stranger. Every length it says is checked before anything is allocated or read for it, the handshake has a time limit, a
//! connection holds at most 2 MiB, and whatever breaks the protocol ends that connection and nothing else. A connection
//! answers one request after the other, in order; what a client sends ahead waits in the socket.

mod export;
mod exports;
mod extents;
mod handshake;
mod listener;
mod options;
mod replies;
mod request;
mod server;
mod stream;
mod transmission;
mod wire;

pub use export::{DiskExport, Export, OverlayExport};
pub use exports::Exports;
pub use listener::{Address, Listener};
pub use server::{Limits, Server, converse};
pub use wire::MAX_REQUEST;
