//! Folders made in code: what is put where, what is refused, and what nonsense does. Folders of the real tools are judged by
//! `tests/interop/tests/clonezilla.rs`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

mod broken;
mod builder;
mod golden;
mod hostile;
