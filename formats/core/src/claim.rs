//! Places at which several machines write, and which one of them may.
//!
//! A store that puts an object only on a condition is enough to agree by: one run holds the claim on a place, renews it, and asks once
//! more before what it wrote becomes what all see. [`crate::Fence`] is the same for files.

use crate::Result;

/// Small objects that are put on a condition: one of several that put at once succeeds.
pub trait ConditionalStore: Send + Sync {
    /// The object's bytes and the tag of this state of it; `None` where there is none.
    ///
    /// # Errors
    /// What the store says: `Denied`, `Temporary`, `Io`.
    fn get(&self, key: &str) -> Result<Option<(Vec<u8>, String)>>;

    /// Puts the object where there is none yet, and gives its tag; `None` where there is one.
    ///
    /// # Errors
    /// As [`ConditionalStore::get`].
    fn put_if_absent(&self, key: &str, bytes: &[u8]) -> Result<Option<String>>;

    /// Puts the object in the place of the one with `tag`, and gives the new tag; `None` where it is not that one any more.
    ///
    /// # Errors
    /// As [`ConditionalStore::get`].
    fn put_if_match(&self, key: &str, tag: &str, bytes: &[u8]) -> Result<Option<String>>;

    /// Removes the object while it is the one with `tag`; whatever else is there stays.
    ///
    /// # Errors
    /// As [`ConditionalStore::get`].
    fn remove_if_match(&self, key: &str, tag: &str) -> Result<()>;
}

/// That a run is the only one which may write somewhere.
pub trait Claim: Send + Sync {
    /// Whether it still is.
    ///
    /// # Errors
    /// `Temporary` when another run has taken over, or when nobody can tell.
    fn check(&self) -> Result<()>;

    /// Whether what another run left may still be written by it: that is not gone on with.
    fn is_fresh(&self) -> bool;

    /// Gives it back; `is_done` where nothing is left to go on with. One that cannot be given back ends by its silence.
    fn release(&self, is_done: bool);
}
