//! How an exchange fails, and what that means.

use format_core::{Error, ErrorKind, codes};
use std::fmt;
use std::time::Duration;

/// An answer that is no success.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    /// What the service calls it, where the body tells: `NoSuchKey`.
    pub(crate) code: Option<String>,
    /// Its second word, as EBS has: `INVALID_BLOCK_TOKEN`.
    pub(crate) reason: Option<String>,
    /// What was asked, without secrets.
    pub(crate) what: String,
    pub(crate) retry_after: Option<Duration>,
    /// How often it was sent.
    pub(crate) attempts: u32,
    /// The service says "later" in words of its own: the request was as it has to be.
    pub(crate) is_later: bool,
}

impl Refusal {
    pub(crate) fn is(&self, code: &str) -> bool {
        self.code.as_deref() == Some(code) || self.reason.as_deref() == Some(code)
    }

    /// Whether the same request may do later what it did not do now.
    pub(super) fn is_passing(&self) -> bool {
        matches!(self.status, 429 | 500 | 502 | 503 | 504)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} was answered with status {}", self.what, self.status)?;
        match (&self.code, &self.reason) {
            (Some(code), Some(reason)) => write!(f, " ({code}, {reason})")?,
            (Some(one), None) | (None, Some(one)) => write!(f, " ({one})")?,
            (None, None) => {}
        }
        if self.attempts > 1 {
            write!(f, ", at the last of {} attempts", self.attempts)?;
        }
        Ok(())
    }
}

/// Why there is no result.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The other side answered, and not as wished.
    Refused(Refusal),
    /// Anything else.
    Failed(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Failed(error) => error,
            Failure::Refused(refusal) => refused(&refusal),
        }
    }
}

fn refused(refusal: &Refusal) -> Error {
    let error = |kind| Error::new(kind, refusal.to_string());
    let expired =
        ["ExpiredToken", "RequestExpired", "ExpiredTokenException"].iter().any(|code| refusal.is(code));
    match refusal.status {
        _ if expired => Error::new(ErrorKind::Denied, format!("{refusal}: the credentials have ended")),
        _ if refusal.is_later => error(ErrorKind::Temporary),
        401 | 403 | 407 => error(ErrorKind::Denied),
        404 | 410 => error(ErrorKind::SourceMissing),
        409 | 408 | 425 => error(ErrorKind::Temporary),
        412 => error(ErrorKind::Temporary).with_code(&codes::SOURCE_CHANGED),
        _ if refusal.is_passing() => error(ErrorKind::Temporary),
        300..=399 => error(ErrorKind::Unsupported),
        _ => error(ErrorKind::Io),
    }
}

/// What the one who takes a body found.
pub(crate) enum Fault {
    /// It broke off; another attempt may get all of it.
    Again(Error),
    /// It is not what it has to be.
    Final(Error),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Final(error)
    }
}

/// What a failure below HTTP means, and whether another attempt may help.
pub(super) fn broken(what: &str, error: ureq::Error) -> (Error, bool) {
    use ureq::{Error as E, Timeout};
    let say = |kind, why: &str| Error::new(kind, format!("{what}: {why}"));
    let passing = |why: &str, code| (say(ErrorKind::Temporary, why).with_code(code), true);
    match error {
        E::Io(error) => broken_io(what, error),
        E::Timeout(Timeout::Resolve) => passing("the name was not looked up in time", &codes::NET_NAME),
        E::Timeout(Timeout::Connect) => passing("no connection came about in time", &codes::NET_CONNECT),
        E::Timeout(_) => passing("the answer did not come in time", &codes::NET_HTTP),
        E::HostNotFound => passing("the host's name has no address", &codes::NET_NAME),
        E::ConnectionFailed => passing("no connection came about", &codes::NET_CONNECT),
        E::ConnectProxyFailed(_) => passing("the proxy does not connect", &codes::NET_PROXY),
        E::InvalidProxyUrl => (
            say(
                ErrorKind::Usage,
                "the proxy that the environment names has no address that can be understood",
            ),
            false,
        ),
        E::Rustls(error) => broken_tls(what, &error),
        E::Tls(why) => (say(ErrorKind::Temporary, why).with_code(&codes::NET_TLS), false),
        // Their texts may hold what the other side sent.
        E::Protocol(_) | E::Http(_) | E::LargeResponseHeader(..) => {
            (say(ErrorKind::Io, "the answer is not HTTP as it has to be, or its headers are too long"), false)
        }
        _ => (say(ErrorKind::Io, "the exchange failed"), false),
    }
}

/// As [`broken`], of a socket or a handshake.
pub(super) fn broken_io(what: &str, error: std::io::Error) -> (Error, bool) {
    if let Some(inner) = error.get_ref() {
        if let Some(tls) = inner.downcast_ref::<rustls::Error>() {
            return broken_tls(what, tls);
        }
        if inner.is::<ureq::Error>() {
            return match error.into_inner().map(|inner| inner.downcast::<ureq::Error>()) {
                Some(Ok(inner)) => broken(what, *inner),
                _ => (Error::new(ErrorKind::Io, format!("{what}: the exchange failed")), false),
            };
        }
    }
    use std::io::ErrorKind as Os;
    let code = match error.kind() {
        Os::ConnectionRefused | Os::HostUnreachable | Os::NetworkUnreachable => &codes::NET_CONNECT,
        _ => &codes::NET_HTTP,
    };
    (Error::io(what, error).with_kind(ErrorKind::Temporary).with_code(code), true)
}

fn broken_tls(what: &str, error: &rustls::Error) -> (Error, bool) {
    let text = format_core::printable(&error.to_string()).chars().take(200).collect::<String>();
    let say = |kind, code| (Error::new(kind, format!("{what}: {text}")).with_code(code), false);
    match error {
        rustls::Error::InvalidCertificate(_) => say(ErrorKind::Denied, &codes::NET_CERTIFICATE),
        _ => say(ErrorKind::Temporary, &codes::NET_TLS),
    }
}
