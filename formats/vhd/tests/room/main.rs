//! The room against images that were built byte by byte.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod check;
mod differences;
mod errors;
mod footers;
mod hostile;
mod maker;
mod model;
mod parents;
