//! A job of a batch does not outlive its batch: nobody would know that it runs, and the next run of the batch would meet it.

use convert_batch::ChildRunner;
use format_core::{Error, ErrorKind, Result};
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};

/// Where a batch started this process: the kernel ends it when the batch ends, however that comes.
///
/// # Errors
/// `Temporary` when the batch has ended already.
pub(crate) fn end_with_it() -> Result<()> {
    let Some(parent) = std::env::var_os(ChildRunner::PARENT) else { return Ok(()) };
    let parent = parent.to_str().and_then(|text| text.parse().ok()).and_then(Pid::from_raw);
    set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|e| Error::io("cannot ask to end with the batch", e.into()))?;
    // It may have ended before that was asked.
    if getppid() == parent {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Temporary, "the batch that started this job has ended"))
}
