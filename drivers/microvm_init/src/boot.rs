//! From the kernel's start of this program to the open channel, and the end.

use crate::failing::{Result, While};
use microvm_init::{Failure, PORT};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::mount::{MountFlags, mount};
use rustix::system::{RebootCommand, init_module, reboot};
use std::fs::{self, File};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long the port may take to come after its driver was loaded.
const PORT_LIMIT: Duration = Duration::from_secs(20);
const TICK: Duration = Duration::from_millis(2);

/// Mounts what the kernel offers, loads the modules of the initrd, and opens the channel.
pub(crate) fn boot() -> Result<File> {
    for folder in ["/dev", "/proc", "/sys", "/fs", "/tree"] {
        let _ = fs::create_dir(folder);
    }
    mount_kernel("devtmpfs", "/dev")?;
    mount_kernel("proc", "/proc")?;
    mount_kernel("sysfs", "/sys")?;
    let order = fs::read_to_string("/modules/order").during("read the list of modules")?;
    for name in order.lines() {
        let path = format!("/modules/{name}");
        load(name, &fs::read(&path).during(&path)?)?;
        let _ = fs::remove_file(&path);
    }
    open_port()
}

pub(crate) fn mount_kernel(kind: &str, target: &str) -> Result<()> {
    match mount(kind, target, kind, MountFlags::empty(), None) {
        // The kernel mounts /dev itself when it is built that way.
        Ok(()) | Err(Errno::BUSY) => Ok(()),
        Err(errno) => Err(crate::failing::os(format!("mount {kind}"), errno)),
    }
}

/// Loads a module, if it is not there yet.
pub(crate) fn load(name: &str, image: &[u8]) -> Result<()> {
    match init_module(image, c"") {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        // A driver for a processor that is not this one: its place is taken by a plain one.
        Err(Errno::NODEV) => Ok(()),
        Err(errno) => Err(crate::failing::os(format!("load the module {name}"), errno)),
    }
}

fn open_port() -> Result<File> {
    let end = Instant::now() + PORT_LIMIT;
    loop {
        if let Some(device) = find_port() {
            let port = File::options().read(true).write(true).open(&device).during(device)?;
            // Until the host's end is known to be open, reading says that it is closed.
            while has_hung_up(&port) && Instant::now() < end {
                sleep(TICK);
            }
            return Ok(port);
        }
        if Instant::now() > end {
            return Err(Failure::usage("there is no port to the host"));
        }
        sleep(TICK);
    }
}

fn has_hung_up(port: &File) -> bool {
    let mut watched = [PollFd::new(port, PollFlags::IN)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    let _ = poll(&mut watched, Some(&now));
    watched.iter().any(|fd| fd.revents().contains(PollFlags::HUP))
}

fn find_port() -> Option<String> {
    fs::read_dir("/sys/class/virtio-ports").ok()?.flatten().find_map(|entry| {
        let name = fs::read_to_string(entry.path().join("name")).ok()?;
        let device = format!("/dev/{}", entry.file_name().to_str()?);
        (name.trim_end() == PORT && fs::exists(&device).unwrap_or(false)).then_some(device)
    })
}

/// Ends the VM. A restart is what every machine can do, and qemu takes it for the end.
pub(crate) fn end() {
    let _ = reboot(RebootCommand::Restart);
}
