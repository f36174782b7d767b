//! Failures of system calls, and what was being done.

use microvm_init::{Failure, FailureKind};
use rustix::io::Errno;
use std::fmt::Display;

pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

/// Says what was being done when a call failed.
pub(crate) trait While<T> {
    /// `what` was being done.
    fn during(self, what: impl Display) -> Result<T>;
}

impl<T> While<T> for rustix::io::Result<T> {
    fn during(self, what: impl Display) -> Result<T> {
        self.map_err(|errno| os(what, errno))
    }
}

impl<T> While<T> for std::io::Result<T> {
    fn during(self, what: impl Display) -> Result<T> {
        self.map_err(|error| match error.raw_os_error() {
            Some(errno) => Failure::os(what, errno),
            None => Failure::new(FailureKind::Unsupported, format!("{what}: {error}")),
        })
    }
}

pub(crate) fn os(what: impl Display, errno: Errno) -> Failure {
    Failure::os(what, errno.raw_os_error())
}
