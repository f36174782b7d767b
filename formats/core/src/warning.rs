//! Things a person should know that do not stop the work.

use serde::Serialize;

/// A warning with a stable code, for reports and for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// Stable and short, e.g. `vhdx-log-replayed`.
    pub code: &'static str,
    /// One sentence.
    pub message: String,
}

impl Warning {
    /// A warning of `code` that says `message`.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}
