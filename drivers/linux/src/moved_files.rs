//! Configuration files that are found by the name of an interface, and get another name with it.

use crate::config_file::{exists, read};
use driver_core::Draft;
use format_core::{Error, Result};

/// One file: where it is, where it will be, and what will be in it.
pub(crate) struct Move {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) content: Vec<u8>,
    /// Why.
    pub(crate) reason: String,
}

/// Refuses when a file would take the place of one that stays. Plans nothing.
pub(crate) fn check(draft: &Draft<'_>, moves: &[Move]) -> Result<()> {
    for one in moves.iter().filter(|one| one.from != one.to) {
        let leaves = moves.iter().any(|other| other.from == one.to && other.from != other.to);
        let twice = moves.iter().filter(|other| other.to == one.to).count() > 1;
        if twice || exists(draft, &one.to)? && !leaves {
            return Err(Error::needs_person(format!("{} exists and configures something else", one.to))
                .hint(format!(
                    "remove {} or {} before exporting, whichever is not in use",
                    one.to, one.from
                )));
        }
    }
    Ok(())
}

/// Plans the moves; call [`check`] for all of them before.
pub(crate) fn plan(draft: &mut Draft<'_>, moves: Vec<Move>) -> Result<()> {
    for one in moves.iter().filter(|one| one.from != one.to) {
        if read(draft, &one.from)?.is_some() {
            draft.remove(&one.from, &one.reason)?;
        }
    }
    moves.into_iter().try_for_each(|one| draft.write(&one.to, one.content, &one.reason))
}
