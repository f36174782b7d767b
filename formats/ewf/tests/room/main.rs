//! EWF images that other programs made, that lie, that are cut.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

mod broken;
mod builder;
mod corpus;
mod files;
mod hostile;
mod tools;
