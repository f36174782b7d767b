//! The tests of this room.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

mod errors;
mod hostile;
mod interop;
mod maker;
mod model;
