//! Requests of the transmission phase ("Request message"), and what is wrong with them.

use crate::handshake::Session;
use crate::wire::{Fields, MAX_REQUEST, REQUEST_MAGIC, command, errno, flag, violation};
use format_core::{Error, ErrorKind, Result};

/// One request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    pub(crate) flags: u16,
    pub(crate) command: u16,
    /// What the client knows it by.
    pub(crate) cookie: u64,
    pub(crate) offset: u64,
    pub(crate) len: u32,
}

/// Why a request is not carried out, as the client is told.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) errno: u32,
    pub(crate) message: String,
}

impl Failure {
    fn new(errno: u32, message: impl Into<String>) -> Self {
        Self { errno, message: message.into() }
    }

    /// What an export reported while it carried out `request`.
    pub(crate) fn of(error: &Error, request: &Request) -> Self {
        let errno = match error.kind() {
            ErrorKind::Denied => errno::PERM,
            ErrorKind::Usage => errno::INVAL,
            ErrorKind::Temporary | ErrorKind::Destination if request.writes() => errno::NOSPC,
            ErrorKind::Unsupported if request.has(flag::FAST_ZERO) => errno::NOTSUP,
            _ => errno::IO,
        };
        // The sentence alone: its context names files of the host.
        Self::new(errno, error.message().chars().take(500).collect::<String>())
    }
}

impl Request {
    pub(crate) const SIZE: usize = 28;

    pub(crate) fn parse(bytes: &[u8; Self::SIZE]) -> Result<Self> {
        let mut fields = Fields(bytes);
        let magic = fields.u32();
        let request = (|| {
            Some(Self {
                flags: fields.u16()?,
                command: fields.u16()?,
                cookie: fields.u64()?,
                offset: fields.u64()?,
                len: fields.u32()?,
            })
        })();
        match (magic, request) {
            (Some(REQUEST_MAGIC), Some(request)) => Ok(request),
            _ => Err(violation(format!("a request starts with {:#x}", magic.unwrap_or(0)))),
        }
    }

    pub(crate) fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }

    /// The first byte behind the range. Only for requests without a [`Request::fault`], whose ranges end in the export.
    pub(crate) fn end(&self) -> u64 {
        self.offset.saturating_add(self.len.into())
    }

    pub(crate) fn writes(&self) -> bool {
        matches!(self.command, command::WRITE | command::WRITE_ZEROES | command::TRIM)
    }

    /// What is wrong with the request ("Error values" says which errors these are), if anything is.
    pub(crate) fn fault(&self, session: &Session<'_>) -> Option<Failure> {
        let invalid = |message: String| Some(Failure::new(errno::INVAL, message));
        let known = match self.command {
            command::READ => {
                if session.is_structured {
                    flag::DF
                } else {
                    0
                }
            }
            command::WRITE_ZEROES => flag::NO_HOLE | flag::FAST_ZERO,
            command::BLOCK_STATUS => flag::REQ_ONE,
            command::WRITE | command::FLUSH | command::TRIM | command::CACHE => 0,
            other => return invalid(format!("there is no command {other}")),
        };
        // Some clients say FUA with everything, and the protocol has servers accept that.
        let unknown = self.flags & !(known | flag::FUA);
        if unknown != 0 {
            return invalid(format!("command {} has no flags {unknown:#x}", self.command));
        }
        if self.writes() && !session.export.is_writable() {
            return Some(Failure::new(errno::PERM, "this export is read-only"));
        }
        if self.command == command::FLUSH {
            let is_plain = self.offset == 0 && self.len == 0;
            return if is_plain { None } else { invalid("a flush has no range".into()) };
        }
        self.fault_of_range(session)
    }

    fn fault_of_range(&self, session: &Session<'_>) -> Option<Failure> {
        let (size, offset, len) = (session.export.size(), self.offset, self.len);
        if offset.checked_add(len.into()).is_none_or(|end| end > size) {
            let beyond = matches!(self.command, command::WRITE | command::WRITE_ZEROES);
            let errno = if beyond { errno::NOSPC } else { errno::INVAL };
            let message = format!("{len:#x} bytes at {offset:#x} leave the export of {size:#x} bytes");
            return Some(Failure::new(errno, message));
        }
        let invalid = |message: String| Some(Failure::new(errno::INVAL, message));
        match self.command {
            command::READ | command::WRITE if len > MAX_REQUEST => {
                invalid(format!("{len:#x} bytes at once, possible are {MAX_REQUEST:#x}"))
            }
            command::BLOCK_STATUS if !session.has_allocation => {
                invalid("no metadata context was chosen".into())
            }
            command::BLOCK_STATUS if len == 0 => invalid("the status of nothing".into()),
            _ => None,
        }
    }
}
