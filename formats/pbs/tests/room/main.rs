//! The room's tests: datastores made here, and by another implementation of the format in Python.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

mod broken;
mod builder;
mod foreign;
mod golden;
mod hostile;
mod naming;
