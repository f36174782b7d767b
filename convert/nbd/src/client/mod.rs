//! The client: exports of other servers, read and written.
//!
//! ```text
//!  NbdAddress ──▶ Connector ──▶ Transport ──▶ Line (a clock; TLS) ──▶ Haggle ──▶ Connection ──▶ Pool ─┬─▶ NbdDisk    (Storage)
//!                                                                     handshake  requests             └─▶ NbdTarget  (TargetStorage)
//! ```
//!
//! A server is a stranger. Each reply is checked against what was asked (number, kind, lengths, offsets inside of the range, nothing
//! twice, nothing missing), each step has an end in time that no dripping of bytes puts off, and what is kept of its answers is bounded.

mod address;
mod bitmap;
mod connection;
mod connectors;
mod disk;
mod endpoint;
mod extents;
mod facts;
mod fault;
mod haggle;
mod limits;
mod line;
mod list;
mod pending;
mod pool;
mod status;
mod target;
mod tls;
mod transport;

pub use address::NbdAddress;
pub use connectors::CommandConnector;
pub use disk::NbdDisk;
pub use limits::ClientLimits;
pub use list::NbdExport;
pub use target::NbdTarget;
pub use transport::{Connector, Polled, Transport};
