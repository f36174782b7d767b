//! What a machine says of itself, and what a source's side may answer.
#![allow(clippy::unwrap_used, clippy::panic)]

mod compressed;
mod facts;
mod health;
mod sides;
