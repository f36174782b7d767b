//! Reports as those see them who read them: browsers, terminals, schema validators, and the programs that sign.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod judge;
mod outcomes;
mod pages;
mod sample;
mod schema;
mod signatures;
mod texts;
