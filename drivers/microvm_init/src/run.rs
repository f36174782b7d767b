//! Programs of the guest.

use crate::failing::{Result, While};
use crate::tree::has;
use microvm_init::{Failure, Reply};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, chdir, chroot, kill_process, pidfd_open, setsid, wait,
};
use std::ffi::OsString;
use std::fs;
use std::io::{PipeReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The name under which this program makes way for one of the guest.
pub(crate) const STARTER: &str = "rehome-start";
/// How much of what a program writes is kept: its end.
const MAX_LOG: usize = 256 << 10;
/// How long killed programs get to be gone.
const GRACE: Duration = Duration::from_secs(5);

const ENVIRONMENT: [(&str, &str); 5] = [
    ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
    ("HOME", "/root"),
    ("LANG", "C"),
    ("LC_ALL", "C"),
    ("TERM", "dumb"),
];

/// The end of what a program wrote.
#[derive(Default)]
pub(crate) struct Log(Vec<u8>);

impl Log {
    fn add(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
        // Not each time, but before it gets large.
        if self.0.len() > 2 * MAX_LOG {
            self.0.drain(..self.0.len() - MAX_LOG);
        }
    }

    pub(crate) fn end(&self) -> &[u8] {
        self.0.get(self.0.len().saturating_sub(MAX_LOG)..).unwrap_or_default()
    }
}

/// In the child: goes to the tree and becomes the program. Returns why not.
pub(crate) fn become_program(mut arguments: impl Iterator<Item = OsString>) -> String {
    let (Some(root), Some(program)) = (arguments.next(), arguments.next()) else {
        return "no program".to_owned();
    };
    let _ = setsid();
    if let Err(errno) = chroot(root.as_os_str()).and_then(|()| chdir("/")) {
        return format!("cannot enter the guest's tree: {errno}");
    }
    let error = Command::new(&program).args(arguments).exec();
    format!("cannot start {}: {error}", program.to_string_lossy())
}

/// Runs a program and waits for its end; nothing that it started outlives it.
pub(crate) fn run(
    root: &str,
    program: &str,
    arguments: &[String],
    limit: Duration,
    log: &mut Log,
) -> Result<Reply> {
    if !program.starts_with('/') || !has(root, program)? {
        return Err(Failure::usage(format!("there is no program {program:?}")));
    }
    let (mut output, writer) = std::io::pipe().during("make a pipe")?;
    let mut command = Command::new("/proc/self/exe");
    command.arg0(STARTER).arg(root).arg(program).args(arguments);
    command.env_clear().envs(ENVIRONMENT).stdin(Stdio::null());
    command.stderr(writer.try_clone().during("copy a pipe")?).stdout(writer);
    let mut child = command.spawn().during(format_args!("start {program}"))?;
    // It holds the writing ends.
    drop(command);
    let watched = watch(&mut child, &mut output, limit, log);
    if watched.is_err() || matches!(watched, Ok(true)) {
        let _ = child.kill();
    }
    let status = child.wait().during(format_args!("wait for {program}"));
    kill_all();
    drain(&mut output, log);
    let timed_out = watched?;
    let status = if timed_out { None } else { status?.code() };
    Ok(Reply::Ended { status, timed_out })
}

/// Collects output until the program ends; whether the time was over before.
fn watch(child: &mut Child, output: &mut PipeReader, limit: Duration, log: &mut Log) -> Result<bool> {
    let end = Instant::now() + limit;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| Failure::usage("a process without a number"))?;
    let ended = pidfd_open(pid, PidfdFlags::empty()).during("watch a program")?;
    let mut open = true;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(true);
        }
        let mut watched = [PollFd::new(&ended, PollFlags::IN), PollFd::new(output, PollFlags::IN)];
        let watched = if open { &mut watched[..] } else { &mut watched[..1] };
        let timeout = Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() };
        match poll(watched, Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(crate::failing::os("wait for a program", errno)),
        }
        let has_output = watched.get(1).is_some_and(|fd| !fd.revents().is_empty());
        let has_ended = watched.first().is_some_and(|fd| !fd.revents().is_empty());
        if has_output {
            open = read_some(output, log);
        } else if has_ended {
            return Ok(false);
        }
    }
}

/// Whether there may be more.
fn read_some(output: &mut PipeReader, log: &mut Log) -> bool {
    let mut piece = [0; 16 << 10];
    match output.read(&mut piece) {
        Ok(0) | Err(_) => false,
        Ok(got) => {
            log.add(piece.get(..got).unwrap_or_default());
            true
        }
    }
}

/// What is still in the pipe. Nobody is left who could write, unless the kernel holds somebody.
fn drain(output: &mut PipeReader, log: &mut Log) {
    loop {
        let mut watched = [PollFd::new(output, PollFlags::IN)];
        let timeout = Timespec { tv_sec: 0, tv_nsec: 0 };
        if !matches!(poll(&mut watched, Some(&timeout)), Ok(ready) if ready > 0) || !read_some(output, log) {
            return;
        }
    }
}

/// Ends whatever runs besides this program.
pub(crate) fn kill_all() {
    let end = Instant::now() + GRACE;
    while kill_others() && Instant::now() < end {
        while matches!(wait(WaitOptions::NOHANG), Ok(Some(_))) {}
        sleep(Duration::from_millis(1));
    }
    while matches!(wait(WaitOptions::NOHANG), Ok(Some(_))) {}
}

/// Whether there was anybody. Threads of the kernel, and what has ended, have no program.
fn kill_others() -> bool {
    let mut found = false;
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        if pid <= 1 || fs::read_link(entry.path().join("exe")).is_err() {
            continue;
        }
        if let Some(pid) = Pid::from_raw(pid) {
            found = true;
            let _ = kill_process(pid, Signal::KILL);
        }
    }
    found
}
