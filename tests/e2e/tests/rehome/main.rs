//! What an operator sees of rehome: arguments in; files, output and exit codes out.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bench;
mod compare;
mod convert;
mod differences;
mod errors;
mod guest;
mod hostile;
mod images;
mod interrupted;
mod migrate;
mod operator;
mod output;
mod places;
mod reflinks;
mod sync;
mod verify;
