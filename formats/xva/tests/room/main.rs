//! XVA exports that were built, that lie, that are cut, and that another program made.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

mod broken;
mod builder;
mod corpus;
mod good;
mod hostile;
mod old;
