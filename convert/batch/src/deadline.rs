//! Jobs that take longer than they may.

use crate::child::ChildHandle;
use crate::runner::Ending;
use crate::state::JobError;
use format_core::codes;
use rustix::process::Signal;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

/// How long a child that was asked to end may take for its checkpoint.
const GRACE: Duration = Duration::from_secs(60);

/// Asks the child to end when `allowed` is over, and ends it when it does not; whoever waits for the child drops the sender.
/// Whether it came to that.
pub(crate) fn watch(ended: &Receiver<()>, handle: &ChildHandle, allowed: Duration) -> bool {
    let is_over = |time| ended.recv_timeout(time) == Err(RecvTimeoutError::Timeout);
    if !is_over(allowed) {
        return false;
    }
    handle.send(Signal::TERM);
    if is_over(GRACE) {
        handle.send(Signal::KILL);
    }
    true
}

/// The ending of a child that was too late; one that made it all the same, or has an error of its own, keeps that.
pub(crate) fn ending_of_late(ending: Ending, seconds: u32) -> Ending {
    if ending.signal.is_none() && ending.exit_code != Some(75) {
        return ending;
    }
    let error = JobError {
        code: Some(codes::JOB_TIMEOUT.id.into()),
        kind: codes::JOB_TIMEOUT.kind.name().into(),
        message: format!("the job took longer than its timeout of {seconds} s and was stopped"),
        hint: Some(
            "the next attempt goes on where this one stopped; raise the job's timeout if that is not enough"
                .into(),
        ),
    };
    Ending { exit_code: Some(75), signal: None, error: Some(error), ..ending }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_timeout_did_is_called_a_timeout() {
        let ending = |exit_code, signal| Ending { exit_code, signal, ..Ending::default() };
        let late = |exit_code, signal| {
            let ending = ending_of_late(ending(exit_code, signal), 5);
            (ending.exit_code, ending.signal, ending.error.is_some())
        };
        // It made it in the last moment; it was corrupt anyway.
        assert_eq!(late(Some(0), None), (Some(0), None, false));
        assert_eq!(late(Some(65), None), (Some(65), None, false));
        assert_eq!(late(Some(75), None), (Some(75), None, true));
        // It did not listen.
        assert_eq!(late(None, Some(9)), (Some(75), None, true));
    }
}
