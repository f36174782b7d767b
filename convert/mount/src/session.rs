//! From mounting to unmounting.

use crate::attributes::Owner;
use crate::front::{Front, Job};
use crate::server::Server;
use crate::shelf::Contents;
use format_core::{Error, ErrorKind, Result};
use fuser::{BackgroundSession, Config, MountOption, Session, SessionACL};
use rustix::mount::UnmountFlags;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

/// Told of everything that could not be read.
pub(crate) type Report = Arc<dyn Fn(&Error) + Send + Sync>;

/// Threads that read volumes at most.
const MAX_THREADS: usize = 4;
/// Requests that wait for the server at most.
const QUEUE: usize = 16;
/// How often a signal is looked for while nobody asks.
const TICK: Duration = Duration::from_millis(100);
/// How long programs that still have files open are served after a signal.
const GRACE: Duration = Duration::from_secs(1);

/// How it is mounted.
pub struct Options<'a> {
    /// The folder to mount on: it exists and is empty.
    pub folder: &'a Path,
    /// Other users may look, as far as the guest's own permissions let them.
    pub allow_other: bool,
    /// Set by a signal handler: unmount and end.
    pub interrupted: &'a AtomicBool,
    /// Is told of everything that could not be read.
    pub report: Report,
}

/// Mounts `contents`, calls `ready`, and serves until it is unmounted or interrupted.
///
/// # Errors
/// `Destination` when there is no such empty folder; `Unsupported` when the host has no FUSE, `Denied` when it is not allowed; what `ready`
/// returns.
pub fn mount(contents: &Contents, options: &Options<'_>, ready: impl FnOnce() -> Result<()>) -> Result<()> {
    let folder = empty_folder(options.folder)?;
    if !Path::new("/dev/fuse").exists() {
        return Err(Error::unsupported("this host has no FUSE: there is no /dev/fuse")
            .hint("load the module: modprobe fuse"));
    }
    let (sender, jobs) = sync_channel(QUEUE);
    let volumes = contents.volumes().to_vec();
    let front = Front { jobs: sender, volumes, report: Arc::clone(&options.report) };
    let session = Session::new(front, &folder, &config(options.allow_other)).and_then(Session::spawn);
    let session = session.map_err(|error| cannot_mount(&folder, options.allow_other, error))?;
    let owner = Owner { uid: rustix::process::geteuid().as_raw(), gid: rustix::process::getegid().as_raw() };
    let mut server = Server::new(contents, owner, Arc::clone(&options.report));
    let told = ready();
    if told.is_ok() && serve(&mut server, &jobs, || options.interrupted.load(Ordering::Relaxed)) {
        return ended(session);
    }
    detach(&folder)?;
    let start = Instant::now();
    if serve(&mut server, &jobs, || start.elapsed() > GRACE) {
        ended(session)?;
    } else {
        // Somebody still has files open. They get errors once this process is gone; its mount is away from the folder already, and
        // unmounting again, as the session does when it is dropped, could meet what was mounted there since.
        std::mem::forget(session);
    }
    told
}

/// The folder without links, when it can be mounted on.
fn empty_folder(folder: &Path) -> Result<PathBuf> {
    let failed = |error| {
        let text = format!("cannot mount on {}", folder.display());
        Error::io(text, error).with_kind(ErrorKind::Destination)
    };
    let found = std::fs::canonicalize(folder).map_err(failed)?;
    let mut names = std::fs::read_dir(&found).map_err(failed)?;
    if names.next().is_some() {
        let text = format!("{} is not empty: what is in it could not be seen any more", folder.display());
        return Err(Error::new(ErrorKind::Destination, text).hint("mount on a new folder"));
    }
    Ok(found)
}

fn config(allow_other: bool) -> Config {
    let name = "rehome".to_owned();
    let mut options = vec![MountOption::RO, MountOption::NoSuid, MountOption::NoDev];
    options.extend([MountOption::FSName(name.clone()), MountOption::Subtype(name)]);
    let mut config = Config::default();
    if allow_other {
        // Without the kernel's check everybody could read everything. The one who mounts can do so anyway: the image is theirs.
        options.push(MountOption::DefaultPermissions);
        config.acl = SessionACL::All;
    }
    config.mount_options = options;
    let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get());
    config.n_threads = Some(threads.min(MAX_THREADS));
    config
}

fn cannot_mount(folder: &Path, allow_other: bool, error: std::io::Error) -> Error {
    let is_denied = error.kind() == std::io::ErrorKind::PermissionDenied;
    let text = format!("cannot mount on {}", folder.display());
    let kind = if is_denied { ErrorKind::Denied } else { ErrorKind::Destination };
    let hint = match (is_denied, allow_other) {
        (true, true) => "--allow-other needs root, or the line user_allow_other in /etc/fuse.conf",
        _ => "without root it needs fusermount3 (package fuse3) and a folder of your own",
    };
    Error::io(text, error).with_kind(kind).hint(hint)
}

/// Answers until the session ended (true) or `stop` says so.
fn serve(server: &mut Server<'_>, jobs: &Receiver<Job>, stop: impl Fn() -> bool) -> bool {
    while !stop() {
        match jobs.recv_timeout(TICK) {
            Ok(job) => job(server),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return true,
        }
    }
    false
}

fn ended(session: BackgroundSession) -> Result<()> {
    session.join().map_err(|error| Error::io("the kernel's connection broke", error))
}

/// Takes the mount away from its folder, also while programs have files open in it.
fn detach(folder: &Path) -> Result<()> {
    match rustix::mount::unmount(folder, UnmountFlags::DETACH) {
        Ok(()) => return Ok(()),
        Err(rustix::io::Errno::PERM) => {}
        // It is not mounted any more.
        Err(rustix::io::Errno::INVAL) => return Ok(()),
        Err(error) => return Err(Error::io(format!("cannot unmount {}", folder.display()), error.into())),
    }
    let mut command = Command::new("fusermount3");
    command.args(["-u", "-q", "-z", "--"]).arg(folder).stdin(Stdio::null()).stdout(Stdio::null());
    let status = command.status().map_err(|e| Error::io("cannot run fusermount3", e))?;
    if status.success() {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Io, format!("fusermount3 cannot unmount {}", folder.display())))
}
