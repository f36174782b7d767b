//! A machine that fails at a chosen moment, and what its disk holds afterwards.

use conformance::Noise;
use format_core::{Error, Extent, Layer, Result, TargetStorage};
use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The process is gone; the kernel keeps all that was written.
    Kill,
    /// The process is asked to stop.
    Signal,
    /// No more space from a moment on.
    NoSpace,
    /// One write, or one wish that something be durable, fails.
    TargetError,
    /// One read of the source fails.
    SourceError,
    /// Of what was not made durable, any part is lost.
    PowerCut,
}

impl Fault {
    pub const ALL: [Self; 6] =
        [Self::Kill, Self::Signal, Self::NoSpace, Self::TargetError, Self::SourceError, Self::PowerCut];
}

/// One step of writing a file.
enum Step {
    Write(u64, Vec<u8>),
    Len(u64),
    Zeros(u64, u64),
}

/// A file as it is after the next power cut: `durable` for certain, any part of the later steps perhaps.
struct Shadow {
    durable: File,
    later: Vec<Step>,
}

pub struct Machine {
    fault: Fault,
    moment: u64,
    folder: PathBuf,
    /// Where what outlives the machine is put aside, with the same inode numbers.
    aside: tempfile::TempDir,
    steps: AtomicU64,
    dead: AtomicBool,
    pub interrupted: AtomicBool,
    shadows: Mutex<BTreeMap<String, Shadow>>,
}

impl Machine {
    /// A machine that fails at its step number `moment`; its files are in `folder`.
    pub fn new(fault: Fault, moment: u64, folder: impl AsRef<Path>) -> Arc<Self> {
        Arc::new(Self {
            fault,
            moment,
            folder: folder.as_ref().to_owned(),
            aside: tempfile::tempdir_in(folder.as_ref().parent().unwrap()).unwrap(),
            steps: AtomicU64::new(0),
            dead: AtomicBool::new(false),
            interrupted: AtomicBool::new(false),
            shadows: Mutex::default(),
        })
    }

    pub fn steps(&self) -> u64 {
        self.steps.load(Ordering::Relaxed)
    }

    pub fn fault(&self) -> Fault {
        self.fault
    }

    pub fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Relaxed)
    }

    fn path_of(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.partial"))
    }

    fn die(&self) -> Error {
        for entry in std::fs::read_dir(&self.folder).unwrap().flatten() {
            if entry.file_name().to_string_lossy().contains(".partial") {
                std::fs::hard_link(entry.path(), self.aside.path().join(entry.file_name())).unwrap();
            }
        }
        self.dead.store(true, Ordering::Relaxed);
        Error::contract("the machine is dead")
    }

    /// Puts back what a process that was killed, or a power cut, leaves.
    pub fn start_again(&self, noise: &mut Noise) {
        for entry in std::fs::read_dir(&self.folder).unwrap().flatten() {
            if entry.file_name().to_string_lossy().contains(".partial") {
                std::fs::remove_file(entry.path()).unwrap();
            }
        }
        for entry in std::fs::read_dir(self.aside.path()).unwrap().flatten() {
            std::fs::rename(entry.path(), self.folder.join(entry.file_name())).unwrap();
        }
        if self.fault != Fault::PowerCut {
            return;
        }
        for (name, shadow) in &*self.shadows.lock().unwrap() {
            let path = self.path_of(name);
            if path.exists() {
                shadow.later.iter().for_each(|step| step.apply_perhaps(&shadow.durable, noise));
                copy(&shadow.durable, &File::options().write(true).open(path).unwrap());
            }
        }
        // The last record of the journal may be torn.
        for entry in std::fs::read_dir(&self.folder).unwrap().flatten() {
            if entry.file_name().to_string_lossy().ends_with(".journal") && noise.below(3) == 0 {
                let file = File::options().write(true).open(entry.path()).unwrap();
                file.set_len(file.metadata().unwrap().len().saturating_sub(noise.below(600))).unwrap();
            }
        }
    }
}

impl Step {
    fn apply(&self, file: &File) {
        match self {
            Self::Write(offset, bytes) => file.write_all_at(bytes, *offset).unwrap(),
            Self::Len(len) => file.set_len(*len).unwrap(),
            Self::Zeros(offset, len) => {
                let end = (offset + len).min(file.metadata().unwrap().len());
                file.write_all_at(&vec![0; end.saturating_sub(*offset) as usize], *offset).unwrap();
            }
        }
    }

    fn apply_perhaps(&self, file: &File, noise: &mut Noise) {
        match (noise.below(3), self) {
            (0, _) => {}
            (1, Self::Write(offset, bytes)) => {
                let sectors = noise.below(bytes.len() as u64 / 512 + 1) as usize;
                file.write_all_at(&bytes[..sectors * 512], *offset).unwrap();
            }
            _ => self.apply(file),
        }
    }
}

/// Makes `to` what `from` is, holes left out.
fn copy(from: &File, to: &File) {
    to.set_len(0).unwrap();
    let len = from.metadata().unwrap().len();
    to.set_len(len).unwrap();
    let mut at = 0;
    let mut buf = vec![0; 1 << 20];
    while let Ok(data) = rustix::fs::seek(from, rustix::fs::SeekFrom::Data(at)) {
        let end = rustix::fs::seek(from, rustix::fs::SeekFrom::Hole(data)).unwrap();
        at = data;
        while at < end {
            let part = &mut buf[..(end - at).min(1 << 20) as usize];
            from.read_exact_at(part, at).unwrap();
            to.write_all_at(part, at).unwrap();
            at += part.len() as u64;
        }
    }
}

/// A target on a machine that fails.
pub struct Failing {
    inner: Box<dyn TargetStorage>,
    name: String,
    machine: Arc<Machine>,
}

impl Failing {
    pub fn new(inner: Box<dyn TargetStorage>, machine: &Arc<Machine>) -> Self {
        let name = inner.name().unwrap().to_owned();
        let durable = tempfile::tempfile_in(machine.aside.path()).unwrap();
        copy(&File::open(machine.path_of(&name)).unwrap(), &durable);
        let shadow = Shadow { durable, later: Vec::new() };
        machine.shadows.lock().unwrap().insert(name.clone(), shadow);
        Self { inner, name, machine: Arc::clone(machine) }
    }

    /// Does a step, or fails at it. Steps come one by one: what is durable is known then.
    fn step(&self, grows: bool, step: Option<Step>, action: impl FnOnce() -> Result<()>) -> Result<()> {
        let mut shadows = self.machine.shadows.lock().unwrap();
        if self.machine.is_dead() {
            return Err(Error::contract("the machine is dead"));
        }
        let (number, moment) = (self.machine.steps.fetch_add(1, Ordering::Relaxed), self.machine.moment);
        match self.machine.fault {
            Fault::Kill | Fault::PowerCut if number == moment => return Err(self.machine.die()),
            Fault::Signal if number == moment => self.machine.interrupted.store(true, Ordering::Relaxed),
            Fault::TargetError if number == moment => return Err(errno(rustix::io::Errno::IO)),
            Fault::NoSpace if number >= moment && grows => return Err(errno(rustix::io::Errno::NOSPC)),
            _ => {}
        }
        action()?;
        let shadow = shadows.get_mut(&self.name).unwrap();
        match step {
            Some(step) if self.machine.fault == Fault::PowerCut => shadow.later.push(step),
            Some(_) => {}
            None => shadow.later.drain(..).for_each(|step| step.apply(&shadow.durable)),
        }
        Ok(())
    }
}

fn errno(errno: rustix::io::Errno) -> Error {
    Error::io("the machine fails", errno.into())
}

impl TargetStorage for Failing {
    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let step = Some(Step::Write(offset, bytes.to_vec()));
        self.step(true, step, || self.inner.write_all_at(offset, bytes))
    }
    fn set_len(&self, len: u64) -> Result<()> {
        self.step(false, Some(Step::Len(len)), || self.inner.set_len(len))
    }
    fn sync(&self) -> Result<()> {
        self.step(false, None, || self.inner.sync())
    }
    fn zero_range(&self, offset: u64, len: u64) -> Result<()> {
        self.step(false, Some(Step::Zeros(offset, len)), || self.inner.zero_range(offset, len))
    }
    fn resume_at(&self, len: u64) -> Result<()> {
        self.step(false, Some(Step::Len(len)), || self.inner.resume_at(len))
    }
    fn name(&self) -> Option<&str> {
        self.inner.name()
    }
    fn sibling(&self, name: &str) -> Result<Box<dyn TargetStorage>> {
        Ok(Box::new(Self::new(self.inner.sibling(name)?, &self.machine)))
    }
    fn commit(self: Box<Self>) -> Result<()> {
        self.step(false, None, || Ok(()))?;
        self.inner.commit()
    }
}

/// A source of which one read fails.
pub struct FailingSource {
    pub inner: Arc<dyn Layer>,
    /// Reads until then.
    pub left: AtomicU64,
    /// What reads as zeros, but for samples.
    pub lost: Range<u64>,
}

impl Layer for FailingSource {
    fn format(&self) -> &'static str {
        self.inner.format()
    }
    fn virtual_size(&self) -> u64 {
        self.inner.virtual_size()
    }
    fn chunk_size(&self) -> u64 {
        self.inner.chunk_size()
    }
    fn extent_at(&self, offset: u64) -> Result<Extent> {
        self.inner.extent_at(offset)
    }
    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        // Shorter ones are samples, which may fail.
        if buf.len() > 64 << 10 && self.left.fetch_sub(1, Ordering::Relaxed) == 0 {
            return Err(errno(rustix::io::Errno::IO));
        }
        self.inner.read_exact_at(offset, buf)?;
        if buf.len() > 64 << 10 {
            let lost = self.lost.clone();
            (offset..).zip(buf).filter(|(at, _)| lost.contains(at)).for_each(|(_, byte)| *byte = 0);
        }
        Ok(())
    }
}
