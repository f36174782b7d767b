//! The library's error codes.

use crate::raw;
use std::ffi::CStr;
use std::fmt;

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the library reported, as far as cases have to be told apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// No such name.
    NotFound,
    /// No free block, inode or room in a folder.
    NoSpace,
    /// A callback of [`crate::BlockIo`] failed; it knows why.
    Io,
    /// Anything else, with the library's own words.
    Library {
        /// The com_err code.
        code: i64,
        /// Its message.
        message: String,
    },
}

impl Error {
    pub(crate) fn check(code: raw::Code) -> Result<()> {
        if code == 0 {
            return Ok(());
        }
        // SAFETY: a pure function of the code.
        match unsafe { raw::rh_classify(code) } {
            1 => Err(Self::NotFound),
            2 => Err(Self::NoSpace),
            3 => Err(Self::Io),
            _ => Err(Self::Library { code, message: message(code) }),
        }
    }
}

fn message(code: raw::Code) -> String {
    // SAFETY: the error table was registered before the first file system was opened; the answer is a
    // NUL-terminated string that lives at least until this thread's next call.
    let text = unsafe { CStr::from_ptr(raw::rh_message(code)) };
    text.to_string_lossy().into_owned()
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("no such file or folder"),
            Self::NoSpace => f.write_str("no space left in the file system"),
            Self::Io => f.write_str("the volume could not be read or written"),
            Self::Library { code, message } => write!(f, "libext2fs: {message} (code {code})"),
        }
    }
}

impl std::error::Error for Error {}
