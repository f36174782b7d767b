//! The micro-VM over the overlays: our own NBD server is its disks, and its devices are made as the guest's kernel makes them.

use crate::block_device::BlockDevice;
use crate::watched_export::{FirstFailure, WatchedExport};
use convert_nbd::{Address, Exports, Limits, Listener, Server};
use driver_core::{GuestFs, Volume};
use driver_microvm::{Device, DiskAddress, Host, Vm, VmFs};
use format_core::{Error, Overlay, Result};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How soon an interruption is noticed.
const TICK: Duration = Duration::from_millis(100);

/// A running micro-VM with what it has opened.
pub(crate) struct MicroVm {
    vm: Vm,
    started: Instant,
    /// What was made already: one description is one device, however often the disks are looked at.
    devices: Mutex<Vec<(Arc<BlockDevice>, Device)>>,
    /// The mounts of the guest's tree.
    mounts: Mutex<Vec<(String, VmFs)>>,
    /// Behind the VM, so that it is dropped after it.
    serving: Serving,
}

/// The server in its thread.
struct Serving {
    stop: Arc<AtomicBool>,
    /// What its disks could not do first.
    failed: FirstFailure,
    thread: Option<JoinHandle<()>>,
    _folder: tempfile::TempDir,
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // It panicked: that was said on stderr, and its clients have seen it.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

impl MicroVm {
    /// Starts it over these disks.
    ///
    /// # Errors
    /// As [`Vm::start`]; what the host reports.
    pub(crate) fn start(host: &Host, overlays: &[Arc<Overlay>]) -> Result<Arc<Self>> {
        let folder = tempfile::Builder::new()
            .prefix("rehome-")
            .tempdir()
            .map_err(|e| Error::io("cannot make a temporary folder", e))?;
        let socket = folder.path().join("disks");
        let failed = FirstFailure::default();
        let mut exports = Exports::default();
        let mut disks = Vec::new();
        for (number, overlay) in overlays.iter().enumerate() {
            let export = format!("disk{number}");
            exports.add(
                &export,
                "",
                Arc::new(WatchedExport::new(Arc::clone(overlay), Arc::clone(&failed))),
            )?;
            disks.push(DiskAddress { socket: socket.clone(), export, read_only: false });
        }
        let listener = Listener::bind(&Address::Unix(socket))?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let server = Server::new(exports, Limits::default(), |_| {});
        let thread = std::thread::Builder::new()
            .name("nbd".into())
            .spawn(move || drop(server.run(&listener, &stopped, false)))
            .map_err(|e| Error::io("cannot start a thread", e))?;
        let serving = Serving { stop, failed, thread: Some(thread), _folder: folder };
        let started = Instant::now();
        let vm = Vm::start(host, &disks)?;
        Ok(Arc::new(Self { vm, started, devices: Mutex::default(), mounts: Mutex::default(), serving }))
    }

    /// An error of the VM with what its disks could not do, where that is why.
    pub(crate) fn explain(&self, error: Error) -> Error {
        match self.serving.failed.lock().unwrap_or_else(PoisonError::into_inner).as_deref() {
            Some(reason) => error.context(format!("a disk could not be read or written ({reason})")),
            None => error,
        }
    }

    /// How long ago it was started.
    pub(crate) fn age(&self) -> Duration {
        self.started.elapsed()
    }

    pub(crate) fn vm(&self) -> &Vm {
        &self.vm
    }

    /// Makes `device`, with all that it is made of.
    pub(crate) fn device(&self, device: &Arc<BlockDevice>) -> Result<Device> {
        let known = |devices: &[(Arc<BlockDevice>, Device)]| {
            devices.iter().find(|(known, _)| known == device).map(|(_, made)| made.clone())
        };
        if let Some(made) = known(&self.devices.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(made);
        }
        let all = |members: &[Arc<BlockDevice>]| {
            members.iter().map(|member| self.device(member)).collect::<Result<Vec<_>>>()
        };
        let made = match device.as_ref() {
            BlockDevice::Part { disk, start, size } => self.vm.part(*disk, *start, *size)?,
            BlockDevice::Mapped { mapping, members, beside } => {
                let members = all(members)?;
                let made = self.vm.map(mapping, &members)?;
                beside.iter().try_for_each(|mapping| self.vm.map(mapping, &members).map(drop))?;
                made
            }
            BlockDevice::Array { name, members, .. } => self.vm.assemble(name, &all(members)?)?,
        };
        let mut devices = self.devices.lock().unwrap_or_else(PoisonError::into_inner);
        devices.push((Arc::clone(device), made.clone()));
        Ok(made)
    }

    /// What lies in `device`, to be read; the inner error says why the kernel cannot make it.
    ///
    /// # Errors
    /// The VM has ended.
    pub(crate) fn volume(&self, device: &Arc<BlockDevice>) -> Result<Result<Arc<dyn Volume>, String>> {
        match self.device(device) {
            Ok(made) => Ok(Ok(self.vm.volume(&made))),
            Err(error) if self.vm.is_running() => Ok(Err(error.to_string())),
            Err(error) => Err(error),
        }
    }

    /// Mounts the file system in `device`.
    pub(crate) fn open(&self, device: &Arc<BlockDevice>, kind: &str, options: &str) -> Result<VmFs> {
        self.vm.mount(&self.device(device)?, kind, options)
    }

    /// Unmounts everything, to be opened otherwise. What was opened cannot be used any more.
    pub(crate) fn close_all(&self) -> Result<()> {
        self.mounts.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.vm.unmount_all()
    }

    /// Remembers what is mounted at `point` of the guest's tree.
    pub(crate) fn note_mount(&self, point: &str, fs: &dyn GuestFs) {
        let fs = fs.as_any().and_then(|fs| fs.downcast_ref::<VmFs>());
        let mut mounts = self.mounts.lock().unwrap_or_else(PoisonError::into_inner);
        mounts.extend(fs.map(|fs| (point.to_owned(), fs.clone())));
    }

    /// The mounts of the guest's tree, the root first.
    pub(crate) fn mounts(&self) -> Vec<(String, VmFs)> {
        let mut mounts = self.mounts.lock().unwrap_or_else(PoisonError::into_inner).clone();
        mounts.sort_by_key(|(point, _)| point.len());
        mounts
    }

    /// The same, each device once.
    pub(crate) fn distinct_mounts(&self) -> Vec<(String, VmFs)> {
        let mut found: Vec<(String, VmFs)> = Vec::new();
        for mount in self.mounts() {
            if found.iter().all(|(_, fs)| fs.device() != mount.1.device()) {
                found.push(mount);
            }
        }
        found
    }

    /// Does `work`, which asks the VM. It may wait long there, for a program of the guest or a log that is replayed: the VM is ended as soon as
    /// `interrupted` is set, and what waits for it fails.
    pub(crate) fn watched<T>(&self, interrupted: &AtomicBool, work: impl FnOnce() -> T) -> T {
        let (working, ended) = channel::<()>();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                while ended.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                    if interrupted.load(Ordering::Relaxed) {
                        return self.vm.kill();
                    }
                }
            });
            // Dropped also when the work panics.
            let _working = working;
            work()
        })
    }

    /// Whether an error is about what was asked for, and not about the VM.
    pub(crate) fn is_running(&self) -> bool {
        self.vm.is_running()
    }
}
