//! What tells a remote object from another of the same name.

/// A fact for manifests and journals: the same object has the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// `etag`, `version`, `generation`, `snapshot` or `last-modified`.
    pub kind: &'static str,
    /// As the store says it, printable.
    pub value: String,
}
