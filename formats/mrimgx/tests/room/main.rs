//! Backups of Macrium Reflect X that are made here after the published layout, and by another implementation of it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

mod broken;
mod builder;
mod foreign;
mod golden;
mod hostile;
mod sets;
