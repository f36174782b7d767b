//! Endpoints on this machine: servers of Python and OpenSSL, a proxy of Debian (tinyproxy), and servers that do what none should.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod certificates;
mod hostile;
mod plain;
mod servers;
