//! Backups of Macrium Reflect X, as their maker published the layout.
//!
//! ```text
//!  blocks of data … │ per disk: $TRACK0, $EPT, per partition: $BITMAP, $INDEX │ $JSON, $AUXDATA │ place, MACRIUM_FILE
//!
//!  $JSON ─▶ disks, partitions, where their metadata begin, which set and which file of it
//!  $INDEX ─▶ for each block of a partition: file of the set, place, length, MD5 of its content
//!  $TRACK0, $EPT ─▶ what lies before and between partitions
//! ```
//!
//! The file that is named says which point in time is read; the other files of its set are found beside it by what they
//! say about themselves. `SPEC.md` tells what was checked against files of the product and what was not.

mod assemble;
mod check;
mod container;
mod crypt;
mod error;
mod index;
mod json;
mod layout;
mod map;
mod metadata;
mod read;
mod set;
mod table;

use format_core::{Format, Score};

/// Macrium's backups since Reflect X.
#[allow(clippy::needless_update, reason = "a new ability of formats should not touch this room")]
pub static FORMAT: Format = Format {
    name: "mrimgx",
    extensions: &["mrimgx", "mrbakx"],
    description: "Macrium Reflect X backups: full, differential and incremental",
    probe: |_, tail| if tail.ends_with(layout::MAGIC) { Score::Magic } else { Score::No },
    open_container: Some(container::open),
    ..Format::NONE
};
