//! The library's errors.

use crate::raw;
use std::ffi::{CStr, c_int};
use std::fmt;

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the library reported, as far as cases have to be told apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// No such name.
    NotFound,
    /// No free cluster or record.
    NoSpace,
    /// A callback of [`crate::BlockIo`] failed, and knows why; or the library found something wrong with what it read.
    Io {
        /// What the library said of it, empty when nothing.
        message: String,
    },
    /// Anything else, with the library's own words.
    Library {
        /// The errno.
        code: i32,
        /// Its message.
        message: String,
    },
}

impl Error {
    pub(crate) fn check(code: c_int) -> Result<()> {
        if code == 0 {
            return Ok(());
        }
        // SAFETY: a pure function of the code.
        match unsafe { raw::rn_classify(code) } {
            1 => Err(Self::NotFound),
            2 => Err(Self::NoSpace),
            3 => Err(Self::Io { message: message() }),
            _ => Err(Self::Library { code, message: message() }),
        }
    }
}

fn message() -> String {
    // SAFETY: a NUL-terminated buffer of this thread, copied before the next call can change it.
    let text = unsafe { CStr::from_ptr(raw::rn_message()) };
    text.to_string_lossy().trim().trim_end_matches('.').to_owned()
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("no such file or folder"),
            Self::NoSpace => f.write_str("no space left in the file system"),
            Self::Io { message } if message.is_empty() => {
                f.write_str("the volume is damaged or cannot be used")
            }
            Self::Io { message } => write!(f, "libntfs-3g: {message}"),
            Self::Library { code, message } if message.is_empty() => write!(f, "libntfs-3g: errno {code}"),
            Self::Library { code, message } => write!(f, "libntfs-3g: {message} (errno {code})"),
        }
    }
}

impl std::error::Error for Error {}
