//! How a request can fail, as far as it decides what becomes of its connection.

use crate::wire::{errno, violation};
use format_core::{Error, ErrorKind, codes, printable};
use std::io;

/// Why there is no result.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The server's answer to this request; the connection goes on.
    Answer(Error),
    /// The connection ends, and another one would be no better.
    Final(Error),
    /// The connection broke or the server fell silent: another one may be better.
    Lost(Error),
}

impl Fault {
    pub(crate) fn into_error(self) -> Error {
        match self {
            Self::Answer(error) | Self::Final(error) | Self::Lost(error) => error,
        }
    }

    /// The server breaks the protocol.
    pub(crate) fn violation(what: impl Into<String>) -> Self {
        Self::Final(violation(what))
    }

    /// A connection that is lost. The system's error becomes text: as a cause, a time-out of the network would look like a bad
    /// sector of the disk, which rescue replaces by zeros.
    pub(crate) fn lost(what: impl std::fmt::Display) -> Self {
        let error = Error::new(ErrorKind::Temporary, what.to_string()).in_format("nbd");
        Self::Lost(error.with_code(&codes::NET_CONNECT))
    }

    /// What the system said of a connection while it was read or written.
    pub(crate) fn io(error: &io::Error) -> Self {
        if let Some(inner) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            return super::tls::failed(inner);
        }
        match error.kind() {
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => {
                Self::lost("the server did not answer within the time limit")
            }
            // Of what a transport unpacks: another connection brings the same.
            io::ErrorKind::InvalidData => Self::violation(error.to_string()),
            io::ErrorKind::UnexpectedEof => Self::lost("the server closed the connection"),
            _ => Self::lost(format!("the connection broke: {error}")),
        }
    }
}

/// What the server answered to a request ("Error values"), `what` being what could not be done.
pub(crate) fn answered(number: u32, text: &str, what: &str, offset: u64) -> Error {
    let text = if text.is_empty() { String::new() } else { format!(": {}", printable(text)) };
    let message = format!("the server could not {what}{text}");
    let passing = match number {
        errno::SHUTDOWN => Some("it is being shut down"),
        errno::NOMEM => Some("it has no memory"),
        _ => None,
    };
    if let Some(why) = passing {
        return Error::new(ErrorKind::Temporary, format!("{message}, {why}")).in_format("nbd").at(offset);
    }
    // What the document does not name counts as EINVAL.
    let number = match number {
        errno::PERM | errno::IO | errno::NOSPC | errno::OVERFLOW | errno::NOTSUP => number,
        _ => errno::INVAL,
    };
    let cause = io::Error::from_raw_os_error(i32::try_from(number).unwrap_or_default());
    Error::io(message, cause).in_format("nbd").at(offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_keep_the_meaning_that_rescue_and_batches_look_for() {
        for (number, kind, id) in [
            (1, ErrorKind::Denied, "RH-PERMISSION"),
            (5, ErrorKind::Io, "RH-DEVICE-FAILING"),
            (12, ErrorKind::Temporary, "RH-TEMPORARY"),
            (28, ErrorKind::Temporary, "RH-DESTINATION-FULL"),
            (108, ErrorKind::Temporary, "RH-TEMPORARY"),
            (22, ErrorKind::Io, "RH-IO"),
            // A time-out as the disk's error is none of the document's.
            (110, ErrorKind::Io, "RH-IO"),
            (u32::MAX, ErrorKind::Io, "RH-IO"),
        ] {
            let error = answered(number, "a\u{1b}b", "read", 7);
            assert_eq!((error.kind(), error.code().id), (kind, id), "{number}");
            assert!(!error.to_string().contains('\u{1b}'));
        }
    }

    #[test]
    fn a_lost_connection_is_no_bad_sector() {
        let Fault::Lost(error) = Fault::io(&io::Error::from_raw_os_error(110)) else { panic!("lost") };
        assert!(std::error::Error::source(&error).is_none());
        assert_eq!(error.kind(), ErrorKind::Temporary);
    }
}
