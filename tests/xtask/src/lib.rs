//! Chores of the project, as programs: `cargo xtask man DIR`, `cargo xtask readme [--check]`, `cargo xtask rules`.
//!
//! [`rules`] holds the house rules that a program can check; the tests of this crate run them on the whole tree, and on
//! small trees that break each of them.

pub mod man;
pub mod readme;
pub mod rules;

use std::path::{Path, PathBuf};

/// The folder of the workspace that this program was built from.
#[must_use]
pub fn project_root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_path_buf()
}

/// A message with the path that it is about.
fn about<'a, E: std::fmt::Display>(path: &'a Path) -> impl Fn(E) -> String + 'a {
    move |error| format!("{}: {error}", path.display())
}
