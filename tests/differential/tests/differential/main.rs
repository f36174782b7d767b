//! Every image is read by us and by readers of other projects. A difference has to be known, with a proof that we are
//! right; a known one that is gone fails, too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

mod compare;
mod corpus;
mod generated;
mod known;
mod readers;
