//! The output of a child that may not stay silent for ever.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::io::Read;
use std::process::ChildStdout;
use std::time::Duration;

/// What a child writes, or `TimedOut` after `silence`.
pub(crate) struct Patient {
    output: ChildStdout,
    silence: Duration,
}

impl Patient {
    pub(crate) fn new(output: ChildStdout, silence: Duration) -> Self {
        Self { output, silence }
    }
}

impl Read for Patient {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let limit = Timespec::try_from(self.silence).unwrap_or_default();
        loop {
            match poll(&mut [PollFd::new(&self.output, PollFlags::IN)], Some(&limit)) {
                Ok(0) => return Err(std::io::ErrorKind::TimedOut.into()),
                Ok(_) => return self.output.read(buf),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}
