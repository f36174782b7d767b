//! One error type for the whole program: a small stable kind, and a sentence with the numbers.

use crate::codes::{self, Code};
use std::fmt;

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, as far as a caller or a batch engine has to tell cases apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The file contradicts itself or its specification.
    Corrupt,
    /// What was written or read is not what the manifest says.
    Mismatch,
    /// Valid, but we cannot do it.
    Unsupported,
    /// A bound that protects us was exceeded.
    Limit,
    /// The gate or the file permissions forbid it.
    Denied,
    /// The source does not exist.
    SourceMissing,
    /// The destination is missing, not mounted, or already exists.
    Destination,
    /// The machine failed to read or write.
    Io,
    /// Try again later: locked, interrupted, no space yet.
    Temporary,
    /// A person has to act first: encrypted, hibernated, not fixable here.
    NeedsPerson,
    /// An implementation of a trait broke its contract: our bug.
    Contract,
    /// The request itself makes no sense.
    Usage,
}

impl ErrorKind {
    /// The process exit code of this kind (sysexits-like; table in ARCHITECTURE.md).
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Usage => 2,
            Self::Corrupt | Self::Mismatch => 65,
            Self::SourceMissing => 66,
            Self::Unsupported | Self::Limit => 69,
            Self::Contract => 70,
            Self::Destination => 73,
            Self::Io => 74,
            Self::Temporary => 75,
            Self::Denied => 77,
            Self::NeedsPerson => 78,
        }
    }

    /// The kind's stable name in JSON output.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Corrupt => "corrupt",
            Self::Mismatch => "mismatch",
            Self::Unsupported => "unsupported",
            Self::Limit => "limit",
            Self::Denied => "denied",
            Self::SourceMissing => "source-missing",
            Self::Destination => "destination",
            Self::Io => "io",
            Self::Temporary => "temporary",
            Self::NeedsPerson => "needs-person",
            Self::Contract => "contract",
            Self::Usage => "usage",
        }
    }
}

/// An error with its kind, the format that speaks, the host offset it speaks of, and the way up.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    format: Option<&'static str>,
    at: Option<u64>,
    message: String,
    context: Vec<String>,
    hint: Option<String>,
    code: Option<&'static Code>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of `kind` with one sentence: lower case, no full stop, hex offsets, names of the specification.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            format: None,
            at: None,
            message: message.into(),
            context: Vec::new(),
            hint: None,
            code: None,
            source: None,
        }))
    }

    /// The file contradicts itself.
    pub fn corrupt(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Corrupt, message)
    }

    /// The file is fine, we cannot.
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, message)
    }

    /// An implementation broke the contract.
    pub fn contract(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Contract, message)
    }

    /// The request makes no sense.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Usage, message)
    }

    /// A person has to act first.
    pub fn needs_person(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NeedsPerson, message)
    }

    /// An operating system error while doing `what`; its kind follows from the system's error code.
    pub fn io(what: impl Into<String>, error: std::io::Error) -> Self {
        use std::io::ErrorKind as Os;
        let kind = match error.kind() {
            Os::NotFound | Os::NotADirectory => ErrorKind::SourceMissing,
            Os::IsADirectory => ErrorKind::Usage,
            Os::PermissionDenied => ErrorKind::Denied,
            // No retry makes the place take the file.
            Os::FileTooLarge | Os::ReadOnlyFilesystem => ErrorKind::Destination,
            Os::StorageFull | Os::QuotaExceeded | Os::Interrupted | Os::ResourceBusy => ErrorKind::Temporary,
            _ => ErrorKind::Io,
        };
        Self::new(kind, what).with_source(error)
    }

    /// The same for another listener: kind, code, next step, and all texts as one.
    #[must_use]
    pub fn retold(&self) -> Self {
        let told = Self::new(self.kind(), self.to_string()).with_code(self.code());
        self.hint_text().map(str::to_owned).into_iter().fold(told, Self::hint)
    }

    /// Names the format that speaks.
    #[must_use]
    pub fn in_format(mut self, format: &'static str) -> Self {
        self.0.format = Some(format);
        self
    }

    /// Names the host offset the error speaks of.
    #[must_use]
    pub fn at(mut self, offset: u64) -> Self {
        self.0.at = Some(offset);
        self
    }

    /// Adds what was being done, outermost last.
    #[must_use]
    pub fn context(mut self, context: impl Into<String>) -> Self {
        self.0.context.push(context.into());
        self
    }

    /// Adds a next step for the person who reads this.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Replaces the kind: the caller knows better what an error means here.
    #[must_use]
    pub fn with_kind(mut self, kind: ErrorKind) -> Self {
        self.0.kind = kind;
        self
    }

    /// Says which entry of the vocabulary it is, where the kind alone does not tell; `None` leaves that as it is.
    #[must_use]
    pub fn with_code(mut self, code: impl Into<Option<&'static Code>>) -> Self {
        self.0.code = code.into().or(self.0.code);
        self
    }

    /// Attaches the cause; it is printed after the message, so do not repeat it there.
    #[must_use]
    pub fn with_source(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.0.source = Some(Box::new(source));
        self
    }

    /// What kind of error this is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The entry of the vocabulary: the one that was set, else what the system's error or the kind implies.
    #[must_use]
    pub fn code(&self) -> &'static Code {
        self.0.code.unwrap_or_else(|| codes::implied(self.0.kind, self.system_error()))
    }

    fn system_error(&self) -> Option<&std::io::Error> {
        let mut cause = self.0.source.as_deref().map(|s| s as &(dyn std::error::Error + 'static));
        while let Some(error) = cause {
            if let Some(found) = error.downcast_ref::<std::io::Error>() {
                return Some(found);
            }
            cause = error.source();
        }
        None
    }

    /// The sentence alone, without context and cause.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The next step, if one is known.
    #[must_use]
    pub fn hint_text(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// The host offset, if one is known.
    #[must_use]
    pub fn offset(&self) -> Option<u64> {
        self.0.at
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for context in self.0.context.iter().rev() {
            write!(f, "{context}: ")?;
        }
        if let Some(format) = self.0.format {
            write!(f, "{format}: ")?;
        }
        f.write_str(&self.0.message)?;
        if let Some(at) = self.0.at {
            write!(f, " (at {at:#x})")?;
        }
        let mut source = self.0.source.as_deref().map(|s| s as &dyn std::error::Error);
        while let Some(cause) = source {
            write!(f, ": {cause}")?;
            source = cause.source();
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.0.kind)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|s| s as &(dyn std::error::Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_from_the_outside_in_and_ends_with_the_cause() {
        let error = Error::io("cannot read 512 bytes", std::io::Error::other("disk on fire"))
            .in_format("qcow2")
            .at(0x200)
            .context("load header")
            .context("open a.qcow2");
        let text = "open a.qcow2: load header: qcow2: cannot read 512 bytes (at 0x200): disk on fire";
        assert_eq!(error.to_string(), text);
        assert_eq!(error.kind().exit_code(), 74);
    }

    #[test]
    fn the_kind_follows_from_what_the_system_says() {
        use rustix::io::Errno;
        for (errno, kind) in [
            (Errno::NOENT, ErrorKind::SourceMissing),
            (Errno::ACCESS, ErrorKind::Denied),
            (Errno::NOSPC, ErrorKind::Temporary),
            (Errno::FBIG, ErrorKind::Destination),
            (Errno::ROFS, ErrorKind::Destination),
            (Errno::IO, ErrorKind::Io),
        ] {
            assert_eq!(Error::io("cannot write", errno.into()).kind(), kind, "{errno:?}");
        }
    }

    #[test]
    fn the_code_is_the_one_set_or_what_the_system_said_or_that_of_the_kind() {
        use rustix::io::Errno;
        let io = |errno: Errno| Error::io("cannot write", errno.into());
        for (error, id) in [
            (io(Errno::NOSPC), "RH-DESTINATION-FULL"),
            (io(Errno::DQUOT), "RH-DESTINATION-FULL"),
            (io(Errno::IO), "RH-DEVICE-FAILING"),
            (io(Errno::BUSY), "RH-IN-USE"),
            (io(Errno::ACCESS), "RH-PERMISSION"),
            (io(Errno::NOENT), "RH-SOURCE-MISSING"),
            (io(Errno::NOENT).with_kind(ErrorKind::Destination), "RH-DESTINATION-MISSING"),
            (io(Errno::EXIST).with_kind(ErrorKind::Destination), "RH-DESTINATION-EXISTS"),
            (io(Errno::PIPE), "RH-IO"),
            (Error::corrupt("bad"), "RH-SOURCE-CORRUPT"),
            (
                Error::needs_person("locked").with_code(&codes::KEY_MISSING).context("open a"),
                "RH-KEY-MISSING",
            ),
        ] {
            assert_eq!(error.code().id, id, "{error:?}");
        }
    }
}
