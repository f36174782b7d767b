//! The server as its clients meet it: well-behaved, odd and hostile ones.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod handshake;
mod model;
mod peer;
mod server;
mod transmission;
