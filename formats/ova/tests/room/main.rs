//! Tests of the OVF room.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

mod broken;
mod builder;
mod golden;
mod hostile;
mod writing;
