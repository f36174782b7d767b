//! File systems put together, with what programs expect beside them.

use crate::boot::mount_kernel;
use crate::failing::{Result, While, os};
use crate::identify;
use crate::mounts::Mounts;
use microvm_init::{Failure, FailureKind};
use rustix::fs::{Mode, OFlags, ResolveFlags, open, openat2};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_bind, unmount};
use std::fs;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::symlink;

/// All trees; numbers are not used again.
#[derive(Default)]
pub(crate) struct Trees(Vec<Option<String>>);

impl Trees {
    /// The folder of a tree.
    pub(crate) fn root(&self, number: u32) -> Result<&str> {
        let root = self.0.get(number as usize).and_then(Option::as_deref);
        root.ok_or_else(|| Failure::usage(format!("there is no tree {number}")))
    }

    /// An empty folder for a tree.
    fn add(&mut self) -> Result<(u32, String)> {
        let number = u32::try_from(self.0.len()).map_err(|_| Failure::usage("too many trees"))?;
        let root = format!("/tree/{number}");
        fs::create_dir(&root).during(&root)?;
        self.0.push(Some(root.clone()));
        Ok((number, root))
    }

    /// Puts mounted file systems together.
    pub(crate) fn make(&mut self, mounts: &Mounts, wanted: &[(String, u32)]) -> Result<u32> {
        if wanted.first().is_none_or(|(place, _)| place != "/") {
            return Err(Failure::usage("a tree begins with /"));
        }
        let (number, root) = self.add()?;
        let done = fill(&root, mounts, wanted);
        if done.is_err() {
            let _ = self.dissolve(number);
        }
        done.map(|()| number)
    }

    /// A tree in memory with nothing but devices, for `files` by their paths.
    pub(crate) fn small(&mut self, files: &[(String, Vec<u8>)]) -> Result<u32> {
        let (number, root) = self.add()?;
        for (path, content) in files {
            let target = format!("{root}{path}");
            if let Some((folder, _)) = target.rsplit_once('/') {
                fs::create_dir_all(folder).during(folder)?;
            }
            fs::write(&target, content).during(&target)?;
            rustix::fs::chmod(&target, Mode::from_raw_mode(0o755)).during(&target)?;
        }
        for folder in ["/dev", "/proc", "/sys", "/tmp"] {
            fs::create_dir_all(format!("{root}{folder}")).during(folder)?;
        }
        add_kernel(&root)?;
        Ok(number)
    }

    pub(crate) fn dissolve(&mut self, number: u32) -> Result<()> {
        self.root(number)?;
        let root = self.0.get_mut(number as usize).and_then(Option::take);
        root.map_or(Ok(()), |root| take_apart(&root))
    }

    pub(crate) fn dissolve_all(&mut self, note: &mut impl FnMut(Result<()>)) {
        for root in self.0.iter_mut().rev().filter_map(Option::take) {
            note(take_apart(&root));
        }
    }
}

/// Opens a path of a tree as a program in there would.
pub(crate) fn open_inside(root: impl AsFd, path: &str, flags: OFlags) -> Result<Option<OwnedFd>> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    match openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
        Ok(file) => Ok(Some(file)),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
        Err(errno) => Err(os(format!("open {path}"), errno)),
    }
}

pub(crate) fn open_root(root: &str) -> Result<OwnedFd> {
    open(root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).during(root)
}

/// The name under which a place that was found can be mounted on.
fn name_of(place: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", place.as_raw_fd())
}

fn fill(root: &str, mounts: &Mounts, wanted: &[(String, u32)]) -> Result<()> {
    for (place, number) in wanted {
        let source = mounts.get(*number)?.target.as_str();
        if place == "/" {
            mount_bind(source, root).during("put the tree together")?;
            continue;
        }
        let target = open_inside(open_root(root)?, place, OFlags::PATH | OFlags::DIRECTORY)?;
        let missing = || Failure::usage(format!("there is no folder {place} to mount on"));
        mount_bind(source, name_of(&target.ok_or_else(missing)?)).during(format_args!("mount on {place}"))?;
    }
    add_kernel(root)
}

/// Devices, processes, and room for what is not kept.
fn add_kernel(root: &str) -> Result<()> {
    prepare_devices();
    for (place, kind, needed) in [
        ("/dev", "", true),
        ("/proc", "proc", true),
        ("/sys", "sysfs", false),
        ("/run", "tmpfs", false),
        ("/tmp", "tmpfs", false),
    ] {
        let Some(target) = open_inside(open_root(root)?, place, OFlags::PATH | OFlags::DIRECTORY)? else {
            if needed {
                let text = format!("the guest has no folder {place}, so its programs cannot be run");
                return Err(Failure::new(FailureKind::Unsupported, text));
            }
            continue;
        };
        let target = name_of(&target);
        match kind {
            "" => mount_bind("/dev", target),
            "sysfs" => mount(kind, target, kind, MountFlags::RDONLY, None),
            "tmpfs" => mount(kind, target, kind, MountFlags::empty(), Some(c"mode=1777")),
            kind => mount(kind, target, kind, MountFlags::empty(), None),
        }
        .during(format_args!("mount on {place}"))?;
    }
    Ok(())
}

/// What udev and systemd add to `/dev`.
fn prepare_devices() {
    let _ = fs::create_dir("/dev/pts");
    let _ = fs::create_dir("/dev/shm");
    let _ = mount_kernel("devpts", "/dev/pts");
    for (name, target) in [("fd", "fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")] {
        let _ = symlink(format!("/proc/self/{target}"), format!("/dev/{name}"));
    }
    identify::link_all();
}

/// One call takes all that is mounted below, too.
fn take_apart(root: &str) -> Result<()> {
    match unmount(root, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
        Ok(()) => {
            let _ = fs::remove_dir(root);
            Ok(())
        }
        // A tree in memory: only what is in it is mounted.
        Err(Errno::INVAL) => {
            for place in ["tmp", "sys", "proc", "dev"] {
                match unmount(format!("{root}/{place}"), UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
                    Ok(()) | Err(Errno::INVAL | Errno::NOENT) => {}
                    // Nothing is removed while something else may still be seen through it.
                    Err(errno) => return Err(os(format!("take {root} apart"), errno)),
                }
            }
            fs::remove_dir_all(root).during(format_args!("remove {root}"))
        }
        Err(errno) => Err(os(format!("take {root} apart"), errno)),
    }
}

/// Whether there is such a program in a tree.
pub(crate) fn has(root: &str, path: &str) -> Result<bool> {
    Ok(open_inside(open_root(root)?, path, OFlags::PATH)?.is_some())
}
