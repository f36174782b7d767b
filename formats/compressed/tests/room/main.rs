//! Compressed files that lie, that are cut, that other programs made, and that other programs judge.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

mod broken;
mod foreign;
mod hostile;
mod random;
mod tools;
mod writing;
