//! Images that attack: every attack for every format it applies to, with what rehome must answer.
//!
//! A [`Case`] is a folder of small (or sparse) files and the runs that are tried on them. `cargo xtask make-hostile DIR`
//! writes them all; `tests/harness.rs` runs each under a limit of memory and time.

pub mod case;
pub mod guests;
pub mod images;

pub use case::{Case, Content, Run};

/// All cases, in the order of their names.
#[must_use]
pub fn all() -> Vec<Case> {
    let mut cases = images::all();
    cases.extend(guests::all());
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    cases
}
