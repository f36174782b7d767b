//! Mounted file systems.

use crate::failing::{Result, While, os};
use microvm_init::Failure;
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use std::ffi::CString;
use std::fs;
use std::os::fd::OwnedFd;

/// A mounted file system.
pub(crate) struct Mounted {
    /// Its root folder.
    pub(crate) root: OwnedFd,
    /// The device it is on.
    pub(crate) device: String,
    kind: String,
    /// Where it is mounted.
    pub(crate) target: String,
}

impl Mounted {
    /// Whether writing in place may need new blocks.
    pub(crate) fn copies_on_write(&self) -> bool {
        matches!(self.kind.as_str(), "btrfs" | "xfs")
    }
}

/// All that were mounted; numbers are not used again.
#[derive(Default)]
pub(crate) struct Mounts(Vec<Option<Mounted>>);

impl Mounts {
    pub(crate) fn get(&self, number: u32) -> Result<&Mounted> {
        let mounted = self.0.get(number as usize).and_then(Option::as_ref);
        mounted.ok_or_else(|| Failure::usage(format!("there is no file system {number}")))
    }

    /// Mounts; the kernel replays the log.
    pub(crate) fn mount(&mut self, device: &str, kind: &str, options: &str, read_only: bool) -> Result<u32> {
        let number = u32::try_from(self.0.len()).map_err(|_| Failure::usage("too many file systems"))?;
        let target = format!("/fs/{number}");
        fs::create_dir(&target).during(&target)?;
        // Looking at a guest's files must not change them.
        let mut flags = MountFlags::NOATIME;
        if read_only {
            flags |= MountFlags::RDONLY;
        }
        let data = CString::new(options).map_err(|_| Failure::usage("options with a NUL"))?;
        let done = mount(device, target.as_str(), kind, flags, Some(data.as_c_str()));
        if done.is_err() {
            let _ = fs::remove_dir(&target);
        }
        done.during(format_args!("mount {device} as {kind}"))?;
        let root = open(&target, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
        let root = root.during(&target)?;
        self.0.push(Some(Mounted { root, device: device.to_owned(), kind: kind.to_owned(), target }));
        Ok(number)
    }

    pub(crate) fn unmount(&mut self, number: u32) -> Result<()> {
        self.get(number)?;
        let mounted = self.0.get_mut(number as usize).and_then(Option::take);
        mounted.map_or(Ok(()), take_apart)
    }

    pub(crate) fn unmount_all(&mut self, note: &mut impl FnMut(Result<()>)) {
        for mounted in self.0.iter_mut().rev().filter_map(Option::take) {
            note(take_apart(mounted));
        }
    }
}

fn take_apart(mounted: Mounted) -> Result<()> {
    let Mounted { root, device, target, .. } = mounted;
    // What cannot be written shows here; unmounting says nothing of it.
    let synced = rustix::fs::syncfs(&root).during(format_args!("write out {device}"));
    drop(root);
    match unmount(target.as_str(), UnmountFlags::NOFOLLOW) {
        Ok(()) => {}
        Err(Errno::BUSY) => {
            return Err(os(format!("unmount {device}: something still uses it"), Errno::BUSY));
        }
        Err(errno) => return Err(os(format!("unmount {device}"), errno)),
    }
    let _ = fs::remove_dir(&target);
    synced
}
