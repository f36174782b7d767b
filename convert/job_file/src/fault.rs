//! What is wrong with a job file, and where.

use crate::text::{Place, Text};
use format_core::{Error, ErrorKind, codes};
use std::ops::Range;

/// An error with its place in the job file, where it has one.
///
/// As [`format_core::Error`] it is one line, `jobs.toml:3:7: unknown field …`; the caret line is [`Place::excerpt`].
#[derive(Debug)]
pub struct Fault {
    /// Where.
    pub place: Option<Place>,
    error: Box<Error>,
}

/// Shorthand for results of this crate.
pub type Result<T, E = Fault> = std::result::Result<T, E>;

impl Fault {
    /// A fault of the request that `text` makes at `span`.
    pub(crate) fn at(text: &Text, span: &Range<usize>, message: impl AsRef<str>) -> Self {
        Self::placed(text.place(span), message.as_ref())
    }

    /// The same, where what stands behind `span` must not be shown.
    pub(crate) fn at_secret(text: &Text, span: &Range<usize>, message: impl AsRef<str>) -> Self {
        Self::placed(text.place_before_secret(span), message.as_ref())
    }

    fn placed(place: Place, message: &str) -> Self {
        let text = format!("{}:{}:{}: {message}", place.file, place.line, place.column);
        Self { place: Some(place), error: Box::new(Error::usage(text).with_code(&codes::JOB_FILE)) }
    }

    /// Adds the next step.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { place: self.place, error: Box::new(self.error.hint(hint)) }
    }

    /// Says of which kind it is, where it is not a mistake of who wrote the file.
    #[must_use]
    pub(crate) fn kind(self, kind: ErrorKind) -> Self {
        Self { place: self.place, error: Box::new(self.error.with_kind(kind)) }
    }

    /// The error alone, for printing beside the excerpt.
    #[must_use]
    pub fn error(&self) -> &Error {
        &self.error
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        *fault.error
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self { place: None, error: Box::new(error) }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for Fault {}
