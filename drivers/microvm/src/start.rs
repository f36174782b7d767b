//! Starting a VM: its files, qemu, and the first answer.

use crate::channel::Channel;
use crate::console::Console;
use crate::failure::{Doing, gone, told};
use crate::host::{Acceleration, Host};
use crate::machine::{DiskAddress, Paths, Processor, command};
use crate::process::{End, Process};
use crate::vm::{Started, folder};
use crate::{bz_image, channel, initrd};
use format_core::{Error, ErrorKind, Result, codes};
use microvm_init::{Reply, Request, VERSION};
use std::collections::BTreeSet;
use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long the first answer may take.
const EMULATED_LIMIT: Duration = Duration::from_secs(90);
/// A KVM that does not answer by then is none: it is there, and hangs.
const KVM_LIMIT: Duration = Duration::from_secs(2);
/// How long qemu may take to connect.
const CONNECT_LIMIT: Duration = Duration::from_secs(20);
const TICK: Duration = Duration::from_millis(2);

/// Whether KVM works, once it was tried.
static KVM_WORKS: Mutex<Option<bool>> = Mutex::new(None);

/// Files that all VMs of a [`Host`] start from.
pub(crate) struct Files {
    folder: TempDir,
    kernel: PathBuf,
    loaded: BTreeSet<String>,
}

impl Files {
    pub(crate) fn make(host: &Host) -> Result<Self> {
        let folder = folder()?;
        let (archive, loaded) = initrd::build(&host.modules)?;
        write(&folder.path().join("initrd"), &archive)?;
        let image = std::fs::read(&host.kernel)
            .map_err(|error| Error::io(format!("read the kernel {}", host.kernel.display()), error))?;
        let kernel = match bz_image::unpack(&image) {
            Some(unpacked) => {
                let path = folder.path().join("kernel");
                write(&path, &unpacked)?;
                path
            }
            None => host.kernel.clone(),
        };
        Ok(Self { folder, kernel, loaded })
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    std::fs::write(path, bytes).map_err(|error| Error::io(format!("write {}", path.display()), error))
}

/// Starts a VM with KVM where that is wanted and works, else emulated.
pub(crate) fn start(host: &Host, disks: &[DiskAddress]) -> Result<Started> {
    let began = Instant::now();
    let files = host.files()?;
    if host.acceleration != Acceleration::Emulation {
        match with_kvm(host, &files, disks, began) {
            Some(Ok(started)) => return Ok(started),
            Some(Err(error)) if host.acceleration == Acceleration::Kvm => return Err(error),
            None if host.acceleration == Acceleration::Kvm => {
                return Err(Error::needs_person("KVM does not work on this machine")
                    .with_code(&codes::HOST_KVM)
                    .hint("let the micro-VM be emulated, or give access to /dev/kvm"));
            }
            _ => {}
        }
    }
    launch(host, &files, disks, Processor::Emulated, began)
}

/// `None` where KVM is not there, or did not work before.
fn with_kvm(host: &Host, files: &Files, disks: &[DiskAddress], began: Instant) -> Option<Result<Started>> {
    // Held while it is tried: two threads need not find out at once.
    let mut works = KVM_WORKS.lock().unwrap_or_else(PoisonError::into_inner);
    let is_there = std::fs::File::options().read(true).write(true).open("/dev/kvm").is_ok();
    if !is_there || *works == Some(false) {
        return None;
    }
    let started = launch(host, files, disks, Processor::Kvm, began);
    *works = Some(started.is_ok());
    Some(started)
}

fn launch(
    host: &Host,
    files: &Files,
    disks: &[DiskAddress],
    processor: Processor,
    began: Instant,
) -> Result<Started> {
    match attempt(host, files, disks, processor, true, began) {
        Err(Attempt::NoSandbox) => attempt(host, files, disks, processor, false, began).map_err(Into::into),
        done => done.map_err(Into::into),
    }
}

enum Attempt {
    /// This qemu was built without it.
    NoSandbox,
    Failed(Error),
}

impl From<Attempt> for Error {
    fn from(attempt: Attempt) -> Self {
        match attempt {
            Attempt::NoSandbox => Error::new(ErrorKind::Io, "qemu could not be started"),
            Attempt::Failed(error) => error,
        }
    }
}

impl From<Error> for Attempt {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

fn attempt(
    host: &Host,
    files: &Files,
    disks: &[DiskAddress],
    processor: Processor,
    sandbox: bool,
    began: Instant,
) -> Result<Started, Attempt> {
    let sockets = folder()?;
    let paths = Paths {
        kernel: files.kernel.clone(),
        initrd: files.folder.path().join("initrd"),
        channel: sockets.path().join("channel"),
        console: sockets.path().join("console"),
    };
    let console = listen(&paths.console)?;
    let channel = listen(&paths.channel)?;
    let process = Process::start(command(&host.qemu, processor, &paths, disks, sandbox)?)?;
    let console = accept(&console, &process)?;
    let console = Console::listen(console).map_err(|error| Error::io("listen to the console", error))?;
    let channel = Channel::new(accept(&channel, &process)?);
    let limit = match processor {
        Processor::Kvm => KVM_LIMIT,
        Processor::Emulated => EMULATED_LIMIT,
    };
    let answered = channel.ask(&Request::Hello, &[], 0, limit);
    let reply = answered.map_err(|why| silent(&why, &process, &console, limit))?.reply;
    let Reply::Hello { version: VERSION, release, disks: found } = reply else {
        return Err(crate::vm::unexpected().into());
    };
    if !is_new_enough(&release) {
        let text = format!("the kernel {release} is too old for the micro-VM, which needs 5.6");
        return Err(Error::needs_person(text).hint("name a newer kernel").into());
    }
    if found as usize != disks.len() {
        let text = format!("the micro-VM sees {found} of {} disks", disks.len());
        return Err(Error::new(ErrorKind::Io, text).into());
    }
    let how = match processor {
        Processor::Kvm => "KVM",
        Processor::Emulated => "emulated",
    };
    let description = format!("kernel {release}, {how}");
    let loaded = files.loaded.clone();
    Ok(Started { channel, console, process, loaded, started_in: began.elapsed(), description })
}

/// `openat2` is there since 5.6.
fn is_new_enough(release: &str) -> bool {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0_u32)) >= (5_u32, 6)
}

fn listen(path: &Path) -> Result<UnixListener> {
    let listener = UnixListener::bind(path).and_then(|listener| {
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    listener.map_err(|error| Error::io(format!("listen at {}", path.display()), error))
}

/// Waits for qemu to connect.
fn accept(listener: &UnixListener, process: &Process) -> Result<UnixStream, Attempt> {
    let end = Instant::now() + CONNECT_LIMIT;
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                let done = stream.set_nonblocking(false);
                done.map_err(|error| Error::io("prepare a socket", error))?;
                return Ok(stream);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(Error::io("wait for qemu", error).into()),
        }
        if let Some(ended) = process.end() {
            return Err(not_started(&ended));
        }
        if Instant::now() > end {
            return Err(Error::new(ErrorKind::Temporary, "qemu does not start").into());
        }
        sleep(TICK);
    }
}

fn not_started(end: &End) -> Attempt {
    if end.said.contains("sandbox") || end.said.contains("seccomp") {
        return Attempt::NoSandbox;
    }
    let text = format!("qemu did not start ({}): {}", end.status, end.said);
    Attempt::Failed(Error::new(ErrorKind::Io, text))
}

fn silent(why: &channel::NoAnswer, process: &Process, console: &Console, limit: Duration) -> Error {
    let doing = Doing::machine("start the micro-VM");
    if let channel::NoAnswer::Failed(failure) = why {
        return told(failure, doing, console);
    }
    let end = match why {
        channel::NoAnswer::Late => None,
        _ => process.wait(Duration::from_secs(2)),
    };
    process.kill();
    let end = end.or_else(|| process.wait(Duration::from_millis(500)));
    if end.is_some() {
        console.hear_all();
    }
    gone(why, doing, limit, console, end.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_kernels_are_told() {
        assert!(is_new_enough("5.6") && is_new_enough("6.1.0-57-amd64") && is_new_enough("5.14.0-570.el9"));
        assert!(!is_new_enough("4.18.0-553.el8") && !is_new_enough("5.5.19") && !is_new_enough("x"));
    }
}
