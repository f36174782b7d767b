//! Folders as Windows makes them, with small images in them; real ones are read in `tests/interop`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

mod builder;
mod folders;
mod points;
