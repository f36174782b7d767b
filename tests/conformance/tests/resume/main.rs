//! Copies that are interrupted, and what becomes of them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

mod bench;
mod changes;
mod machine;
mod matrix;
