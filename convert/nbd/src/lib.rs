//! NBD, both ends: a server of disks as block devices for other programs, and a client (`client`) of other servers' exports.
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
//! What is spoken: fixed newstyle negotiation, simple and structured replies, `base:allocation`; the client also `qemu:dirty-bitmap`, and TLS.
//! What is not: TLS of the server (a listener is a unix socket that only its owner can open, or a loopback address), extended headers,
//! oldstyle negotiation.
//!
//! A peer is a stranger. What that means for the client is said there; to the server it means that every length a client says is checked
//! before anything is allocated or read for it, that the handshake has a time limit and a connection holds at most 2 MiB, and that
//! whatever breaks the protocol ends that connection and nothing else. A connection answers one request after the other, in order; what a
//! client sends ahead waits in the socket.

mod client;
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

pub use client::{
    ClientLimits, CommandConnector, Connector, NbdAddress, NbdDisk, NbdExport, NbdTarget, Polled, Transport,
};
pub use export::{DiskExport, Export, OverlayExport};
pub use exports::Exports;
pub use listener::{Address, Listener};
pub use server::{Limits, Server, converse};
pub use wire::MAX_REQUEST;
