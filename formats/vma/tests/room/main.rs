//! VMA backups that were built, that lie, that are cut, and that Proxmox's own tool made.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

mod broken;
mod builder;
mod corpus;
mod good;
mod hostile;
mod stream;
