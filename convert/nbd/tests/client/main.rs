//! The client as it meets servers: those of other projects, our own, and hostile ones.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod hostile;
mod kit;
mod lies;
mod ours;
mod patience;
mod peers;
mod pieces;
mod tls;
mod writes;
