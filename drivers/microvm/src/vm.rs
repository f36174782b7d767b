//! A running VM: asking it, and what became of it.

use crate::channel::{Answered, Channel, NoAnswer};
use crate::console::Console;
use crate::failure::{self, Doing};
use crate::host::Host;
use crate::machine::DiskAddress;
use crate::modules::Modules;
use crate::process::Process;
use crate::start;
use format_core::{Error, ErrorKind, Result};
use microvm_init::{FailureKind, Reply, Request};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::Duration;

/// How long a request that touches a few blocks may take.
pub(crate) const QUICK: Duration = Duration::from_secs(60);
/// How long qemu may take to end after its guest did.
const END_LIMIT: Duration = Duration::from_secs(10);
/// How long a qemu that is killed may take.
const KILL_LIMIT: Duration = Duration::from_secs(3);

/// How much later than an answer the console may be heard.
const CONSOLE_DELAY: Duration = Duration::from_millis(30);

/// A running VM. Clones are the same one; calls from several threads wait for each other. It is killed when the last clone, and all that
/// was mounted through it, is dropped without [`Vm::stop`]; what was not written out then is lost.
///
/// After a failure of the VM itself every later call fails at once, with the same reason.
#[derive(Clone)]
pub struct Vm(pub(crate) Arc<Running>);

/// A block device of the VM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its path in the VM: `/dev/vda1`, `/dev/dm-0`.
    pub path: String,
    /// Size in bytes.
    pub size: u64,
    /// Whether it cannot be written.
    pub read_only: bool,
}

/// What is left of a VM that failed.
struct Dead {
    kind: ErrorKind,
    message: String,
    hint: Option<String>,
}

pub(crate) struct Running {
    pub(crate) channel: Mutex<Channel>,
    pub(crate) console: Console,
    pub(crate) process: Process,
    pub(crate) modules: Arc<Modules>,
    pub(crate) loaded: Mutex<BTreeSet<String>>,
    pub(crate) disks: Vec<DiskAddress>,
    pub(crate) patience: Duration,
    pub(crate) started_in: Duration,
    pub(crate) description: String,
    pub(crate) mapped: Mutex<Vec<(driver_core::Mapping, Device)>>,
    dead: Mutex<Option<Dead>>,
    generation: AtomicU64,
}

/// A VM that has just answered.
pub(crate) struct Started {
    pub(crate) channel: Channel,
    pub(crate) console: Console,
    pub(crate) process: Process,
    pub(crate) loaded: BTreeSet<String>,
    pub(crate) started_in: Duration,
    pub(crate) description: String,
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Vm {
    /// Starts a VM that has `disks`, in this order.
    ///
    /// # Errors
    /// `NeedsPerson` when KVM is wanted and not there, or the kernel is too old; `Temporary` when qemu ends or nobody answers in time; `Limit` for
    /// more than 184 disks; `Io` when qemu cannot be started.
    pub fn start(host: &Host, disks: &[DiskAddress]) -> Result<Self> {
        let started = start::start(host, disks)?;
        Ok(Self(Arc::new(Running {
            channel: Mutex::new(started.channel),
            console: started.console,
            process: started.process,
            modules: Arc::clone(&host.modules),
            loaded: Mutex::new(started.loaded),
            disks: disks.to_vec(),
            patience: host.patience,
            started_in: started.started_in,
            description: started.description,
            mapped: Mutex::default(),
            dead: Mutex::default(),
            generation: AtomicU64::new(0),
        })))
    }

    /// How long it took until the VM answered.
    #[must_use]
    pub fn started_in(&self) -> Duration {
        self.0.started_in
    }

    /// Its kernel and how its processor is made, for reports: `kernel 6.1.0-37-amd64, emulated`.
    #[must_use]
    pub fn describe(&self) -> String {
        self.0.description.clone()
    }

    /// The process of qemu, for who watches it.
    #[must_use]
    pub fn process(&self) -> u32 {
        self.0.process.pid
    }

    /// Ends qemu at once, also while another thread waits for an answer, whose call fails then. What was not written out is lost.
    pub fn kill(&self) {
        self.0.process.kill();
    }

    /// Whether it can be asked: it neither failed nor was stopped.
    #[must_use]
    pub fn is_running(&self) -> bool {
        lock(&self.0.dead).is_none()
    }

    /// Writes out and unmounts all file systems; devices stay. File systems of this VM cannot be used afterwards.
    ///
    /// # Errors
    /// `Io` when one could not be written out or is in use; as all calls.
    pub fn unmount_all(&self) -> Result<()> {
        self.changed();
        match self.ask_slow("unmount everything", &Request::UnmountAll)? {
            Reply::Stopped(errors) if errors.is_empty() => Ok(()),
            Reply::Stopped(errors) => {
                let text = format!("the micro-VM could not unmount all: {}", errors.join("; "));
                Err(Error::new(ErrorKind::Io, text))
            }
            _ => Err(unexpected()),
        }
    }

    /// Forgets the damage that the kernel found so far: for when all that was mounted was only looked at, and is not any more.
    pub fn forget_damage(&self) {
        self.0.console.forget_damage();
    }

    /// Writes out and unmounts everything, takes mappings and arrays apart, and ends the VM. What stands in the way does not keep the rest
    /// from being done. File systems of this VM cannot be used afterwards.
    ///
    /// # Errors
    /// `Corrupt` when the kernel found damage at any time since the start, `Io` when something could not be written out or taken apart;
    /// as all calls when the VM failed.
    pub fn stop(&self) -> Result<()> {
        let doing = Doing::guest("unmount everything");
        let answered = self.ask(doing, &Request::Stop, &[], 0, self.0.patience)?;
        {
            let channel = lock(&self.0.channel);
            let _ = channel.tell(&Request::PowerOff, QUICK);
            let ended = self.0.process.wait(END_LIMIT).or_else(|| {
                self.0.process.kill();
                self.0.process.wait(KILL_LIMIT)
            });
            if ended.is_some() {
                self.0.console.hear_all();
            }
            self.0.bury(&Error::usage("the micro-VM was stopped"));
        }
        failure::no_damage(&self.0.console)?;
        match answered.reply {
            Reply::Stopped(errors) if errors.is_empty() => Ok(()),
            Reply::Stopped(errors) => {
                let text = format!("the micro-VM could not put all away: {}", errors.join("; "));
                Err(Error::new(ErrorKind::Io, text))
            }
            _ => Err(unexpected()),
        }
    }

    /// Asks; `content` goes behind the request, and at most `most` bytes come before the end of the answer.
    pub(crate) fn ask(
        &self,
        doing: Doing<'_>,
        request: &Request,
        content: &[u8],
        most: u64,
        limit: Duration,
    ) -> Result<Answered> {
        let channel = lock(&self.0.channel);
        self.0.alive()?;
        let doing = Doing { mark: self.0.console.mark(), ..doing };
        match channel.ask(request, content, most, limit) {
            Ok(answered) => Ok(answered),
            Err(NoAnswer::Failed(failure)) => {
                if matches!(failure.kind, FailureKind::Os(_)) {
                    // What the kernel said of it comes another way, and is what a person wants to read.
                    sleep(CONSOLE_DELAY);
                }
                Err(failure::told(&failure, doing, &self.0.console))
            }
            Err(why) => {
                let error = self.0.post_mortem(&why, doing, limit);
                self.0.bury(&error);
                Err(error)
            }
        }
    }

    /// A request that is answered by a reply alone, and that touches a few blocks.
    pub(crate) fn ask_quick(&self, what: &str, request: &Request) -> Result<Reply> {
        let doing = Doing::guest(what);
        Ok(self.ask(doing, request, &[], 0, QUICK.min(self.0.patience))?.reply)
    }

    /// One that may take as long as it takes to read and write a lot.
    pub(crate) fn ask_slow(&self, what: &str, request: &Request) -> Result<Reply> {
        let doing = Doing::guest(what);
        Ok(self.ask(doing, request, &[], 0, self.0.patience)?.reply)
    }

    /// Loads what is not loaded of these modules and what they need.
    pub(crate) fn load(&self, wanted: &[&str]) -> Result<()> {
        for module in self.0.modules.needed(wanted) {
            if lock(&self.0.loaded).contains(&module.name) {
                continue;
            }
            let image = self.0.modules.read(&module)?;
            let what = format!("load the module {}", module.name);
            let doing = Doing::machine(&what);
            let request = Request::Module { name: module.name.clone(), size: image.len() as u64 };
            self.ask(doing, &request, &image, 0, QUICK.min(self.0.patience))?;
            lock(&self.0.loaded).insert(module.name);
        }
        Ok(())
    }

    /// Counts changes: what was remembered before one does not hold.
    pub(crate) fn generation(&self) -> u64 {
        self.0.generation.load(Ordering::Acquire)
    }

    pub(crate) fn changed(&self) {
        self.0.generation.fetch_add(1, Ordering::AcqRel);
    }
}

impl Running {
    fn alive(&self) -> Result<()> {
        match &*lock(&self.dead) {
            None => Ok(()),
            Some(dead) => {
                let error = Error::new(dead.kind, dead.message.clone());
                Err(match &dead.hint {
                    Some(hint) => error.hint(hint.clone()),
                    None => error,
                })
            }
        }
    }

    /// Nothing is asked any more.
    fn bury(&self, why: &Error) {
        let hint = why.hint_text().map(str::to_owned);
        *lock(&self.dead) = Some(Dead { kind: why.kind(), message: why.to_string(), hint });
    }

    fn post_mortem(&self, why: &NoAnswer, doing: Doing<'_>, limit: Duration) -> Error {
        // A kernel that panics closes the channel a moment before qemu ends and its last words are heard.
        let end = match why {
            NoAnswer::Late => None,
            _ => self.process.wait(KILL_LIMIT),
        };
        self.process.kill();
        let end = end.or_else(|| self.process.wait(KILL_LIMIT));
        if end.is_some() {
            self.console.hear_all();
        }
        failure::gone(why, doing, limit, &self.console, end.as_ref())
    }
}

/// The VM answered something else than was asked for.
pub(crate) fn unexpected() -> Error {
    Error::contract("the micro-VM gave an answer to another question")
}

/// Where this process keeps what a VM is started from.
pub(crate) fn folder() -> Result<tempfile::TempDir> {
    let what = || format!("make a folder in {}", std::env::temp_dir().display());
    tempfile::Builder::new().prefix("rehome-vm-").tempdir().map_err(|error| Error::io(what(), error))
}
