//! Failures of the VM as errors of the host.

use crate::channel::NoAnswer;
use crate::console::Console;
use crate::process::End;
use format_core::{Error, ErrorKind, Result, codes};
use microvm_init::{Failure, FailureKind, WireError};
use rustix::io::Errno;
use std::time::Duration;

/// What was being done, for messages and for who is to blame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Doing<'a> {
    /// In words: `mount /dev/vda1`.
    pub(crate) what: &'a str,
    /// Where the console was when it began ([`Console::mark`]).
    pub(crate) mark: usize,
    /// Whether a file system of the guest was being worked with: what goes wrong then is most likely its damage.
    pub(crate) on_guest: bool,
}

impl<'a> Doing<'a> {
    /// Work with a file system of the guest.
    pub(crate) fn guest(what: &'a str) -> Self {
        Self { what, mark: 0, on_guest: true }
    }

    /// Anything else.
    pub(crate) fn machine(what: &'a str) -> Self {
        Self { what, mark: 0, on_guest: false }
    }
}

/// A failure that the VM told of.
pub(crate) fn told(failure: &Failure, doing: Doing<'_>, console: &Console) -> Error {
    let text = failure.text.clone();
    let error = match failure.kind {
        FailureKind::Usage => Error::usage(text),
        FailureKind::NoSpace => Error::needs_person(format!("no space in the guest's file system: {text}"))
            .with_code(&codes::GUEST_SPACE)
            .hint("free space in the guest and try again"),
        FailureKind::Limit => Error::new(ErrorKind::Limit, text),
        FailureKind::Corrupt => Error::corrupt(text),
        FailureKind::Unsupported => Error::unsupported(text),
        FailureKind::Os(errno) => of_errno(errno, text, doing, console),
    };
    // What the request itself says is enough where nothing failed.
    match error.kind() {
        ErrorKind::Usage | ErrorKind::Limit => error,
        _ if failure.text.starts_with(doing.what) => error.context("micro-VM"),
        _ => error.context(format!("micro-VM: {}", doing.what)),
    }
}

fn of_errno(errno: i32, text: String, doing: Doing<'_>, console: &Console) -> Error {
    let cause = std::io::Error::from_raw_os_error(errno);
    if let Some(line) = console.disk() {
        return Error::io(format!("{text}: {line}"), cause).with_kind(ErrorKind::Io);
    }
    let said = console.since(doing.mark).map_or_else(String::new, |line| format!(" ({line})"));
    let errno = Errno::from_raw_os_error(errno);
    let error = |kind| Error::new(kind, format!("{text}{said}")).with_source(cause);
    match errno {
        Errno::NOSPC | Errno::DQUOT => {
            Error::needs_person(format!("no space in the guest's file system: {text}"))
                .with_code(&codes::GUEST_SPACE)
        }
        Errno::PERM | Errno::ACCESS => error(ErrorKind::NeedsPerson)
            .hint("the guest protects it (chattr +i, fs-verity): take that away in the guest"),
        Errno::NOKEY => Error::needs_person(format!("{text}: the guest has encrypted it (fscrypt)"))
            .with_code(&codes::GUEST_LOCKED_FILES),
        Errno::ROFS if console.damage().is_empty() => error(ErrorKind::NeedsPerson),
        Errno::NODEV | Errno::OPNOTSUPP | Errno::NOSYS => error(ErrorKind::Unsupported),
        _ if doing.on_guest => error(ErrorKind::Corrupt),
        _ => error(ErrorKind::Io),
    }
}

/// The VM is gone, or has to be.
pub(crate) fn gone(
    why: &NoAnswer,
    doing: Doing<'_>,
    limit: Duration,
    console: &Console,
    end: Option<&End>,
) -> Error {
    let what = doing.what;
    if let Some(line) = console.panic() {
        let kind = if doing.on_guest { ErrorKind::Corrupt } else { ErrorKind::Io };
        let text = format!("the kernel of the micro-VM failed: {line}");
        return Error::new(kind, text).context(what).hint(hint_for(kind));
    }
    match why {
        NoAnswer::Late => {
            let kind = if doing.on_guest { ErrorKind::Corrupt } else { ErrorKind::Temporary };
            let said = console.since(doing.mark).map_or_else(String::new, |line| format!(" ({line})"));
            let text = format!("the micro-VM did not answer within {} s{said}", limit.as_secs());
            Error::new(kind, text).context(what).hint(hint_for(kind))
        }
        NoAnswer::Failed(failure) => told(failure, doing, console),
        NoAnswer::Ended(WireError::Broken(broken)) => {
            Error::corrupt(format!("the micro-VM does not keep to its protocol: {broken}"))
                .context(what)
                .hint(hint_for(ErrorKind::Corrupt))
        }
        NoAnswer::Ended(error) => {
            let how = match end {
                Some(End { status, said }) if said.is_empty() => status.clone(),
                Some(End { status, said }) => format!("{status}: {said}"),
                None => error.to_string(),
            };
            Error::new(ErrorKind::Temporary, format!("qemu ended: {how}"))
                .context(what)
                .hint("something ended qemu, or it could not go on: look for a lack of memory, and try again")
        }
    }
}

fn hint_for(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Corrupt => {
            "check the file system in the guest (or on a copy of the image), then export it again"
        }
        _ => "try again, with another kernel if it happens again",
    }
}

/// The kernel spoke of damage while nobody had an error.
pub(crate) fn no_damage(console: &Console) -> Result<()> {
    if let Some(line) = console.disk() {
        return Err(Error::new(ErrorKind::Io, format!("the micro-VM: {line}")));
    }
    let damage = console.damage();
    match damage.first() {
        None => Ok(()),
        Some(line) => {
            let more = damage.len() - 1;
            let more = if more > 0 { format!(" (and {more} more)") } else { String::new() };
            Err(Error::corrupt(format!("the kernel of the micro-VM found damage: {line}{more}"))
                .hint(hint_for(ErrorKind::Corrupt)))
        }
    }
}
